-- SPDX-License-Identifier: Apache-2.0

-- Does a gateway do the work it is to be timed for? Whoever answers wrongly answers fast.

local gateways = require "gateway"
local process = require "process"

local M = {}

local WORK = os.getenv("BENCH_WORK")

-- Asks once: { status, head, body }; status 0 when there was no answer.
local function get(port, path, key)
  local file = WORK .. "/answer"
  local status = process.output(("curl -s --max-time 60 -D %s.head -o %s.body -w '%%{http_code}' %s %s"):format(
    file, file, key and "-H " .. process.quote("X-Api-Key: " .. key) or "",
    process.quote(("http://127.0.0.1:%d%s"):format(port, path))))
  return {
    status = tonumber(status) or 0,
    head = (process.read(file .. ".head") or ""):lower(),
    body = process.read(file .. ".body") or "",
  }
end

-- Connections accepted and requests answered by the origin so far.
function M.origin_counts()
  local accepted, answered = get(gateways.ORIGIN_PORT, "/stats").body:match("(%d+) (%d+)")
  return tonumber(accepted), tonumber(answered)
end

function M.wait_until_up(gateway, seconds)
  for _ = 1, seconds * 20 do
    if get(gateway.port, "/small").status > 0 then
      return true
    end
    if not process.alive(gateway.pid) then
      return nil, "it ended at once"
    end
    process.sleep(0.05)
  end
  return nil, "no answer after " .. seconds .. " s"
end

local function has_header(text, name, value)
  return ("\n" .. text:lower()):find("\n" .. name .. ": " .. value, 1, true) ~= nil
end

local function check_policy(gateway, echo_path)
  local key = gateways.KEY:format(7)
  if get(gateway.port, echo_path).status ~= 401 then
    return nil, "no key is not refused with 401"
  elseif get(gateway.port, echo_path, key .. "x").status ~= 401 then
    return nil, "a wrong key is not refused with 401"
  end
  local answer = get(gateway.port, echo_path, key)
  if not has_header(answer.body, "x-bench-request", "1") then
    return nil, "the request lacks the header that was to be set"
  elseif not has_header(answer.head, "x-bench-response", "1") then
    return nil, "the response lacks the header that was to be set"
  elseif answer.body:find(key, 1, true) then
    return nil, "the key goes upstream"
  end
  return true
end

-- Returns true, or nil and what is wrong.
function M.check(gateway)
  local row, features = gateway.row, gateway.peer.features
  local wants = row.gateway or {}
  local key = wants.keys and gateways.KEY:format(7)
  local path = row.path:gsub("%%d", tostring(row.spread or 1))
  local answer = get(gateway.port, path, key)
  local right = get(gateways.ORIGIN_PORT, path)

  if answer.status ~= 200 then
    return nil, ("%s answers %d, not 200"):format(path, answer.status)
  elseif answer.body ~= right.body then
    return nil, ("%s: the body is not the origin's"):format(path)
  elseif features.floor then
    return true
  end
  if wants.routes and get(gateway.port, "/nowhere").status ~= 404 then
    return nil, "a path with no route is not 404"
  end
  local echo_path = path:gsub("[^/]+$", "echo")
  if features.forwards then
    local head = get(gateway.port, echo_path, key).body
    if not has_header(head, "x-forwarded-for", "127.0.0.1") then
      return nil, "the request lacks X-Forwarded-For"
    end
  end
  if wants.keys then
    return check_policy(gateway, echo_path)
  end
  return true
end

return M
