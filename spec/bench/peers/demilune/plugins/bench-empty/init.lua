-- SPDX-License-Identifier: Apache-2.0

-- Five hooks that do nothing.

local Empty = { name = "bench-empty", version = "1.0.0" }
Empty.__index = Empty

function Empty.new()
  return setmetatable({}, Empty)
end

function Empty:rewrite() end
function Empty:access() end
function Empty:balance() end
function Empty:response() end
function Empty:log() end

return Empty
