-- SPDX-License-Identifier: Apache-2.0

-- Counters, gauges and histograms of plugins, made once at load:
--
--   local served = metrics.counter("shop_served_total", "Requests served.", { "kind" })
--   ... served:add(1, "gold")                       -- or served:inc("gold")
--   local took = metrics.histogram("shop_seconds", "How long it took.", {}, { 0.1, 1, 10 })
--   ... took:observe(seconds)
--   local size = metrics.gauge("shop_size", "How large it is.")
--   ... size:set(17)                                -- or size:add(-1)
--
-- Adding costs a lookup of the label values and a plain addition. The number of series is
-- capped by metrics.max_series; beyond it values are counted under the label "other".

local ffi = require "ffi"
local border = require "demilune.ffi"

local C, gateway = border.C, border.gateway
local no_self = border.no_self
local LABELS_MAX = 8
local KEPT_MAX = 10000 -- series that a metric finds again without asking: labels come from outside, too

---@class demilune.metrics
local M = {}

---@class metric
local Metric = { __name = "metric" }
Metric.__index = Metric

local DEFAULT_BOUNDS = { 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 }

local function make(kind, name, help, labels, bounds)
  labels = labels or {}
  if type(name) ~= "string" or type(help) ~= "string" then
    error("a metric has a name and a help text", 3)
  elseif #labels > LABELS_MAX then
    error("a metric has at most 8 labels", 3)
  end
  local numbers = ffi.new("double[?]", math.max(#bounds, 1))
  for i, bound in ipairs(bounds) do
    numbers[i - 1] = bound
  end
  local names = #labels > 0 and table.concat(labels, "\0") .. "\0\0" or "\0"
  local family = C.dml_metric_family(name, help, kind, names, numbers, #bounds)
  if family == nil then
    error(('"%s" is no name of a metric, or is taken by one with other labels'):format(name), 3)
  end
  return setmetatable({
    family = family, kind = kind, labels = #labels, name = name, series = {}, kept = 0,
  }, Metric)
end

--- A number that only grows; its name ends in _total.
---@param name string
---@param help string
---@param labels? string[]
---@return metric
function M.counter(name, help, labels)
  return make(C.DML_COUNTER, name, help, labels, {})
end

--- A number that goes up and down.
---@param name string
---@param help string
---@param labels? string[]
---@return metric
function M.gauge(name, help, labels)
  return make(C.DML_GAUGE, name, help, labels, {})
end

--- How many values there were up to each bound. bounds: upper ends of the buckets, ascending.
---@param name string
---@param help string
---@param labels? string[]
---@param bounds number[]
---@return metric
function M.histogram(name, help, labels, bounds)
  return make(C.DML_HISTOGRAM, name, help, labels, bounds or DEFAULT_BOUNDS)
end

local function new_series(metric, ...)
  local values = ffi.new("struct dml_slice[8]")
  local kept = {}
  for i = 1, metric.labels do
    local value = select(i, ...)
    if value == nil then
      border.raise(("%s has %d labels, and this is the value of %d"):format(metric.name, metric.labels, i - 1))
    end
    kept[i] = tostring(value)
    values[i - 1].ptr, values[i - 1].len = kept[i], #kept[i]
  end
  return C.dml_metric_series(metric.family or no_self(), values), kept
end

-- Begins anew with what is found again when there are many.
local function make_room(metric)
  if metric.kept >= KEPT_MAX then
    metric.series, metric.kept = {}, 0
  end
  metric.kept = metric.kept + 1
end

-- The series of some label values. Found again by a tree of tables, one level per label.
local function find_series(metric, ...)
  if metric.labels == 0 then
    if not metric.single then
      metric.single = new_series(metric)
    end
    return metric.single
  end
  local at = metric.series
  for i = 1, metric.labels - 1 do
    local value = tostring((select(i, ...)))
    local below = at[value]
    if not below then
      below = {}
      at[value] = below
    end
    at = below
  end
  local last = tostring((select(metric.labels, ...)))
  local series = at[last]
  if not series then
    series = new_series(metric, ...)
    at[last] = series
    make_room(metric)
  end
  return series
end

-- The same, at once where there are one or two labels, texts that were there before.
local function series_of(metric, first, second, ...)
  local at = metric.labels < 3 and metric.series[first]
  if metric.labels == 2 then
    at = at and at[second]
  end
  return at or find_series(metric, first, second, ...)
end

local NAMES = { [C.DML_COUNTER] = "counter", [C.DML_GAUGE] = "gauge", [C.DML_HISTOGRAM] = "histogram" }

local function misused(metric, what)
  border.raise(("%s is a %s, which can't %s"):format(metric.name or no_self(), NAMES[metric.kind], what))
end

local function misused_value(metric, value)
  border.raise(("%s takes a number, not %s"):format(metric.name or no_self(),
    type(value) == "number" and "NaN" or "a " .. type(value)))
end

--- Adds n to a counter or gauge.
---@param n number
---@param ... string  values of the labels
function Metric:add(n, ...)
  if type(n) ~= "number" or n ~= n then
    misused_value(self, n)
  elseif self.kind == C.DML_HISTOGRAM or self.kind == C.DML_COUNTER and n < 0 then
    misused(self, self.kind == C.DML_COUNTER and "go down" or "be added to: observe values")
  end
  C.dml_metric_add(gateway, series_of(self, ...), n)
end

--- Adds 1.
---@param ... string  values of the labels
function Metric:inc(...)
  if self.kind == C.DML_HISTOGRAM then
    misused(self, "be added to: observe values")
  end
  C.dml_metric_add(gateway, series_of(self, ...), 1)
end

--- Sets a gauge. Each worker has a share of its own, and the sum of them is shown: what is the same for all is set
--- where `context.first` is true.
---@param value number
---@param ... string  values of the labels
function Metric:set(value, ...)
  if self.kind ~= C.DML_GAUGE then
    misused(self, "be set")
  elseif type(value) ~= "number" then
    misused_value(self, value)
  end
  C.dml_metric_set(gateway, series_of(self, ...), value)
end

--- A value of a histogram.
---@param value number
---@param ... string  values of the labels
function Metric:observe(value, ...)
  if self.kind ~= C.DML_HISTOGRAM then
    misused(self, "observe values")
  elseif type(value) ~= "number" or value ~= value then
    misused_value(self, value)
  end
  C.dml_metric_observe(gateway, series_of(self, ...), value)
end

return M
