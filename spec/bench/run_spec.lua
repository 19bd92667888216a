-- SPDX-License-Identifier: Apache-2.0

-- The bench itself, as short as it can be: of each kind of row a figure. What it measures here means
-- nothing.

package.path = "./?.lua;" .. package.path

local command = require "spec.support.command"
local server = require "spec.support.server"

local SECONDS = 240
local IS_SLOW = { asan = true, tsan = true, clang = true }

local function bench(...)
  return command.run({ "bash", "spec/bench/run", "--demilune", server.program, ... }, { seconds = SECONDS })
end

-- With status 3 the machine lacks something, and the bench says what.
local function need(result)
  if result.status == 3 then
    pending(result.err)
  end
  return result.status ~= 3
end

describe("the bench", function()
  it("measures a row of each kind", function()
    if IS_SLOW[os.getenv "DEMILUNE_PRESET" or ""] then
      return pending "a sanitizer makes it slow"
    end
    local result = bench("--rows", "hook-five,token-first,limit-redis,tls-handshake,idle,start,reload",
      "--peers", "demilune", "--rounds", "1", "--seconds", "1")
    if not need(result) then
      return
    end
    assert.equal(0, result.status, result.err .. result.out)
    for _, line in ipairs {
      "| hook%-five +| demilune | +%d+%.%d+ |", "| tls%-handshake | demilune | +%d+%.%d+ |",
      "| idle +| demilune | +%d+%.%d+ |", "| start | demilune | +%d+%.%d+ |",
      "| token%-first +| 1%.2 of OpenSSL's own verify +| +%d+%.%d+ |",
      "| limit%-redis +| 1%.1 Redis scripts per request +| +[01]%.%d%d |",
      "| reload | demilune | +0 | +%d+%.%d+ |", "| hook%-five +| 3 us +| +%-?%d+%.%d+ |",
    } do
      assert.matches(line, result.out)
    end
  end)

  it("refuses a row that it does not have", function()
    local result = bench("--rows", "nonsense")
    if need(result) then
      assert.equal(2, result.status)
      assert.matches("no row is called nonsense", result.err)
    end
  end)

  it("refuses an option that it does not have", function()
    local result = bench "--nonsense"
    if need(result) then
      assert.equal(2, result.status)
      assert.matches("unknown option %-%-nonsense", result.err)
    end
  end)
end)
