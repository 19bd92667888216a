-- SPDX-License-Identifier: Apache-2.0

-- Does a gateway do the work it is to be timed for? Whoever answers wrongly answers fast.

local gateways = require "gateway"
local process = require "process"

local M = {}

local WORK = os.getenv("BENCH_WORK")
local ORIGIN = { port = gateways.ORIGIN_PORT, scheme = "http" }
local CHANGES = 5 -- headers that `hooks = "five"` sets on the request

local function url_of(gateway, path)
  return process.quote(("%s://127.0.0.1:%d%s"):format(gateway.scheme, gateway.port, path))
end

-- Asks once: { status, head, body }; status 0 when there was no answer. TLS is 1.3 or nothing.
local function get(gateway, path, key)
  local file = WORK .. "/answer"
  local status = process.output(("curl -s -k --tlsv1.3 --max-time 60 -D %s.head -o %s.body -w '%%{http_code}' %s %s")
    :format(file, file, key and "-H " .. process.quote("X-Api-Key: " .. key) or "", url_of(gateway, path)))
  return {
    status = tonumber(status) or 0,
    head = (process.read(file .. ".head") or ""):lower(),
    body = process.read(file .. ".body") or "",
  }
end
M.get = get

-- The path that the row asks for, with its last number.
function M.path_of(row)
  return (row.path:gsub("%%d", tostring(row.spread or 1)))
end

-- Connections accepted and requests answered by the origin so far.
function M.origin_counts()
  local accepted, answered = get(ORIGIN, "/stats").body:match("(%d+) (%d+)")
  return tonumber(accepted), tonumber(answered)
end

function M.wait_until_up(gateway, seconds)
  for _ = 1, seconds * 20 do
    if get(gateway, "/small").status > 0 then
      return true
    end
    if not process.alive(gateway.pid) then
      return nil, "it ended at once"
    end
    process.sleep(0.05)
  end
  return nil, "no answer after " .. seconds .. " s"
end

function M.wait_for_origin(pid, seconds)
  return M.wait_until_up({ port = ORIGIN.port, scheme = ORIGIN.scheme, pid = pid }, seconds)
end

local function has_header(text, name, value)
  return ("\n" .. text:lower()):find("\n" .. name .. ": " .. value, 1, true) ~= nil
end

local function check_policy(gateway, echo_path)
  local key = gateways.KEY:format(7)
  if get(gateway, echo_path).status ~= 401 then
    return nil, "no key is not refused with 401"
  elseif get(gateway, echo_path, key .. "x").status ~= 401 then
    return nil, "a wrong key is not refused with 401"
  end
  local answer = get(gateway, echo_path, key)
  if not has_header(answer.body, "x-bench-request", "1") then
    return nil, "the request lacks the header that was to be set"
  elseif not has_header(answer.head, "x-bench-response", "1") then
    return nil, "the response lacks the header that was to be set"
  elseif answer.body:find(key, 1, true) then
    return nil, "the key goes upstream"
  end
  return true
end

-- The headers that five plugins set: all a copy of Accept.
local function check_five(gateway, echo_path)
  local head = get(gateway, echo_path).body
  for i = 1, CHANGES do
    if not has_header(head, "x-bench-" .. i, "*/*") then
      return nil, ("the request lacks X-Bench-%d, which a plugin was to set"):format(i)
    end
  end
  return true
end

local function check_inside(gateway)
  if gateway.row.inside and not tonumber(get(gateway, gateway.row.inside).body) then
    return nil, "no figure at " .. gateway.row.inside
  end
  return true
end

-- Returns true, or nil and what is wrong.
function M.check(gateway)
  local row, features = gateway.row, gateway.peer.features
  local wants = row.gateway or {}
  local key = wants.keys and gateways.KEY:format(7)
  local path = M.path_of(row)
  local answer = get(gateway, path, key)
  local right = get(ORIGIN, path)

  if answer.status ~= 200 then
    return nil, ("%s answers %d, not 200"):format(path, answer.status)
  elseif answer.body ~= right.body then
    return nil, ("%s: the body is not the origin's"):format(path)
  elseif features.floor then
    return true
  end
  if wants.routes and get(gateway, "/nowhere").status ~= 404 then
    return nil, "a path with no route is not 404"
  end
  local echo_path = path:gsub("[^/]+$", "echo")
  if features.forwards then
    local head = get(gateway, echo_path, key).body
    if not has_header(head, "x-forwarded-for", "127.0.0.1") then
      return nil, "the request lacks X-Forwarded-For"
    end
  end
  if wants.keys then
    return check_policy(gateway, echo_path)
  elseif wants.hooks == "five" then
    local fine, why = check_five(gateway, echo_path)
    if not fine then
      return nil, why
    end
  end
  return check_inside(gateway)
end

return M
