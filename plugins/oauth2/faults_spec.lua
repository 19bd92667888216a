-- SPDX-License-Identifier: Apache-2.0

-- An issuer that is down, slow, flapping, or rotates its keys under load: known tokens stay good, nobody waits without
-- bound, and the issuer sees few requests, counted on its own side.

local crypto = require "demilune.crypto"
local task = require "demilune.task"
local test = require "demilune.test"
local time = require "demilune.time"

describe("oauth2 and its issuer", function()
  local issuer

  before_each(function()
    issuer = test.issuer()
  end)

  local function gateway(more)
    local options = { plugins = { { name = "oauth2", config = { issuer = issuer.url, audience = "api" } } } }
    for name, value in pairs(more or {}) do
      options[name] = value
    end
    return test.gateway(options)
  end

  local function status(g, token)
    return g:get("/", { headers = { Authorization = "Bearer " .. token }, timeout = 20 }).status
  end

  local function down(script)
    issuer:script("metadata", script)
    issuer:script("jwks", script)
  end

  it("fetches keys before the first request needs them", function()
    gateway()
    test.eventually(function() return issuer:count "jwks" == 1 end)
  end)

  it("follows a rotation at once, and asks once for it", function()
    local g = gateway()
    local old = issuer:token()
    assert.equal(200, status(g, old))
    test.clock.advance(11)
    issuer:rotate()
    local work = {}
    for i = 1, 20 do
      local token = issuer:token { sub = "user" .. i }
      work[i] = function() return status(g, token) end
    end
    for _, got in ipairs(task.all(work)) do
      assert.equal(200, got)
    end
    assert.equal(200, status(g, old))
    assert.equal(2, issuer:count "jwks")
  end)

  it("asks at most once per interval, however many unknown keys come", function()
    local g = gateway()
    assert.equal(200, status(g, issuer:token()))
    for _ = 1, 3 do
      local before = issuer:count "jwks"
      test.clock.advance(11)
      for _ = 1, 20 do
        assert.equal(401, status(g, issuer:token({}, { key = crypto.generate "ES256" })))
      end
      assert.equal(before + 1, issuer:count "jwks")
    end
  end)

  it("renews keys ahead of time, so that one that is gone is not good for ever", function()
    local g = gateway()
    assert.equal(200, status(g, issuer:token()))
    local key = issuer.key
    issuer:rotate()
    issuer:forget()
    test.clock.advance(301)
    test.eventually(function() return issuer:count "jwks" == 2 end)
    test.eventually(function()
      test.clock.advance(6)
      return status(g, issuer:token({}, { key = key })) == 401
    end)
  end)

  it("keeps keys through an outage of any length, and through a reload in it", function()
    local g = gateway()
    assert.equal(200, status(g, issuer:token()))
    down { status = 503 }
    for _ = 1, 5 do
      test.clock.advance(1000)
      assert.equal(200, status(g, issuer:token()))
    end
    g:close()
    g = gateway { keep_stores = true }
    assert.equal(200, status(g, issuer:token()))
  end)

  it("says 503 while there are no keys, asks now and then, and comes back", function()
    down { status = 500 }
    local g = gateway()
    local token = issuer:token()
    for _ = 1, 10 do
      local response = g:get("/", { headers = { Authorization = "Bearer " .. token } })
      assert.equal(503, response.status)
      assert.truthy(tonumber(response.headers["retry-after"]))
    end
    assert.equal(1, issuer:count "metadata")
    down(nil)
    test.clock.advance(11)
    assert.equal(200, status(g, token))
  end)

  it("lets nobody wait for a slow issuer without bound, nor known tokens at all", function()
    local g = gateway()
    local known = issuer:token()
    assert.equal(200, status(g, known))
    test.clock.advance(11)
    down { stall = "head" }
    issuer:rotate()
    local began, waits = time.monotonic(), task.spawn(function() return status(g, issuer:token()) end)
    test.eventually(function() return issuer:count "metadata" == 2 end)
    assert.equal(200, status(g, known))
    assert.equal(200, status(g, issuer:token({}, { key = issuer.keys[2] })))
    assert.equal("running", waits:state())
    test.clock.advance(6)
    assert.equal(401, waits:join())
    assert.is_true(time.monotonic() - began < 20)
  end)

  it("goes on for the others when the one who asked has left", function()
    down { delay = 0.3, status = 503 }
    local g = gateway()
    local c = g:connect()
    c:send("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " .. issuer:token() .. "\r\n\r\n")
    test.eventually(function() return issuer:count "metadata" == 1 end)
    c:close()
    assert.equal(503, status(g, issuer:token()))
    assert.equal(1, issuer:count "metadata")
  end)

  it("takes broken documents for an outage", function()
    for _, script in ipairs { { status = 200, body = "{" }, { status = 200, body = '{"keys":[]}' },
      { status = 200, body = '{"keys":7}' }, { status = 200, body = ("x"):rep(600000) }, { truncate = 3 },
      { reset = "head" }, { garbage = "\0\1\2\r\n\r\n" },
      { status = 302, headers = { Location = issuer.url .. "/jwks" } } } do
      issuer:script("jwks", nil)
      local g = gateway()
      assert.equal(200, status(g, issuer:token()))
      issuer:script("jwks", script)
      test.clock.advance(11)
      assert.equal(401, status(g, issuer:token({}, { key = crypto.generate "ES256" })))
      assert.equal(200, status(g, issuer:token()))
      g:close()
    end
  end)
end)
