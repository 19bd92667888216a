-- SPDX-License-Identifier: Apache-2.0

-- Doing several things at once, and waiting.
--
--   task.sleep(0.5)                       true, or nil and a word
--   local t = task.spawn(f, ...)          runs beside; cancelled with the exchange (or task) that made it
--   local value, err = t:join()           its results; raises what f raised; nil, "cancelled"
--   local a, b = task.join(t1, t2)        the first result of each
--   local results, errors = task.all { x = f, y = g }     all side by side; results and errors by key
--   local value, key = task.any { f, g }  the first that is not nil; the others are cancelled
--   task.detach(f, ...)                   outlives the exchange
--   local t = task.every(10, f)           f every ten seconds until t:cancel()
--   task.deadline(2, f, ...)              f, whose waits end with nil, "timeout" after two seconds
--
-- What expects to fail returns nil and a word; what is raised in a task is raised again where it is
-- joined, and logged when nobody does.

local core = require "demilune.core"

local spawn, wait, result, cancel = core.task_spawn, core.task_wait, core.task_result, core.task_cancel

---@class demilune.task
---@field sleep fun(seconds: number): true?, string?  Waits. nil, "cancelled" when the exchange (or task) has ended; nil, "timeout" at a deadline.
---@field spawn fun(f: function, ...): task  Runs f(...) beside; cancelled with the exchange or task that made it.
---@field detach fun(f: function, ...): task  Runs f(...) beside; it outlives the exchange.
local M = {
  sleep = core.sleep,
  spawn = spawn,
  detach = core.task_detach,
}

local function pass(state, ...)
  if state == "returned" then
    return ...
  elseif state == "raised" then
    error((...), 0)
  end
  return nil, "cancelled"
end

local function join_one(task)
  local index, word = wait(task)
  if not index then
    return nil, word
  end
  return pass(result(task))
end

--- Waits for tasks. One task: its results; several: the first result of each. Raises what a task raised;
--- nil, "cancelled".
---@param ... task
---@return any ...
function M.join(...)
  local n = select("#", ...)
  if n == 1 then
    return join_one((...))
  end
  local results = {}
  for i = 1, n do
    results[i] = join_one((select(i, ...)))
  end
  return unpack(results, 1, n)
end

-- Starts what is a function; tasks are left as they are.
local function start(work)
  local tasks = {}
  for key, f in pairs(work) do
    tasks[key] = type(f) == "function" and spawn(f) or f
  end
  return tasks
end

local function cancel_all(tasks)
  for _, task in pairs(tasks) do
    cancel(task)
  end
end

--- Runs all side by side and waits for them: results and errors by key. Raises what one of them raises, and
--- cancels the rest.
---@param work table<any, function|task>
---@return table results
---@return table<any, string> errors
function M.all(work)
  local tasks = start(work)
  local results, errors = {}, {}
  for key, task in pairs(tasks) do
    local index, word = wait(task)
    local state, value, err
    if index then
      state, value, err = result(task)
    end
    if state == "raised" then
      cancel_all(tasks)
      error(value, 0)
    elseif state == "returned" then
      results[key], errors[key] = value, value == nil and err or nil
    else
      errors[key] = word or "cancelled"
    end
  end
  return results, errors
end

--- Runs all side by side: the first value that is not nil, and its key; the others are cancelled.
---@param work table<any, function|task>
---@return any value
---@return any key  the last word when there is no value
function M.any(work)
  local tasks = start(work)
  local keys, list = {}, {}
  for key, task in pairs(tasks) do
    keys[#keys + 1], list[#list + 1] = key, task
  end
  local last
  while #list > 0 do
    local index, word = wait(unpack(list))
    if not index then
      cancel_all(tasks)
      return nil, word
    end
    local state, value, err = result(list[index])
    if state == "returned" and value ~= nil then
      cancel_all(tasks)
      return value, keys[index]
    end
    last = state == "raised" and value or err or state == "cancelled" and state or last
    table.remove(list, index)
    table.remove(keys, index)
  end
  return nil, last
end

local function undo_deadline(before, ok, ...)
  core.task_deadline_set(before)
  if not ok then
    error((...), 0)
  end
  return ...
end

--- Calls f(...), whose waits end with nil, "timeout" after so many seconds.
---@param seconds number
---@param f function
---@param ... any
---@return any ...
function M.deadline(seconds, f, ...)
  local before = core.task_deadline(seconds)
  return undo_deadline(before, pcall(f, ...))
end

--- Seconds that the running hook or task has left, or nil.
---@return number? seconds
function M.time_left()
  return core.task_deadline()
end

local function trace(message)
  return type(message) == "string" and debug.traceback(message, 2) or message
end

local function again_and_again(seconds, f)
  while M.sleep(seconds) do
    local ok, message = xpcall(f, trace)
    if not ok then
      core.task_failed(tostring(message))
    end
  end
end

--- Calls f every so many seconds, until the task is cancelled. What f raises is logged.
---@param seconds number 0.001 or more
---@param f function
---@return task
function M.every(seconds, f)
  if type(seconds) ~= "number" or seconds < 0.001 then
    error("every: seconds, 0.001 or more", 2)
  end
  return spawn(again_and_again, seconds, f)
end

---@class task  What `spawn`, `detach` and `every` give.
---@field join fun(self: task): any  Its results, once it has ended; raises what it raised; nil, "cancelled".
---@field cancel fun(self: task)  Ends its present wait and all later ones.
---@field state fun(self: task): string  "running", "returned", "raised" or "cancelled".
local Task = core.task_metatable()
Task.__index = {
  join = join_one,
  cancel = cancel,
  -- "running", "returned", "raised" or "cancelled"
  state = function(task)
    return (result(task)) or "running"
  end,
}
Task.__name = "task"
Task.__tostring = function(task)
  return ("task (%s)"):format(task:state())
end

return M
