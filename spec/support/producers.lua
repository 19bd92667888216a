-- SPDX-License-Identifier: Apache-2.0

-- Clients that publish without end: each has a key of its own and sends its events in their order, a batch at a time, the
-- next when the answer to the one before has come. What the gateway has promised (202) is kept, to be held against what
-- has arrived. A batch that was not answered is left behind and never sent again.
--
--   local p = producers.new(port, "/accept", { slots = 8 })
--   p:turn()  p:rest()  p.taken
--
-- An event is { k: its key, n: its number for that key, s: the stage of the spec in which it was sent }.

local client = require "spec.support.client"
local json = require "demilune.json"
local posix = require "spec.support.posix"

local Producers = {}
Producers.__index = Producers

local M = {}

local BATCH = 20

-- options: slots (8), pace (seconds from one batch of a slot to its next at least; 0).
function M.new(port, target, options)
  local self = setmetatable({ port = port, target = target, slots = {}, stage = "", taken = 0, lost = 0 }, Producers)
  self.pace = options and options.pace or 0
  for i = 1, options and options.slots or 8 do
    self.slots[i] = { key = ("%s-%d"):format(target:sub(2), i), n = 0, promised = {}, due = 0 }
  end
  return self
end

local function leave(slot)
  posix.close(slot.fd)
  slot.fd, slot.bytes = nil, nil
end

local function batch_of(self, slot)
  local lines = {}
  for i = 1, BATCH do
    lines[i] = ('{"k":"%s","n":%d,"s":"%s"}'):format(slot.key, slot.n + i, self.stage)
  end
  slot.first, slot.n = slot.n + 1, slot.n + BATCH
  return table.concat(lines, "\n")
end

local function ask(self, slot)
  slot.fd = slot.fd or posix.connect(self.port)
  if not slot.fd then
    return
  end
  slot.bytes, slot.due = "", posix.now() + self.pace
  local request = client.bytes("POST", self.target, { body = batch_of(self, slot) })
  if not posix.send(slot.fd, request, 5) then
    self.lost = self.lost + 1
    leave(slot)
  end
end

-- An id as a number: some of its digits are enough to tell two apart.
local function mark_of(id)
  return tonumber(id:sub(-12), 16)
end

local function take_answer(self, slot, head, body)
  local status = head:match "^HTTP/1.1 (%d+)"
  slot.bytes = nil
  if status ~= "202" and status ~= "207" then
    self.lost = self.lost + 1
    self.refusal = head:match "^[^\r]*" .. " " .. body
    return
  end
  for i, record in ipairs(json.decode(body).records) do
    if record.status == 202 then
      slot.promised[slot.first + i - 1] = mark_of(record.id)
      self.taken = self.taken + 1
    end
  end
end

local function listen(self, slot)
  local bytes = posix.recv(slot.fd, 0)
  if not bytes then
    self.lost = self.lost + 1
    return leave(slot)
  end
  slot.bytes = slot.bytes .. bytes
  local head, body = slot.bytes:match "^(.-\r\n\r\n)(.*)$"
  if head and #body >= tonumber(head:lower():match "content%-length: (%d+)") then
    take_answer(self, slot, head, body)
    if head:lower():find("connection: close", 1, true) then
      leave(slot)
    end
  end
end

-- Sends and reads what can be without waiting; false when there was nothing to do. asks = false: no new batches.
function Producers:turn(asks)
  local busy = false
  for _, slot in ipairs(self.slots) do
    if not slot.bytes and asks ~= false and posix.now() >= slot.due then
      ask(self, slot)
      busy = busy or slot.bytes ~= nil
    end
    if slot.bytes and posix.readable(slot.fd, 0) then
      listen(self, slot)
      busy = true
    end
  end
  return busy
end

function Producers:is_idle()
  for _, slot in ipairs(self.slots) do
    if slot.bytes then
      return false
    end
  end
  return true
end

-- Holds what has arrived (an iterator over { value, headers }) against what was promised: { lost, repeated (a list of events),
-- disordered, foreign (repeated with another id) }.
function Producers:hold_against(records)
  local seen, last, found = {}, {}, { lost = 0, disordered = 0, foreign = 0, repeated = {}, arrived = 0 }
  for record in records do
    local event = json.decode(record.value)
    local of_key = seen[event.k] or {}
    seen[event.k] = of_key
    local mark = mark_of(record.headers.id)
    if of_key[event.n] then
      found.repeated[#found.repeated + 1] = event
      found.foreign = found.foreign + (of_key[event.n] == mark and 0 or 1)
    else
      found.disordered = found.disordered + (event.n > (last[event.k] or 0) and 0 or 1)
      of_key[event.n], last[event.k] = mark, event.n
      found.arrived = found.arrived + 1
    end
  end
  for _, slot in ipairs(self.slots) do
    for n, mark in pairs(slot.promised) do
      found.lost = found.lost + (seen[slot.key] and seen[slot.key][n] == mark and 0 or 1)
    end
  end
  return found
end

function Producers:close()
  for _, slot in ipairs(self.slots) do
    if slot.fd then
      leave(slot)
    end
  end
end

return M
