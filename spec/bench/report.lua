-- SPDX-License-Identifier: Apache-2.0

-- The result of a run as text with a Markdown table, or as JSON, with what it takes to compare
-- it with another day's: machine, versions, length, and who was left out and why.

local json = require "json"
local process = require "process"

local M = {}

local function machine()
  local function first(command)
    return (process.output(command .. " 2>/dev/null"):gsub("%s+$", ""))
  end
  return {
    date = first("date -u +%F"),
    cpu = first("sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1") .. ", " .. first("nproc --all") .. " cores",
    system = first(". /etc/os-release; echo $PRETTY_NAME") .. ", kernel " .. first("uname -r"),
    wrk = first("wrk -v | head -n 1 | cut -d' ' -f2"),
  }
end

local function number(value, format)
  return value and format:format(value) or ""
end

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

local function table_lines(results, names)
  local head = { "row", "peer", "us/request", "min-max", "user", "requests/s", "p50 ms", "p99 ms", "opened", "reused" }
  for _, name in ipairs(names) do
    head[#head + 1] = "/ " .. name
  end
  head[#head + 1] = "/ own base"
  local lines = { head }
  for _, result in ipairs(results) do
    for _, one in ipairs(result.peers) do
      local line = {
        result.name, one.peer, number(one.cpu_us, "%.2f"),
        ("%.2f-%.2f"):format(one.cpu_us_min, one.cpu_us_max), ("%.0f %%"):format(one.user_share * 100),
        number(one.requests_per_s, "%.0f"), number(one.p50_ms, "%.2f"), number(one.p99_ms, "%.2f"),
        number(one.opened, "%d"), ("%.3f %%"):format(one.reuse * 100),
      }
      for _, name in ipairs(names) do
        line[#line + 1] = number(one.to and one.to[name], "%.2f")
      end
      line[#line + 1] = number(one.to_own_base, "%.2f")
      lines[#lines + 1] = line
    end
  end
  return lines
end

local function draw(lines)
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
      cells[i] = i > 2 and pad .. cell or cell .. pad
      rule[i] = i > 2 and ("-"):rep(widths[i] - 1) .. ":" or ("-"):rep(widths[i])
    end
    out[#out + 1] = "| " .. table.concat(cells, " | ") .. " |"
    if n == 1 then
      out[#out + 1] = "| " .. table.concat(rule, " | ") .. " |"
    end
  end
  return table.concat(out, "\n")
end

-- How much of the CPU the run had, of rows and peers the least median: the rest went to others,
-- who also emptied the caches.
local function calm(results)
  local least = 1
  for _, result in ipairs(results) do
    for _, one in ipairs(result.peers) do
      least = math.min(least, one.ours)
    end
  end
  return ("the run had %.0f %% of its CPU%s"):format(least * 100,
    least < 0.95 and ": DISTURBED, take the figures again on a calm machine" or "")
end

local function as_text(results, peers, absent, options, where)
  local out = {
    ("%s; %s; %s; load %s before"):format(where.date, where.cpu, where.system, where.load),
    ("%d rounds of %d s, medians; wrk %s"):format(options.rounds, options.seconds, where.wrk),
  }
  for _, peer in ipairs(peers) do
    out[#out + 1] = ("%s: %s"):format(peer.name, peer.version)
  end
  for _, peer in ipairs(absent) do
    out[#out + 1] = ("%s: left out: %s"):format(peer.name, peer.why)
  end
  out[#out + 1] = calm(results)
  out[#out + 1] = ""
  out[#out + 1] = draw(table_lines(results, compared(peers)))
  for _, result in ipairs(results) do
    for _, fault in ipairs(result.faults) do
      out[#out + 1] = ("%s: %s"):format(result.name, fault)
    end
    for _, one in ipairs(result.left_out) do
      out[#out + 1] = ("%s: %s left out%s: %s"):format(result.name, one.peer,
        one.row ~= result.name and " as in " .. one.row or "", one.why)
    end
  end
  return table.concat(out, "\n") .. "\n"
end

-- Everything, as text or JSON. `load` is the machine's load as the run found it.
function M.all(results, run)
  local where = machine()
  where.load = run.load
  if not run.options.json then
    return as_text(results, run.peers, run.absent, run.options, where)
  end
  local versions = {}
  for _, peer in ipairs(run.peers) do
    versions[peer.name] = peer.version
  end
  return json.encode {
    machine = where, versions = versions, absent = run.absent, rows = results,
    rounds = run.options.rounds, seconds = run.options.seconds,
  }
end

return M
