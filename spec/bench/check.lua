-- SPDX-License-Identifier: Apache-2.0

-- Does a gateway do the work it is to be timed for? Whoever answers wrongly answers fast.

local gateways = require "gateway"
local process = require "process"

local M = {}

local WORK = os.getenv("BENCH_WORK")
local ORIGIN = { port = gateways.ORIGIN_PORT, scheme = "http" }
local FAILURES = 30 -- that open a circuit
local CHANGES = 5 -- headers that `hooks = "five"` sets on the request

local function url_of(gateway, path)
  return process.quote(("%s://127.0.0.1:%d%s"):format(gateway.scheme, gateway.port, path))
end

-- Asks once: { status, head, body }; status 0 when there was no answer. TLS is 1.3 or nothing. header: a line more.
local function get(gateway, path, header)
  local file = WORK .. "/answer"
  local status = process.output(("curl -s -k --tlsv1.3 --max-time 60 -D %s.head -o %s.body -w '%%{http_code}' %s %s")
    :format(file, file, header and "-H " .. process.quote(header) or "", url_of(gateway, path)))
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

-- Nothing but the right credential passes; gives what it got.
local function check_credential(gateway, echo_path)
  local line = gateways.credential_line(gateway.row, 7)
  if get(gateway, echo_path).status ~= 401 then
    return nil, "a request without a credential is not refused with 401"
  elseif get(gateway, echo_path, line .. "x").status ~= 401 then
    return nil, "a wrong credential is not refused with 401"
  end
  return get(gateway, echo_path, line)
end

local function check_policy(gateway, echo_path)
  local answer, why = check_credential(gateway, echo_path)
  if not answer then
    return nil, why
  end
  if not has_header(answer.body, "x-bench-request", "1") then
    return nil, "the request lacks the header that was to be set"
  elseif not has_header(answer.head, "x-bench-response", "1") then
    return nil, "the response lacks the header that was to be set"
  elseif answer.body:find(gateways.KEY:format(7), 1, true) then
    return nil, "the key goes upstream"
  end
  return true
end

local function check_token(gateway, echo_path)
  local answer, why = check_credential(gateway, echo_path)
  if not answer then
    return nil, why
  elseif not has_header(answer.body, "x-user", "248289761001") then
    return nil, "the request lacks the header with the token's subject"
  end
  return true
end

-- What retry and breaker do is seen at paths of the origin that fail. The breaker's are in a circuit of their own.
local SIGNS = {
  limit = function(gateway, path)
    return get(gateway, path).head:find("\nratelimit: ", 1, true), "no RateLimit field"
  end,
  retry = function(gateway)
    return get(gateway, "/flaky").status == 200 and get(gateway, "/flaky").status == 200,
      "what fails is not tried again"
  end,
  breaker = function(gateway)
    local last
    for _ = 1, FAILURES do
      last = get(gateway, "/fails")
    end
    return last.head:find("\nretry-after: ", 1, true), "the circuit does not open"
  end,
}

-- The row's path is kept by now: the origin is not asked for it any more.
local function check_cache(gateway, path)
  local _, before = M.origin_counts()
  local answer = get(gateway, path)
  local _, after = M.origin_counts()
  if answer.status ~= 200 or after ~= before then
    return nil, ("%s is asked for each time"):format(path)
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
  local credential = gateways.credential_line(row, 7)
  local path = M.path_of(row)
  local answer = get(gateway, path, credential)
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
    local head = get(gateway, echo_path, credential).body
    if not has_header(head, "x-forwarded-for", "127.0.0.1") then
      return nil, "the request lacks X-Forwarded-For"
    end
  end
  if wants.keys then
    return check_policy(gateway, echo_path)
  elseif wants.token or wants.first_token then
    return check_token(gateway, echo_path)
  elseif wants.kept == "hit" then
    return check_cache(gateway, path)
  elseif wants.traffic or wants.hooks == "five" then
    local fine, why = (SIGNS[wants.traffic] or check_five)(gateway, echo_path)
    if not fine then
      return nil, why
    end
  end
  return check_inside(gateway)
end

return M
