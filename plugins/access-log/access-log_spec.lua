-- SPDX-License-Identifier: Apache-2.0

local json = require "demilune.json"
local test = require "demilune.test"

describe("access-log", function()
  local upstream, path

  setup(function()
    upstream = test.upstream { status = 201, body = "hello" }
  end)

  before_each(function()
    path = os.tmpname()
  end)

  after_each(function()
    os.remove(path)
  end)

  local function lines(n)
    return test.eventually(function()
      local list = {}
      for line in io.lines(path) do
        list[#list + 1] = assert(json.decode(line))
      end
      return #list >= n and list or nil
    end, "the log has too few lines")
  end

  local function gateway(config, more)
    config = config or {}
    config.to = path
    local options = { upstream = upstream, global = { { name = "access-log", config = config } } }
    for key, value in pairs(more or {}) do
      options[key] = value
    end
    return test.gateway(options)
  end

  it("writes a line of JSON per request", function()
    local g = gateway()
    g:post("/orders?x=1", { body = "abc", headers = { ["User-Agent"] = 'a "quoted" one\\' } })
    local line = lines(1)[1]
    assert.equal("POST", line.method)
    assert.equal("/orders", line.path)
    assert.equal("x=1", line.query)
    assert.equal(201, line.status)
    assert.equal(3, line.bytes_received)
    assert.equal(5, line.bytes_sent)
    assert.equal("test", line.route)
    assert.equal("127.0.0.1", line.client_ip)
    assert.equal('a "quoted" one\\', line.user_agent)
    assert.equal(1, line.attempts)
    assert.equal("number", type(line.duration))
    assert.truthy(line.time:find "^%d%d%d%d%-%d%d%-%d%dT")
    assert.is_nil(line.consumer)
    assert.is_nil(line.error)
  end)

  it("covers what the gateway answers itself, and says why", function()
    local g = gateway(nil, { routes = { { name = "a", paths = { "/a" }, upstream = "http://127.0.0.1:1" } } })
    g:get "/nothing"
    g:get "/a"
    local list = lines(2)
    assert.equal(404, list[1].status)
    assert.equal("no_route", list[1].error)
    assert.is_true(list[1].duration > 0)
    assert.equal(502, list[2].status)
    assert.equal("refused", list[2].error)
  end)

  it("writes the fields that it is told", function()
    local g = gateway { fields = { what = "{method} {path}", s = "{status}", none = "{header:x-none}", fix = "v1" } }
    g:get "/p"
    assert.same({ what = "GET /p", s = 201, fix = "v1" }, lines(1)[1])
  end)

  it("survives text that is no UTF-8", function()
    local g = gateway { fields = { q = "{query:q}", a = "{header:x-a}" } }
    g:get("/?q=%ff%00%0a", { headers = { ["X-A"] = "t\tab" } })
    assert.equal("t\tab", lines(1)[1].a)
  end)

  it("writes only the statuses that are wanted", function()
    local g = gateway({ when = { status = { "4xx", 502 } } }, { routes = {
      { name = "a", paths = { "/ok" }, upstream = upstream.url },
      { name = "b", paths = { "/bad" }, upstream = "http://127.0.0.1:1" } } })
    for _, target in ipairs { "/ok", "/nothing", "/ok", "/bad" } do
      g:get(target)
    end
    local list = lines(2)
    assert.equal(2, #list)
    assert.equal(404, list[1].status)
    assert.equal(502, list[2].status)
  end)

  it("appends, and loses no line when the gateway ends", function()
    local g = gateway()
    for _ = 1, 20 do
      g:get "/"
    end
    g:close()
    gateway():get "/"
    assert.equal(21, #lines(21))
  end)

  describe("to Kafka", function()
    local function gateway_to(cluster, config, options)
      config.to = "kafka:events/access"
      return test.gateway { upstream = upstream, global = { { name = "access-log", config = config } },
        config = { kafka = { cluster:config("events", options) } } }
    end

    it("publishes a line as a record, with the request's id", function()
      local cluster = test.kafka()
      cluster:topic "access"
      local fields = { path = "{path}", status = "{status}" }
      local g = gateway_to(cluster, { fields = fields, when = { status = { "2xx" } } })
      for i = 1, 3 do
        g:get("/" .. i)
      end
      local records = cluster:records("access", 3)
      for i, record in ipairs(records) do
        assert.equal(('{"path":"/%d","status":201}'):format(i), record.value)
        assert.equal("id", record.headers[1][1])
        assert.is_true(#record.headers[1][2] > 10)
      end
    end)

    it("loses lines that find the queue full, and answers as always", function()
      local cluster = test.kafka()
      cluster:topic "access"
      cluster:down()
      local g = gateway_to(cluster, {}, { ["queue.buffering.max.messages"] = 1 })
      for _ = 1, 3 do
        assert.equal(201, g:get("/").status)
      end
    end)
  end)

  it("finds faults", function()
    local function faults(config)
      return test.faults { global = { { name = "access-log", config = config } } }
    end
    assert.truthy(faults({ to = "/nonexistent/access.log" }):find("can't be opened", 1, true))
    assert.truthy(faults({ to = "kafka:events/access" }):find('"events"', 1, true))
    assert.truthy(faults({ to = "kafka:events" }):find("expected kafka:NAME/TOPIC", 1, true))
    assert.truthy(faults({ to = "https://otlp.example/" }):find("not yet supported", 1, true))
    assert.truthy(faults({ to = path, mode = "accept" }):find("only what goes to Kafka has a mode", 1, true))
    assert.truthy(faults({ to = path, fields = { a = "{nothing}" } }):find("nothing", 1, true))
    assert.truthy(faults({ to = path, when = { status = { "6xx" } } }))
  end)
end)
