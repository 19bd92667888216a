-- SPDX-License-Identifier: Apache-2.0

-- A plugin may use coroutines of its own, and wait inside of them: what C yields for a wait is
-- passed on outwards to the scheduler, and the wait's results come back in. Only resume and wrap
-- have to know. The loop is written without closures, so that it costs next to nothing.

local core = require "demilune.core"

local resume, yield, create = coroutine.resume, coroutine.yield, coroutine.create
local WAITS = core.wait_mark()

local pass

local function resumed(thread, ok, first, ...)
  if first == WAITS and ok then
    return pass(thread, yield(WAITS))
  end
  return ok, first, ...
end

function pass(thread, ...)
  return resumed(thread, resume(thread, ...))
end

function coroutine.resume(thread, ...) -- luacheck: ignore 122
  return resumed(thread, resume(thread, ...))
end

local function unwrap(ok, ...)
  if not ok then
    error((...), 0)
  end
  return ...
end

function coroutine.wrap(f) -- luacheck: ignore 122
  local thread = create(f)
  return function(...)
    return unwrap(resumed(thread, resume(thread, ...)))
  end
end
