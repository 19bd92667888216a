-- SPDX-License-Identifier: Apache-2.0

-- Redis servers. A worker's hooks share its connections: commands of several hooks travel together, and each waits for
-- its own reply only. Errors are values:
--
--   local db = redis.use "main"                            -- in `new`, or later; `redis` in the configuration
--   local value, err, why = db:command("GET", "k")         -- nil and no err: there is none
--   db:command("SET", "k", 1, "EX", 60)                    -- words are texts and numbers
--   local values = db:pipeline { { "GET", "a" }, { "INCR", "b" } }
--   local values = db:transaction(function(t) t:command("INCR", "a") t:command("EXPIRE", "a", 60) end)
--   local n = db:eval(script, { "key" }, { 1, 2 })         -- EVALSHA; script: a text, or redis.script(text)
--   db:subscribe({ "news" }, function(text, channel) ... end)
--
-- err is a word. In capitals it is the server's ("WRONGTYPE", "NOSCRIPT", "ERR") and why is all that it said. In
-- small letters it is ours: "timeout", "cancelled" and "reset" (the command may be carried out all the same);
-- "refused", "dns", "tls", "unreachable", "denied" (the server can't be reached, or does not let us in: why says more;
-- it is tried again in the background while commands fail at once); "full" (too many are pending), "limit" (too long).

local core = require "demilune.core"
local crypto = require "demilune.crypto"
local json = require "demilune.json"
local log = require "demilune.log"
local task = require "demilune.task"

local FIRST_DELAY, LONGEST_DELAY = 0.1, 2 -- before a lost subscription is opened again
local SCRIPTS_MAX = 1000
local NONE = {}

---@class demilune.redis
---@field null lightuserdata  What stands for nil inside of lists: of MGET, of a pipeline. The same as json.null.
local M = { null = json.null }

local client_metatable, failure_metatable = core.redis_start()

---@class redis.client  Of one server: what redis.use and redis.open give.
---@field command fun(self: redis.client, name: string, ...): any, string?, string?  Sends it and gives its reply.
local Client = client_metatable
Client.__index = Client
Client.__name = "redis client"

-- Commands that block the connection or change it (BLPOP, SELECT, WATCH...) raise, since others share it.
Client.command = core.redis_command

---@class redis.failure  An error that stands among values, in the list of a pipeline or transaction.
---@field error string  Its word: "WRONGTYPE".
---@field message string  All that the server said.
local Failure = failure_metatable
Failure.__index = Failure
Failure.__name = "redis failure"
Failure.__tostring = function(failure)
  return failure.message
end

core.redis_sub_start()

--- A client of a server of the configuration. Raises when there is none of that name: call it in `new`, so that
--- `demilune check` finds it.
---@param name string
---@param options? { timeout?: number }  Seconds for a command; absent: the server's `timeout`.
---@return redis.client
function M.use(name, options)
  return core.redis_use(name, options and options.timeout)
end

---@class redis.options  As in the configuration; times are in seconds, sizes in bytes.
---@field url string
---@field name? string  In metrics and logs; absent: the host.
---@field timeout? number
---@field connect_timeout? number
---@field pool_size? integer
---@field max_pending? integer
---@field max_reply? integer
---@field tls? table|true  As for demilune.socket.

--- A client of a server that the configuration does not have. Clients of equal options share their connections.
--- Where `outbound.deny` forbids it nobody goes.
---@param options redis.options
---@return redis.client
function M.open(options)
  return core.redis_open(options)
end

--- Is a value of a pipeline or transaction an error?
---@param value any
---@return boolean
function M.is_failure(value)
  return getmetatable(value) == Failure
end

---@class redis.script
---@field text string
---@field sha string
local scripts, nscripts = {}, 0

--- A script and its hash, for `eval`. Make it once, outside of hooks.
---@param text string
---@return redis.script
function M.script(text)
  local script = scripts[text]
  if not script then
    if nscripts >= SCRIPTS_MAX then
      scripts, nscripts = {}, 0
    end
    script = { text = text, sha = crypto.hex(crypto.digest("sha1", text)) }
    scripts[text], nscripts = script, nscripts + 1
  end
  return script
end

---@class redis.commands  Commands that are gathered for a pipeline or transaction.
local Commands = { __name = "redis commands" }
Commands.__index = Commands

