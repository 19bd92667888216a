-- SPDX-License-Identifier: Apache-2.0

-- Events to Kafka. The process has one producer for each cluster, which all workers share: idempotent, acks=all, in
-- order for each partition, unless the cluster's options say otherwise. Errors are values:
--
--   local events = kafka.use "events"                    -- in `new`; `kafka` in the configuration
--   local delivery, err, why = events:publish { topic = "orders", key = id, value = body, headers = { type = "order" } }
--   local report, err, why = delivery:wait()             -- { topic, partition, offset }
--
-- What publish refuses at once: "full" (too many records or bytes wait for the brokers), "limit" (larger than
-- message.max.bytes), "syntax" (no topic's name), "closed" (the gateway ends). What became of a record that was taken:
-- "refused" (the record is at fault: no such topic, too large, not allowed; again is in vain), "failed" (certainly not
-- delivered), "unknown" (no word before the cluster's message.timeout.ms: it may have been delivered all the same),
-- "timeout" (of this wait; it may come still), "cancelled". Who does not wait loses nothing but the word: the record is on its way.

local core = require "demilune.core"

---@class demilune.kafka
local M = {}

local client_metatable, delivery_metatable = core.kafka_start()

---@class kafka.client  Of one cluster: what kafka.use gives.
local Client = client_metatable
Client.__index = Client
Client.__name = "kafka client"

---@class kafka.delivery  A record on its way.
local Delivery = delivery_metatable
Delivery.__index = Delivery
Delivery.__name = "kafka delivery"

--- A client of a cluster of the configuration. Raises when there is none of that name: call it in `new`, so that
--- `demilune check` finds it, and the producer is ready when the first request comes.
---@param name string
---@return kafka.client
function M.use(name)
  return core.kafka_use(name, not core.is_trial)
end

---@class kafka.record
---@field topic string
---@field key? string  Records of one key go to one partition, in order.
---@field value? string  Absent: Kafka's null, which deletes the key from a compacted topic.
---@field headers? table<string, string>|string[][]  A map; or a list of { name, value }, for an order or a name twice.
---@field partition? integer  Absent: chosen by the key.
---@field timestamp? number  Seconds since 1970; absent: now.

--- Gives a record to the producer, and never waits.
---@param record kafka.record
---@return kafka.delivery? delivery
---@return string? err
---@return string? why
function Client:publish(record)
  return core.kafka_publish(self, record)
end

---@class kafka.report
---@field topic string
---@field partition integer
---@field offset integer

--- Waits for the broker's word. May be called again after a timeout, and after the word has come.
---@param timeout? number  Seconds; 0: what is known now; absent: until the cluster's message.timeout.ms has decided.
---@return kafka.report? report
---@return string? err
---@return string? why
function Delivery:wait(timeout)
  return core.kafka_wait(self, timeout)
end

--- Has the configuration a spill, so that events can be accepted?
---@return boolean
function M.can_accept()
  return core.spill_is_there()
end

---@class kafka.event : kafka.record  What accept takes.
---@field id? string  The same for each delivery of the event: its header "id". Absent: that of a header "id" or "ce_id", or a new UUID.
---@field dead_letter_topic? string  Where it goes when the brokers refuse it for good; or
---@field dead_letter_file? string  the file to which it is appended then, as a line of JSON. Neither: the log has the reason.

--- Takes responsibility for an event, and waits until it is written to the spill (`spill` in the configuration). From then
--- on it is delivered, however often broker and gateway fail meanwhile: in order, after all that were accepted before it
--- for that cluster, and with the same id should it be delivered twice. What it refuses: "full" (no room in the spill),
--- "unavailable" (there is none, or the disk fails), "limit", "syntax" (as publish), "timeout" (the disk hangs; it may
--- still be written), "cancelled".
---@param event kafka.event
---@return string? id
---@return string? err
---@return string? why
function Client:accept(event)
  return core.spill_accept(self, event)
end

--- The same for many, at the price of one. Gives the ids of those that are written: all, or those before the first that
--- could not be, and of that err and why.
---@param events kafka.event[]
---@return string[]? ids  nil: "unavailable", "timeout" or "cancelled".
---@return string? err
---@return string? why
function Client:accept_all(events)
  return core.spill_accept_all(self, events)
end

return M
