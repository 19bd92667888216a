-- SPDX-License-Identifier: Apache-2.0

-- The result of a run as Markdown or as JSON, with what it takes to compare it with another
-- day's: machine, versions, length, and who was left out and why.

local columns = require "columns"
local json = require "json"

local M = {}

-- Peers that others are compared with: all but ours, the floor first.
local function compared(peers)
  local names = {}
  for _, peer in ipairs(peers) do
    if peer.features.floor then
      table.insert(names, 1, peer.name)
    elseif peer.name ~= "demilune" then
      names[#names + 1] = peer.name
    end
  end
  return names
end

local function ratio(value)
  return value and ("%.2f"):format(value.median) or ""
end

local function belongs(kind_table, result, one)
  if not kind_table.kinds[result.kind] then
    return false
  end
  for _, name in ipairs(kind_table.only_with or {}) do
    if one.figures[name] then
      return true
    end
  end
  return not kind_table.only_with
end

local function head_of(kind_table, names)
  local head = { "row", "peer" }
  for _, column in ipairs(kind_table.columns) do
    head[#head + 1] = column[1]
  end
  for _, name in ipairs(kind_table.has_ratios and names or {}) do
    head[#head + 1] = "/ " .. name
  end
  head[#head + 1] = kind_table.has_ratios and "/ own base" or nil
  return head
end

local function line_of(kind_table, names, result, one)
  local line = { result.name, one.peer }
  for _, column in ipairs(kind_table.columns) do
    line[#line + 1] = column[2](one)
  end
  for _, name in ipairs(kind_table.has_ratios and names or {}) do
    line[#line + 1] = ratio(one.to and one.to[name])
  end
  line[#line + 1] = kind_table.has_ratios and ratio(one.to_base) or nil
  return line
end

local function add_tables(out, results, names)
  for _, kind_table in ipairs(columns.tables) do
    local lines = { head_of(kind_table, names) }
    for _, result in ipairs(results) do
      for _, one in ipairs(result.peers) do
        if belongs(kind_table, result, one) then
          lines[#lines + 1] = line_of(kind_table, names, result, one)
        end
      end
    end
    if #lines > 1 then
      out[#out + 1] = columns.draw(lines, 2)
      out[#out + 1] = ""
    end
  end
end

local function met(goal)
  if goal.met == nil then
    return goal.why
  end
  return goal.met and "yes" or "**no**"
end

local function add_goals(out, results)
  local lines = { { "row", "at most", "measured", "min - max", "met" } }
  for _, result in ipairs(results) do
    for _, goal in ipairs(result.goals) do
      local value = goal.value
      lines[#lines + 1] = {
        result.name, goal.wanted, value and ("%.2f"):format(value.median) or "",
        value and ("%.2f - %.2f"):format(value.min, value.max) or "", met(goal),
      }
    end
  end
  if #lines > 1 then
    out[#out + 1] = columns.draw(lines, 2)
    out[#out + 1] = ""
  end
end

-- How much of the CPU the run had, of rows and peers the least median: the rest went to others,
-- who also emptied the caches. Nil where no row can tell.
local function share(results)
  local least
  for _, result in ipairs(results) do
    for _, one in ipairs(result.peers) do
      local ours = one.figures.ours
      least = ours and math.min(least or 1, ours.median) or least
    end
  end
  return least
end

local function add_share(out, results)
  local least = share(results)
  out[#out + 1] = least and ("the run had %.0f %% of its CPU%s"):format(least * 100,
    least < 0.95 and ": DISTURBED, take the figures again on a calm machine" or "")
end

local function add_where(out, run)
  local where = run.machine
  out[#out + 1] = ("%s; %s; %s; load %s before"):format(where.date, where.cpu, where.system, where.load)
  out[#out + 1] = ("%d rounds of %d s, medians; wrk %s"):format(run.options.rounds, run.options.seconds, where.wrk)
  for _, peer in ipairs(run.peers) do
    out[#out + 1] = ("%s: %s"):format(peer.name, peer.version)
  end
  for _, peer in ipairs(run.absent) do
    out[#out + 1] = ("%s: left out: %s"):format(peer.name, peer.why)
  end
end

-- A peer without a feature misses a row: said once for all its rows. What failed is said each time.
local function add_left_out(out, results)
  local seen = {}
  for _, result in ipairs(results) do
    for _, fault in ipairs(result.faults) do
      out[#out + 1] = ("- %s: %s"):format(result.name, fault)
    end
    for _, one in ipairs(result.left_out) do
      local key = one.peer .. one.why
      local text = seen[key]
      if text then
        text.rows[#text.rows + 1] = result.name
      else
        seen[key] = { rows = { result.name }, peer = one.peer, why = one.why }
        seen[#seen + 1] = seen[key]
      end
    end
  end
  for _, text in ipairs(seen) do
    out[#out + 1] = ("- %s: %s left out: %s"):format(table.concat(text.rows, ", "), text.peer, text.why)
  end
end

local function as_text(results, run)
  local where, out = {}, {}
  add_where(where, run)
  add_share(where, results)
  for _, line in ipairs(where) do
    out[#out + 1] = "    " .. line
  end
  out[#out + 1] = ""
  add_goals(out, results)
  add_tables(out, results, compared(run.peers))
  add_left_out(out, results)
  return (table.concat(out, "\n"):gsub("\n+$", "")) .. "\n"
end

-- Everything, as text or JSON. `run` is { machine, peers, absent, options }.
function M.all(results, run)
  if not run.options.json then
    return as_text(results, run)
  end
  local versions = {}
  for _, peer in ipairs(run.peers) do
    versions[peer.name] = peer.version
  end
  return json.encode {
    machine = run.machine, versions = versions, absent = run.absent, rows = results,
    rounds = run.options.rounds, seconds = run.options.seconds, share_of_cpu = share(results),
  }
end

return M
