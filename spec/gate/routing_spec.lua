-- SPDX-License-Identifier: Apache-2.0

-- What routing looks at besides host, path and method: how the client came, and what a CORS preflight asks for.

package.path = "./?.lua;" .. package.path

local client = require "spec.support.client"
local origin = require "spec.support.origin"
local server = require "spec.support.server"

describe("routing", function()
  local gateway, folder

  local function start(text, ...)
    gateway = server.start(text:format(...), { folder = folder })
  end

  local function request(method, path, headers)
    return client.request(gateway.port, method, path, { headers = headers })
  end

  before_each(function()
    folder = server.folder()
  end)

  after_each(function()
    gateway:stop()
    folder:remove()
  end)

  it("redirects to https only who did not come by it", function()
    start [[
trusted_proxies: [127.0.0.0/8]
routes:
  - name: to-https
    redirect: https
  - name: hello
    respond: { body: hello }
  - name: old
    paths: [/old]
    methods: [GET]
    redirect: https
  - name: gone
    hosts: [gone.example]
    redirect: https
]]
    local plain = request("GET", "/x?y=1", { Host = "a.example" })
    assert.same({ 308, "https://a.example/x?y=1" }, { plain.status, plain.headers.location })
    local by_https = { Host = "a.example", ["X-Forwarded-Proto"] = "https" }
    assert.same({ 200, "hello" }, { request("GET", "/x", by_https).status, request("GET", "/x", by_https).body })
    assert.equal(308, request("GET", "/old").status)
    assert.equal("hello", request("GET", "/old", by_https).body)
    by_https.Host = "gone.example"
    assert.equal("hello", request("GET", "/", by_https).body)
  end)

  it("reads the scheme from Forwarded, too: that of the client's element", function()
    start [[
trusted_proxies: [127.0.0.0/8]
routes:
  - name: who
    respond: { body: "{client_ip} {scheme}" }
]]
    local function who(headers) return request("GET", "/", headers).body end
    assert.equal("1.2.3.4 https", who { Forwarded = "for=1.2.3.4;host=a;proto=https" })
    assert.equal("1.2.3.4 https", who { Forwarded = 'proto=http, Proto="HTTPS";For=1.2.3.4, for=127.0.0.2;proto=http' })
    assert.equal("1.2.3.4 http", who { Forwarded = "for=1.2.3.4;proto=gopher" })
    assert.equal("1.2.3.4 https", who { Forwarded = "for=1.2.3.4", ["X-Forwarded-Proto"] = "https" })
    assert.equal("1.2.3.4 http", who { Forwarded = "for=9.9.9.9;proto=https", ["X-Forwarded-For"] = "1.2.3.4" })
  end)

  it("believes a stranger's word about https no more for that", function()
    start [[
routes:
  - name: to-https
    redirect: https
  - name: hello
    respond: { body: hello }
]]
    assert.equal(308, request("GET", "/", { ["X-Forwarded-Proto"] = "https" }).status)
    assert.equal(308, request("GET", "/", { Forwarded = "for=1.2.3.4;proto=https" }).status)
  end)

  it("lets no preflight through that the plugin could not answer", function()
    folder:write("plugins/weak/init.lua", [[
return { name = "weak", version = "1.0.0", answers_preflights = true, access = function() error "at heart" end }
]])
    local upstream = origin.listen()
    start([[
plugin_path: [plugins]
routes:
  - name: read
    methods: [GET]
    upstream: http://127.0.0.1:%d
    plugins: [{ name: weak, on_error: continue }]
]], upstream.port)
    local response = request("OPTIONS", "/", {
      Origin = "https://app.example", ["Access-Control-Request-Method"] = "GET" })
    assert.same({ 405, "GET, HEAD" }, { response.status, response.headers.allow })
    assert.is_true(upstream:is_left_alone(0.05))
    upstream:close()
  end)
end)
