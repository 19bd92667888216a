-- SPDX-License-Identifier: Apache-2.0

-- Browsers that log in, with sessions in each of the three stores: what a person and the service behind the gateway see.

package.path = "./?.lua;" .. package.path

local Browser = require "spec.support.browser"
local json = require "demilune.json"
local task = require "demilune.task"
local test = require "demilune.test"
local url = require "demilune.url"

local SITE = "https://shop.example"
local KEYS = { ("k"):rep(32) }

for _, store in ipairs { "memory", "redis", "cookie" } do
  describe("oauth2 login, sessions in " .. store, function()
    local issuer, upstream, server, config

    setup(function()
      server = store == "redis" and test.redis()
      config = server and { redis = { { name = "main", url = server.url } } } or nil
      upstream = test.upstream(function(request)
        return 200, { ["Set-Cookie"] = "own=1" }, json.encode {
          user = request.headers["x-user"], cookie = request.headers.cookie,
          authorization = request.headers.authorization,
        }
      end)
    end)

    before_each(function()
      if server then
        server:command "FLUSHALL"
      end
      issuer = test.issuer { subject = "ann" }
    end)

    local function gateway(more, plugin)
      local login = {
        client_id = "client", client_secret = "secret", origin = SITE, store = store, keys = KEYS,
        redis = store == "redis" and "main" or nil, scopes = { "openid", "offline_access" },
      }
      for name, value in pairs(more or {}) do
        login[name] = value
      end
      local options = { issuer = issuer.url, login = login, claims_to_headers = { sub = "X-User" } }
      for name, value in pairs(plugin or {}) do
        options[name] = value
      end
      return test.gateway { upstream = upstream, config = config, plugins = { { name = "oauth2", config = options } } }
    end

    local function browser_of(g)
      return Browser.new { [SITE] = g.address }
    end

    local function user(response)
      return response.status == 200 and json.decode(response.body).user or response.status
    end

    it("leads to the issuer and back to the page, once", function()
      local g = gateway()
      local browser = browser_of(g)
      local response, where = browser:go(SITE .. "/orders?page=2")
      assert.same({ "ann", SITE .. "/orders?page=2" }, { user(response), where })
      assert.equal("ann", user(browser:get(SITE .. "/more")))
      assert.same({ 1, 1 }, { issuer:count "authorize", issuer:count "token" })
      local query = url.parse_query(browser.trail[2]:match "%?(.*)$")
      assert.same({ "code", "S256", "client", SITE .. "/oauth2/callback", "openid offline_access" },
        { query.response_type, query.code_challenge_method, query.client_id, query.redirect_uri, query.scope })
      assert.is_true(#query.state >= 43 and #query.nonce >= 43 and #query.code_challenge == 43)
    end)

    it("sets cookies that scripts, other sites and other hosts do not get, and hides them from the upstream", function()
      local browser = browser_of(gateway())
      browser:keep(SITE, "theme=dark; Path=/")
      local seen = json.decode(browser:go(SITE .. "/").body)
      assert.same({ "theme=dark" }, { seen.cookie, seen.authorization })
      local count = 0
      for name, cookie in pairs(browser:jar(SITE)) do
        if name ~= "theme" and name ~= "own" then
          count = count + 1
          assert.truthy(name:find "^__Host%-demilune%-%x+")
          for _, attribute in ipairs { "Path=/", "HttpOnly", "Secure", "SameSite=Lax" } do
            assert.truthy(cookie.attributes:find("; " .. attribute, 1, true), attribute)
          end
        end
      end
      assert.is_true(count >= 1)
      assert.is_not_nil(browser:jar(SITE).own, "the upstream's own cookie is gone")
    end)

    it("answers 401 to scripts and to what is no GET, and begins no login for them", function()
      local browser = browser_of(gateway())
      for _, headers in ipairs { { ["Sec-Fetch-Mode"] = "cors" }, { ["Sec-Fetch-Mode"] = false, Accept = "*/*" },
        { ["Sec-Fetch-Mode"] = false, ["X-Requested-With"] = "XMLHttpRequest" } } do
        local response = browser:get(SITE .. "/api", headers)
        assert.same({ 401, "application/problem+json" }, { response.status, response.headers["content-type"] })
        assert.is_nil(response.headers["set-cookie"])
      end
      assert.equal(401, browser:request("POST", SITE .. "/form").status)
      assert.equal("ann", user(browser:go(SITE .. "/")))
      assert.equal("ann", user(browser:get(SITE .. "/api", { ["Sec-Fetch-Mode"] = "cors" })))
    end)

    it("gives the upstream the access token, when told so", function()
      local token = json.decode(browser_of(gateway { pass_token = true }):go(SITE .. "/").body).authorization
      assert.is_not_nil(issuer.tokens[token:match "^Bearer (.*)$"])
    end)

    it("ends a session that is idle, but not one that is used", function()
      local browser = browser_of(gateway { idle_timeout = "5m", scopes = { "openid" } })
      browser:go(SITE .. "/")
      if store == "redis" then -- whose clock is its own
        assert.is_true(server:command("PTTL", server:command("KEYS", "oauth2 session *")[1]) <= 300000)
        return
      end
      for _ = 1, 4 do
        test.clock.advance(200)
        assert.equal("ann", user(browser:get(SITE .. "/")))
      end
      test.clock.advance(301)
      assert.equal(303, browser:get(SITE .. "/").status)
    end)

    it("ends a session after its lifetime, however it is used", function()
      local browser = browser_of(gateway { lifetime = "10m", idle_timeout = "0", scopes = { "openid" } })
      browser:go(SITE .. "/")
      for _ = 1, 5 do
        test.clock.advance(110)
        assert.equal("ann", user(browser:get(SITE .. "/")))
      end
      test.clock.advance(60)
      assert.equal(303, browser:get(SITE .. "/").status)
    end)

    it("renews once ahead of the end for ten requests at a time, with the rotated token each time", function()
      local browser = browser_of(gateway())
      browser:go(SITE .. "/")
      for round = 1, 3 do
        test.clock.advance(250) -- of 300
        local work = {}
        for i = 1, 10 do
          work[i] = function() return user(browser:get(SITE .. "/" .. i)) end
        end
        for _, got in ipairs(task.all(work)) do
          assert.equal("ann", got)
        end
        assert.equal(1 + round, issuer:count "token")
      end
      assert.equal(1, issuer:count "authorize")
    end)

    it("keeps sessions while the issuer is away, and asks it now and then", function()
      local browser = browser_of(gateway())
      browser:go(SITE .. "/")
      issuer:script("token", { status = 503 })
      test.clock.advance(310)
      for _ = 1, 10 do
        assert.equal("ann", user(browser:get(SITE .. "/")))
      end
      assert.equal(2, issuer:count "token")
      test.clock.advance(11)
      issuer:script("token", nil)
      assert.equal("ann", user(browser:get(SITE .. "/")))
      assert.equal(3, issuer:count "token")
    end)

    it("ends a session that the issuer has ended", function()
      local browser = browser_of(gateway())
      browser:go(SITE .. "/")
      issuer.refreshes = {}
      test.clock.advance(250)
      assert.equal(401, browser:get(SITE .. "/", { ["Sec-Fetch-Mode"] = "cors" }).status)
      assert.equal(303, browser:get(SITE .. "/").status)
      assert.equal("ann", user(browser:go(SITE .. "/")))
    end)

    it("logs out here and at the issuer, and the old cookies are good for nothing", function()
      local browser = browser_of(gateway { after_logout = "/bye" })
      browser:go(SITE .. "/")
      local before = {}
      for name, cookie in pairs(browser:jar(SITE)) do
        before[name] = cookie
      end
      local response = browser:get(SITE .. "/oauth2/logout", { ["Sec-Fetch-Site"] = "same-origin" })
      local to = response.headers.location
      local query = url.parse_query(to:match "%?(.*)$")
      assert.equal(issuer.url .. "/logout", to:match "^[^?]*")
      assert.same({ "client", SITE .. "/bye" }, { query.client_id, query.post_logout_redirect_uri })
      assert.is_not_nil(issuer.tokens[query.id_token_hint])
      test.eventually(function() return issuer:count "revoke" == 1 end, nil, 10)
      assert.equal(303, browser:get(SITE .. "/").status)
      browser.jars[SITE] = before
      assert.equal(303, browser:get(SITE .. "/").status)
    end)

    it("has a session over a reload, and over a renewal in it", function()
      local g = gateway()
      local browser = browser_of(g)
      browser:go(SITE .. "/")
      g:close()
      browser.sites[SITE] = test.gateway({
        upstream = upstream, config = config, keep_stores = true,
        plugins = { { name = "oauth2", config = {
          issuer = issuer.url, claims_to_headers = { sub = "X-User" }, login = {
            client_id = "client", client_secret = "secret", origin = SITE, store = store, keys = KEYS,
            redis = store == "redis" and "main" or nil,
          },
        } } },
      }).address
      assert.equal("ann", user(browser:get(SITE .. "/")))
      assert.equal(1, issuer:count "authorize")
    end)

    it("takes tokens beside sessions where there is an audience", function()
      local g = gateway({}, { audience = "api" })
      assert.equal("bob", user(g:get("/", { headers = { Authorization = "Bearer " .. issuer:token { sub = "bob" } } })))
      assert.equal(401, g:get("/", { headers = { Authorization = "Bearer x.y.z", Accept = "text/html" } }).status)
      local browser = browser_of(g)
      assert.equal("ann", user(browser:go(SITE .. "/")))
      local token = issuer:token { sub = "bob" }
      local seen = json.decode(browser:get(SITE .. "/", { Authorization = "Bearer " .. token }).body)
      assert.same({ "bob", "own=1" }, { seen.user, seen.cookie })
    end)

    it("asks for userinfo, when told so, and wants it to be of the same person", function()
      local g = gateway({ userinfo = true }, { claims_to_headers = { name = "X-User" } })
      assert.equal("Name of ann", user(browser_of(g):go(SITE .. "/")))
      issuer:script("userinfo", { status = 200, body = '{"sub":"bob","name":"Bob"}' })
      assert.equal(503, browser_of(g):go(SITE .. "/").status)
    end)

    it("knows what userinfo has said also after a renewal, and while that can't be asked", function()
      issuer:script("userinfo", { status = 200, body = '{"sub":"ann","name":"Ann"}' })
      local browser = browser_of(gateway({ userinfo = true }, { claims_to_headers = { name = "X-User" } }))
      assert.equal("Ann", user(browser:go(SITE .. "/")))
      issuer:script("userinfo", { status = 200, body = '{"sub":"ann","name":"Anna"}' })
      test.clock.advance(250)
      assert.equal("Anna", user(browser:get(SITE .. "/")))
      for _, script in ipairs { { status = 500 }, { status = 200, body = '{"sub":"bob","name":"Bob"}' } } do
        issuer:script("userinfo", script)
        test.clock.advance(250)
        assert.equal("Anna", user(browser:get(SITE .. "/")))
      end
      assert.same({ 1, 4, 4 }, { issuer:count "authorize", issuer:count "token", issuer:count "userinfo" })
    end)

    it("wants the same scopes and claims of sessions as of tokens", function()
      local response = browser_of(gateway({}, { claims = { sub = "bob" } })):go(SITE .. "/")
      assert.same({ 403, "text/html; charset=utf-8" }, { response.status, response.headers["content-type"] })
      local g = gateway({}, { claims = { sub = "ann" }, scopes = { "openid" } })
      assert.equal("ann", user(browser_of(g):go(SITE .. "/")))
    end)
  end)
end
