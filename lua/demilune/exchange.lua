-- SPDX-License-Identifier: Apache-2.0

-- What every hook receives: one request and its answer. The object is a number, the handle, and
-- nothing else: all that is asked of it is looked up in C. One that is kept beyond the exchange's
-- end says that it is gone.
--
-- To LuaJIT it is a pointer whose address is the handle, and which nobody follows: unlike a field of
-- a struct, it need not be read again after each call of C, so no object is made where a hook is
-- compiled.

local ffi = require "ffi"
local attempt = require "demilune.attempt"
local border = require "demilune.ffi"
local core = require "demilune.core"
local json = require "demilune.json"
local request = require "demilune.request"
local response = require "demilune.response"

local C, gateway, out = border.C, border.gateway, border.out
local ffi_cast, ffi_string = ffi.cast, ffi.string
local raise, text, number = border.raise, border.text, border.number
local as_text, err = border.as_text, border.err

ffi.cdef "struct dml_exchange;" -- never defined: there is nothing behind the address
local Exchange, Address = ffi.typeof "struct dml_exchange *", ffi.typeof "intptr_t"

local SLOTS = 2 ^ 20 -- a handle's lower part is the number of its slot

local M = {}

-- --- what Lua keeps for an exchange: cleared by C when it ends, by slot --------------------------

M.contexts = {} -- exchange.ctx
M.chunks = {}   -- what a body hook has returned, until it is sent

local contexts = M.contexts

local function context(self)
  local handle = self.h
  if C.dml_exchange_keep(gateway, handle) < 0 then
    raise "exchange is gone"
  end
  local slot = handle % SLOTS + 1
  local ctx = contexts[slot]
  if not ctx then
    ctx = {}
    contexts[slot] = ctx
  end
  return ctx
end

local explained = core.explains and require("demilune.explain").fields or function() end

-- --- routes and consumers: one table each per VM ------------------------------------------------

local routes, consumers = {}, {}

--- Another configuration has come into this VM.
---@private
function M.reset()
  routes, consumers = {}, {}
end

local function route(self)
  local name = text(self.h, C.DML_TEXT_ROUTE)
  if not name then
    return nil
  end
  local path = text(self.h, C.DML_TEXT_PATTERN) or ""
  local by_path = routes[name]
  if not by_path then
    by_path = {}
    routes[name] = by_path
  end
  local found = by_path[path]
  if not found then
    found = { name = name, path = path ~= "" and path or nil }
    explained("exchange.route", found, { name = true, path = true })
    by_path[path] = found
  end
  return found
end

