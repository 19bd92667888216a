-- SPDX-License-Identifier: Apache-2.0

-- Waits for a condition instead of for a time: wait("the log says ready", function() ... end) gives what the
-- function returns once that is neither nil nor false, and fails with the message when it never is. A message that is
-- long to make, or tells how things stand at the end, may be a function too.

local posix = require "spec.support.posix"

local LOOK = 0.005

return function(what, condition, seconds)
  local limit = posix.now() + (seconds or posix.PATIENCE)
  repeat
    local value = condition()
    if value then
      return value
    end
    posix.sleep(LOOK)
  until posix.now() > limit
  error("waited in vain: " .. (type(what) == "function" and what() or what), 2)
end
