-- SPDX-License-Identifier: Apache-2.0

-- Lines in the operator's log, with fields. The plugin's name, its place and the request's id
-- are added by the core.
--
--   log.info("stock is low", { item = "lamp", left = 3 })

local core = require "demilune.core"

---@class demilune.log
---@field debug fun(text: string, fields?: table)  For who looks for a fault.
---@field info fun(text: string, fields?: table)  What happens.
---@field warn fun(text: string, fields?: table)  What somebody should know of.
---@field error fun(text: string, fields?: table)  What somebody has to do something about.
local M = {}

local LEVELS = { debug = 0, info = 1, warn = 2, error = 3 }

for name, level in pairs(LEVELS) do
  M[name] = function(text, fields)
    if type(text) ~= "string" then
      error(("log.%s wants a text, not a %s"):format(name, type(text)), 2)
    elseif fields ~= nil and type(fields) ~= "table" then
      error(("log.%s: the fields are a table"):format(name), 2)
    end
    core.log_write(level, text, fields)
  end
end

return M
