-- SPDX-License-Identifier: Apache-2.0

-- Turns core/script/api.h and its parts (PARTS), and core/base/err.def into lua/demilune/cdef.lua:
--
--   luajit core/script/make_cdef.lua            writes it
--   luajit core/script/make_cdef.lua --print    prints it (spec/lint/cdef.lua compares)
--
-- Comments and preprocessor lines go, declarations stay as they are.

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local function declarations(text)
  text = text:gsub("/%*.-%*/", ""):gsub("\n#[^\n]*", "")
  text = text:gsub("DML_API ", ""):gsub("\n%s*\n+", "\n"):gsub("[ \t]+\n", "\n")
  return (text:gsub("^%s+", ""))
end

-- "ERR(NAME, "word", status)" in order: the first is -1, the second -2.
local function errors(text)
  local rows = {}
  for name, word in text:gmatch '\nERR%(([%u_]+), "([%w_]+)"' do
    rows[#rows + 1] = { name = name, word = word, code = -1 - #rows }
  end
  return rows
end

local PARTS = { "api_lib.h", "api_crypto.h", "api_traffic.h" }

local function generate()
  local api = read "core/script/api.h"
  local all = { declarations(api) }
  for i, part in ipairs(PARTS) do
    all[i + 1] = declarations(read("core/script/" .. part))
  end
  local out = {
    "-- Made by core/script/make_cdef.lua from core/script/api.h, its parts and core/base/err.def. Not to be edited.",
    "",
    "return {",
    "  abi = " .. assert(api:match "#define DML_ABI (%d+)") .. ",",
    "  err = {",
  }
  local rows = errors(read "core/base/err.def")
  for _, row in ipairs(rows) do
    out[#out + 1] = ("    %s = %d,"):format(row.name, row.code)
  end
  out[#out + 1] = "  },"
  out[#out + 1] = "  words = {"
  for _, row in ipairs(rows) do
    out[#out + 1] = ('    [%d] = "%s",'):format(row.code, row.word)
  end
  out[#out + 1] = "  },"
  out[#out + 1] = "  cdef = [[\n" .. table.concat(all) .. "]],"
  out[#out + 1] = "}\n"
  return table.concat(out, "\n")
end

if arg[1] == "--print" then
  io.write(generate())
else
  local file = assert(io.open("lua/demilune/cdef.lua", "wb"))
  file:write(generate())
  file:close()
end
