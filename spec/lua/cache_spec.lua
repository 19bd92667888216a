-- Values on two levels, with a real redis-server as the second.

local cache = require "demilune.cache"
local redis = require "demilune.redis"
local store = require "demilune.store"
local task = require "demilune.task"
local test = require "demilune.test"

describe("a cache", function()
  local server, calls

  setup(function() server = test.redis() end)

  before_each(function()
    server:command "FLUSHALL"
    calls = 0
  end)

  local count = 0

  -- One under a name that no other test has.
  local function new(options)
    count = count + 1
    options = options or {}
    options.name = options.name or "c" .. count
    return cache.new(options)
  end

  -- As if this node had never had it in memory.
  local function forget(c, key)
    store.use():delete(c.prefix .. key)
  end

  local function giving(...)
    local n, values = select("#", ...), { ... }
    return function()
      calls = calls + 1
      return unpack(values, 1, n)
    end
  end

  it("keeps what was made, as what it was", function()
    local c = new()
    local values = { text = "v", number = 1.5, yes = true, no = false, table = { a = { 1, 2 } }, digits = "1" }
    for key, value in pairs(values) do
      assert.same(value, (c:get(key, giving(value))))
      assert.same(value, (c:get(key, error)))
    end
    assert.equal(6, calls)
  end)

  it("gives a table of one's own", function()
    local c = new()
    c:get("k", giving { n = 1 }).n = 2
    assert.equal(1, c:get("k", error).n)
  end)

  it("makes a value once for all who want it", function()
    local c = new()
    local function slow()
      calls = calls + 1
      task.sleep(0.05)
      return "v"
    end
    local list = {}
    for i = 1, 20 do
      list[i] = function() return c:get("k", slow) end
    end
    local results = task.all(list)
    for i = 1, 20 do
      assert.equal("v", results[i])
    end
    assert.equal(1, calls)
  end)

  it("remembers that there is none, for as long as it is told", function()
    local c = new { negative_ttl = 60 }
    assert.same({ nil, "not_found" }, { c:get("k", giving(nil)) })
    assert.same({ nil, "not_found" }, { c:get("k", giving "v") })
    assert.equal(1, calls)
    local forgetful = new()
    assert.same({ nil, "not_found" }, { forgetful:get("k", giving(nil)) })
    assert.equal("v", (forgetful:get("k", giving "v")))
  end)

  it("hands errors on, and does not keep them", function()
    local c = new { negative_ttl = 60 }
    assert.same({ nil, "timeout", "of the service" }, { c:get("k", giving(nil, "timeout", "of the service")) })
    assert.has_error(function() c:get("k", function() error("no luck", 0) end) end, "no luck")
    assert.equal("v", (c:get("k", giving "v")))
  end)

  it("takes the time from what makes the value", function()
    local c = new()
    assert.equal("v", (c:get("never", giving("v", 0))))
    assert.equal("w", (c:get("never", giving("w", 0))))
    assert.equal("v", (c:get("long", giving("v", 500))))
    assert.is_true(store.use():ttl(c.prefix .. "long") <= 60) -- as long as memory is believed
  end)

  it("shares what it has made with other nodes", function()
    local c = new { redis = server.client }
    assert.same({ a = 1 }, (c:get("k", giving { a = 1 })))
    forget(c, "k")
    assert.same({ a = 1 }, (c:get("k", error)))
    assert.is_true(server:command("PTTL", c.prefix .. "k") <= 60000)
    c:set("k", "new", 10)
    forget(c, "k")
    assert.equal("new", (c:get("k", error)))
    assert.is_true(store.use():ttl(c.prefix .. "k") <= 10) -- no longer than Redis has it
    c:delete "k"
    assert.equal("made", (c:get("k", giving "made")))
  end)

  it("believes nothing in Redis that it has not written", function()
    local c = new { redis = server.client }
    for _, bytes in ipairs { "", "x", "j{", "v" } do
      server:command("SET", c.prefix .. "k", bytes)
      forget(c, "k")
      assert.equal("made", (c:get("k", giving "made")))
    end
    server:command("DEL", c.prefix .. "k")
    server:command("LPUSH", c.prefix .. "k", "a list")
    forget(c, "k")
    assert.equal("made", (c:get("k", giving "made")))
  end)

  it("goes on without Redis", function()
    local c = new { redis = redis.open { url = "redis://127.0.0.1:1", timeout = 0.1 } }
    assert.equal("v", (c:get("k", giving "v")))
    assert.equal("v", (c:get("k", error)))
    c:delete "k"
    assert.equal("w", (c:get("k", giving "w")))
  end)

  it("keeps names and keys apart", function()
    local one, other = new { name = "a" }, new { name = "a:b" }
    one:set("b:c", "one")
    other:set("c", "other")
    assert.equal("one", (one:get("b:c", error)))
    assert.equal("other", (other:get("c", error)))
  end)

  it("says what is wrong", function()
    assert.has_error(function() cache.new {} end)
    assert.error_matches(function() new { tll = 5 } end, 'did you mean "ttl"')
    assert.error_matches(function() new { ttl = -1 } end, "ttl of a cache is a number of seconds")
    assert.error_matches(function() new():get(1, error) end, "wants a key that is a text, not a number")
    assert.error_matches(function() new():set("k", error) end, "what JSON can say")
  end)
end)
