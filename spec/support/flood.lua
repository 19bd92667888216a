-- SPDX-License-Identifier: Apache-2.0

-- Stores that are full.

local stores = require "demilune.store"

local M = {}

-- Pushes out of a store what is not held there; the store's size is told in MiB.
function M.store(name, size)
  local store, text = stores.use(name), ("x"):rep(1000)
  for i = 1, 2 * size * 1024 do
    store:set("flood " .. i, text, 600)
  end
end

-- Fills the store "marks" of 64 KiB for some seconds, to the last short key.
function M.marks(seconds)
  local marks = stores.use "marks"
  for i = 1, 4000 do
    marks:add("f" .. i, true, seconds)
  end
end

return M
