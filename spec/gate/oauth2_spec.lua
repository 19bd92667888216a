-- SPDX-License-Identifier: Apache-2.0

-- oauth2 over all workers of a gateway: what the issuer is asked counts once for all of them, and a reload asks nothing;
-- and tokens that are bound to the client certificate of a connection.

package.path = "./?.lua;" .. package.path

local Browser = require "spec.support.browser"
local certs = require "spec.support.certs"
local command = require "spec.support.command"
local crypto = require "demilune.crypto"
local http = require "demilune.http"
local json = require "demilune.json"
local jwt = require "demilune.jwt"
local server = require "spec.support.server"
local task = require "demilune.task"
local test = require "demilune.test"

local WORKERS, CLIENTS = 4, 32

local CONFIG = [[
routes:
  - name: all
    paths: ["/*"]
    respond: { status: 204 }
    plugins:
      - name: oauth2
        config: { issuer: "%s", audience: api, introspection: { client_id: client, client_secret: secret } }
]]

describe("oauth2 with several workers", function()
  local issuer, gateway

  before_each(function()
    issuer = test.issuer()
  end)

  after_each(function()
    gateway:stop()
  end)

  local function start()
    gateway = server.start(CONFIG:format(issuer.url), { workers = WORKERS })
  end

  -- Each on a connection of its own: all are there before one is answered, where the issuer is asked.
  local function ask_all(token_of)
    local work = {}
    for i = 1, CLIENTS do
      local token = token_of(i)
      work[i] = function()
        local url = ("http://127.0.0.1:%d/"):format(gateway.port)
        return http.get(url, { headers = { Authorization = "Bearer " .. token } }).status
      end
    end
    for _, status in ipairs(task.all(work)) do
      assert.equal(204, status)
    end
  end

  -- The gateway is another process, which knows nothing of clocks that specs have moved.
  local function token(subject)
    local now = os.time()
    return issuer:token { sub = subject, iat = now, exp = now + 300 }
  end

  it("fetches keys once, and has them after a reload", function()
    start()
    ask_all(function(i) return token("user" .. i) end)
    assert.same({ 1, 1 }, { issuer:count "metadata", issuer:count "jwks" })
    issuer:script("jwks", { status = 503 })
    gateway:configure(CONFIG:format(issuer.url) .. "  - { name: more, paths: [/more], respond: { status: 200 } }\n")
    gateway:signal "HUP"
    test.eventually(function()
      return http.get(("http://127.0.0.1:%d/more"):format(gateway.port)).status == 200
    end)
    ask_all(function(i) return token("later" .. i) end)
    assert.equal(1, issuer:count "jwks")
  end)

  it("asks once about an opaque token", function()
    start()
    local opaque = issuer:token({}, { opaque = true })
    ask_all(function() return opaque end)
    assert.equal(1, issuer:count "introspect")
  end)
end)

local SITE = "http://shop.example"
local LOGIN = [[
redis: [{ name: main, url: "%s" }]
routes:
  - name: all
    paths: ["/*"]
    respond: { status: 200, body: "{header:x-user}" }
    plugins:
      - name: oauth2
        config:
          issuer: "%s"
          claims_to_headers: { sub: X-User }
          login:
            { client_id: client, client_secret: secret, origin: "http://shop.example", plain_http: true, store: %s,
              redis: main, keys: ["a secret of thirty-two characters"] }
]]

-- Sessions of this store, renewed by many requests to these gateways at a time: once.
local function expect_one_renewal(store, ngateways, redis_url)
  local issuer = test.issuer { subject = "ann", lifetime = 5 } -- renewed after four seconds
  local gateways, browser = {}, Browser.new()
  for i = 1, ngateways do
    gateways[i] = server.start(LOGIN:format(redis_url, issuer.url, store), { workers = WORKERS })
  end
  local function use(i)
    browser.sites[SITE] = "127.0.0.1:" .. gateways[i % ngateways + 1].port
  end
  local began = os.time() -- the gateways know nothing of clocks that specs have moved
  issuer.options.claims = { iat = began, exp = began + 300 }
  use(1)
  assert.equal("ann", browser:go(SITE .. "/").body)
  issuer.options.lifetime = 300 -- of what the renewal brings
  test.eventually(function() return os.time() >= began + 6 end, nil, 20)
  local asked, work = issuer:count "token", {}
  for i = 1, CLIENTS do
    work[i] = function()
      use(i)
      return browser:get(SITE .. "/" .. i).body
    end
  end
  for _, body in ipairs(task.all(work)) do
    assert.equal("ann", body)
  end
  assert.same({ asked + 1, 1 }, { issuer:count "token", issuer:count "authorize" })
  for _, gateway in ipairs(gateways) do
    gateway:stop()
  end
