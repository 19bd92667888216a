-- SPDX-License-Identifier: Apache-2.0

-- The gateway in a container of podman's, as careful people run one: not root, nothing writable, no capabilities, on the
-- host's network so that a spec reaches it on ports of its own.

local command = require "spec.support.command"
local posix = require "spec.support.posix"
local wait = require "spec.support.wait"

local M = {}

local SKIP = 77

-- Builds the image (spec/container/image). The image's { image, base, image_size, base_size }; or nil and why it can't be.
function M.build()
  local result = command.run({ "bash", "spec/container/image" }, { seconds = 3000 })
  if result.status == SKIP then
    return nil, result.out:match "([^\n]*)\n*$"
  end
  assert(result.status == 0, result.err)
  local built = { told = result.err }
  for name, value in result.out:gmatch "(%S+) ([^\n]*)" do
    built[name] = tonumber(value) or value
  end
  M.store = {}
  for word in built.store:gmatch "%S+" do
    M.store[#M.store + 1] = word
  end
  M.image = built.image
  return built
end

-- The words with which podman, or buildah, finds the image.
local function tool(name)
  local argv = { name }
  for _, word in ipairs(M.store) do
    argv[#argv + 1] = word
  end
  if name == "podman" then
    argv[#argv + 1] = "--runtime"
    argv[#argv + 1] = "runc"
  end
  return argv
end

-- Runs one of them to its end.
function M.tool(name, ...)
  local argv = tool(name)
  for _, word in ipairs { ... } do
    argv[#argv + 1] = word
  end
  return command.run(argv, { seconds = 900, dir = name == "podman" and "/tmp" or nil }) -- its monitor leaves files there
end

function M.podman(...)
  local result = M.tool("podman", ...)
  assert(result.status == 0, ("podman %s: %s%s"):format((...), result.out, result.err))
  return (result.out:gsub("\n$", ""))
end

local Container = {}
Container.__index = Container

local CAREFUL = { "--read-only", "--read-only-tmpfs=false", "--cap-drop", "all",
  "--security-opt", "no-new-privileges", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024" }

-- Starts one. options: image, folder (mounted over /etc/demilune), network (the host's), args (of podman run).
function M.start(options)
  local argv = { "run", "-d", "--network", options.network or "host" }
  for _, list in ipairs { CAREFUL, options.args or {} } do
    for _, word in ipairs(list) do
      argv[#argv + 1] = word
    end
  end
  if options.folder then
    argv[#argv + 1] = "-v"
    argv[#argv + 1] = options.folder .. ":/etc/demilune:ro"
  end
  argv[#argv + 1] = options.image or M.image
  return setmetatable({ id = M.podman(unpack(argv)) }, Container)
end

function Container:inspect(format)
  return M.podman("inspect", "--format", format, self.id)
end

function Container:log()
  local result = M.tool("podman", "logs", self.id)
  return result.out .. result.err
end

function Container:is_running()
  return self:inspect "{{.State.Running}}" == "true"
end

-- The line of an event, once it is in the log.
function Container:event(name)
  return wait(function() return ("the event %s in: %s"):format(name, self:log()) end, function()
    local line = self:log():match('[^\n]*"event":"' .. name:gsub("%.", "%%.") .. '"[^\n]*')
    assert(line or self:is_running(), "the container has ended:\n" .. self:log())
    return line
  end, 60)
end

function Container:signal(name)
  M.podman("kill", "--signal", name, self.id)
end

-- Orders of podman one after the other, beside the spec, with ID for the container's. The pid of who gives them.
function Container:spawn(...)
  local script = {}
  for i, order in ipairs { ... } do
    local words = tool "podman"
    for _, word in ipairs(order) do
      words[#words + 1] = word == "ID" and self.id or word
    end
    script[i] = table.concat(words, " ")
  end
  return posix.spawn({ "/bin/sh", "-c", table.concat(script, " && ") }, { dir = "/tmp" })
end

-- Is it healthy, by the image's own check?
function Container:is_healthy()
  return M.tool("podman", "healthcheck", "run", self.id).status == 0
end

-- Its exit status, once it has ended.
function Container:wait()
  return tonumber(M.podman("wait", self.id))
end

function Container:remove()
  M.tool("podman", "rm", "-f", "-t", "0", self.id)
end

-- Lets everybody read a folder, as whatever is mounted has to be.
function M.open(folder)
  assert(command.run({ "chmod", "-R", "a+rX", folder.path }).status == 0)
end

return M
