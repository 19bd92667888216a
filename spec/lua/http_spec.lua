-- SPDX-License-Identifier: Apache-2.0

local http = require "demilune.http"
local task = require "demilune.task"
local test = require "demilune.test"

describe("http", function()
  local echo

  setup(function()
    echo = test.upstream(function(request)
      return 200, { ["X-Method"] = request.method, ["Set-Cookie"] = { "a=1", "b=2" }, ["X-Two"] = { "1", "2" } },
        request.target .. "|" .. request.body
    end)
  end)

  it("asks and answers", function()
    local response = assert(http.get(echo.url .. "/a?b=1", { headers = { ["X-A"] = "1" }, query = { c = "2 3" } }))
    assert.equal(200, response.status)
    assert.equal("/a?b=1&c=2+3|", response.body)
    assert.equal("GET", response.headers["x-method"])
    assert.equal("1, 2", response.headers["X-TWO"])
    assert.equal("a=1", response.headers["set-cookie"])
    assert.same({ "a=1", "b=2" }, response.headers:all "set-cookie")
    assert.equal("1", echo:last().headers["x-a"])
    assert.equal(echo.address, echo:last().headers.host)
  end)

  it("sends bodies, also large ones and tables", function()
    local large = ("x"):rep(3 * 2 ^ 20)
    local response = assert(http.post(echo.url .. "/p", { body = large, max_body = 4 * 2 ^ 20 }))
    assert.equal("/p|" .. large, response.body)
    http.put(echo.url, { body = { a = 1 } })
    assert.equal('{"a":1}', echo:last().body)
    assert.equal("application/json", echo:last().headers["content-type"])
  end)

  it("uses its connections again", function()
    local before = echo.connections
    for _ = 1, 5 do
      assert(http.get(echo.url))
    end
    assert.is_true(echo.connections - before <= 1)
  end)

  it("asks several at once", function()
    local here = 0
    local meeting = test.upstream(function()
      here = here + 1
      repeat until here == 3 or not task.sleep(0.001)
      return 200
    end)
    local function ask()
      return assert(http.get(meeting.url)).status
    end
    assert.same({ 200, 200, 200 }, (task.all { ask, ask, ask }))
  end)

  it("takes a new connection when the kept one has been closed", function()
    local closing = test.upstream { body = "1" }
    assert(http.get(closing.url))
    for socket in pairs(closing.sockets) do
      socket:reset()
    end
    assert.equal(200, assert(http.get(closing.url)).status)
  end)

  it("says what went wrong", function()
    assert.same({ nil, "refused" }, { http.get "http://127.0.0.1:1/" })
    assert.same({ nil, "syntax" }, { http.get "nonsense" })
    assert.same({ nil, "refused" }, { http.get "https://127.0.0.1:1/" })
    local function failure(script, options)
      return { http.get(test.upstream(script).url, options) }
    end
    assert.same({ nil, "timeout" }, failure({ stall = "head" }, { timeout = 0.05 }))
    assert.same({ nil, "timeout" }, failure({ stall = "body", body = "half" }, { timeout = 0.05 }))
    assert.same({ nil, "protocol" }, failure { garbage = "HELLO\r\n\r\n" })
    assert.same({ nil, "reset" }, failure { reset = "head" })
    assert.same({ nil, "body_too_large" }, failure({ body = ("x"):rep(100) }, { max_body = 99 }))
    assert.same({ nil, "bad_argument" }, { http.get(echo.url, { headers = { ["X-A"] = "a\r\nX-B: 1" } }) })
    assert.same({ nil, "bad_argument" }, { http.get(echo.url, { headers = { ["Content-Length"] = "5" } }) })
    assert.same({ nil, "bad_argument" }, { http.request { url = echo.url, method = "NONE" } })
    local response, err = http.get(test.upstream({ truncate = 2, body = "four" }).url)
    assert.is_nil(response)
    assert.truthy(err == "closed" or err == "reset" or err == "protocol")
  end)

  it("raises for an option that does not exist", function()
    local function refused(message, call, ...)
      local ok, err = pcall(call, ...)
      assert.is_false(ok)
      assert.matches("^spec/lua/http_spec.lua:%d+: ", err)
      assert.matches(message, err, 1, true)
    end
    refused('http.request has no option "timout", did you mean "timeout"?', function()
      http.get(echo.url, { timout = 1 })
    end)
    refused('http.request has no option "follow"', function() http.request { url = echo.url, follow = true } end)
    refused('http.open has no option "body"', function() http.open { url = echo.url, body = "b" } end)
    refused('http.request\'s tls has no option "verfy", did you mean "verify"?', function()
      http.get("https://127.0.0.1:1/", { tls = { verfy = false } })
    end)
    refused('socket.connect has no option "tsl", did you mean "tls"?', function()
      require("demilune.socket").connect("127.0.0.1", 1, { tsl = true })
    end)
  end)

  describe("where a name has several addresses", function()
    local listener = require("demilune.socket").listen
    local port, plain -- of 127.0.0.1, where somebody does not speak TLS; nobody is at [::1]

    before_each(function()
      plain = assert(listener "127.0.0.1:0")
      port = plain:port()
      task.spawn(function()
        for _ = 1, 5 do
          local s = plain:accept(60)
          if not s then
            return
          end
          s:read()
          s:write "HTTP/1.1 400 Bad Request\r\n\r\n"
          s:close()
        end
      end)
    end)

    after_each(function()
      plain:close()
    end)

    it("goes to the next one when nobody is at the first", function()
      local six = assert(listener "[::1]:0")
      local server = task.spawn(function()
        local s = assert(six:accept(5))
        s:read_until "\r\n\r\n"
        s:write "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nv6"
        s:close()
      end)
      assert.equal("v6", assert(http.get(("http://localhost:%d/"):format(six:port()))).body)
      server:join()
      six:close()
    end)

    it("says what was wrong with the one that answered", function()
      assert.same({ nil, "tls" }, { http.get(("https://localhost:%d/"):format(port), { connect_timeout = 10 }) })
    end)

    it("says the same of upstreams, whichever comes first", function()
      local log = os.tmpname()
      local gateway = test.gateway {
        config = { upstreams = { {
          name = "up", endpoints = { { address = "localhost:" .. port } }, connect_timeout = "20s",
          tls = { verify = false },
          health = { passive = { max_ejected = "0%" } },
        } } },
        upstream = "up",
        plugins = { { name = "access-log", config = { to = log, fields = { error = "{error}" } } } },
      }
      for _ = 1, 4 do
        assert.equal(502, gateway:get("/").status)
      end
      local lines = test.eventually(function()
        local text = io.open(log):read "*a"
        return select(2, text:gsub("\n", "")) == 4 and text
      end)
      os.remove(log)
      assert.equal(('{"error":"tls"}\n'):rep(4), lines)
    end)
  end)

  it("never goes where outbound.deny forbids it", function()
    assert.same({ nil, "denied" }, { http.get("http://169.254.169.254/latest", { timeout = 0.5 }) })
    assert.same({ nil, "denied" }, { http.get("http://[fe80::1]/", { timeout = 0.5 }) })
  end)

  it("can be cancelled", function()
    local stalled = test.upstream { stall = "head" }
    local call = task.spawn(function() return http.get(stalled.url) end)
    test.eventually(function() return #stalled.requests > 0 end)
    call:cancel()
    assert.same({ nil, "cancelled" }, { call:join() })
    assert.equal(200, http.get(echo.url).status)
  end)

  it("follows redirects only when asked, and keeps credentials at home", function()
    local other = test.upstream(function(request)
      return 200, {}, request.method .. (request.headers.authorization or "-")
    end)
    local first = test.upstream(function(request)
      if request.path == "/far" then
        return 302, { Location = other.url .. "/x" }
      elseif request.path == "/near" then
        return 307, { Location = "here" }
      elseif request.path == "/loop" then
        return 302, { Location = "/loop" }
      end
      return 200, {}, request.method .. request.path .. (request.headers.authorization or "-")
    end)
    local options = { redirects = 3, headers = { Authorization = "secret" }, body = "b" }
    assert.equal(302, http.get(first.url .. "/far").status)
    assert.equal("GET-", http.post(first.url .. "/far", options).body)
    assert.equal("POST/heresecret", http.post(first.url .. "/near", options).body)
    assert.equal(302, http.get(first.url .. "/loop", { redirects = 3 }).status)
  end)

  it("is there for plugins, with the configured upstreams", function()
    local folder = os.tmpname()
    os.remove(folder)
    require("pl.dir").makepath(folder .. "/caller")
    local file = assert(io.open(folder .. "/caller/init.lua", "w"))
    file:write [[
      local http = require "demilune.http"
      local Caller = { name = "caller", version = "1.0.0" }
      Caller.__index = Caller
      function Caller.new() return setmetatable({}, Caller) end
      function Caller:access(exchange)
        local response, err = http.request { upstream = "side", path = exchange.request.path }
        exchange:reply(200, {}, response and response.body or err)
      end
      return Caller
    ]]
    file:close()
    local gateway = test.gateway {
      plugin_path = { folder }, plugins = { "caller" },
      config = { upstreams = { { name = "side", endpoints = { { address = echo.address } } } } },
    }
    assert.equal("/from-a-hook|", gateway:get("/from-a-hook").body)
    require("pl.dir").rmtree(folder)
  end)
end)

describe("dns", function()
  local dns = require "demilune.dns"

  it("resolves what needs no server", function()
    local addresses, ttl = dns.resolve "127.0.0.1"
    assert.same({ "127.0.0.1" }, addresses)
    assert.equal("number", type(ttl))
    assert.is_true(#assert(dns.resolve "localhost") >= 1)
  end)
end)
