-- SPDX-License-Identifier: Apache-2.0

-- Attacks on logins: what another site, another browser or the browser's own user may try.

package.path = "./?.lua;" .. package.path

local Browser = require "spec.support.browser"
local flood = require "spec.support.flood"
local crypto = require "demilune.crypto"
local json = require "demilune.json"
local socket = require "demilune.socket"
local test = require "demilune.test"
local url = require "demilune.url"

local SITE = "https://shop.example"
local KEYS = { ("k"):rep(32) }

describe("oauth2 login under attack", function()
  local issuer, upstream

  before_each(function()
    upstream = test.upstream(function(request) return 200, {}, request.headers["x-user"] or "nobody" end)
    issuer = test.issuer { subject = "ann" }
  end)

  local function gateway(more, config)
    local login = { client_id = "client", client_secret = "secret", origin = SITE }
    for name, value in pairs(more or {}) do
      login[name] = value or nil
    end
    return test.gateway { upstream = upstream, config = config, plugins = { { name = "oauth2", config = {
      issuer = issuer.url, login = login, claims_to_headers = { sub = "X-User" },
    } } } }
  end

  local function browser_of(g)
    return Browser.new { [SITE] = g.address }
  end

  -- Goes as far as the issuer: the URL to come back by, and the nonce.
  local function begin(browser, path)
    local response = browser:get(SITE .. (path or "/"))
    assert.equal(303, response.status)
    local to = response.headers.location
    return browser:get(to).headers.location, url.parse_query(to:match "%?(.*)$").nonce
  end

  local function with(callback, values)
    local base, query = callback:match "^([^?]*)%?(.*)$"
    query = url.parse_query(query)
    for name, value in pairs(values) do
      query[name] = value or nil
    end
    return base .. "?" .. url.query(query)
  end

  local function session_of(browser)
    for name, cookie in pairs(browser:jar(SITE)) do
      if name:find "^__Host%-demilune%-%x+$" then
        return cookie.value, name
      end
    end
  end

  local function cookies_of(browser)
    local cookies = {}
    for name, cookie in pairs(browser:jar(SITE)) do
      cookies[name] = cookie
    end
    return cookies
  end

  it("never leaves the site after a login", function()
    local browser = browser_of(gateway())
    for _, path in ipairs { "//evil.example/x", "//evil.example", "/%5Cevil.example", "/%2F%2Fevil.example",
      "/.%2F/evil", "/?next=//evil.example", "/%09/evil.example", "/https://evil.example", "/@evil.example",
      "/x//evil.example/.." } do
      browser.jars = {}
      local response, where = browser:go(SITE .. path)
      assert.equal("ann", response.body, path)
      assert.equal(SITE .. "/", where:sub(1, #SITE + 1))
    end
  end)

  it("refuses a state of another browser, and one that nobody has begun", function()
    local g = gateway()
    local attacker, victim = browser_of(g), browser_of(g)
    local callback = begin(attacker)
    local response = victim:get(callback)
    assert.same({ 400, nil }, { response.status, response.headers["set-cookie"] })
    begin(victim)
    assert.equal(400, victim:get(callback).status)
    assert.equal(400, victim:get(with(callback, { state = ("x"):rep(43) })).status)
    local own = begin(victim)
    local state = url.parse_query(own:match "%?(.*)$").state
    assert.equal(400, victim:get(with(own, { state = state:sub(1, 8) .. ("x"):rep(35) })).status)
    assert.equal(400, victim:get(with(callback, { state = "" })).status)
    assert.equal(400, victim:get(with(callback, { state = false })).status)
    assert.equal(0, issuer:count "token")
    assert.equal(303, attacker:get(callback).status)
  end)

  it("takes no longer for the spaces in cookies", function()
    local cookies = require("demilune.plugins.oauth2.login.cookies").new("login")
    local function split(text)
      local before = os.clock()
      local own, others = cookies:split { request = { headers = { all = function() return { text } end } } }
      assert.is_true(os.clock() - before < 1)
      return own, others
    end
    local spaces = (" "):rep(30000)
    for _, pair in ipairs { "a" .. spaces .. "b", "a=1" .. spaces .. "2", "a" .. spaces .. "=1" } do
      local own, others = split(" __Host-login = mine;" .. spaces .. pair .. spaces .. ";" .. spaces)
      assert.same({ { [""] = "mine" }, pair }, { own, (others:gsub("; $", "")) })
    end
  end)

  it("takes a state and a code once, also with the cookie put back", function()
    local browser = browser_of(gateway())
    local callback = begin(browser)
    local cookies = cookies_of(browser)
    assert.equal(303, browser:get(callback).status)
    local back = browser:get(callback)
    assert.same({ 303, SITE .. "/" }, { back.status, back.headers.location })
    browser.jars[SITE] = cookies
    assert.equal(400, browser:get(callback).status)
    assert.equal(1, issuer:count "token")
  end)

  local SMALL = { stores = { { name = "default", size = "1MiB" }, { name = "marks", size = "64KiB" } } }

  it("takes a state once, whatever floods another store", function()
    local browser = browser_of(gateway(nil, SMALL))
    local callback = begin(browser)
    local cookies = cookies_of(browser)
    assert.equal(303, browser:get(callback).status)
    flood.store("default", 1)
    browser.jars[SITE] = cookies
    assert.equal(400, browser:get(callback).status)
    assert.equal(1, issuer:count "token")
  end)

  it("lets nobody log in while it could not know a state again", function()
    local browser = browser_of(gateway(nil, SMALL))
    local callback = begin(browser)
    flood.marks(60)
    assert.equal(503, browser:get(callback).status)
    assert.equal(0, issuer:count "token")
    test.clock.advance(61)
    assert.equal(303, browser:get(callback).status)
  end)

  it("has no room taken by logins that have failed", function()
    local browser = browser_of(gateway(nil, SMALL))
    issuer:script("token", { status = 400, body = '{"error":"invalid_grant"}' })
    for i = 1, 700 do
      browser.jars = {}
      local callback = begin(browser)
      local response = browser:get(i % 2 == 0 and callback or with(callback, { code = false, error = "access_denied" }))
      assert.equal(i % 2 == 0 and 400 or 403, response.status)
    end
    issuer:script("token", nil)
    assert.equal(303, browser:get((begin(browser))).status)
  end)

  it("lets several tabs log in side by side, and bounds how many", function()
    local browser = browser_of(gateway())
    local first, second = begin(browser, "/a"), begin(browser, "/b")
    assert.equal(SITE .. "/b", browser:get(second).headers.location)
    browser:jar(SITE)[select(2, session_of(browser))] = nil
    assert.equal(SITE .. "/a", browser:get(first).headers.location)
    browser.jars = {}
    for i = 1, 20 do
      test.clock.advance(1)
      begin(browser, "/" .. i)
    end
    local count = 0
    for _ in pairs(browser:jar(SITE)) do
      count = count + 1
    end
    assert.is_true(count <= 5, count .. " cookies")
  end)

  it("lets a login take no longer than ten minutes", function()
    local browser = browser_of(gateway())
    local callback = begin(browser)
    test.clock.advance(601)
    assert.equal(400, browser:get(callback).status)
  end)

  it("begins a session of a new id, and ends the one of before", function()
    local g = gateway()
    local browser, other = browser_of(g), browser_of(g)
    browser:go(SITE .. "/")
    local before, name = session_of(browser)
    other:jar(SITE)[name] = { value = before, attributes = "" }
    browser:jar(SITE)[name] = nil
    local callback = begin(browser)
    browser:jar(SITE)[name] = { value = before, attributes = "" }
    assert.equal(303, browser:get(callback).status)
    assert.not_equal(before, (session_of(browser)))
    assert.equal(303, other:get(SITE .. "/").status)
    for _, fixed in ipairs { ("A"):rep(43), "", "x", ("x"):rep(10000) } do
      other.jars[SITE] = { [name] = { value = fixed, attributes = "" } }
      assert.equal("ann", other:go(SITE .. "/").body)
      assert.not_equal(fixed, (session_of(other)))
    end
  end)

  it("takes a cookie that was changed anywhere, or is of another login, for none", function()
    local g = gateway { store = "cookie", keys = KEYS }
    local browser = browser_of(g)
    browser:go(SITE .. "/")
    local value, name = session_of(browser)
    for i = 1, #value, 7 do
      local letter = value:sub(i, i)
      browser:jar(SITE)[name].value = value:sub(1, i - 1) .. (letter == "A" and "B" or "A") .. value:sub(i + 1)
      assert.equal(303, browser:get(SITE .. "/").status, "changed at " .. i)
    end
    for _, text in ipairs { "", "1.", "9." .. value, "0.x", "4." .. value:sub(3), value:sub(1, -2), value .. "A",
      "1" } do
      browser:jar(SITE)[name].value = text
      assert.equal(303, browser:get(SITE .. "/").status)
    end
    browser:jar(SITE)[name].value = value
    assert.equal(200, browser:get(SITE .. "/").status)
    browser.sites[SITE] = gateway({
      store = "cookie", keys = { ("o"):rep(32) }, cookie = name:match "__Host%-(.*)",
    }).address
    assert.equal(303, browser:get(SITE .. "/").status)
  end)

  it("opens what older keys have sealed, and seals with the first", function()
    local one = { store = "cookie", keys = KEYS }
    local both = { store = "cookie", keys = { ("n"):rep(32), KEYS[1] }, idle_timeout = "2m" }
    local browser = browser_of(gateway(one))
    browser:go(SITE .. "/")
    browser.sites[SITE] = gateway(both).address
    assert.equal("ann", browser:get(SITE .. "/").body)
    test.clock.advance(60)
    assert.equal("ann", browser:get(SITE .. "/").body)
    browser.sites[SITE] = gateway({ store = "cookie", keys = { ("n"):rep(32) } }).address
    assert.equal("ann", browser:get(SITE .. "/").body)
  end)

  it("spreads a large session over cookies, and refuses one that is too large", function()
    local g = gateway { store = "cookie", keys = KEYS }
    issuer.options.claims = { groups = ("g"):rep(6000) }
    local browser = browser_of(g)
    assert.equal("ann", browser:go(SITE .. "/").body)
    local count = 0
    for name, cookie in pairs(browser:jar(SITE)) do
      assert.is_true(#name + #cookie.value <= 4096)
      count = count + 1
    end
    assert.is_true(count >= 3)
    local _, name = session_of(browser)
    browser:jar(SITE)[name .. "-2"] = nil
    assert.equal(303, browser:get(SITE .. "/").status)
    issuer.options.claims = { groups = ("g"):rep(11300) }
    browser.jars = {}
    local response = browser:go(SITE .. "/")
    assert.equal(500, response.status)
    assert.truthy(response.body:find("does not fit", 1, true))
    issuer.options.claims = nil
  end)

  it("refuses an answer of another issuer", function()
    local browser = browser_of(gateway())
    assert.equal(400, browser:get(with(begin(browser), { iss = "https://evil.example" })).status)
    assert.equal(0, issuer:count "token")
  end)

  it("takes no state of a login at another issuer of the same site", function()
    local second = test.issuer()
    local function place(of, path)
      return { name = "oauth2", config = { issuer = of.url, login = {
        client_id = "client", client_secret = "secret", origin = SITE, redirect_path = path .. "/back", cookie = "same",
      } } }
    end
    local g = test.gateway { config = { routes = {
      { name = "a", paths = { "/a/*" }, upstream = upstream.url, plugins = { place(issuer, "/a") } },
      { name = "b", paths = { "/b/*" }, upstream = upstream.url, plugins = { place(second, "/b") } },
    } } }
    local browser = browser_of(g)
    local callback = begin(browser, "/a/x")
    local elsewhere = with(callback, { iss = second.url }):gsub("/a/back", "/b/back")
    assert.equal(400, browser:get(elsewhere).status)
    assert.equal(400, browser:get((with(callback, { iss = false }):gsub("/a/back", "/b/back"))).status)
    assert.same({ 0, 0 }, { issuer:count "token", second:count "token" })
    assert.equal(303, browser:get(callback).status)
  end)

  it("refuses ID tokens that are not for this login", function()
    local g = gateway()
    local function answer_with(claims, options)
      issuer:script("token", function()
        options = options or {}
        options.type = options.type or "JWT"
        local token = issuer:token(claims, options)
        return 200, { ["Content-Type"] = "application/json" },
          ('{"access_token":"a","token_type":"Bearer","id_token":"%s"}'):format(token)
      end)
    end
    for _, case in ipairs { { { aud = "client", nonce = json.null } }, { { aud = "client", nonce = "x" } },
      { { aud = "other" } }, { { aud = "client", iss = "https://evil.example" } }, { { aud = { "client", "other" } } },
      { { aud = "client", azp = "other" } }, { { aud = "client" }, { lifetime = -100 } },
      { { aud = "client" }, { key = crypto.generate "ES256" } }, { { aud = "client" }, { type = "at+jwt" } },
      { { aud = "client" }, { type = "logout+jwt" } }, { { aud = "client", events = { x = {} } } } } do
      local browser = browser_of(g)
      local callback, nonce = begin(browser)
      case[1].nonce = case[1].nonce or nonce
      answer_with(case[1], case[2])
      local response = browser:get(callback)
      assert.equal(400, response.status)
      assert.is_nil((session_of(browser)))
    end
    local browser = browser_of(g)
    local callback, nonce = begin(browser)
    answer_with { aud = { "client", "other" }, azp = "client", nonce = nonce }
    assert.equal(303, browser:get(callback).status)
  end)

  it("says what the issuer has refused, and begins no other login by itself", function()
    local g = gateway { parameters = { prompt = "none" } }
    for error, status in pairs { login_required = 400, access_denied = 403, temporarily_unavailable = 503,
      ["<script>"] = 400 } do
      issuer:script("authorize", function(request)
        local query = url.parse_query(request.query)
        return 302, { Location = query.redirect_uri .. "?" .. url.query {
          error = error, error_description = "<b>x</b>", state = query.state, iss = issuer.url,
        } }, ""
      end)
      local browser = browser_of(g)
      local response = browser:go(SITE .. "/")
      assert.equal(status, response.status)
      assert.is_nil(response.body:find("<b>", 1, true))
      assert.is_nil(response.body:find("<script>", 1, true))
      assert.equal("none", url.parse_query(browser.trail[2]).prompt)
    end
  end)

  it("sends nobody in circles who keeps no session", function()
    local browser = browser_of(gateway())
    local keep = browser.keep
    function browser:keep(origin, field)
      if not field:find "^__Host%-demilune%-%x+=" then
        keep(self, origin, field)
      end
    end
    local response = browser:go(SITE .. "/")
    assert.equal(400, response.status)
    assert.truthy(response.body:find("Signing in does not hold", 1, true))
    assert.equal(3, issuer:count "authorize")
    browser.keep = nil
    browser.jars = {}
    assert.equal("ann", browser:go(SITE .. "/").body)
    browser.jars = {}
    function browser.keep() end
    assert.equal(400, browser:go(SITE .. "/").status)
  end)

  it("lets no other site log anybody out", function()
    local browser = browser_of(gateway())
    browser:go(SITE .. "/")
    local out = SITE .. "/oauth2/logout"
    for _, headers in ipairs { { ["Sec-Fetch-Site"] = "cross-site" }, { ["Sec-Fetch-Site"] = "same-site" },
      { Referer = "https://evil.example/" .. SITE }, { Referer = SITE .. ".evil.example/" }, {} } do
      local response = browser:get(out, headers)
      assert.equal(200, response.status)
      assert.truthy(response.body:find('<form method="post" action="/oauth2/logout">', 1, true))
    end
    for _, headers in ipairs { { Origin = "https://evil.example" }, { Origin = "null" }, {},
      { ["Sec-Fetch-Site"] = "none" }, { ["Sec-Fetch-Site"] = "cross-site", Origin = SITE } } do
      assert.equal(403, browser:request("POST", out, headers).status)
    end
    assert.equal("ann", browser:get(SITE .. "/").body)
    assert.equal(303, browser:request("POST", out, { ["Sec-Fetch-Site"] = "same-origin", Origin = SITE }).status)
    assert.equal(303, browser:get(SITE .. "/").status)
  end)

  it("takes answers only as the issuer gives them", function()
    local browser = browser_of(gateway())
    local callback = begin(browser)
    assert.equal(400, browser:request("POST", callback).status)
    assert.equal(400, browser:get(callback .. "&code=other").status)
    assert.equal(400, browser:get(with(callback, { code = ("x"):rep(5000) })).status)
    assert.equal(303, browser:get(callback).status)
    callback = begin(browser_of(gateway()))
    assert.equal(400, browser_of(gateway()):get(with(callback, { code = false })).status)
  end)

  it("logs nobody in without TLS, unless told so", function()
    local g = gateway { origin = "http://shop.example" }
    local browser = Browser.new { ["http://shop.example"] = g.address }
    local response = browser:go "http://shop.example/"
    assert.equal(400, response.status)
    assert.truthy(response.body:find("needs https", 1, true))
    browser.sites["http://shop.example"] = gateway({ origin = "http://shop.example", plain_http = true }).address
    assert.equal("ann", browser:go("http://shop.example/").body)
    for name, cookie in pairs(browser:jar "http://shop.example") do
      assert.is_nil(name:find "__Host")
      assert.truthy(cookie.attributes:find "; HttpOnly; SameSite=Lax$" or cookie.attributes:find "Max%-Age")
    end
  end)

  it("knows by a trusted proxy that there is TLS, and where it is", function()
    local https = { ["X-Forwarded-Proto"] = "https" }
    local g = gateway({ origin = false }, { trusted_proxies = { "127.0.0.1" } })
    local browser = browser_of(g)
    local response, where = browser:go(SITE .. "/a", https)
    assert.same({ "ann", SITE .. "/a" }, { response.body, where })
    assert.equal(SITE .. "/oauth2/callback", url.parse_query(browser.trail[2]).redirect_uri)
    browser = browser_of(gateway { origin = false })
    assert.equal(400, browser:get(SITE .. "/a", https).status)
  end)

  it("refuses an answer that does not say of which issuer it is, where issuers do", function()
    local browser = browser_of(gateway())
    assert.equal(303, browser:get(with(begin(browser), { iss = false })).status)
    issuer:script("metadata", function()
      return 200, {}, json.encode {
        issuer = issuer.url, authorization_endpoint = issuer.url .. "/authorize",
        token_endpoint = issuer.url .. "/token", jwks_uri = issuer.url .. "/jwks",
        authorization_response_iss_parameter_supported = true,
      }
    end)
    browser = browser_of(gateway())
    local response = browser:get(with(begin(browser), { iss = false }))
    assert.equal(400, response.status)
    assert.truthy(response.body:find("another identity provider", 1, true))
    assert.equal(303, browser:get((begin(browser))).status)
  end)

  it("links to no other site on its pages", function()
    issuer:script("metadata", { status = 503 })
    local response = browser_of(gateway()):get(SITE .. "//evil.example/")
    assert.equal(503, response.status)
    assert.equal(SITE .. "//evil.example/", response.body:match 'href="([^"]*)"')
  end)

  it("shows pages that can't be framed and run no scripts", function()
    local response = browser_of(gateway()):get(SITE .. "/oauth2/callback?state=x")
    assert.truthy(response.headers["content-security-policy"]:find "default%-src 'none'.*frame%-ancestors 'none'")
    assert.equal("no-store", response.headers["cache-control"])
  end)

  it("finds faults of the configuration", function()
    local function fault(login, want, more)
      local config = { issuer = "https://id.example", login = login }
      for name, value in pairs(more or {}) do
        config[name] = value
      end
      local text = test.faults { plugins = { { name = "oauth2", config = config } } }
      assert.truthy(text and text:find(want, 1, true), want .. " is not in " .. tostring(text))
    end
    fault({ client_id = "c", store = "cookie", client_secret = "s" }, "login.keys: missing")
    fault({ client_id = "c" }, "login.keys: missing")
    fault({ client_id = "c", keys = { "short" } }, "login.keys[0]")
    fault({ client_id = "c", client_secret = "s", store = "redis" }, "login.redis: missing")
    fault({ client_id = "c", client_secret = "s", store = "redis", redis = "no" },
      "login.redis: the configuration has no")
    fault({ client_id = "c", client_secret = "s", memory = "no" }, "login.memory: the configuration has no")
    fault({ client_id = "c", client_secret = "s", redirect_path = "//evil.example" }, "login.redirect_path")
    fault({ client_id = "c", client_secret = "s", after_logout = "https://evil.example" }, "login.after_logout")
    fault({ client_id = "c", client_secret = "s", redirect_path = "/a", logout_path = "/a" }, "login.logout_path")
    fault({ client_id = "c", client_secret = "s", parameters = { state = "x" } }, "login.parameters")
    fault({ client_id = "c", client_secret = "s", cookie = "a=b" }, "login.cookie")
    fault({ client_id = "c", client_secret = "s" }, "login.issuer: missing",
      { issuer = { { issuer = "https://a.example" }, { issuer = "https://b.example" } }, audience = "x" })
  end)

  it("wants to be told the host where nothing else says the site", function()
    local g = gateway { origin = false, plain_http = true }
    for _, path in ipairs { "/", "/oauth2/callback?code=a&state=b", "/oauth2/logout" } do
      local s = assert(socket.connect(g.address))
      s:write("GET " .. path .. " HTTP/1.0\r\nAccept: text/html\r\n\r\n")
      assert.matches("^HTTP/1.1 400", s:read_all(10000))
      s:close()
    end
  end)

  it("lets userinfo say neither the client nor its scopes", function()
    issuer:script("userinfo", { status = 200, body = '{"sub":"ann","client_id":"root","scope":"admin"}' })
    local g = test.gateway { upstream = upstream, plugins = { { name = "oauth2", config = {
      issuer = issuer.url, claims_to_headers = { client_id = "X-User" },
      login = { client_id = "client", client_secret = "secret", origin = SITE, userinfo = true },
    } } } }
    assert.equal("client", browser_of(g):go(SITE .. "/").body)
    g = test.gateway { upstream = upstream, plugins = { { name = "oauth2", config = {
      issuer = issuer.url, scopes = { "admin" },
      login = { client_id = "client", client_secret = "secret", origin = SITE, userinfo = true },
    } } } }
    assert.equal(403, browser_of(g):go(SITE .. "/").status)
  end)

  it("begins no session with an access token that no header could have", function()
    local g = gateway { pass_token = true }
    local browser = browser_of(g)
    local callback, nonce = begin(browser)
    local token = issuer:token({ aud = "client", nonce = nonce }, { type = "JWT" })
    issuer:script("token", { status = 200, body = json.encode {
      access_token = "a\r\nX-User: root", token_type = "Bearer", id_token = token } })
    assert.equal(503, browser:get(callback).status)
    assert.equal(303, browser:get(SITE .. "/").status)
  end)

  it("keeps cookies that were logged out so, whatever floods another store", function()
    local browser = browser_of(gateway({ store = "cookie", keys = KEYS }, SMALL))
    browser:go(SITE .. "/")
    local before = cookies_of(browser)
    browser:get(SITE .. "/oauth2/logout", { ["Sec-Fetch-Site"] = "same-origin" })
    flood.store("default", 1)
    browser.jars[SITE] = before
    assert.equal(303, browser:get(SITE .. "/").status)
  end)

  it("does not say that somebody is logged out whose cookie is still good", function()
    local browser = browser_of(gateway({ store = "cookie", keys = KEYS }, SMALL))
    browser:go(SITE .. "/")
    flood.marks(60)
    assert.equal(503, browser:get(SITE .. "/oauth2/logout", { ["Sec-Fetch-Site"] = "same-origin" }).status)
    assert.equal("ann", browser:get(SITE .. "/").body)
  end)
end)
