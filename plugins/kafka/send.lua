-- SPDX-License-Identifier: Apache-2.0

-- Gives records to the cluster in one of three ways: `acknowledge` waits for the broker's word, `accept` until the spill
-- has them on disk, and `best_effort` for nothing.

local outcome = require "demilune.plugins.kafka.outcome"
local time = require "demilune.time"

local M = {}

-- All are on their way before the first is waited for.
function M.acknowledge(client, records, timeout)
  local deliveries, results = {}, {}
  local deadline = time.monotonic() + timeout
  for i, record in ipairs(records) do
    local delivery, word, why = client:publish(record)
    deliveries[i] = delivery or false
    results[i] = not delivery and outcome.failed(record, word, why) or nil
  end
  for i, delivery in ipairs(deliveries) do
    if delivery then
      local report, word, why = delivery:wait(math.max(deadline - time.monotonic(), 0))
      results[i] = report and outcome.published(records[i], report) or outcome.failed(records[i], word, why)
    end
  end
  return results
end

local function from_on(records, first)
  if first == 1 then
    return records
  end
  local rest = {}
  for i = first, #records do
    rest[#rest + 1] = records[i]
  end
  return rest
end

local IS_RECORDS_FAULT = { limit = true, syntax = true }

-- One that is at fault itself does not keep those behind it out.
function M.accept(client, records)
  local results, n = {}, #records
  while #results < n do
    local ids, word, why = client:accept_all(from_on(records, #results + 1))
    for _ = 1, ids and #ids or 0 do
      results[#results + 1] = outcome.taken(records[#results + 1], "accepted")
    end
    local last = ids and IS_RECORDS_FAULT[word] and #results + 1 or n
    for i = #results + 1, last do
      results[i] = outcome.failed(records[i], word == "timeout" and "unwritten" or word, why)
    end
  end
  return results
end

function M.best_effort(client, records)
  local results = {}
  for i, record in ipairs(records) do
    local delivery, word, why = client:publish(record)
    results[i] = delivery and outcome.taken(record, "sent") or outcome.failed(record, word, why)
  end
  return results
end

return M
