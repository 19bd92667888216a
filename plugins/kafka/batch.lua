-- SPDX-License-Identifier: Apache-2.0

-- Cuts a body into its records: the lines of NDJSON, or the items of a JSON array, as they stand, so that numbers and the
-- order of names stay what the client has sent.

local json = require "demilune.json"

local M = {}

local TYPES = {
  ["application/x-ndjson"] = "ndjson", ["application/ndjson"] = "ndjson", ["application/jsonl"] = "ndjson",
  ["application/x-jsonlines"] = "ndjson", ["application/cloudevents-batch+json"] = "json",
}

-- How a body is cut: "ndjson", "json", or nil, it is one event.
function M.kind(mode, content_type, body)
  if mode ~= "auto" then
    return mode ~= "none" and mode or nil
  end
  local media = (content_type or ""):match "^%s*([^;%s]*)":lower()
  if TYPES[media] then
    return TYPES[media]
  elseif media == "application/json" and body:find "^%s*%[" then
    return "json"
  end
end

local function lines_of(body, max)
  local records = {}
  for line in body:gmatch "[^\r\n]+" do
    if line:find "%S" then
      records[#records + 1] = line
      if #records > max then
        return nil, 413, ("A batch has at most %d records."):format(max)
      end
    end
  end
  return records
end

-- The end of the value that begins at `from`, in a text that was found to be JSON.
local function end_of_value(text, from)
  local depth, at = 0, from
  while true do
    local place = text:find('["%[%]{},]', at)
    local byte = text:sub(place, place)
    if byte == '"' then
      at = text:match('^"[^"\\]*()', place)
      while text:sub(at, at) == "\\" do
        at = text:match('^[^"\\]*()', at + 2)
      end
      at = at + 1
    elseif byte == "[" or byte == "{" then
      depth, at = depth + 1, place + 1
    elseif depth == 0 then
      return place
    else
      depth, at = byte == "," and depth or depth - 1, place + 1
    end
  end
end

local function items_of(body, max)
  local value, word, position = json.decode(body)
  if word then
    return nil, 400, ("The batch is no JSON: %s at byte %d."):format(word, position or 0)
  elseif not json.is_array(value) then
    return nil, 400, "The batch is no JSON array."
  elseif #value > max then
    return nil, 413, ("A batch has at most %d records, this one has %d."):format(max, #value)
  end
  local records, at = {}, body:match "^%s*%[%s*()"
  for i = 1, #value do
    local stop = end_of_value(body, at)
    records[i] = body:sub(at, stop - 1):match "^.*%S" -- in one pass, whatever spaces are inside
    at = body:match("^[,%]]%s*()", stop)
  end
  return records
end

-- The records, or nil, a status and a sentence.
function M.cut(kind, body, max)
  local records, status, detail = (kind == "ndjson" and lines_of or items_of)(body, max)
  if records and #records == 0 then
    return nil, 400, "The batch has no records."
  end
  return records, status, detail
end

-- What is wrong with a record that was cut out, or nil. The items of an array were looked at with it.
function M.fault(kind, record)
  if kind == "ndjson" then
    local _, word, position = json.decode(record)
    return word and ("this line is no JSON: %s at byte %d"):format(word, position or 0) or nil
  end
end

return M
