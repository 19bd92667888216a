-- SPDX-License-Identifier: Apache-2.0

-- `demilune test`: busted inside the runtime. It runs in one coroutine of the loop, so a
-- spec may call whatever waits, in tests and in what stands before and after them. busted
-- ends its process when it is done; here that becomes a value on the way out.

local M = {}

local Exit = {}

-- busted forgets the modules that a file has loaded when the file is done. The library's own
-- must stay: their FFI types can be declared once only.
local function load_library()
  for name in ([[
    cache crypto dns http json jwt limit log metrics problem regex schema selector socket store task test time
    trace url uuid]]):gmatch "%S+" do
    local ok, message = pcall(require, "demilune." .. name)
    if not ok and not tostring(message):find("module 'demilune." .. name .. "' not found", 1, true) then
      error(message, 0)
    end
  end
end

local function replace_exit()
  local compatibility = require "busted.compatibility"
  compatibility.exit = function(code)
    error(setmetatable({ code = code }, Exit), 0)
  end
end

-- What a file has started ends with it: real sockets and a VM each.
local function close_after_files()
  local new_core = require "busted.core"
  package.loaded["busted.core"] = function()
    local busted = new_core()
    busted.subscribe({ "file", "end" }, function()
      require("demilune.test").close_all()
      return nil, true
    end)
    return busted
  end
end

local function traceback(message)
  if getmetatable(message) == Exit then
    return message
  end
  return debug.traceback(tostring(message), 2)
end

-- Gives the exit status. args: busted's own arguments.
function M.main(args)
  load_library()
  replace_exit()
  close_after_files()
  _G.arg = { [0] = "demilune test", unpack(args) }
  local run = require "busted.runner"
  local ok, message = xpcall(function()
    run { standalone = false }
  end, traceback)
  io.stdout:flush()
  if ok then
    return 0
  elseif getmetatable(message) == Exit then
    return message.code == 0 and 0 or 1
  end
  io.stderr:write(message, "\n")
  return 1
end

return M
