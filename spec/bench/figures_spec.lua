-- SPDX-License-Identifier: Apache-2.0

-- From rounds to what stands in the report: medians, ratios, goals, who was left out.

package.path = "./spec/bench/?.lua;" .. package.path

local figures = require "figures"
local goals = require "goals"
local json = require "json"
local report = require "report"
local rows = require "rows"

local ROW = {
  name = "mine", about = "a test", against = "plain", per = 2,
  goals = {
    { to = { "nginx", "haproxy" }, most = 0.85 },
    { to_base = true, most = 1.10 },
    { figure = "over_base_us", most = 0.4, unit = "us" },
    { to = { "nginx-lua" }, most = 0.80 },
  },
}

local function round(cpu_us, more)
  local one = { cpu_us = cpu_us, user = 1, system = 3, requests = 1000, errors = 0, opened = 10, ours = 1 }
  for name, value in pairs(more or {}) do
    one[name] = value
  end
  return one
end

local function gateway(name, cpu, row)
  local rounds = {}
  for i, cpu_us in ipairs(cpu) do
    rounds[i] = type(cpu_us) == "table" and cpu_us or round(cpu_us)
  end
  return { peer = { name = name }, row = row or ROW, rounds = rounds }
end

-- Ours beside nginx and HAProxy, and as in the row that it is compared with.
local function example()
  local ours, base = gateway("demilune", { 8, 9, 40 }), gateway("demilune", { 7, 8, 39 }, { name = "plain" })
  ours.base = base
  return figures.row(ROW, { ours, base, gateway("nginx", { 10, 10, 50 }), gateway("haproxy", { 16, 18, 80 }) },
    { { peer = "nginx-lua", why = "it fell" } })
end

describe("figures", function()
  it("are medians with what they spread over", function()
    assert.same({ median = 9, min = 8, max = 40 }, example().peers[1].figures.cpu_us)
    assert.equal(2.5, figures.median { 4, 1, 2, 3 })
  end)

  it("make ratios within each round, so that a slow round says nothing", function()
    local ours = example().peers[1]
    assert.same({ median = 0.8, min = 0.8, max = 0.9 }, ours.to.nginx)
    assert.equal(0.5, ours.to.haproxy.median)
  end)

  it("take the difference to the base and divide it where the row says so", function()
    assert.same({ median = 0.5, min = 0.5, max = 0.5 }, example().peers[1].figures.over_base_us)
  end)

  it("take it in yardsticks, each round in its own", function()
    local ours = gateway("demilune", { round(30, { yardstick_us = 20 }), round(90, { yardstick_us = 40 }) })
    ours.base = gateway("demilune", { 10, 10 }, { name = "plain" })
    assert.same({ median = 1.5, min = 1, max = 2 }, figures.row(ROW, { ours }, {}).peers[1].figures.yardsticks)
    assert.is_nil(example().peers[1].figures.yardsticks)
  end)

  it("add up requests, errors and opened connections", function()
    local ours = example().peers[1]
    assert.equal(3000, ours.figures.requests.median)
    assert.near(0.99, ours.reuse, 1e-9)
    assert.equal(0.25, ours.user_share)
  end)

  it("show peers of the row only, in the order in which they came", function()
    local names = {}
    for i, one in ipairs(example().peers) do
      names[i] = one.peer
    end
    assert.same({ "demilune", "nginx", "haproxy" }, names)
  end)

  it("hide no failed request, not even of the base", function()
    local base = gateway("demilune", { round(8, { errors = 2 }) }, { name = "plain" })
    local result = figures.row(ROW, { gateway("demilune", { 8 }), base }, {})
    assert.same({ "demilune: 2 failed requests" }, result.faults)
  end)

  it("hold us to the connections that must be reused", function()
    local row = { name = "mine", reuse = 0.999 }
    local result = figures.row(row, { gateway("demilune", { 8 }, row), gateway("nginx", { 8 }, row) }, {})
    assert.equal(1, #result.faults)
    assert.matches("^demilune: 99.000 %%", result.faults[1])
  end)
end)

describe("goals", function()
  it("are held against the better of two, the own base and figures", function()
    local list = goals.judge(ROW, example(), {})
    assert.equal("0.85 of the better of nginx or haproxy", list[1].wanted)
    assert.equal(0.8, list[1].value.median)
    assert.is_true(list[1].met)
    assert.equal("1.10 of its own plain", list[2].wanted)
    assert.is_false(list[2].met)
    assert.equal("0.4 us", list[3].wanted)
    assert.is_false(list[3].met)
  end)

  it("are neither met nor missed without the peer, and say why", function()
    local goal = goals.judge(ROW, example(), {})[4]
    assert.is_nil(goal.met)
    assert.equal("nginx-lua: it fell", goal.why)
    local result = example()
    result.left_out = {}
    assert.equal("nginx-lua: not installed",
      goals.judge(ROW, result, { { name = "nginx-lua", why = "not installed" } })[4].why)
    assert.equal("nginx-lua was not asked for", goals.judge(ROW, result, {})[4].why)
  end)

  it("are none where we did not take part", function()
    assert.same({}, goals.judge(ROW, figures.row(ROW, { gateway("nginx", { 8 }) }, {}), {}))
  end)

  it("stand in every row of the bench, with what they compare with", function()
    local names = {}
    for _, row in ipairs(rows) do
      assert.is_nil(names[row.name], row.name)
      names[row.name] = row
      assert(row.is_base or #row.goals > 0, row.name)
    end
    for _, row in ipairs(rows) do
      assert(not row.against or names[row.against], row.name)
      for _, goal in ipairs(row.goals or {}) do
        assert(not goal.to_base or row.against, row.name)
        assert(not goal.figure or goal.unit, row.name)
      end
    end
  end)
end)

describe("the report", function()
  local function run(options)
    options.rounds, options.seconds = 3, 2
    return {
      machine = { date = "a day", cpu = "a CPU", system = "a system", wrk = "4", load = "0.1" },
      peers = { { name = "demilune", version = "1", features = {} }, { name = "nginx", version = "2", features = {} } },
      absent = { { name = "other", why = "not there" } }, options = options,
    }
  end

  local function results()
    local result = example()
    result.goals = goals.judge(ROW, result, {})
    return { result }
  end

  it("has machine, versions, who is absent, goals and a line for each peer", function()
    local text = report.all(results(), run {})
    for _, part in ipairs {
      "a day; a CPU; a system; load 0.1 before", "3 rounds of 2 s", "nginx: 2\n", "other: left out: not there",
      "| mine | 0.85 of the better of nginx or haproxy |     0.80 | 0.80 - 0.90 |                yes |",
      "| mine | demilune |       9.00 |", "| nginx-lua: it fell |", "- mine: nginx-lua left out: it fell",
    } do
      assert(text:find(part, 1, true), part .. "\nis not in\n" .. text)
    end
  end)

  it("says when others had a part of the CPU", function()
    assert.matches("had 100 %% of its CPU\n", report.all(results(), run {}))
    local list = results()
    list[1].peers[2].figures.ours.median = 0.8
    assert.matches("had 80 %% of its CPU: DISTURBED", report.all(list, run {}))
  end)

  it("can be read by programs", function()
    local all = require("cjson").decode(report.all(results(), run { json = true }))
    assert.equal(9, all.rows[1].peers[1].figures.cpu_us.median)
    assert.is_true(all.rows[1].goals[1].met)
    assert.equal("not there", all.absent[1].why)
  end)

  it("escapes what stands in a JSON text", function()
    assert.equal('"a\\"b\\\\c\\n\\u0001"\n', json.encode 'a"b\\c\n\1')
  end)
end)
