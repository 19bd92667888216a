-- SPDX-License-Identifier: Apache-2.0

-- The HTTP client of plugins, on the worker's own connections.
--
--   local response, err = http.get("http://127.0.0.1:9001/x", { timeout = 2 })
--   local response, err = http.request{ method = "POST", upstream = "orders", path = "/x", body = { a = 1 } }
--   if response then response.status, response.headers["content-type"], response.body end
--
-- options (any other raises): headers (a map; a value may be a list), query (a table), body (a table becomes
-- JSON), timeout (of the whole call, 10 seconds), connect_timeout (1), max_body (limits.buffered_body; more is
-- nil, "body_too_large"), redirects (how many are followed; 0). With `upstream` the call goes to an endpoint of
-- that upstream of the configuration, by its balancing, limits and health. A URL's host is resolved first and
-- never gone to where outbound.deny forbids it: nil, "denied".
--
-- The certificate of an https URL is verified with the system's authorities, and its name: nil, "tls". options.tls
-- changes that: { verify = false, ca = PEM, server_name = "x", cert = PEM, key = PEM }, the last two for a client
-- certificate.
--
-- body may be a function too, which gives its next piece or nil at the end (nil and a word: the call
-- is given up), or what has pieces: exchange.request.body, a streamed response. It goes out as it
-- comes, by chunks, or as `length` bytes where that is told, on a connection of its own.
--
-- With stream = true the response comes with its head, and its body piece by piece:
--
--   local response, err = http.get(url, { stream = true })
--   for chunk in response:chunks() do ... end      raises when it breaks off
--   response:chunk()       one piece; nil at the end; nil and a word
--   response:read(most)    the rest, up to so many bytes (limits.buffered_body)
--   response:close()       enough of it
--
-- What is not asked for is not read: the upstream waits. timeout is then the time to the response's
-- head; between two pieces no more than idle_timeout (60 seconds) passes, and the whole has no cap but
-- max_body, where it is given. A stream is closed at the latest when the exchange ends whose hook has
-- opened it; that of a detached task lives on. For both ways at once there is http.open.
--
-- Several calls side by side: task.all { function() return http.get(a) end, function() return http.get(b) end }

local border = require "demilune.ffi"
local core = require "demilune.core"
local json = require "demilune.json"
local stream = require "demilune.http.stream"
local time = require "demilune.time"
local url = require "demilune.url"

---@class demilune.http
---@field get fun(url: string, options?: http.options): http.response?, string?  A GET; nil and a word when it fails.
---@field head fun(url: string, options?: http.options): http.response?, string?  A HEAD.
---@field post fun(url: string, options?: http.options): http.response?, string?  A POST.
---@field put fun(url: string, options?: http.options): http.response?, string?  A PUT.
---@field patch fun(url: string, options?: http.options): http.response?, string?  A PATCH.
---@field delete fun(url: string, options?: http.options): http.response?, string?  A DELETE.
---@field options fun(url: string, options?: http.options): http.response?, string?  An OPTIONS.
local M = {}

local TIMEOUT = 10
local LONGEST = 86400
local REDIRECTS_MAX = 50

local OPEN_OPTIONS = [[
  method url upstream path query headers timeout connect_timeout idle_timeout max_body length tls]]
local OPTIONS = border.option_names(OPEN_OPTIONS .. " body redirects stream")
OPEN_OPTIONS = border.option_names(OPEN_OPTIONS)

local function is_whole(value, most)
  return type(value) == "number" and value >= 0 and value <= most and value % 1 == 0
end

local function is_text(value)
  return type(value) == "string"
end

local function is_table(value)
  return type(value) == "table"
end

local function is_wait(value)
  return type(value) == "number" and value > 0 and value <= LONGEST
end

local WAIT = { is_wait, "seconds, more than 0 and at most a day" }
local SIZE = { function(value) return is_whole(value, 2 ^ 53) end, "a whole number of bytes" }

-- What the options may be, and what that is called.
local KINDS = {
  timeout = WAIT, idle_timeout = WAIT, max_body = SIZE, length = SIZE,
  connect_timeout = { function(value) return value == 0 or is_wait(value) end, WAIT[2] }, -- 0: the default
  redirects = { function(value) return is_whole(value, REDIRECTS_MAX) end, "a whole number from 0 to 50" },
  headers = { is_table, "a table" },
  query = { function(value) return is_text(value) or is_table(value) end, "a table or a text" },
  body = {
    function(value) return is_text(value) or is_table(value) or stream.is_source(value) end,
    "a text, a table or a function",
  },
  method = { is_text, "a text" },
  path = { is_text, "a text" },
}

