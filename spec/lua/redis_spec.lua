-- Redis, against a real redis-server; and against servers that are none.

local redis = require "demilune.redis"
local socket = require "demilune.socket"
local task = require "demilune.task"
local test = require "demilune.test"

describe("a Redis server", function()
  local server, db

  setup(function()
    server = test.redis { password = "open sesame", users = { "app on >secret ~app:* &* +@all" } }
    db = server.client
  end)

  before_each(function() server:command "FLUSHALL" end)

  local function client(options)
    options.url = options.url or server.url
    return redis.open(options)
  end

  it("answers commands", function()
    assert.equal("OK", (db:command("SET", "k", "v")))
    assert.equal("v", (db:command("GET", "k")))
    assert.equal(7, (db:command("INCRBY", "n", 7)))
    assert.same({ "v", redis.null, "7" }, (db:command("MGET", "k", "none", "n")))
    assert.equal("", (db:command("GETRANGE", "none", 0, 1)))
  end)

  it("tells nil from an error", function()
    assert.equal(1, select("#", db:command("GET", "none")))
    assert.is_nil((db:command("GET", "none")))
    db:command("SET", "k", "v")
    local value, word, why = db:command("LPUSH", "k", 1)
    assert.is_nil(value)
    assert.equal("WRONGTYPE", word)
    assert.matches("^WRONGTYPE Operation against a key", why)
    assert.equal("ERR", select(2, db:command "NOSUCHCOMMAND"))
  end)

  it("takes texts with any bytes, and numbers exactly", function()
    local bytes = {}
    for i = 0, 255 do
      bytes[i + 1] = string.char(i)
    end
    bytes = table.concat(bytes)
    db:command("SET", bytes, bytes)
    assert.equal(bytes, (db:command("GET", bytes)))
    for _, n in ipairs { 0, -1, 2 ^ 53, 1732000000123456, 0.1, 1e300 } do
      db:command("SET", "n", n)
      assert.equal(n, tonumber((db:command("GET", "n"))))
    end
    db:command("SET", "n", 1732000000123456)
    assert.equal("1732000000123456", (db:command("GET", "n")))
  end)

  it("gives integers beyond 2^53 as texts", function()
    db:command("SET", "n", "9223372036854775806")
    assert.equal("9223372036854775807", (db:command("INCR", "n")))
    assert.equal(-3, (db:command("DECRBY", "m", 3)))
  end)

  it("carries big values both ways", function()
    local big = ("0123456789abcdef"):rep(512 * 1024)
    assert.equal("OK", (db:command("SET", "big", big)))
    assert.is_true(big == db:command("GET", "big"))
    assert.equal(#big, (db:command("STRLEN", "big")))
  end)

  it("raises for what makes no command", function()
    assert.error_matches(function() db:command() end, "a command has a name")
    assert.error_matches(function() db:command("SET", "k", nil) end, "its word 3 is a nil")
    assert.error_matches(function() db:command("SET", "k", {}) end, "its word 3 is a table")
    assert.error_matches(function() db:command("SET", "k", 0 / 0) end, "inf or nan")
    assert.error_matches(function() db:pipeline { "GET" } end, "command 1 is a string")
    assert.error_matches(function() db:pipeline { {} } end, "a command has a name")
    assert.error_matches(function() redis.open { url = "localhost" } end, "no URL of a Redis server")
    assert.error_matches(function() redis.use "main" end, "there is no configuration here")
  end)

  it("refuses commands that would hold up or change a connection that others share", function()
    for _, words in ipairs {
      { "BLPOP", "k", 0 }, { "select", 1 }, { "WATCH", "k" }, { "MULTI" }, { "SUBSCRIBE", "c" }, { "AUTH", "p" },
      { "XREAD", "BLOCK", 0, "STREAMS", "s", "$" }, { "CLIENT", "REPLY", "OFF" }, { "MONITOR" }, { "QUIT" },
    } do
      assert.has_error(function() db:command(unpack(words)) end)
      assert.has_error(function() db:pipeline { words } end)
    end
    assert.same({}, (db:command("XRANGE", "s", "-", "+")))
    assert.truthy((db:command("CLIENT", "ID")))
  end)

  -- Pipelines and transactions ------------------------------------------------------------------

  it("answers a pipeline in its order, errors among the values", function()
    local values = db:pipeline {
      { "SET", "k", 1 }, { "GET", "none" }, { "LPUSH", "k", 1 }, { "INCR", "k" }, { "LRANGE", "l", 0, -1 },
    }
    assert.equal(5, #values)
    assert.equal("OK", values[1])
    assert.equal(redis.null, values[2])
    assert.is_true(redis.is_failure(values[3]))
    assert.equal("WRONGTYPE", values[3].error)
    assert.matches("^WRONGTYPE ", tostring(values[3]))
    assert.equal(2, values[4])
    assert.same({}, values[5])
    assert.is_false(redis.is_failure(values[5]))
  end)

  it("gathers a pipeline in a function, however long", function()
    local values = db:pipeline(function(p)
      for i = 1, 5000 do
        p:command("RPUSH", "l", i)
      end
      p:command("LRANGE", "l", 0, -1)
    end)
    assert.equal(5001, #values)
    for i = 1, 5000 do
      assert.equal(i, values[i])
      assert.equal(tostring(i), values[5001][i])
    end
    assert.same({}, (db:pipeline {}))
  end)

  it("carries out a transaction as one, or not at all", function()
    assert.same({ 1, 2 }, (db:transaction { { "INCR", "n" }, { "INCR", "n" } }))
    local values, word, why = db:transaction { { "SET", "k", 1 }, { "INCR" } }
    assert.is_nil(values)
    assert.equal("ERR", word)
    assert.matches("wrong number of arguments", why)
    assert.is_nil((db:command("GET", "k")))
    values = db:transaction(function(t)
      t:command("SET", "k", "x")
      t:command("INCR", "k")
    end)
    assert.equal("OK", values[1])
    assert.is_true(redis.is_failure(values[2]))
  end)

  it("does not mix the commands of many tasks up", function()
    local shared = client { name = "many", pool_size = 3 }
    local work = {}
    for i = 1, 300 do
      work[i] = function()
        for j = 1, 10 do
          local key = ("%d:%d"):format(i, j)
          assert(shared:command("SET", key, key))
          assert.equal(key, (shared:command("GET", key)))
          assert.same({ 1, 2 }, (shared:transaction { { "INCR", "n:" .. key }, { "INCR", "n:" .. key } }))
        end
        return true
      end
    end
    assert.equal(300, #task.all(work))
    assert.equal(6000, (shared:command "DBSIZE"))
  end)

  -- Scripts ---------------------------------------------------------------------------------------

  it("runs scripts by their hash, and by their text where the server does not know them", function()
    local script = redis.script "return { KEYS[1], ARGV[1], redis.call('INCR', KEYS[1]) }"
    assert.equal(40, #script.sha)
    assert.same({ "k", "2", 1 }, (db:eval(script, { "k" }, { 2 })))
    assert.same({ "k", "2", 2 }, (db:eval(script, { "k" }, { 2 })))
    server:command("SCRIPT", "FLUSH")
    assert.same({ "k", "2", 3 }, (db:eval(script, { "k" }, { 2 })))
    local stats = server:command("INFO", "commandstats")
    assert.matches("cmdstat_eval:calls=2,", stats)
    assert.matches("cmdstat_evalsha:calls=3,", stats)
    assert.equal(5, (db:eval("return 5")))
  end)

  it("gives a script's error as a value", function()
    local value, word, why = db:eval("return redis.error_reply('MINE is broken')")
    assert.is_nil(value)
    assert.equal("MINE", word)
    assert.equal("MINE is broken", why)
  end)

  -- Login -----------------------------------------------------------------------------------------

  it("logs in as a user of an ACL, and takes a database", function()
    local url = ("redis://app:secret@127.0.0.1:%d/3"):format(server.port)
    local app = client { url = url, name = "app" }
    assert.equal("app", (app:command("ACL", "WHOAMI")))
    assert.equal("OK", (app:command("SET", "app:k", 1)))
    assert.equal("NOPERM", select(2, app:command("SET", "other", 1)))
    assert.is_nil((db:command("GET", "app:k")))
  end)

  it("says who is not let in, and does not wait for it a second time", function()
    local wrong = client { url = ("redis://:wrong@127.0.0.1:%d"):format(server.port), name = "wrong", timeout = 30 }
    for _ = 1, 3 do
      local value, word, why = wrong:command "PING"
      assert.is_nil(value)
      assert.equal("denied", word)
      assert.matches("^WRONGPASS", why)
    end
  end)

  -- Waiting ---------------------------------------------------------------------------------------

  it("goes on in order when waits are cancelled or time out", function()
    local own = client { name = "cancels", pool_size = 1, timeout = 10 }
    own:command("SET", "k", 1)
    server:pause()
    local tasks = {}
    for i = 1, 100 do
      tasks[i] = task.spawn(function() return own:command("INCR", "k") end)
    end
    task.sleep(0.02)
    for i = 1, 100, 2 do
      tasks[i]:cancel()
    end
    server:resume()
    for i = 2, 100, 2 do
      assert.equal(i + 1, (tasks[i]:join()))
    end
    assert.equal("cancelled", tasks[1]:state())
    assert.equal("101", (own:command("GET", "k")))
    local value, word = task.deadline(0.02, own.command, own, "EVAL",
      "local t = redis.call('TIME') local e = t[1] * 1e6 + t[2] + 60000 " ..
      "repeat t = redis.call('TIME') until t[1] * 1e6 + t[2] > e return 'late'", 0)
    assert.is_nil(value)
    assert.equal("timeout", word)
    assert.equal("101", (own:command("GET", "k")))
  end)

  it("sends nothing for a task that was cancelled before", function()
    local t = task.spawn(function()
      task.sleep(10)
      return db:command("SET", "after", 1)
    end)
    task.sleep(0)
    t:cancel()
    task.sleep(0)
    assert.is_nil((db:command("GET", "after")))
  end)

  it("refuses more than may be pending", function()
    local few = client { name = "few", max_pending = 5, pool_size = 1 }
    local work, full, fine = {}, 0, 0
    for i = 1, 20 do
      work[i] = function()
        local value, word = few:command "PING"
        full, fine = full + (word == "full" and 1 or 0), fine + (value == "PONG" and 1 or 0)
        return true
      end
    end
    task.all(work)
    assert.equal(5, fine)
    assert.equal(15, full)
    assert.equal("PONG", (few:command "PING"))
  end)

  it("caps replies, and goes on with a new connection", function()
    local small = client { name = "small", max_reply = 100000 }
    db:command("SETRANGE", "k", 300000, "x")
    local value, word, why = small:command("GET", "k")
    assert.is_nil(value)
    assert.equal("limit", word)
    assert.matches("max_reply", why)
    assert.equal("x", (small:command("GETRANGE", "k", 300000, -1)))
    assert.equal("limit", select(2, small:eval("local t = {} for i = 1, 100000 do t[i] = i end return t")))
    assert.equal("PONG", (small:command "PING"))
  end)

  -- Publish and subscribe ---------------------------------------------------------------------------

  local function subscribed(how, channels, f)
    local ready = 0
    local t = db[how](db, channels, f, function() ready = ready + 1 end)
    test.eventually(function() return ready > 0 end, "no subscription")
    return t, function() return ready end
  end

  it("hands messages on, one after another", function()
    local got = {}
    local t = subscribed("subscribe", { "a", "b" }, function(text, channel)
      task.sleep(0)
      got[#got + 1] = channel .. "=" .. text
    end)
    for i = 1, 50 do
      assert.equal(1, (db:publish(i % 2 == 0 and "a" or "b", i)))
    end
    test.eventually(function() return #got == 50 end, "messages are missing")
    for i = 1, 50 do
      assert.equal((i % 2 == 0 and "a=" or "b=") .. i, got[i])
    end
    t:cancel()
    test.eventually(function() return db:command("PUBLISH", "a", "x") == 0 end, "it is still subscribed")
  end)

  it("subscribes to patterns", function()
    local got
    subscribed("psubscribe", { "news.*" }, function(text, channel, pattern) got = { text, channel, pattern } end)
    db:publish("news.today", "rain")
    test.eventually(function() return got end, "no message")
    assert.same({ "rain", "news.today", "news.*" }, got)
  end)

  it("ends a subscription with the task that has made it", function()
    local ready
    local maker = task.spawn(function()
      db:subscribe({ "mine" }, function() end, function() ready = true end)
      task.sleep(60)
    end)
    test.eventually(function() return ready end, "no subscription")
    maker:cancel()
    test.eventually(function() return db:command("PUBLISH", "mine", "x") == 0 end, "it is still subscribed")
  end)

  it("subscribes again when the connection is lost, and goes on when f raises", function()
    local got = {}
    local _, ready = subscribed("subscribe", { "c" }, function(text)
      got[#got + 1] = text
      error "not today"
    end)
    db:publish("c", "one")
    server:command("CLIENT", "KILL", "TYPE", "pubsub")
    test.eventually(function() return ready() == 2 end, "it did not come back", 5)
    db:publish("c", "two")
    test.eventually(function() return #got == 2 end, "a message is missing")
    assert.same({ "one", "two" }, got)
  end)

  it("waits when nobody takes its messages", function()
    local got, go = 0, false
    subscribed("subscribe", { "flood" }, function()
      while not go do
        task.sleep(0.002)
      end
      got = got + 1
    end)
    local text = ("x"):rep(10000)
    for _ = 1, 50 do
      db:pipeline(function(p)
        for _ = 1, 60 do
          p:command("PUBLISH", "flood", text)
        end
      end)
    end
    go = true
    test.eventually(function() return got == 3000 end, "messages are missing", 10)
  end)
end)

describe("a Redis server's place", function()
  it("may be a unix socket", function()
    local server = test.redis { unix = true, password = "p" }
    assert.equal("OK", (server.client:command("SET", "k", 1)))
    assert.matches("^unix://:p@/", server.url)
  end)

  it("may be a name", function()
    local server = test.redis()
    assert.equal("PONG", (redis.open { url = "redis://localhost:" .. server.port }:command "PING"))
  end)

  it("may be one that nobody has", function()
    local db = redis.open { url = "redis://no.such.host.invalid", name = "nowhere", connect_timeout = 20 }
    assert.equal("dns", select(2, db:command "PING"))
    local listener = socket.listen "127.0.0.1:0"
    local url = "redis://" .. listener:address()
    listener:close()
    assert.equal("refused", select(2, redis.open({ url = url, name = "refused" }):command "PING"))
  end)
end)

describe("a Redis server that fails", function()
  local server, db

  before_each(function()
    server = test.redis()
    db = redis.open { url = server.url, name = "fails", timeout = 0.3, connect_timeout = 0.3 }
    assert.equal("PONG", (db:command "PING"))
  end)

  local function works()
    return db:command "PING" == "PONG"
  end

  it("fails what is under way when it is killed, and is found again", function()
    local words = {}
    local tasks = {}
    for i = 1, 20 do
      tasks[i] = task.spawn(function()
        repeat
          local _, word = db:command("INCR", "k")
          words[word or "fine"] = true
        until word
      end)
    end
    test.eventually(function() return words.fine end, "no command was carried out")
    server:kill()
    for _, t in ipairs(tasks) do
      t:join()
    end
    words.fine = nil
    for word in pairs(words) do
      assert.is_true(word == "reset" or word == "refused", word)
    end
    test.eventually(function() return select(2, db:command "PING") == "refused" end, "it is not down")
    server:restart()
    test.eventually(works, "it is not found again", 10)
    assert.equal(1, (db:command("INCR", "k")))
  end)

  it("fails at once while it stalls, and is found again", function()
    server:pause()
    assert.equal("timeout", select(2, db:command "PING"))
    test.eventually(function()
      local before = require("demilune.time").monotonic()
      local _, word = db:command "PING"
      return word == "timeout" and require("demilune.time").monotonic() - before < 0.1
    end, "it is not down", 5)
    server:resume()
    test.eventually(works, "it is not found again", 10)
  end)

  it("may be restarted while nobody asks", function()
    server:restart()
    test.eventually(works, "it is not found again", 10)
  end)
end)

describe("a server that is no Redis", function()
  local listener

  -- Answers whatever comes with the next of these.
  local function fake(...)
    local answers = { ... }
    listener = socket.listen "127.0.0.1:0"
    local here = listener
    task.detach(function()
      while true do
        local s = here:accept(60)
        if not s then
          return
        end
        for _, answer in ipairs(answers) do
          if not s:read(65536, 60) then
            break
          end
          s:write(answer)
        end
        s:read(65536, 60)
        s:close()
      end
    end)
    return redis.open { url = "redis://" .. listener:address(), name = "fake", timeout = 1, connect_timeout = 1 }
  end

  after_each(function() listener:close() end)

  for name, garbage in pairs {
    words = "HTTP/1.1 400 Bad Request\r\n\r\n", ["a kind of its own"] = "%2\r\n", nesting = ("*1\r\n"):rep(20),
    numbers = ":abc\r\n", ["a line without an end"] = "+" .. ("x"):rep(100000),
  } do
    it("is told by " .. name, function()
      local db = fake("+PONG\r\n", garbage)
      local value, word, why = db:command "PING"
      assert.is_nil(value)
      assert.equal("protocol", word)
      assert.matches("no reply of a Redis server", why)
    end)
  end

  it("is told by a huge list", function()
    local _, word = fake("+PONG\r\n", "*2147483647\r\n"):command "PING"
    assert.equal("limit", word)
  end)

  it("does not get its reply too many taken for the next one", function()
    local db = fake("+PONG\r\n", "+one\r\n+two\r\n")
    assert.equal("one", (db:command "PING"))
    assert.equal("one", (db:command "PING"))
  end)

  it("is told by its greeting", function()
    local _, word, why = fake("-LOADING Redis is loading the dataset in memory\r\n"):command "PING"
    assert.equal("denied", word)
    assert.matches("^LOADING", why)
  end)

  it("may refuse before it has heard of anything", function()
    local db = fake "-ERR max number of clients reached\r\n"
    local url = "redis://:p@" .. listener:address()
    for _, client in ipairs { db, redis.open { url = url, name = "many" } } do
      local _, word, why = client:command "PING"
      assert.equal("denied", word)
      assert.equal("ERR max number of clients reached", why)
    end
  end)

  it("may answer a transaction with anything", function()
    local statuses = "+OK\r\n+QUEUED\r\n+STRANGE\r\n"
    assert.equal("STRANGE", (fake("+PONG\r\n", statuses):transaction { { "PING" } }))
  end)

  it("may end in the middle of a reply", function()
    local db = fake("+PONG\r\n", "$100\r\nabc")
    local _, word = db:command "GET"
    assert.is_true(word == "timeout" or word == "reset", word)
  end)
end)

describe("redis in plugins", function()
  local folder

  setup(function()
    folder = os.tmpname()
    os.remove(folder)
    require("pl.dir").makepath(folder .. "/visits")
    local file = assert(io.open(folder .. "/visits/init.lua", "w"))
    file:write [[
      local redis = require "demilune.redis"
      local P = { name = "visits", version = "1.0.0" }
      P.__index = P
      P.schema = { type = "object", properties = { redis = { type = "string" }, url = { type = "string" } } }
      function P.new(config)
        local db = config.url and redis.open { url = config.url } or redis.use(config.redis, { timeout = 5 })
        return setmetatable({ db = db }, P)
      end
      function P:access(exchange)
        local n, word = self.db:command("INCR", "visits")
        exchange:reply(n and 200 or 503, {}, tostring(n or word))
      end
      function P:log() self.db:command("INCR", "logged") end
      return P]]
    file:close()
  end)

  teardown(function() require("pl.dir").rmtree(folder) end)

  local function options_for(name, url)
    return {
      config = { redis = url and { { name = "main", url = url } } }, plugin_path = { folder },
      plugins = { { name = "visits", config = { redis = name } } },
    }
  end

  it("is the configuration's", function()
    local server = test.redis { password = "p" }
    local gateway = test.gateway(options_for("main", server.url))
    assert.equal("1", gateway:get("/").body)
    assert.equal("2", gateway:get("/").body)
    assert.equal("2", server:command("GET", "visits"))
    test.eventually(function() return server:command("GET", "logged") == "2" end, "the log hooks did not count")
  end)

  it("goes where the configuration says, and else not where outbound.deny forbids it", function()
    local server = test.redis()
    local options = options_for("main", server.url)
    options.config.outbound = { deny = { "127.0.0.0/8" } }
    assert.equal("1", test.gateway(options):get("/").body)
    options.plugins[1].config = { url = server.url }
    assert.equal("denied", test.gateway(options):get("/").body)
    options.config.outbound.deny = { "10.0.0.0/8" }
    assert.equal("2", test.gateway(options):get("/").body)
  end)

  it("must be there", function()
    assert.matches('the configuration has no redis "other"', test.faults(options_for "other"), 1, true)
  end)
end)