end

local PLACE = [[
listeners: [{ address: 127.0.0.1:0 }]
routes:
  - name: all
    paths: ["/*"]
    respond: { status: 204 }
    plugins: [{ name: oauth2, config: { issuer: "https://id.example", login: { client_id: c, %s } } }]
]]

describe("the check of oauth2's logins", function()
  local function check(login)
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write((PLACE:format(login)))
    file:close()
    finally(function() os.remove(path) end)
    return server.run({ "check", "-c", path })
  end

  it("warns of a secret that can be guessed, and does not show it", function()
    local result = check "client_secret: gu3ssed"
    assert.equal(0, result.status)
    assert.truthy(result.err:find("client_secret: cookies of logins are sealed with it, and 7 characters", 1, true))
    assert.is_nil(result.err:find("gu3ssed", 1, true))
    for _, fine in ipairs { "client_secret: " .. ("s"):rep(32), "client_secret: x, keys: [" .. ("k"):rep(32) .. "]" } do
      assert.equal("", check(fine).err)
    end
  end)
end)

describe("oauth2's sessions", function()
  for _, store in ipairs { "memory", "cookie" } do
    it("are known to all workers, and renewed once for all: " .. store, function()
      expect_one_renewal(store, 1, "redis://127.0.0.1:1")
    end)
  end

  it("are known to all gateways by Redis, and renewed once for all", function()
    expect_one_renewal("redis", 2, test.redis().url)
  end)
end)

local BOUND = [[
listeners:
  - address: 127.0.0.1:0
    tls: { certificates: [{ cert: api.pem, key: api.key }], client_ca: ca.pem, client_auth: optional }
routes:
  - name: all
    paths: ["/*"]
    respond: { status: 200, body: "{claim:sub}" }
    plugins: [{ name: oauth2, config: { issuer: me, audience: api, keys: [{ file: keys.json }] } }]
]]

describe("oauth2 with tokens of client certificates", function()
  it("lets them pass on connections that show the certificate, and on no other", function()
    local folder, key = server.folder(), crypto.generate "ES256"
    folder:write("keys.json", json.encode { keys = { key:jwk() } })
    certs.authority(folder, "ca")
    for _, name in ipairs { "api", "ann", "bob" } do
      certs.issue(folder, name, { by = "ca", names = { "DNS:api.example" } })
    end
    local gateway = server.start(BOUND, { bare = true, folder = folder })
    local port = gateway.ports[1]
    local print = command.run({ "sh", "-c", "openssl x509 -in ann.pem -outform DER | openssl dgst -sha256 -binary | "
      .. "base64 | tr '+/' '-_' | tr -d '=\\n'" }, { dir = folder.path }).out
    local now = os.time()
    local token = jwt.sign({
      iss = "me", sub = "ann", aud = "api", iat = now, exp = now + 300, cnf = { ["x5t#S256"] = print },
    }, key, { algorithm = "ES256" })
    local function curl(...)
      return command.run({ "curl", "-sS", "--max-time", "10", "--cacert", "ca.pem", "-w", " %{http_code}", "--resolve",
        "api.example:" .. port .. ":127.0.0.1", ("https://api.example:%d/"):format(port),
        "-H", "Authorization: Bearer " .. token, ... }, { dir = folder.path }).out
    end
    assert.equal("ann 200", curl("--cert", "ann.pem", "--key", "ann.key"))
    assert.truthy(curl("--cert", "bob.pem", "--key", "bob.key"):find " 401$")
    assert.truthy(curl():find " 401$")
    gateway:stop()
    folder:remove()
  end)
end)
