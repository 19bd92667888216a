-- SPDX-License-Identifier: Apache-2.0

-- What may be asked in addition: a share of what was asked in the last while, over all workers. It
-- keeps retries, hedges and probes of any kind from multiplying the load of what is failing already.
--
--   local extra = budget.new("refresh", { share = 0.2, least = 3, window = 10 })
--   extra:count()             -- with each request
--   if extra:take() then ...  -- before each one in addition: never more than share * requests, or `least`
--
-- Budgets of one name and window are one, and survive reloads.

local ffi = require "ffi"
local border = require "demilune.ffi"

local C = border.C
local asked, taken = ffi.new "double[1]", ffi.new "double[1]"

local M = {}

local Budget = { __name = "budget" }
Budget.__index = Budget

-- options: share (0.2), least (3), window (seconds; 10).
function M.new(name, options)
  options = options or {}
  if type(name) ~= "string" then
    error("a budget has a name", 2)
  end
  return setmetatable({
    budget = ffi.gc(C.dml_budget_new(name, #name, options.window or 10), C.dml_budget_free),
    share = options.share or 0.2, least = options.least or 3,
  }, Budget)
end

function Budget:count()
  C.dml_budget_count(self.budget)
end

function Budget:take()
  return C.dml_budget_take(self.budget, self.share, self.least) == 1
end

-- What was asked and what was taken in the window that ends now.
function Budget:counts()
  C.dml_budget_counts(self.budget, asked, taken)
  return asked[0], taken[0]
end

return M
