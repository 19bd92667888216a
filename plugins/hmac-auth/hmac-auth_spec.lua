-- SPDX-License-Identifier: Apache-2.0

package.path = "./?.lua;" .. package.path

local flood = require "spec.support.flood"
local crypto = require "demilune.crypto"
local test = require "demilune.test"
local time = require "demilune.time"
local base = require "demilune.plugins.hmac-auth.base"
local fields = require "demilune.plugins.hmac-auth.fields"

local SECRET = "a secret of some length"
local CONSUMERS = {
  { name = "acme", credentials = { ["hmac-auth"] = {
    { id = "acme-1", secret = SECRET }, { id = "acme-2", secret = SECRET .. "2", algorithm = "hmac-sha512" },
  } } },
  { name = "guest" },
}

local function digest_of(body)
  return ("sha-256=:%s:"):format(crypto.base64(crypto.digest("sha256", body)))
end

-- The headers of a signed request. options: method, path, query, body, id, secret, created, more (parameters), cover
-- (more components: name → value), leave_out (a component), digest ("sha256").
local count = 0
local function signed(options)
  count = count + 1
  local parts = {
    { "@method", options.method or "GET" }, { "@authority", "api.example" }, { "@path", options.path or "/x" },
    { "@query", "?" .. (options.query or "") },
  }
  local headers = { host = "api.example" }
  if options.body then
    headers["content-digest"] = digest_of(options.body)
    parts[#parts + 1] = { "content-digest", headers["content-digest"] }
  end
  for name, value in pairs(options.cover or {}) do
    parts[#parts + 1] = { name, value }
  end
  local names, lines = {}, {}
  for _, part in ipairs(parts) do
    if part[1] ~= options.leave_out then
      names[#names + 1] = ('"%s"'):format(part[1])
      lines[#lines + 1] = ('"%s": %s'):format(part[1], part[2])
    end
  end
  local input = ('(%s);created=%d;keyid="%s"%s;nonce="%d"'):format(table.concat(names, " "),
    options.created or time.now(), options.id or "acme-1", options.more or "", count)
  lines[#lines + 1] = '"@signature-params": ' .. input
  local mac = crypto.hmac(options.digest or "sha256", options.secret or SECRET, table.concat(lines, "\n"))
  headers["signature-input"] = "sig=" .. input
  headers["signature"] = ("sig=:%s:"):format(crypto.base64(mac))
  return headers
end

describe("hmac-auth", function()
  local upstream

  setup(function()
    upstream = test.upstream(function(request) return 200, {}, request.headers["x-consumer"] or "nobody" end)
  end)

  local function gateway(config)
    return test.gateway { upstream = upstream, consumers = CONSUMERS,
      plugins = { { name = "hmac-auth", config = config } } }
  end

  local function get(g, options)
    return g:request { method = options.method or "GET", path = (options.path or "/x")
      .. (options.query and "?" .. options.query or ""), headers = signed(options), body = options.body }
  end

  it("lets signed requests pass, and tells the upstream whose they are", function()
    local g = gateway()
    assert.equal("acme", get(g, {}).body)
    assert.is_nil(upstream:last().headers["signature"])
    assert.is_nil(upstream:last().headers["signature-input"])
    assert.equal("acme", get(g, { path = "/a/b", query = "c=d&e" }).body)
    assert.equal("acme", get(g, { id = "acme-2", secret = SECRET .. "2", digest = "sha512" }).body)
    assert.equal("acme", get(g, { method = "POST", body = "a body" }).body)
    assert.equal("a body", upstream:last().body)
    assert.equal("acme", get(g, { more = ';alg="hmac-sha256";expires=' .. math.floor(time.now() + 60) }).body)
    gateway({ hide_credentials = false }):get("/x", { headers = signed {} })
    assert.truthy(upstream:last().headers["signature"])
  end)

  it("knows signatures that it took, whatever floods the stores, and takes none that it could not know", function()
    local g = test.gateway {
      upstream = upstream, consumers = CONSUMERS, plugins = { { name = "hmac-auth" } },
      config = { stores = { { name = "default", size = "1MiB" }, { name = "marks", size = "64KiB" } } },
    }
    local headers = signed {}
    assert.equal(200, g:get("/x", { headers = headers }).status)
    flood.store("default", 1)
    assert.equal(401, g:get("/x", { headers = headers }).status)
    flood.marks(60)
    assert.equal(503, get(g, {}).status)
    assert.equal(401, g:get("/x", { headers = headers }).status)
  end)

  it("makes the signature of RFC 9421, B.2.5", function()
    local secret = crypto.unbase64(
      "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==")
    local values = { date = "Tue, 20 Apr 2021 02:07:55 GMT", ["content-type"] = "application/json" }
    local request = { method = "POST", scheme = "https", host = "example.com",
      headers = { all = function(_, name) return { values[name] } end } }
    local input = fields.inputs(
      'sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"')[1].value
    assert.equal("pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
      crypto.base64(crypto.hmac("sha256", secret, (base.of(request, input)))))
  end)

  it("refuses what is not signed, or signed otherwise", function()
    local g = gateway()
    local before = #upstream.requests
    local cases = {
      { {}, "A signature is needed" }, { signed { secret = SECRET .. "x" }, "not the one of this request" },
      { signed { id = "nobody" }, "not the one of this request" },
      { signed { path = "/y" }, "not the one of this request" },
      { signed { query = "a" }, "not the one of this request" },
      { signed { method = "PUT" }, "not the one of this request" },
      { signed { digest = "sha512" }, "not the one of this request" },
      { signed { more = ';alg="hmac-sha512"' }, "not the one of this request" },
      { signed { created = time.now() - 1000 }, "too old" }, { signed { created = time.now() + 1000 }, "future" },
      { signed { more = ";expires=1000" }, "expired" }, { signed { leave_out = "@path" }, 'cover "@path"' },
      { signed { cover = { ["x-missing"] = "" } }, 'component "x-missing"' },
      { signed { cover = { ["@status"] = "200" } }, 'component "@status"' },
      { { signature = "sig=:AAAA:" }, "can't be read" },
      { { signature = "sig=:AAAA:", ["signature-input"] = "sig=()" }, "keyid" },
    }
    for i, case in ipairs(cases) do
      case[1].host = "api.example"
      local response = g:get("/x", { headers = case[1] })
      assert.equal(401, response.status, i)
      assert.truthy(response.body:gsub('\\"', '"'):find(case[2], 1, true), response.body)
      assert.equal("Signature", response.headers["www-authenticate"])
      assert.equal('sig=("@method" "@authority" "@path" "@query");created;keyid', response.headers["accept-signature"])
      assert.is_nil(response.body:find(SECRET, 1, true))
    end
    assert.equal(before, #upstream.requests)
  end)

  it("takes a signature once, and more often when told so", function()
    local headers = signed {}
    local strict = gateway()
    assert.equal(200, strict:get("/x", { headers = headers }).status)
    local again = strict:get("/x", { headers = headers })
    assert.equal(401, again.status)
    assert.matches("used before", again.body)
    local lax, other = gateway { replay = "allow" }, signed {}
    assert.equal(200, lax:get("/x", { headers = other }).status)
    assert.equal(200, lax:get("/x", { headers = other }).status)
  end)

  it("does not count a wrong signature as used", function()
    local g, headers = gateway(), signed {}
    assert.equal(401, g:get("/y", { headers = headers }).status)
    assert.equal(200, g:get("/x", { headers = headers }).status)
  end)

  it("refuses a body that is not the signed one, or not signed", function()
    local g = gateway()
    local function post(headers, body) return g:post("/x", { headers = headers, body = body }) end
    assert.matches("not the one of the Content%-Digest", post(signed { method = "POST", body = "a" }, "b").body)
    assert.matches("there is a body", post(signed { method = "POST" }, "b").body)
    local unknown = signed { method = "POST", cover = { ["content-digest"] = "md5=:AAAA:" } }
    unknown["content-digest"] = "md5=:AAAA:"
    assert.equal(401, post(unknown, "b").status)
    assert.equal(200, post(signed { method = "POST", body = "" }, "").status)
    g = gateway { body_digest = false }
    assert.equal(200, post(signed { method = "POST" }, "b").status)
  end)

  it("wants the components that it is told", function()
    local g = gateway { components = { "@method", "@target-uri", "x-day" } }
    local headers = signed { cover = { ["@target-uri"] = "http://api.example/x", ["x-day"] = "Sat, Sun" } }
    headers["x-day"] = { "Sat", "Sun" }
    assert.equal(200, g:get("/x", { headers = headers }).status)
    assert.matches("@target%-uri", g:get("/x", { headers = signed {} }).body)
  end)

  it("counts a request without a valid signature as the anonymous consumer", function()
    local g = gateway { anonymous = "guest" }
    assert.equal("guest", g:get("/x").body)
    assert.equal("guest", get(g, { secret = SECRET .. "x" }).body)
    assert.equal("acme", get(g, {}).body)
  end)

  it("reads the fields strictly, and whatever comes", function()
    for _, text in ipairs {
      "", "sig", "sig=", "sig=(", 'sig=("a"', 'sig=("a" ', 'sig=("a""b")', "sig=(a)", 'sig=("a";sf)', 'sig=("a")x',
      'sig=("a"),', 'sig=("a"),,b=()', 'sig=();a=1;a=2', "sig=();=1", "sig=();A=1", 'sig=();a="\\"', "sig=(),sig=()",
      'Sig=("a")', 'sig=("a\0")', 'sig=("\200")', "sig=();a=", ("sig=();a=%s"):format(("1"):rep(5000)),
      'sig=(' .. ('"a" '):rep(33) .. ")",
    } do
      assert.is_nil(fields.inputs(text), text)
    end
    assert.same({ { key = "a", value = { items = { "x", "y" }, parameters = { b = 1, c = "d", e = true, f = "?0" },
      text = '("x" "y");b=1;c="d";e;f=?0' } } }, fields.inputs 'a=( "x"  "y" ); b=1;c="d";e;f=?0')
    for _, text in ipairs { "", "a", "a=::x", "a=:?:", "a=:AAA:", "a=AAAA", "a=:AAAA:, a=:AAAA:", "a=:AAAA:," } do
      assert.is_nil(fields.bytes(text), text)
    end
    local good = 'sig=("@method" "x");created=1618884473;keyid="k";alg="x", b=("y")'
    for i = 1, 20000 do
      local at = i % #good + 1
      fields.inputs(good:sub(1, at - 1) .. string.char(i * 7 % 256) .. good:sub(at + i % 3))
    end
  end)

  it("finds faults in credentials and config, and shows no secret", function()
    local function faults(credential, config)
      return test.faults { consumers = { { name = "a", credentials = { ["hmac-auth"] = { credential } } } },
        plugins = { { name = "hmac-auth", config = config } } }
    end
    local text = faults { id = "a", secret = "short-secret" }
    assert.matches("%.secret: ", text)
    assert.is_nil(text:find("short-secret", 1, true))
    assert.matches('"id" is missing', faults { secret = SECRET })
    assert.matches("%.algorithm: ", faults { id = "a", secret = SECRET, algorithm = "hmac-md5" })
    local good = { id = "a", secret = SECRET }
    assert.matches("config.components", faults(good, { components = { "@status" } }))
    assert.matches('signed as "@authority"', faults(good, { components = { "host" } }))
    assert.matches("config.max_age", faults(good, { max_age = "0s" }))
    assert.matches("config.anonymous", faults(good, { anonymous = "nobody" }))
  end)
end)
