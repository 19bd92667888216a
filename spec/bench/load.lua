-- SPDX-License-Identifier: Apache-2.0
-- luacheck: globals wrk init request done

-- Runs inside wrk. Makes up to 1,000 requests before the load starts and sends them in turn,
-- in every row alike, so that what wrk does is the same; writes its figures to BENCH_RESULT. With BENCH_TOKENS there is
-- one request for each line of that file instead, and BENCH_SENT were sent in the loads before.

local MOST = 1000

local requests, at = {}, 0

local function credentials(count)
  local list, path = {}, os.getenv("BENCH_TOKENS")
  if not path then
    local format = os.getenv("BENCH_CREDENTIAL")
    return format ~= "" and function(n) return format:format(n) end or function() end, count
  end
  for line in io.lines(path) do
    list[#list + 1] = line
  end
  at = tonumber(os.getenv("BENCH_SENT")) % #list
  return function(_, i) return os.getenv("BENCH_CREDENTIAL"):format(list[i]) end, #list
end

function init()
  local path = os.getenv("BENCH_PATH")
  local spread = tonumber(os.getenv("BENCH_SPREAD"))
  local name = os.getenv("BENCH_CREDENTIAL_NAME")
  local credential, count = credentials(math.min(spread, MOST))
  wrk.headers["User-Agent"] = "wrk"
  wrk.headers["Accept"] = "*/*"
  for i = 1, count do
    local n = math.floor((i * 617 % count) * spread / count) + 1 -- 617: not in order
    wrk.headers[name] = credential(n, i)
    requests[i] = wrk.format("GET", path:format(n))
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  local file = assert(io.open(os.getenv("BENCH_RESULT"), "w"))
  file:write(("return { requests = %d, seconds = %f, p50 = %f, p99 = %f, max = %f, errors = %d, cpu = %f }\n"):format(
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    os.clock()))
  file:close()
end