local function check(what, options, known)
  if type(options) ~= "table" or (type(options.url) ~= "string") == (type(options.upstream) ~= "string") then
    border.raise(what .. " wants either url or upstream")
  end
  border.check_options(what, options, known)
  for name, value in pairs(options) do
    local kind = KINDS[name]
    if kind and not kind[1](value) then
      border.raise(("%s: %s is %s"):format(what, name, kind[2]))
    end
  end
  for name in pairs(options.headers or {}) do
    if type(name) ~= "string" then
      border.raise(what .. ": headers is a map, from names to values")
    end
  end
end

-- response.headers: by name in any case; several fields joined by ", ". :all(name) gives a list.
---@class http.options
---@field method? string  Of `http.request` and `http.open`; GET.
---@field url? string
---@field upstream? string  An upstream of the configuration, with `path`, in place of `url`.
---@field path? string
---@field query? table
---@field headers? table<string, string|string[]>
---@field body? string|table|function  A table becomes JSON; a function gives piece by piece.
---@field length? integer  Of a body that comes piece by piece.
---@field timeout? number  Seconds: of the whole call, or with `stream` to the head (10).
---@field connect_timeout? number  Seconds (1).
---@field idle_timeout? number  Seconds between two pieces of a stream (60).
---@field max_body? integer  Bytes (limits.buffered_body).
---@field redirects? integer  How many are followed (0).
---@field stream? boolean  The response comes with its head, its body piece by piece.
---@field tls? tls.options
---
---@class tls.options
---@field verify? boolean  true
---@field ca? string  PEM; else the system's authorities.
---@field server_name? string
---@field cert? string  PEM
---@field key? string  PEM
local Headers = {}

local headers_methods = {}

