-- SPDX-License-Identifier: Apache-2.0

-- Programs that are there anyway (openssl, curl), run to their end.

local posix = require "spec.support.posix"
local wait = require "spec.support.wait"

local M = {}

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read "*a" or ""
  if file then
    file:close()
    os.remove(path)
  end
  return text
end

local function find(name)
  for dir in (os.getenv "PATH" or "/usr/bin:/bin"):gmatch "[^:]+" do
    local file = io.open(dir .. "/" .. name, "rb")
    if file then
      file:close()
      return dir .. "/" .. name
    end
  end
end

-- Is it installed?
function M.has(name)
  return find(name) ~= nil
end

-- argv[1] is looked up in PATH. options: dir, env, seconds. Returns { status, out, err }; stdin is empty.
function M.run(argv, options)
  options = options or {}
  local program = assert(find(argv[1]), argv[1] .. " is not installed")
  local folder = posix.new_folder()
  local out, err = folder .. "/out", folder .. "/err"
  local list = { program, unpack(argv, 2) }
  local pid = posix.spawn(list, { stdout = out, stderr = err, dir = options.dir, env = options.env })
  local status = wait("the end of " .. table.concat(argv, " "), function()
    return posix.exit_status(pid)
  end, options.seconds)
  local result = { status = status, out = read(out), err = read(err) }
  posix.rmdir(folder)
  return result
end

return M
