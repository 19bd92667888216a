-- SPDX-License-Identifier: Apache-2.0

-- What became of an event, as a status and a sentence for the client. A result is { id, topic, status, partition, offset }, or
-- has a `detail` where it was not published; `word` is for the counter.

local json = require "demilune.json"

local M = {}

local RETRY = 1 -- seconds, where trying again is of use

local FAILURES = {
  full = { 503, "Too many events wait for their broker. This one was not taken.", RETRY },
  unavailable = { 503, "The event could not be stored, and was not taken.", RETRY },
  unwritten = { 504, "The event could not be stored in time. It may still be delivered." },
  failed = { 503, "The event was not delivered. It may be sent again.", RETRY },
  closed = { 503, "The gateway is about to end and takes no more events.", RETRY },
  limit = { 413, "The event is larger than the cluster's message.max.bytes." },
  syntax = { 400, "The event has a topic that is none." },
  refused = { 502, "The broker has refused the event" },
  unknown = { 504, "The broker has not answered in time: whether the event was delivered is unknown." },
  timeout = { 504, "The broker has not answered in time: whether the event was delivered is unknown." },
  cancelled = { 504, "The request has ended before the broker's answer: whether the event was delivered is unknown." },
}

-- The broker's bound may be lower than the cluster's option here says.
local function is_too_large(why)
  return why and (why:lower():find("too large", 1, true) or why:find("MSG_SIZE", 1, true)) ~= nil
end

function M.published(record, report)
  return {
    word = "delivered", status = 202, id = record.id, topic = record.topic, partition = report.partition,
    offset = report.offset,
  }
end

function M.taken(record, word)
  return { word = word, status = 202, id = record.id, topic = record.topic }
end

-- word and why: as demilune.kafka has them.
function M.failed(record, word, why)
  local kind = FAILURES[word] or FAILURES.unavailable
  local result = { word = word, why = why, id = record.id, topic = record.topic, status = kind[1], detail = kind[2],
    retry_after = kind[3] }
  if word == "refused" then
    result.detail = why and ("%s: %s."):format(kind[2], (why:gsub("%.$", ""))) or kind[2] .. "."
    result.status = is_too_large(why) and 413 or kind[1]
  end
  return result
end

-- The record could not even be made. What the client has sent may stand in the detail, which becomes JSON.
function M.bad(detail, id)
  if not json.encode(detail) then
    detail = detail:gsub("[\128-\255]", "?")
  end
  return { word = "bad", status = 400, detail = detail, id = id }
end

return M
