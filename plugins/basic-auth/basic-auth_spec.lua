-- SPDX-License-Identifier: Apache-2.0

local crypto = require "demilune.crypto"
local task = require "demilune.task"
local test = require "demilune.test"

-- A cheap hash: what is tested here is not how slow it is.
local function hash_of(password)
  local salt = crypto.random(16)
  local key = assert(crypto.password.pbkdf2(password, salt, { digest = "sha256", iterations = 1000, length = 32 }))
  local function coded(bytes)
    return (crypto.base64(bytes):gsub("%+", "."):gsub("=", ""))
  end
  return ("$pbkdf2-sha256$1000$%s$%s"):format(coded(salt), coded(key))
end

local function basic(text)
  return { Authorization = "Basic " .. crypto.base64(text) }
end

local function consumer(name, ...)
  return { name = name, credentials = { ["basic-auth"] = { ... } } }
end

describe("basic-auth", function()
  local upstream, consumers

  setup(function()
    upstream = test.upstream(function(request) return 200, {}, request.headers["x-consumer"] or "nobody" end)
    consumers = {
      consumer("acme", { username = "ann", password_hash = hash_of "sesame" },
        { username = "anton", password_hash = hash_of "pass:word" }),
      consumer("bolt", { username = "Müller", password_hash = hash_of "größe" }),
      { name = "guest" },
    }
  end)

  local function gateway(config)
    return test.gateway { upstream = upstream, consumers = consumers,
      plugins = { { name = "basic-auth", config = config } } }
  end

  it("lets name and password of a consumer pass, and tells the upstream whose they are", function()
    local g = gateway()
    for text, name in pairs { ["ann:sesame"] = "acme", ["anton:pass:word"] = "acme", ["Müller:größe"] = "bolt" } do
      for _ = 1, 2 do -- the second time it is remembered
        assert.equal(name, g:get("/", { headers = basic(text) }).body)
      end
    end
    assert.is_nil(upstream:last().headers.authorization)
    assert.equal("acme", g:get("/", { headers = { Authorization = "bAsIc  " .. crypto.base64 "ann:sesame" } }).body)
  end)

  it("refuses what is wrong, malformed or missing, and says what it wants", function()
    local g = gateway { realm = "Reports" }
    local before = #upstream.requests
    for _, headers in ipairs {
      {}, basic "ann:Sesame", basic "ann:sesame2", basic "ann:", basic "Ann:sesame", basic "ann", basic ":sesame",
      basic "",
      basic "anton:sesame", basic "nobody:sesame", basic "ann:sesame\0", basic("ann:" .. ("x"):rep(9000)),
      { Authorization = "Basic" }, { Authorization = "Basic ???" }, { Authorization = "Bearer x" },
      { Authorization = "Basic " .. crypto.base64 "ann:sesame" .. " x" },
    } do
      for _ = 1, 2 do
        local response = g:get("/", { headers = headers })
        assert.equal(401, response.status)
        assert.equal('Basic realm="Reports", charset="UTF-8"', response.headers["www-authenticate"])
      end
    end
    assert.equal(before, #upstream.requests)
  end)

  it("answers 400 to several Authorization fields, however good", function()
    local wire = gateway():connect()
    local field = "Authorization: Basic " .. crypto.base64 "ann:sesame" .. "\r\n"
    wire:send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" .. field .. field .. "\r\n")
    assert.equal(400, wire:response("GET").status)
  end)

  it("leaves the credentials where they are, or finds them elsewhere, when told so", function()
    local headers = basic "ann:sesame"
    gateway { hide_credentials = false }:get("/", { headers = headers })
    assert.equal(headers.Authorization, upstream:last().headers.authorization)
    gateway { names = { "header:x-login" } }:get("/", { headers = { Authorization = "Bearer up",
      ["X-Login"] = headers.Authorization, ["X-Consumer"] = "bolt" } })
    assert.equal("Bearer up", upstream:last().headers.authorization)
    assert.is_nil(upstream:last().headers["x-login"])
    assert.equal("acme", upstream:last().headers["x-consumer"])
  end)

  it("counts a request without valid credentials as the anonymous consumer", function()
    local g = gateway { anonymous = "guest" }
    assert.equal("guest", g:get("/").body)
    assert.equal("guest", g:get("/", { headers = basic "ann:wrong" }).body)
    assert.is_nil(upstream:last().headers.authorization)
    assert.equal("acme", g:get("/", { headers = basic "ann:sesame" }).body)
  end)

  describe("hashes", function()
    local verify, calls, answer

    before_each(function()
      test.clock.advance(301) -- nothing is remembered of what was before
      verify, calls, answer = crypto.password.verify, {}, nil
      crypto.password.verify = function(password, hash)
        calls[#calls + 1] = hash
        if answer then
          return nil, answer
        end
        return verify(password, hash)
      end
    end)

    after_each(function() crypto.password.verify = verify end)

    -- The status of a request whose hook runs in the spec's own VM.
    local function status_of(text, config)
      local x = test.exchange {
        plugin = "basic-auth", config = config or {}, consumers = consumers, headers = basic(text),
      }
      local status = x:run "access" and x.answer.status or 200
      x:close()
      return status
    end

    it("a password once for all who bring it, right or wrong, and anew after a while", function()
      for _ = 1, 3 do
        assert.equal(200, status_of "ann:sesame")
        assert.equal(401, status_of "ann:wrong")
      end
      assert.equal(2, #calls)
      test.clock.advance(301)
      assert.equal(200, status_of "ann:sesame")
      assert.equal(3, #calls)
    end)

    it("a password each time when it is told to remember none", function()
      for _ = 1, 3 do
        assert.equal(200, status_of("ann:sesame", { remember = "0s" }))
      end
      assert.equal(3, #calls)
    end)

    it("a password once when many bring it at the same time", function()
      local password, jobs = crypto.hex(crypto.random(8)), {}
      for i = 1, 20 do
        jobs[i] = function() return status_of("ann:" .. password) end
      end
      local results = task.all(jobs)
      for i = 1, 20 do
        assert.equal(401, results[i])
      end
      assert.equal(1, #calls)
    end)

    it("the password of a name that nobody has like any other, with the same hash each time", function()
      assert.equal(401, status_of("stranger:sesame", { remember = "0s" }))
      assert.equal(401, status_of("stranger:sesame", { remember = "0s" }))
      assert.equal(2, #calls)
      assert.equal(calls[1], calls[2])
    end)

    it("a password anew when its hash is another one", function()
      local old = consumers[1].credentials["basic-auth"][1].password_hash
      assert.equal(200, status_of "ann:sesame")
      consumers[1].credentials["basic-auth"][1].password_hash = hash_of "other"
      local status = status_of "ann:sesame"
      consumers[1].credentials["basic-auth"][1].password_hash = old
      assert.equal(401, status)
    end)

    it("nothing when too many wait: 503, and the next one is verified", function()
      local text = "ann:" .. crypto.hex(crypto.random(8))
      answer = "full"
      local x = test.exchange { plugin = "basic-auth", config = {}, consumers = consumers, headers = basic(text) }
      assert.is_true(x:run "access")
      assert.equal(503, x.answer.status)
      assert.equal("1", x.answer.headers["retry-after"])
      answer = nil
      assert.equal(401, status_of(text))
    end)
  end)

  it("does not start with a password in the place of its hash, and does not show it", function()
    local function faults(credential, config)
      return test.faults { consumers = { consumer("acme", credential) },
        plugins = { { name = "basic-auth", config = config } } }
    end
    local text = faults { username = "ann", password_hash = "plain-secret" }
    assert.truthy(text:find('the password_hash of the username "ann", of the consumer "acme": no form of a', 1, true))
    assert.is_nil(text:find("plain-secret", 1, true))
    assert.matches("costs more time", faults { username = "ann",
      password_hash = "$pbkdf2-sha256$99999999$c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" })
    assert.matches("without colons", faults { username = "a:b", password_hash = hash_of "x" })
    assert.matches('"password_hash" is missing', faults { username = "a" })
    local good = { username = "ann", password_hash = hash_of "x" }
    assert.matches("config.realm", faults(good, { realm = 'a"b' }))
    assert.matches("config.names", faults(good, { names = { "query:x" } }))
    assert.matches("config.anonymous", faults(good, { anonymous = "nobody" }))
  end)
end)
