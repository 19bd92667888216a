-- SPDX-License-Identifier: Apache-2.0

-- Logins while the issuer or the store of sessions is down or slow: a clear answer, and known sessions stay good.

package.path = "./?.lua;" .. package.path

local Browser = require "spec.support.browser"
local socket = require "demilune.socket"
local task = require "demilune.task"
local test = require "demilune.test"
local time = require "demilune.time"

local SITE = "https://shop.example"

describe("oauth2 login and its issuer", function()
  local issuer

  before_each(function()
    issuer = test.issuer()
  end)

  local function browser_of(more, options)
    local login = { client_id = "client", client_secret = "secret", origin = SITE, scopes = { "offline_access" } }
    for name, value in pairs(more or {}) do
      login[name] = value or nil
    end
    local g = test.gateway {
      plugins = { { name = "oauth2", config = {
        issuer = issuer.url, jwks_uri = issuer.url .. "/jwks", login = login,
      } } }, config = options,
    }
    return Browser.new { [SITE] = g.address }, g
  end

  it("says 503 while nobody can log in, and comes back", function()
    issuer:script("metadata", { status = 503 })
    local browser = browser_of()
    for _ = 1, 5 do
      local response = browser:get(SITE .. "/")
      assert.same({ 503, "text/html; charset=utf-8" }, { response.status, response.headers["content-type"] })
      assert.truthy(tonumber(response.headers["retry-after"]))
    end
    assert.is_true(issuer:count "metadata" <= 2)
    issuer:script("metadata", nil)
    test.clock.advance(11)
    assert.equal(200, browser:go(SITE .. "/").status)
  end)

  it("says 503 when the code can't be exchanged, and the next try succeeds", function()
    local browser = browser_of()
    for _, script in ipairs { { status = 500 }, { reset = "head" }, { status = 200, body = "{" },
      { status = 200, body = '{"access_token":7}' } } do
      issuer:script("token", script)
      assert.equal(503, browser:go(SITE .. "/").status)
    end
    issuer:script("token", { status = 400, body = '{"error":"invalid_grant"}' })
    assert.equal(400, browser:go(SITE .. "/").status)
    issuer:script("token", nil)
    assert.equal(200, browser:go(SITE .. "/").status)
  end)

  it("waits for no slow issuer without bound, and lets known sessions pass", function()
    local browser = browser_of()
    browser:go(SITE .. "/")
    issuer:script("token", { stall = "head" })
    test.clock.advance(250)
    local began = time.monotonic()
    local response
    local work = task.spawn(function() response = browser:get(SITE .. "/") end)
    test.eventually(function() return issuer:count "token" == 2 end, nil, 10)
    test.clock.advance(6)
    work:join()
    assert.equal(200, response.status)
    assert.is_true(time.monotonic() - began < 20)
  end)

  it("says 503 when Redis can't be asked, and sends nobody to the issuer for that", function()
    local server = test.redis()
    local browser = browser_of({ store = "redis", redis = "main" }, { redis = { { name = "main", url = server.url } } })
    assert.equal(200, browser:go(SITE .. "/").status)
    local asked = issuer:count "authorize"
    server:kill()
    assert.equal(503, browser:get(SITE .. "/").status)
    local logout = browser:get(SITE .. "/oauth2/logout", { ["Sec-Fetch-Site"] = "same-origin" })
    assert.same({ 503, nil }, { logout.status, logout.headers["set-cookie"] })
    assert.equal(asked, issuer:count "authorize")
    server:restart()
    test.eventually(function() return browser:get(SITE .. "/").status ~= 503 end, nil, 20)
  end)

  it("keeps tokens out of Redis's sight", function()
    local server = test.redis()
    local browser = browser_of({ store = "redis", redis = "main" }, { redis = { { name = "main", url = server.url } } })
    browser:go(SITE .. "/")
    local name = server:command("KEYS", "oauth2 session *")[1]
    local text = server:command("GET", name)
    for token in pairs(issuer.refreshes) do
      assert.is_nil(text:find(token, 1, true))
    end
    for _, cookie in pairs(browser:jar(SITE)) do
      assert.is_true(#cookie.value < 40 or not name:find(cookie.value, 1, true))
    end
  end)

  it("logs out while the issuer is away", function()
    issuer:script("metadata", { status = 503 })
    local browser = browser_of {
      authorization_endpoint = issuer.url .. "/authorize", token_endpoint = issuer.url .. "/token",
    }
    assert.equal(200, browser:go(SITE .. "/").status)
    local response = browser:get(SITE .. "/oauth2/logout", { ["Sec-Fetch-Site"] = "same-origin" })
    assert.equal(200, response.status)
    assert.truthy(response.body:find("signed out", 1, true))
    assert.equal(303, browser:get(SITE .. "/").status)
  end)

  it("uses a public client without a secret", function()
    issuer.options.clients.public = ""
    local browser = browser_of { client_id = "public", client_secret = false, keys = { ("k"):rep(32) } }
    browser:go(SITE .. "/")
    assert.equal(200, browser:get(SITE .. "/").status)
  end)

  it("asks a slow issuer for 64 at a time, whoever comes back, and goes on when they have left", function()
    local browser, g = browser_of()
    local function answer_of(one)
      local to = one:get(SITE .. "/").headers.location
      return one:get(to).headers.location:match "^https://[^/]+(.*)$"
    end
    local answers, open = {}, {}
    for i = 1, 70 do
      local one = Browser.new { [SITE] = g.address }
      answers[i] = { path = answer_of(one) }
      for name, cookie in pairs(one:jar(SITE)) do
        answers[i].cookie = name .. "=" .. cookie.value
      end
    end
    issuer:script("token", function()
      task.sleep(3)
      return 503, {}, ""
    end)
    for i, answer in ipairs(answers) do
      open[i] = assert(socket.connect(g.address))
      open[i]:write(("GET %s HTTP/1.1\r\nHost: x\r\nCookie: %s\r\n\r\n"):format(answer.path, answer.cookie))
    end
    for i = 65, 70 do
      assert.matches("^HTTP/1.1 503", open[i]:read(1000))
    end
    assert.is_true(issuer:count "token" <= 64)
    for _, s in ipairs(open) do
      s:close()
    end
    issuer:script("token", nil)
    test.eventually(function() return browser:go(SITE .. "/").status == 200 end, nil, 15)
  end)
end)
