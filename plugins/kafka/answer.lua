-- SPDX-License-Identifier: Apache-2.0

-- What the client of a producer is told. One event: 202, or the problem. A batch: 202 when all were published, 207 when
-- some were not, and the first one's problem when none was; each with a result for every record, in their order.

local json = require "demilune.json"

local M = {}

local TITLES = {
  [400] = "Bad Request", [413] = "Content Too Large", [502] = "Bad Gateway", [503] = "Service Unavailable",
  [504] = "Gateway Timeout",
}

-- A result as the client sees it.
local function shown(result)
  return {
    status = result.status, id = result.id, topic = not result.detail and result.topic or nil,
    partition = result.partition, offset = result.offset, detail = result.detail,
  }
end

local function of_one(result)
  local headers = { ["event-id"] = result.id, ["retry-after"] = result.retry_after }
  if result.detail then
    return { status = result.status, headers = headers, problem = result.detail }
  end
  local body = shown(result)
  body.status = nil
  return { status = 202, headers = headers, body = body }
end

local function count_failed(results)
  local failed, first, retry_after = 0, nil, nil
  for _, result in ipairs(results) do
    if result.detail then
      failed, first = failed + 1, first or result
      retry_after = result.retry_after or retry_after
    end
  end
  return failed, first, retry_after
end

-- An answer is { status, headers, body (a table) or problem (a sentence) }.
function M.of(results, is_batch)
  if not is_batch then
    return of_one(results[1])
  end
  local failed, first, retry_after = count_failed(results)
  local body = { published = #results - failed, failed = failed, records = json.array {} }
  for i, result in ipairs(results) do
    body.records[i] = shown(result)
  end
  if failed < #results then
    return { status = failed == 0 and 202 or 207, headers = {}, body = body }
  end
  body.type, body.title, body.status = "about:blank", TITLES[first.status], first.status
  body.detail = "None of the records was published."
  return { status = first.status, headers = { ["retry-after"] = retry_after }, body = body, is_problem = true }
end

-- Was everything published?
function M.is_good(answer)
  return answer.status == 202
end

function M.send(exchange, answer)
  local headers = {}
  for name, value in pairs(answer.headers) do
    headers[name] = tostring(value)
  end
  if answer.problem then
    return exchange:problem(answer.status, answer.problem, headers)
  end
  if answer.is_problem then
    headers["content-type"] = "application/problem+json"
    answer.body.request_id = exchange.id
  end
  exchange:reply(answer.status, headers, answer.body)
end

return M
