-- SPDX-License-Identifier: Apache-2.0

-- From rounds to figures. Figures are medians over the rounds. A ratio is the median of the
-- ratios of each round, so that a slow drift of the machine, which moves neighbours alike,
-- cancels out.

local M = {}

local function median(list)
  local sorted = { unpack(list) }
  table.sort(sorted)
  local middle = #sorted / 2
  if #sorted % 2 == 1 then
    return sorted[middle + 0.5]
  end
  return (sorted[middle] + sorted[middle + 1]) / 2
end

local function column(rounds, name)
  local list = {}
  for i, round in ipairs(rounds) do
    list[i] = round[name]
  end
  return list
end

local function sum(rounds, name)
  local total = 0
  for _, round in ipairs(rounds) do
    total = total + round[name]
  end
  return total
end

local function ratio(gateway, other)
  local list = {}
  for i, round in ipairs(gateway.rounds) do
    list[i] = round.cpu_us / other.rounds[i].cpu_us
  end
  return median(list)
end

local function figures(gateway)
  local rounds = gateway.rounds
  local cpu, user, system = column(rounds, "cpu_us"), sum(rounds, "user"), sum(rounds, "system")
  return {
    peer = gateway.peer.name,
    cpu_us = median(cpu), cpu_us_min = math.min(unpack(cpu)), cpu_us_max = math.max(unpack(cpu)),
    user_share = user / math.max(user + system, 1e-9),
    requests_per_s = median(column(rounds, "rate")),
    p50_ms = median(column(rounds, "p50")), p99_ms = median(column(rounds, "p99")),
    requests = sum(rounds, "requests"), errors = sum(rounds, "errors"),
    ours = median(column(rounds, "ours")), ours_min = math.min(unpack(column(rounds, "ours"))),
    opened = sum(rounds, "opened"),
    reuse = 1 - sum(rounds, "opened") / sum(rounds, "requests"),
    to = {},
  }
end

-- The result of a row from its measured gateways, what a run must not hide included: `faults`
-- of those, and the peers `left_out` of it.
function M.row(row, gateways, left_out)
  local result = {
    name = row.name, about = row.about, against = row.against,
    peers = {}, faults = {}, left_out = left_out,
  }
  for _, gateway in ipairs(gateways) do
    local one = figures(gateway)
    if one.errors > 0 then
      table.insert(result.faults, ("%s: %d failed requests"):format(one.peer, one.errors))
    end
    if gateway.row == row then
      for _, other in ipairs(gateways) do
        if other.row == row and other ~= gateway then
          one.to[other.peer.name] = ratio(gateway, other)
        end
      end
      one.to = next(one.to) and one.to
      one.to_own_base = gateway.base and ratio(gateway, gateway.base)
      if row.reuse and one.peer == "demilune" and one.reuse <= row.reuse then
        table.insert(result.faults, ("%s: %.3f %% of the requests reused a connection, less than %.3f %%"):format(
          one.peer, one.reuse * 100, row.reuse * 100))
      end
      table.insert(result.peers, one)
    end
  end
  return result
end

return M