function headers_methods.all(self, name)
  local list, flat = {}, rawget(self, 1)
  name = name:lower()
  for i = 1, #flat, 2 do
    if flat[i]:lower() == name then
      list[#list + 1] = flat[i + 1]
    end
  end
  return list
end

function Headers.__index(self, name)
  if headers_methods[name] then
    return headers_methods[name]
  elseif type(name) ~= "string" then
    return nil
  end
  local list = headers_methods.all(self, name)
  if #list == 0 then
    return nil
  end
  return name:lower() == "set-cookie" and list[1] or table.concat(list, ", ")
end

function Headers.__pairs(self)
  local flat, i = rawget(self, 1), -1
  return function()
    i = i + 2
    if flat[i] then
      return flat[i]:lower(), flat[i + 1]
    end
  end
end

local function new_headers(flat)
  return setmetatable({ flat }, Headers)
end

---@class http.response
---@field status integer
---@field headers table  By any case of the name; `:all(name)`, `pairs`.
---@field body string
local Response = { __name = "http response" }
Response.__index = Response

--- The body as a value of JSON; nil and a word when it is none.
---@return any value
---@return string? word
function Response:json()
  return json.decode(self.body)
end

local function flat_headers(headers)
  local flat, has = {}, {}
  for name, value in pairs(headers or {}) do
    has[name:lower()] = true
    for _, one in ipairs(type(value) == "table" and value or { value }) do
      flat[#flat + 1] = name
      flat[#flat + 1] = type(one) == "boolean" and tostring(one) or border.as_text(one, "a header's value")
    end
  end
  return flat, has
end

local function take_host(flat)
  for i = 1, #flat, 2 do
    if flat[i]:lower() == "host" then
      table.remove(flat, i)
      return table.remove(flat, i)
    end
  end
end

local function with_query(query, more)
  if not more then
    return query
  end
  local text = type(more) == "table" and url.query(more) or more
  return query and query ~= "" and query .. "&" .. text or text
end

-- Where to, for core.http_request: nil and a word for what is no URL that can be gone to.
local function place_of(options, call)
  if options.upstream then
    call.upstream = options.upstream
    call.path, call.query = (options.path or "/"):match "^([^?]*)%??(.*)$"
    call.query = call.query ~= "" and call.query or nil
  else
    local parts, err = url.parse(options.url)
    if not parts then
      return nil, err
    end
    local is_tls = parts.scheme == "https"
    call.tls = is_tls and (options.tls or true)
    call.host, call.port, call.path, call.query = parts.host, parts.port, parts.path, parts.query
    local host = parts.host:find(":", 1, true) and "[" .. parts.host .. "]" or parts.host
    call.authority = parts.port ~= (is_tls and 443 or 80) and host .. ":" .. parts.port or host
  end
  call.query = with_query(call.query, options.query)
  return true
end

-- The call for the core, without a body; nil and a word. The second result: which headers it has.
local function call_of(options)
  local call = {
    method = options.method or "GET", timeout = options.timeout or TIMEOUT,
    connect_timeout = options.connect_timeout, max_body = options.max_body,
  }
  local ok, err = place_of(options, call)
  if not ok then
    return nil, err
  end
  local has
  call.headers, has = flat_headers(options.headers)
  call.authority = take_host(call.headers) or call.authority
  return call, has
end

-- A text from a text or table; nil when there is no body, or it is none of both.
local function text_of(body, call, has)
  if type(body) ~= "table" or stream.is_source(body) then
    return not stream.is_source(body) and body or nil
  elseif not has["content-type"] then
    table.insert(call.headers, "content-type")
    table.insert(call.headers, "application/json")
  end
  return json.encode(body)
end

local function gathered(call, text)
  call.body = text
  local status, flat, body = core.http_request(call)
  if not status then
    return nil, flat
  end
  return setmetatable({ status = status, headers = new_headers(flat), body = body }, Response)
end

local function once(options)
  local call, has = call_of(options)
  if not call then
    return nil, has
  end
  local is_source = stream.is_source(options.body)
  local text, err = text_of(options.body, call, has)
  if err then
    return nil, err
  elseif not is_source and not options.stream then
    return gathered(call, text)
  end
  local response
  response, err = stream.request(call, is_source and options.body or text, options, new_headers)
  if response and not options.stream then
    local body
    body, err = response:read(options.max_body)
    return body and setmetatable({ status = response.status, headers = response.headers, body = body }, Response), err
  end
  return response, err
end

local REDIRECTS = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }

-- RFC 9110, 15.4: after 303 (and 301, 302 to a POST) the next request is a GET. Credentials stay with their host.
local function redirected(options, response)
  local location = response.headers["location"]
  local is_get_now = response.status == 303 or (response.status < 303 and options.method == "POST")
  if not REDIRECTS[response.status] or not location or not options.url
    or not is_get_now and stream.is_source(options.body) then -- what was sent can't be sent once more
    return nil
  end
  local next_options = {}
  for key, value in pairs(options) do
    next_options[key] = value
  end
  next_options.url, next_options.query = url.resolve(options.url, location), nil
  if is_get_now then
    next_options.method, next_options.body = "GET", nil
  end
  local before, after = url.parse(options.url), url.parse(next_options.url)
  if after and (before.host ~= after.host or before.port ~= after.port) then
    next_options.headers = {}
    for name, value in pairs(options.headers or {}) do
      local lower = name:lower()
      if lower ~= "authorization" and lower ~= "cookie" and lower ~= "host" then
        next_options.headers[name] = value
      end
    end
  end
  return next_options
end

--- A call. nil and a word when it fails: "timeout", "refused", "dns", "denied", "body_too_large", "tls",
--- "cancelled" ...
---@param options http.options  with `url`, or `upstream` and `path`
---@return http.response? response
---@return string? word
function M.request(options)
  check("http.request", options, OPTIONS)
  local left = options.redirects or 0
  local ends = left > 0 and time.monotonic() + (options.timeout or TIMEOUT)
  while true do
    local response, err = once(options)
    if not response or left == 0 then
      return response, err
    end
    local following = redirected(options, response)
    if not following then
      return response
    end
    if options.stream then
      response:close()
    end
    options, left = following, left - 1
    options.timeout = ends - time.monotonic()
    if options.timeout <= 0 then
      return nil, "timeout"
    end
  end
end

--- A call whose request is sent piece by piece while its response may be coming already. `options.length`:
--- of the body, when it is known; a body among the options is refused.
---@param options http.options
---@return http.call? call
---@return string? word
function M.open(options)
  check("http.open", options, OPEN_OPTIONS)
  local call, err = call_of(options)
  if not call then
    return nil, err
  end
  return stream.open(call, options, new_headers)
end

local function of_method(method)
  return function(address, options)
    local request = { method = method, url = address }
    if options ~= nil and type(options) ~= "table" then
      border.raise(("http.%s: the options are a table, not a %s"):format(method:lower(), type(options)))
    end
    for key, value in pairs(options or {}) do
      request[key] = value
    end
    return M.request(request)
  end
end

M.get, M.head, M.delete = of_method "GET", of_method "HEAD", of_method "DELETE"
M.post, M.put, M.patch = of_method "POST", of_method "PUT", of_method "PATCH"

return M