local function groups(handle)
  local list = {}
  while C.dml_consumer_group(gateway, handle, #list, out) == 0 do
    list[#list + 1] = ffi_string(out.ptr, out.len)
  end
  return list
end

local function consumer(self)
  local name = text(self.h, C.DML_TEXT_CONSUMER)
  if not name then
    return nil
  end
  local found = consumers[name]
  if not found then
    found = { name = name, groups = groups(self.h) }
    explained("exchange.consumer", found, { name = true, groups = true })
    consumers[name] = found
  end
  return found
end

-- --- fields -------------------------------------------------------------------------------------

local timing = ffi.new "struct dml_timings"

local function known(seconds)
  return seconds >= 0 and seconds or nil
end

local function timings(self)
  if C.dml_exchange_timings(gateway, self.h, timing) < 0 then
    raise "exchange is gone"
  end
  return {
    start = timing.start,
    total = known(timing.total),
    before_upstream = known(timing.before),
    upstream = known(timing.upstream),
  }
end

local function attempts(self)
  local list = {}
  for i = 1, number(self.h, C.DML_NUMBER_ATTEMPTS) do
    list[i] = attempt.new(self.h, i)
  end
  return list
end

local function claims(self)
  local value = text(self.h, C.DML_TEXT_CLAIMS)
  return value and json.decode(value) or nil
end

---@class exchange  One request and its answer: what every hook gets but certificate, start and stop.
---@field request request
---@field response response
---@field ctx table  Of this exchange; all plugins share it.
---@field route { name: string, path: string? }?  nil before routing, and where none fits.
---@field consumer { name: string, groups: string[] }?  Who was recognised. Set it to a consumer or a name.
---@field upstream string?  The name of where it goes; may be set before it goes.
---@field attempts attempt[]  So far.
---@field client_ip string  The client's address; through trusted proxies, the one that they tell.
---@field client_is_trusted boolean  Is it in trusted_proxies?
---@field id string  The id of the request; may be set.
---@field claims table?  Verified claims about the client; may be set.
---@field error string?  Why the gateway could not answer, as a word.
---@field timings { start: number, total: number?, before_upstream: number?, upstream: number? }  Seconds.
---@field bytes_sent integer  Of the response's body.
---@field bytes_received integer  Of the request's body.

local getters = {
  h = function(self) return (tonumber(ffi_cast(Address, self))) end,
  request = function(self) return (request.new(self.h)) end,
  response = function(self) return (response.new(self.h)) end,
  ctx = context,
  route = route,
  consumer = consumer,
  upstream = function(self) return (text(self.h, C.DML_TEXT_UPSTREAM)) end,
  attempts = attempts,
  client_ip = function(self) return (text(self.h, C.DML_TEXT_CLIENT_IP)) end,
  client_is_trusted = function(self) return number(self.h, C.DML_NUMBER_TRUSTED) == 1 end,
  id = function(self) return (text(self.h, C.DML_TEXT_ID)) end,
  claims = claims,
  error = function(self) return (text(self.h, C.DML_TEXT_ERROR)) end,
  timings = timings,
  bytes_sent = function(self) return (number(self.h, C.DML_NUMBER_BYTES)) end,
  bytes_received = function(self) return (number(self.h, C.DML_NUMBER_BYTES_IN)) end,
  trace = function() return nil end,
}

-- --- changes ------------------------------------------------------------------------------------

local function set_text(self, which, value)
  return C.dml_exchange_set_text(gateway, self.h, which, value, value and #value or 0)
end

local setters = {}

function setters.id(self, id)
  id = as_text(id, "exchange.id")
  local rc = set_text(self, C.DML_TEXT_ID, id)
  if rc < 0 then
    border.misuse(rc, ("exchange.id: %q is not a text of 1 to 256 visible ASCII characters"):format(id))
  end
end

-- A name, or a consumer as context.consumers or exchange.consumer has given it; nil for nobody.
function setters.consumer(self, who)
  local name = type(who) == "table" and who.name or who
  if name ~= nil then
    name = as_text(name, "exchange.consumer")
  end
  local rc = set_text(self, C.DML_TEXT_CONSUMER, name)
  if rc < 0 then
    border.misuse(rc, ('the configuration has no consumer "%s"'):format(tostring(name)))
  end
end

function setters.upstream(self, name)
  name = as_text(name, "exchange.upstream")
  local rc = set_text(self, C.DML_TEXT_UPSTREAM, name)
  if rc == err.LIMIT then
    raise "too late to choose the upstream: the request is on its way"
  elseif rc < 0 then
    border.misuse(rc, ('the configuration has no upstream "%s"'):format(name))
  end
end

-- A table, or nil.
function setters.claims(self, value)
  if value ~= nil and type(value) ~= "table" then
    raise "exchange.claims is a table"
  end
  local rc = set_text(self, C.DML_TEXT_CLAIMS, value and json.encode(value))
  if rc < 0 then
    border.misuse(rc, "exchange.claims")
  end
end

-- --- replies ------------------------------------------------------------------------------------

local function reply_header(handle, name, value)
  if type(name) ~= "string" then
    raise "reply: headers is a table of names and values"
  end
  value = as_text(value, "the value of a header")
  local rc = C.dml_reply_header(gateway, handle, name, #name, value, #value)
  if rc < 0 then
    border.misuse(rc, ("reply: the header %q may not be set to this value (%s)"):format(name, border.flaw(value)))
  end
end

local function reply_headers(handle, headers)
  local has_type = false
  if headers ~= nil and type(headers) ~= "table" then
    raise("reply: headers is a table, not a " .. type(headers))
  end
  for name, value in pairs(headers or {}) do
    if type(value) == "table" then
      for i = 1, #value do
        reply_header(handle, name, value[i])
      end
    else
      reply_header(handle, name, value)
    end
    has_type = has_type or name:lower() == "content-type"
  end
  return has_type
end

local function begin_reply(handle, status)
  if type(status) ~= "number" or status ~= math.floor(status) or status < 200 or status > 599 then
    raise("reply: a status is a number from 200 to 599, not " .. tostring(status))
  end
  local rc = C.dml_reply_begin(gateway, handle)
  if rc < 0 then
    border.misuse(rc, "reply")
  end
end

local function sent(rc)
  if rc < 0 then
    border.misuse(rc, "too late to reply: the answer is on its way")
  end
end

---@class exchange
local methods = {}

--- Ends the exchange with this answer; the later hooks of the phase don't run. A table as body
--- becomes JSON. A header with several values is given as a list.
---@param status integer 200 to 599
---@param headers? table<string, string|string[]>
---@param body? string|number|table
function methods.reply(self, status, headers, body)
  local handle = self.h
  begin_reply(handle, status)
  local has_type = reply_headers(handle, headers)
  if type(body) == "table" then
    body = json.encode(body)
    if not has_type then
      reply_header(handle, "content-type", "application/json")
    end
  elseif body ~= nil then
    body = as_text(body, "reply: the body")
  end
  sent(C.dml_reply_send(gateway, handle, status, body, body and #body or 0))
end

--- The same for a refusal: an answer as the gateway's own errors are (application/problem+json, RFC
--- 9457). detail: a sentence for the client.
---@param status integer 200 to 599
---@param detail? string
---@param headers? table<string, string|string[]>
function methods.problem(self, status, detail, headers)
  begin_reply(self.h, status)
  reply_headers(self.h, headers)
  detail = detail and as_text(detail, "problem: the detail")
  sent(C.dml_reply_problem(gateway, self.h, status, detail, detail and #detail or 0))
end

ffi.metatype("struct dml_exchange", {
  __index = function(self, name)
    local getter = getters[name]
    if getter then
      return (getter(self))
    end
    return methods[name] or border.no_field("exchange", name, getters, methods)
  end,
  __newindex = function(self, name, value)
    local setter = setters[name]
    if not setter then
      border.not_settable("exchange", name, getters, setters)
    end
    setter(self, value)
  end,
  __tostring = function(self)
    return C.dml_exchange_lives(gateway, self.h) == 1 and "exchange " .. self.id or "exchange (gone)"
  end,
})

--- From the core.
---@private
function M.new(handle)
  return (ffi_cast(Exchange, handle))
end

return M
