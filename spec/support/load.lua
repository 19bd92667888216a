-- SPDX-License-Identifier: Apache-2.0

-- Clients that ask without end: each slot has a connection, sends a request when the answer to the one before has
-- come, and connects anew after some. load:turn() does what can be done without waiting, so that a spec may do other
-- things between turns; what went wrong is counted by how.

local client = require "spec.support.client"
local posix = require "spec.support.posix"

local Load = {}
Load.__index = Load

local M = {}

local PER_CONNECTION = 5

-- options: slots (16).
function M.new(port, target, options)
  local load = setmetatable({ port = port, request = client.bytes("GET", target), slots = {} }, Load)
  load.answered, load.refused, load.broken, load.wrong = 0, 0, 0, 0
  for i = 1, options and options.slots or 16 do
    load.slots[i] = {}
  end
  return load
end

local function leave(slot)
  posix.close(slot.fd)
  slot.fd = nil
end

local function ask(load, slot)
  if not slot.fd then
    slot.fd, slot.asked = posix.connect(load.port), 0
    if not slot.fd then
      load.refused = load.refused + 1
      return
    end
  end
  slot.asked, slot.bytes = slot.asked + 1, ""
  if not posix.send(slot.fd, load.request, 1) then
    load.broken = load.broken + 1
    leave(slot)
  end
end

local function take_answer(load, slot, head, body)
  load.answered = load.answered + 1
  if not head:find "^HTTP/1.1 200 " then
    load.wrong = load.wrong + 1
  end
  slot.bytes = nil
  load.last_body = body
  if slot.asked >= PER_CONNECTION or head:lower():find("connection: close", 1, true) then
    leave(slot)
  end
end

local function listen(load, slot)
  local bytes = posix.recv(slot.fd, 0)
  if not bytes then
    load.broken, slot.bytes = load.broken + 1, nil
    return leave(slot)
  end
  slot.bytes = slot.bytes .. bytes
  local head, body = slot.bytes:match "^(.-\r\n\r\n)(.*)$"
  if head and #body >= tonumber(head:lower():match "content%-length: (%d+)") then
    take_answer(load, slot, head, body)
  end
end

function Load:turn()
  for _, slot in ipairs(self.slots) do
    if not slot.bytes then
      ask(self, slot)
    end
    if slot.fd and posix.readable(slot.fd, 0) then
      listen(self, slot)
    end
  end
end

-- Turns until the condition holds, for so many seconds at most; what it gave, or nil. is_idle: without asking.
function Load:until_true(condition, seconds, is_idle)
  local limit = posix.now() + (seconds or posix.PATIENCE)
  repeat
    if not is_idle then
      self:turn()
    end
    local value = condition()
    if value then
      return value
    end
  until posix.now() > limit
end

-- Turns until so many more were answered.
function Load:more(n)
  local goal = self.answered + n
  return self:until_true(function() return self.answered >= goal end)
end

-- Asks nothing more, and takes the answers that are still to come.
function Load:finish()
  return self:until_true(function()
    local is_waiting = false
    for _, slot in ipairs(self.slots) do
      if slot.bytes and slot.fd and posix.readable(slot.fd, 0) then
        listen(self, slot)
      end
      is_waiting = is_waiting or slot.bytes ~= nil
    end
    return not is_waiting
  end, nil, true)
end

function Load:close()
  for _, slot in ipairs(self.slots) do
    if slot.fd then
      leave(slot)
    end
  end
end

return M