--- Adds one.
---@param ... string|number  Its words.
function Commands:command(...)
  self[#self + 1] = { ... }
end

local function commands_of(work)
  if type(work) == "function" then
    local commands = setmetatable({}, Commands)
    work(commands)
    return commands
  end
  return work
end

--- Sends several commands at once and waits for all replies. Between them others' may be carried out.
---@param work any[][]|fun(p: redis.commands)  A list, or what calls p:command(name, ...).
---@return any[]? values  One for each; redis.null for nil, failures as redis.is_failure tells them.
---@return string? err  No reply is known.
---@return string? why
function Client:pipeline(work)
  return core.redis_pipeline(self, commands_of(work), false)
end

--- The same in MULTI and EXEC: nobody else's commands are carried out between them, and none at all when one can't be.
---@param work any[][]|fun(p: redis.commands)
---@return any[]? values  As of a pipeline.
---@return string? err
---@return string? why
function Client:transaction(work)
  return core.redis_pipeline(self, commands_of(work), true)
end

--- Runs a script by its hash; where the server does not know it, by its text, once.
---@param script string|redis.script
---@param keys? (string|number)[]
---@param args? (string|number)[]
---@return any value
---@return string? err
---@return string? why
function Client:eval(script, keys, args)
  if type(script) ~= "table" then
    script = M.script(script)
  end
  local value, err, why = core.redis_eval(self, "EVALSHA", script.sha, keys or NONE, args or NONE)
  if err == "NOSCRIPT" then
    value, err, why = core.redis_eval(self, "EVAL", script.text, keys or NONE, args or NONE)
  end
  return value, err, why
end

--- Sends a message to whoever listens to the channel.
---@param channel string
---@param text string|number
---@return integer? receivers
---@return string? err
---@return string? why
function Client:publish(channel, text)
  return core.redis_command(self, "PUBLISH", channel, text)
end

local function trace(message)
  return type(message) == "string" and debug.traceback(message, 2) or message
end

local function call(f, ...)
  local ok, message = xpcall(f, trace, ...)
  if not ok then
    core.task_failed(tostring(message))
  end
end

-- Calls for whatever comes until the connection breaks. The word and text why it did; true when it had been ready.
local function receive_all(subscription, f, on_ready)
  local was_ready = false
  while true do
    local kind, text, channel, pattern = core.redis_receive(subscription)
    if kind == "message" then
      call(f, text, channel, pattern)
    elseif kind == "ready" then
      was_ready = true
      if on_ready then
        call(on_ready)
      end
    else
      core.redis_unsubscribe(subscription)
      return text, channel, was_ready
    end
  end
end

local function listen(client, channels, is_pattern, f, on_ready)
  local delay = FIRST_DELAY
  while true do
    local subscription, word, why = core.redis_subscribe(client, channels, is_pattern)
    local was_ready
    if subscription then
      word, why, was_ready = receive_all(subscription, f, on_ready)
    end
    if word == "cancelled" then
      return nil, word
    elseif was_ready or delay == FIRST_DELAY then
      delay = FIRST_DELAY
      log.warn("a subscription to Redis was lost", { channel = channels[1], error = word, why = why })
    end
    if not task.sleep(delay * (0.75 + math.random() / 2)) then
      return nil, "cancelled"
    end
    delay = math.min(delay * 2, LONGEST_DELAY)
  end
end

--- Calls f for each message, one after another, in a task of its own on a connection of its own, until the task is
--- cancelled or who has made it ends. A lost connection is opened again, at growing distances; messages in between
--- are lost, as Redis keeps none: on_ready is called whenever the channels are listened to (again). What f raises is
--- logged.
---@param channels string[]
---@param f fun(text: string, channel: string)
---@param on_ready? fun()
---@return task
function Client:subscribe(channels, f, on_ready)
  return task.spawn(listen, self, channels, false, f, on_ready)
end

--- The same for patterns such as "news.*".
---@param patterns string[]
---@param f fun(text: string, channel: string, pattern: string)
---@param on_ready? fun()
---@return task
function Client:psubscribe(patterns, f, on_ready)
  return task.spawn(listen, self, patterns, true, f, on_ready)
end

return M
