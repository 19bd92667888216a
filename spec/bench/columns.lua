-- SPDX-License-Identifier: Apache-2.0

-- The columns of each kind of row in the report, and how Markdown tables are drawn.

local M = {}

local function median(name, format)
  return function(one)
    local figure = one.figures[name]
    return figure and format:format(figure.median) or ""
  end
end

local function span(name, format)
  return function(one)
    local figure = one.figures[name]
    return figure and (format .. " - " .. format):format(figure.min, figure.max) or ""
  end
end

local function percent(name, format)
  return function(one)
    return one[name] and format:format(one[name] * 100) or ""
  end
end

local CPU = {
  { "us/request", median("cpu_us", "%.2f") }, { "min - max", span("cpu_us", "%.2f") },
  { "user", percent("user_share", "%.0f %%") },
  { "requests/s", median("rate", "%.0f") }, { "p50 ms", median("p50", "%.2f") }, { "p99 ms", median("p99", "%.2f") },
  { "opened", median("opened", "%d") }, { "reused", percent("reuse", "%.3f %%") },
  { "MiB", median("mib", "%.1f") },
}

-- In the order of the report: which kinds share a table, and its columns after row and peer.
M.tables = {
  { kinds = { load = true, handshakes = true }, columns = CPU, has_ratios = true },
  {
    kinds = { load = true }, only_with = { "over_base_us", "futexes", "inside_ns" }, columns = {
      { "us over its base", median("over_base_us", "%.2f") }, { "min - max", span("over_base_us", "%.2f") },
      { "ns inside", median("inside_ns", "%.1f") }, { "min - max", span("inside_ns", "%.1f") },
      { "futex calls / 1,000 requests", median("futexes", "%.2f") },
      { "OpenSSL us", median("yardstick_us", "%.2f") }, { "x OpenSSL", median("yardsticks", "%.2f") },
      { "min - max", span("yardsticks", "%.2f") }, { "Redis scripts / request", median("redis_scripts", "%.3f") },
    },
  },
  {
    kinds = { idle = true }, columns = {
      { "KiB/connection", median("kib", "%.2f") }, { "min - max", span("kib", "%.2f") },
      { "connections", median("connections", "%d") }, { "MiB before", median("mib", "%.1f") },
    },
  },
  {
    kinds = { start = true }, columns = {
      { "ms", median("ms", "%.1f") }, { "min - max", span("ms", "%.1f") },
      { "CPU ms", median("cpu_ms", "%.1f") }, { "MiB", median("mib", "%.1f") },
    },
  },
  {
    kinds = { reload = true }, columns = {
      { "failed", median("failed", "%d") }, { "worst ms", median("worst", "%.1f") },
      { "calm ms", median("calm_worst", "%.1f") },
      { "worst / calm", median("worst_ratio", "%.2f") }, { "min - max", span("worst_ratio", "%.2f") },
      { "MiB before", median("mib", "%.1f") }, { "MiB after", median("mib_after", "%.1f") },
      { "after / before", median("memory_ratio", "%.2f") },
    },
  },
}

-- Lines of cells as a Markdown table, the first its head; but for the first `left` columns to the right.
function M.draw(lines, left)
  local widths, out = {}, {}
  for _, line in ipairs(lines) do
    for i, cell in ipairs(line) do
      widths[i] = math.max(widths[i] or 0, #cell)
    end
  end
  for n, line in ipairs(lines) do
    local cells, rule = {}, {}
    for i, cell in ipairs(line) do
      local pad = (" "):rep(widths[i] - #cell)
      cells[i] = i > left and pad .. cell or cell .. pad
      rule[i] = i > left and ("-"):rep(widths[i] - 1) .. ":" or ("-"):rep(widths[i])
    end
    out[#out + 1] = "| " .. table.concat(cells, " | ") .. " |"
    if n == 1 then
      out[#out + 1] = "| " .. table.concat(rule, " | ") .. " |"
    end
  end
  return table.concat(out, "\n")
end

return M
