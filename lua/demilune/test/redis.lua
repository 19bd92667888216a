-- SPDX-License-Identifier: Apache-2.0

-- A real redis-server for specs, on a free loopback port (or a unix socket), which keeps nothing on disk and ends with
-- the spec:
--
--   local server = test.redis()                       -- { password = "p", users = { "app on >secret ~* +@all" } }
--   local gateway = test.gateway { config = { redis = { { name = "main", url = server.url } } }, ... }
--   assert.equal("1", server:command("GET", "k"))     -- the server's own eyes
--   server:pause()  server:resume()  server:kill()  server:restart()

local core = require "demilune.core"
local redis = require "demilune.redis"
local socket = require "demilune.socket"
local task = require "demilune.task"

local PATIENCE = 20 -- seconds until it must have started
local TRIES = 5     -- a free port may be taken before it is used

local M = {}

---@class test.redis  What test.redis gives.
---@field url string  For a configuration, or redis.open; with the password, where there is one.
---@field port integer
---@field client redis.client
local Redis = { __name = "test redis" }
Redis.__index = Redis

local function free_port()
  local listener = assert(socket.listen("127.0.0.1:0"))
  local port = listener:port()
  listener:close()
  return port
end

local function argv_of(self)
  local options = self.options
  local argv = { options.program or "redis-server", "--save", "", "--appendonly", "no", "--daemonize", "no" }
  local function add(...)
    for i = 1, select("#", ...) do
      argv[#argv + 1] = tostring((select(i, ...)))
    end
  end
  if self.path then
    add("--port", 0, "--unixsocket", self.path)
  elseif options.tls then
    add("--port", 0, "--tls-port", self.port, "--tls-cert-file", options.tls.cert, "--tls-key-file", options.tls.key,
      "--tls-ca-cert-file", options.tls.ca or options.tls.cert, "--tls-auth-clients", options.tls.auth_clients or "no")
  else
    add("--port", self.port)
  end
  add("--bind", "127.0.0.1")
  if options.password then
    add("--requirepass", options.password)
  end
  for _, user in ipairs(options.users or {}) do
    add "--user"
    for word in user:gmatch "%S+" do
      add(word)
    end
  end
  for _, word in ipairs(options.args or {}) do
    add(word)
  end
  return argv
end

local function output_of(self)
  local file = io.open(self.output)
  local text = file and file:read "*a" or ""
  if file then
    file:close()
  end
  return text
end

local function listens(self)
  local s = socket.connect(self.path and "unix:" .. self.path or "127.0.0.1", self.port)
  if s then
    s:close()
  end
  return s ~= nil
end

-- True when it answers; false when it has ended instead. The client comes last: it would log that nobody is there.
local function wait_until_ready(self)
  local value, word
  for _ = 1, PATIENCE / 0.005 do
    if listens(self) then
      value, word = self.client:command("PING")
    end
    if value then
      return true
    elseif core.test_process_ended(self.pid, false) then
      self.pid = nil
      return false
    elseif not task.sleep(0.005) then
      error("test.redis: cancelled", 0)
    end
  end
  error(("test.redis: redis-server does not answer (%s):\n%s"):format(word or "nobody listens", output_of(self)), 0)
end

local function start(self)
  local pid, word = core.test_process_start(argv_of(self), self.output)
  self.pid = assert(pid, word)
  return wait_until_ready(self)
end

local function url_of(self)
  local password = self.options.password
  local login = password and (":%s@"):format(password) or ""
  if self.path then
    return ("unix://%s%s"):format(login, self.path)
  end
  return ("%s://%s127.0.0.1:%d"):format(self.options.tls and "rediss" or "redis", login, self.port)
end

local function place(self)
  if not self.path then
    self.port = free_port()
  end
  self.url = url_of(self)
  local tls = self.options.tls
  self.client = redis.open {
    url = self.url, name = "test", connect_timeout = 5, timeout = 5, tls = tls and { verify = false } or nil,
  }
end

---@class test.redis.options
---@field unix? boolean  On a unix socket.
---@field password? string
---@field users? string[]  As redis.conf has them: "app on >secret ~* +@all".
---@field tls? { cert: string, key: string, ca?: string, auth_clients?: string }  Files.
---@field args? any[]  Further arguments of redis-server.
---@field program? string  Instead of redis-server.

--- Starts one.
---@param options? test.redis.options
---@return test.redis
function M.new(options)
  local self = setmetatable({ options = options or {}, output = os.tmpname() }, Redis)
  self.path = self.options.unix and self.output .. ".sock" or nil
  for _ = 1, TRIES do
    place(self)
    if start(self) then
      return self
    end
  end
  local output = output_of(self)
  self:close()
  error("test.redis: redis-server did not start:\n" .. output, 0)
end

--- A command by a client of the spec's own; raises what fails.
---@param ... string|number
---@return any
function Redis:command(...)
  local value, word, why = self.client:command(...)
  if word then
    error(("test.redis: %s: %s"):format((...), why or word), 2)
  end
  return value
end

--- SIGSTOP: connections are accepted and stay silent.
function Redis:pause()
  core.test_process_signal(self.pid, "STOP")
end

function Redis:resume()
  core.test_process_signal(self.pid, "CONT")
end

--- SIGKILL. All that it has kept is gone.
function Redis:kill()
  if self.pid then
    core.test_process_signal(self.pid, "KILL")
    core.test_process_ended(self.pid, true)
    self.pid = nil
  end
end

--- Kills it and starts another one at the same place, empty.
function Redis:restart()
  self:kill()
  if not start(self) then
    error("test.redis: redis-server did not start again:\n" .. output_of(self), 2)
  end
end

--- Ends it; the spec's end does so too.
function Redis:close()
  self:kill()
  os.remove(self.output)
  if self.path then
    os.remove(self.path)
  end
end

return M
