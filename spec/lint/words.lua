-- Words and characters that the repository does not contain.

package.path = "spec/lint/support/?.lua;" .. package.path
local lint = require "lint"

-- Put together here, so that this file does not contain them itself.
local WORDS = {
  { "%f[%w]TO" .. "DO%f[%W]", "what is missing stands in core/README.md, with what it would take" },
  { "%f[%w]FIX" .. "ME%f[%W]", "what is missing stands in core/README.md, with what it would take" },
  { "%f[^%s\"'`(=:<,]/wo" .. "rk/", "a path of somebody's machine" },
  { "^/wo" .. "rk/", "a path of somebody's machine" },
  { "%f[^%s\"'`(=:<,]/ho" .. "me/%w", "a path of somebody's machine" },
  { "%f[%a][Ii]ss" .. "ues? #%d", "say the reason itself, a number leads nowhere" },
}

-- Where tabs, trailing blanks and a missing last newline are faults.
local PLAIN = { c = true, h = true, def = true, lua = true, md = true, yaml = true, yml = true, cmake = true,
  json = true, txt = true, rockspec = true }

local function check(faults, path, text)
  if text:find "%z" then
    return -- not a text
  end
  local extension = path:match "%.([%w]+)$"
  local plain = PLAIN[extension] or false
  for number, line in lint.lines(text) do
    for _, word in ipairs(WORDS) do
      local found = line:match(word[1])
      if found then
        faults:add(path, number, '"%s": %s', found, word[2])
      end
    end
    if plain then
      if line:find "\t" then
        faults:add(path, number, "a tab")
      end
      if line:find "%s$" then
        faults:add(path, number, "blanks at the end of the line")
      end
    end
  end
  if plain and text ~= "" and text:sub(-1) ~= "\n" then
    faults:add(path, 1, "the last line has no end")
  end
  if (extension == "c" or extension == "h") and not text:find "^/%* SPDX%-License%-Identifier: Apache%-2%.0 %*/\n" then
    faults:add(path, 1, "the first line of a C file is /* SPDX-License-Identifier: Apache-2.0 */")
  end
end

local SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"

lint.self_check(check, {
  { "a.c", SPDX .. "/* TO" .. "DO: later */\n" },
  { "a.c", SPDX .. "\tint a;\n" },
  { "a.c", SPDX .. "int a; \n" },
  { "a.c", SPDX .. "int a;" },
  { "a.c", "int a;\n" },
  { "a.lua", 'local f = io.open "/wo' .. 'rk/x"\n' },
  { "run", "/wo" .. "rk/x\n" },
  { "a.md", "See iss" .. "ue #12.\n" },
}, {
  { "a.c", SPDX .. "int a; /* the TO" .. "DOS of DOS */\n" },
  { "a.lua", "local homework = 'net/wo" .. "rk/x'\n" },
  { "run", "\tindented by make\n" },
  { "a.bin", "\0TO" .. "DO" },
})

local faults = lint.faults()
local looked_at = 0
for _, path in ipairs(lint.files ".") do
  if not path:find "/corpus/" and not path:find "/data/" then
    looked_at = looked_at + 1
    check(faults, path, lint.read(path))
  end
end
lint.finish(faults, looked_at)
