-- SPDX-License-Identifier: Apache-2.0

-- Starts the program itself: server.start runs a gateway with a configuration, server.run any command to its end.

local posix = require "spec.support.posix"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local M = {}

M.program = os.getenv "DEMILUNE" or posix.readlink "/proc/self/exe"

local function read(path)
  local file = io.open(path, "rb")
  if not file then
    return ""
  end
  local text = file:read "*a"
  file:close()
  return text
end

-- --- a folder of files ----------------------------------------------------------------------------------------

local Folder = {}
Folder.__index = Folder

-- A new folder; folder:write(name, text) gives the path. Names may have folders in them.
function M.folder()
  return setmetatable({ path = posix.new_folder(), files = {}, folders = {} }, Folder)
end

function Folder:write(name, text)
  for parent in name:gmatch "()/" do
    local path = self.path .. "/" .. name:sub(1, parent - 1)
    posix.mkdir(path)
    table.insert(self.folders, 1, path)
  end
  local path = self.path .. "/" .. name
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  self.files[path] = true
  return path
end

-- What a program has written there, "" as long as there is no such file.
function Folder:read(name)
  local path = self.path .. "/" .. name
  self.files[path] = true
  return read(path)
end

-- Removes a folder that a program has made there, with all that is in it.
function Folder:clear(name)
  local pid = posix.spawn({ "/bin/rm", "-rf", self.path .. "/" .. name }, {})
  wait("the end of rm", function()
    return posix.exit_status(pid)
  end)
end

function Folder:remove()
  for path in pairs(self.files) do
    os.remove(path)
  end
  for _, path in ipairs(self.folders) do
    posix.rmdir(path)
  end
  os.remove(self.path .. "/stdout")
  os.remove(self.path .. "/stderr")
  posix.rmdir(self.path)
end

-- --- a command ------------------------------------------------------------------------------------------------

-- before: what a shell does first, such as "ulimit -n 64".
local function argv_of(args, before)
  local argv = { M.program }
  if before then
    argv = { "/bin/sh", "-c", before .. ' && exec "$0" "$@"', M.program }
  end
  for _, arg in ipairs(args) do
    argv[#argv + 1] = arg
  end
  return argv
end

-- Runs the program with these arguments to its end. options: folder (its working directory), env, patience (seconds
-- that it may take, where it has to use up more than a little CPU time). Returns { status, out, err }.
function M.run(args, options)
  options = options or {}
  local folder = options.folder or M.folder()
  local out, err = folder.path .. "/stdout", folder.path .. "/stderr"
  local pid = posix.spawn(argv_of(args), { stdout = out, stderr = err, dir = folder.path, env = options.env })
  local status = wait("the end of " .. table.concat(args, " "), function()
    return posix.exit_status(pid)
  end, options.patience)
  local result = { status = status, out = read(out), err = read(err) }
  if not options.folder then
    folder:remove()
  end
  return result
end

-- --- a gateway ------------------------------------------------------------------------------------------------

local Gateway = {}
Gateway.__index = Gateway

local PREAMBLE = [[
workers: %d
listeners: [{ address: "127.0.0.1:0" }]
admin: { address: "127.0.0.1:0" }
]]

-- Everything that it has logged.
function Gateway:log()
  return read(self.folder.path .. "/stderr")
end

-- The line of an event, once it is there.
function Gateway:event(name)
  return wait(function() return ('the event "%s" in: %s'):format(name, self:log()) end, function()
    return self:log():match('[^\n]*"event":"' .. name:gsub("%.", "%%.") .. '"[^\n]*')
  end)
end

function Gateway:signal(name)
  posix.kill(self.pid, posix["SIG" .. name])
end

-- Another configuration behind the same preamble, for a reload, which never sees half of it.
function Gateway:configure(config)
  local path = self.folder:write("demilune.yaml.new", self.preamble .. config)
  self.folder.files[path] = nil
  assert(os.rename(path, self.folder.path .. "/demilune.yaml"))
end

function Gateway:is_running()
  self.status = self.status or posix.exit_status(self.pid)
  return self.status == nil
end

-- Its exit status, once it has ended.
function Gateway:wait()
  wait("the end of the gateway", function()
    return not self:is_running()
  end)
  return self.status
end

-- As when the machine loses power: supervisor and gateway end at once, and neither can do anything about it.
function Gateway:crash()
  self.may_fail = true
  posix.kill(self.process, posix.SIGSTOP)
  posix.kill(self.pid, posix.SIGKILL)
  posix.kill(self.process, posix.SIGKILL)
  self:wait()
  wait("the end of the gateway's process", function()
    return not process.is_running(self.process)
  end)
end

-- Ends it (if it still runs), and must be called in the end. It must have left in order.
function Gateway:stop()
  if self:is_running() then
    self:signal "INT"
  end
  local ok, status = pcall(self.wait, self)
  local log = self:log()
  if not ok then
    posix.kill(self.pid, posix.SIGKILL)
    posix.exit_status(self.pid)
  end
  if self.owns_folder then
    self.folder:remove()
  end
  if status ~= 0 and not self.may_fail then
    error(("the gateway ended with %s; its log:\n%s"):format(tostring(status), log), 2)
  end
end

local function ports_of(gateway)
  local line = gateway:event "ready"
  gateway.ports, gateway.places = {}, {}
  for place in line:match('"listeners":"([^"]*)"'):gmatch "%S+" do
    gateway.places[#gateway.places + 1] = place
  end
  for port in line:match('"listeners":"([^"]*)"'):gmatch ":(%d+)" do
    gateway.ports[#gateway.ports + 1] = tonumber(port)
  end
  gateway.port = gateway.ports[1]
  gateway.admin_port = tonumber(line:match '"admin":"[^"]*:(%d+)"')
  gateway.process = tonumber(line:match '"pid":(%d+)') -- of the gateway; signals are for its supervisor, `pid`
end

-- Starts a gateway and waits until it is ready. config: YAML, behind a preamble with a listener and an admin
-- address on free ports (no preamble with bare = true). options: workers (2), bare, folder (where plugins lie, and
-- its files), env, args, before (see argv_of).
function M.start(config, options)
  options = options or {}
  local folder = options.folder or M.folder()
  local preamble = options.bare and "" or PREAMBLE:format(options.workers or 2)
  local file = folder:write("demilune.yaml", preamble .. config)
  local args = { "run", "-c", file }
  for _, arg in ipairs(options.args or {}) do
    args[#args + 1] = arg
  end
  local gateway = setmetatable({ folder = folder, owns_folder = not options.folder, preamble = preamble }, Gateway)
  gateway.pid = posix.spawn(argv_of(args, options.before), {
    stdout = folder.path .. "/stdout", stderr = folder.path .. "/stderr", dir = folder.path, env = options.env,
  })
  local is_ready = pcall(wait, "a gateway that is ready", function()
    return gateway:log():find('"event":"ready"', 1, true) or not gateway:is_running()
  end)
  if not is_ready or not gateway:is_running() then
    local log = gateway:log()
    gateway.may_fail = true
    gateway:stop()
    error("the gateway did not start:\n" .. log, 2)
  end
  ports_of(gateway)
  return gateway
end

return M
