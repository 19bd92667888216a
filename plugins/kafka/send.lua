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

function M.accept(client, records)
  local results = {}
  for i, record in ipairs(records) do
    local ok, word, why = client:accept(record)
    results[i] = ok and outcome.taken(record, "accepted") or outcome.failed(record, word, why)
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
