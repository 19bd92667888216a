-- SPDX-License-Identifier: Apache-2.0

local json = require "demilune.json"
local store = require "demilune.store"
local task = require "demilune.task"
local test = require "demilune.test"
local uuid = require "demilune.uuid"

describe("kafka", function()
  local cluster, topics = nil, 0

  setup(function() cluster = test.kafka() end)

  -- A topic of this spec's own.
  local function new_topic()
    topics = topics + 1
    local topic = "topic-" .. topics
    cluster:topic(topic)
    return topic
  end

  -- With clients that have the time which a busy machine takes.
  local function new_gateway(options)
    local g = test.gateway(options)
    for _, method in ipairs { "get", "post" } do
      local request = g[method]
      g[method] = function(self, path, more)
        more = more or {}
        more.timeout = 30
        return request(self, path, more)
      end
    end
    return g
  end

  local function gateway_of(route, more)
    local options = { config = { kafka = { cluster:config("events", more and more.options) } }, routes = { route } }
    for key, value in pairs(more or {}) do
      options[key] = key ~= "options" and value or nil
    end
    return new_gateway(options)
  end

  local function use(topic, config)
    local all = { kafka = "events", topic = topic }
    for key, value in pairs(config or {}) do
      all[key] = value
    end
    return { name = "kafka", config = all }
  end

  -- A route without an upstream.
  local function producer(config, more)
    local topic = new_topic()
    return gateway_of({ name = "in", paths = { "/in", "/in/{id}" }, plugins = { use(topic, config) } }, more), topic
  end

  local function header(record, name)
    for _, pair in ipairs(record.headers) do
      if pair[1] == name then
        return pair[2]
      end
    end
  end

  local function values_of(records)
    local values = {}
    for i, record in ipairs(records) do
      values[i] = record.value
    end
    return values
  end

  local function faults_of(config)
    config.topic = config.topic or "t"
    return test.faults {
      config = { kafka = { cluster:config "events" } },
      routes = { { name = "in", paths = { "/" }, plugins = { use(config.topic, config) } } },
    } or ""
  end

  describe("as a producer", function()
    it("answers 202 with topic, partition and offset once the broker has it", function()
      local g, topic = producer()
      for offset = 0, 1 do
        local response = g:post("/in", { body = "event " .. offset })
        assert.equal(202, response.status)
        local answer = json.decode(response.body)
        assert.same({ topic, 0, offset }, { answer.topic, answer.partition, answer.offset })
        assert.is_true(uuid.is(answer.id))
        assert.equal(answer.id, response.headers["event-id"])
      end
      local record = cluster:records(topic, 2)[2]
      assert.equal("event 1", record.value)
      assert.is_nil(record.key)
      assert.is_true(uuid.is(header(record, "id")))
    end)

    it("makes topic, key, headers, partition and timestamp of templates", function()
      local topic = new_topic()
      cluster:topic(topic .. "-x", 3)
      local g = gateway_of { name = "in", paths = { "/in/{id}" }, plugins = { use(topic .. "-{header:x-kind}", {
        key = "order-{id}", headers = { who = "{header:x-who}", none = "{header:x-none}", n = 7 },
        partition = "{query:p}", timestamp = "{body:at}",
      }) } }
      local response = g:post("/in/17?p=2", { body = { at = "2026-01-02T03:04:05.250Z" },
        headers = { ["X-Kind"] = "x", ["X-Who"] = "ann" } })
      assert.equal(202, response.status, response.body)
      local record = cluster:records(topic .. "-x")[1]
      assert.same({ "order-17", 2, "ann", "7" },
        { record.key, record.partition, header(record, "who"), header(record, "n") })
      assert.is_nil(header(record, "none"))
      assert.equal(1767323045.25, record.timestamp)
    end)

    it("makes JSON of a map, with values out of the body", function()
      local g, topic = producer { key = "{body:customer.id}", value = {
        order = "{body}", first = "{body:items.0.sku}", by = "{header:x-who}", fixed = 3, list = { "{path}", true },
        missing = "{body:nothing}",
      } }
      local order = '{"customer":{"id":12345678901},"items":[{"sku":"lamp"}]}'
      assert.equal(202, g:post("/in", { body = order, headers = { ["X-Who"] = "ann" } }).status)
      local record = cluster:records(topic)[1]
      assert.equal("12345678901", record.key)
      assert.same({ order = json.decode(order), first = "lamp", by = "ann", fixed = 3, list = { "/in", true } },
        json.decode(record.value))
    end)

    it("knows consumers and claims", function()
      local topic = new_topic()
      local g = gateway_of({ name = "in", paths = { "/in" }, plugins = {
        { name = "key-auth" }, use(topic, { key = "{consumer}" }) } },
        { consumers = { { name = "acme", credentials = { ["key-auth"] = { { key = "k" } } } } } })
      assert.equal(401, g:post("/in", { body = "x" }).status)
      assert.equal(202, g:post("/in", { body = "x", headers = { ["X-API-Key"] = "k" } }).status)
      assert.equal("acme", cluster:records(topic)[1].key)
    end)
  end)

  describe("tells the client precisely", function()
    -- The problem of a request to a producer that is configured so.
    local function problem_of(config, request, more)
      local response = producer(config, more):post(request.path or "/in", request)
      assert.equal("application/problem+json", response.headers["content-type"], response.body)
      local problem = json.decode(response.body)
      assert.equal(response.status, problem.status)
      return response.status, problem.detail, response
    end

    it("what a template came to", function()
      for name, row in pairs {
        key = { "{header:x-none}", "key: there is nothing to make it of" },
        topic = { "{header:x-topic}", 'topic: "a b" is no name of a topic' },
        partition = { "{header:x-topic}", 'partition: "a b" is no number of a partition' },
        timestamp = { "{header:x-topic}", 'timestamp: "a b" is neither milliseconds since 1970 nor' },
        value = { { a = "{body:x}" }, "the body is no JSON: syntax at byte" },
      } do
        local status, detail = problem_of({ [name] = row[1] }, { body = "no JSON", headers = { ["X-Topic"] = "a b" } })
        assert.equal(400, status)
        assert.truthy(detail:find(row[2], 1, true), detail)
      end
    end)

    it("that JSON can not be made of what is no UTF-8", function()
      local status, detail = problem_of({ value = { by = "{header:x-who}" } },
        { body = "", headers = { ["X-Who"] = "\xff\xfe" } })
      assert.equal(400, status)
      assert.equal("value: its JSON would not be UTF-8", detail)
    end)

    it("that an event is too large", function()
      local status, detail = problem_of({}, { body = ("x"):rep(3000) }, { options = { ["message.max.bytes"] = 2000 } })
      assert.equal(413, status)
      assert.truthy(detail:find("message.max.bytes", 1, true))
      assert.equal(413, (problem_of({}, { body = ("x"):rep(3000) }, { config = {
        kafka = { cluster:config "events" }, limits = { buffered_body = 2048 } } })))
    end)

    it("what the broker has against it", function()
      for error, status in pairs { TOPIC_AUTHORIZATION_FAILED = 502, MSG_SIZE_TOO_LARGE = 413 } do
        local strict = test.kafka()
        strict:topic "t"
        local g = new_gateway { config = { kafka = { strict:config "events" } }, routes = { { name = "in",
          paths = { "/in" }, plugins = { use "t" } } } }
        strict:fail("Produce", error)
        local response = g:post("/in", { body = "x" })
        assert.equal(status, response.status, response.body)
        assert.truthy(response.body:find("The broker has refused the event: ", 1, true))
      end
    end)

    it("that there is no such topic", function()
      local strict = test.kafka()
      strict:topic "t"
      strict:fail_topic("t", "UNKNOWN_TOPIC_OR_PART")
      local impatient = strict:config("events", { ["topic.metadata.propagation.max.ms"] = 200 })
      local g = new_gateway { config = { kafka = { impatient } }, routes = { { name = "in",
        paths = { "/in" }, plugins = { use "t" } } } }
      local response = g:post("/in", { body = "x" })
      assert.equal(502, response.status, response.body)
      assert.truthy(response.body:find("nknown topic", 1, true), response.body)
    end)

    it("that the outcome is unknown, and with which id", function()
      local silent = test.kafka()
      silent:topic "t"
      silent:down()
      local g = new_gateway { config = { kafka = { silent:config "events" } }, routes = { { name = "in",
        paths = { "/in" }, plugins = { use("t", { timeout = "50ms" }) } } } }
      local response = g:post("/in", { body = "x" })
      assert.equal(504, response.status)
      assert.truthy(json.decode(response.body).detail:find("whether the event was delivered is unknown", 1, true))
      assert.is_true(uuid.is(response.headers["event-id"]))
    end)

    it("when to come again, where too many wait", function()
      local silent = test.kafka()
      silent:topic "t"
      silent:down()
      local cluster_of_one = silent:config("events", { ["queue.buffering.max.messages"] = 1 })
      local g = new_gateway { config = { kafka = { cluster_of_one } },
        routes = { { name = "in", paths = { "/in" }, plugins = { use("t", { mode = "best_effort" }) } } } }
      assert.equal(202, g:post("/in", { body = "x" }).status)
      local response = g:post("/in", { body = "x" })
      assert.equal(503, response.status)
      assert.equal("1", response.headers["retry-after"])
    end)
  end)

  describe("of a batch", function()
    local function post(g, body, content_type)
      local response = g:post("/in", { body = body, headers = { ["Content-Type"] = content_type } })
      return response, json.decode(response.body)
    end

    it("publishes each line of NDJSON, as it stands", function()
      local g, topic = producer { batch = "auto", key = "{body:k}" }
      local response, answer = post(g, '{"k":1,"x":1.50}\n\n{"k":2}\r\n{"k":3}', "application/x-ndjson")
      assert.equal(202, response.status)
      assert.same({ 3, 0 }, { answer.published, answer.failed })
      for i, record in ipairs(cluster:records(topic, 3)) do
        assert.same({ tostring(i), answer.records[i].offset, answer.records[i].id },
          { record.key, record.offset, header(record, "id") })
        assert.equal(202, answer.records[i].status)
      end
      assert.same({ '{"k":1,"x":1.50}', '{"k":2}', '{"k":3}' }, values_of(cluster:records(topic, 3)))
    end)

    it("publishes each item of an array, as it stands", function()
      local g, topic = producer { batch = "auto" }
      local items = { '{"b" : [1,{"a":"]"}], "a":2.0}', '"x\\"y,]\\\\"', "[]", "17", "null", "[[1],[2]]" }
      assert.equal(202, post(g, " [ " .. table.concat(items, " , ") .. " ] ", "application/json; charset=utf-8").status)
      assert.same(items, values_of(cluster:records(topic, #items)))
      assert.equal(202, post(g, '{"one": "event"}', "application/json").status)
      assert.equal('{"one": "event"}', cluster:records(topic, #items + 1)[#items + 1].value)
    end)

    it("takes no longer for the spaces in an item", function()
      local g, topic = producer { batch = "auto" }
      local item = '{"a":' .. (" "):rep(200000) .. "1}"
      assert.equal(202, post(g, "[" .. item .. (" "):rep(200000) .. "]", "application/json").status)
      assert.same({ item }, values_of(cluster:records(topic, 1)))
    end)

    it("says of each record that the broker did not answer in time", function()
      local silent = test.kafka()
      silent:topic "t"
      silent:down()
      local g = new_gateway { config = { kafka = { silent:config "events" } }, routes = { { name = "in",
        paths = { "/in" }, plugins = { use("t", { timeout = "50ms", batch = "ndjson" }) } } } }
      local response, answer = post(g, "1\n2\n3")
      assert.equal(504, response.status, response.body)
      assert.same({ 0, 3 }, { answer.published, answer.failed })
      for _, record in ipairs(answer.records) do
        assert.equal(504, record.status)
      end
    end)

    it("says of each record what came of it", function()
      local g, topic = producer { batch = "ndjson", key = "{body:k}" }
      local response, answer = post(g, '{"k":1}\nno JSON\n{"x":1}\n{"k":4}')
      assert.equal(207, response.status)
      assert.same({ 2, 2 }, { answer.published, answer.failed })
      local statuses = {}
      for i, record in ipairs(answer.records) do
        statuses[i] = record.status
      end
      assert.same({ 202, 400, 400, 202 }, statuses)
      assert.truthy(answer.records[2].detail:find("this line is no JSON", 1, true))
      assert.truthy(answer.records[3].detail:find("key: there is nothing", 1, true))
      assert.same({ '{"k":1}', '{"k":4}' }, values_of(cluster:records(topic, 2)))
    end)

    it("is a problem where nothing was published, and has a bound", function()
      local g = producer { batch = "ndjson", batch_max = 3, key = "{body:k}" }
      local response, answer = post(g, "1\n2")
      assert.equal(400, response.status)
      assert.equal("application/problem+json", response.headers["content-type"])
      assert.same({ 0, 2, 2 }, { answer.published, answer.failed, #answer.records })
      assert.equal(413, post(g, "1\n2\n3\n4").status)
      assert.equal(400, post(g, "\n \n").status)
      local array = producer { batch = "json", batch_max = 3 }
      for body, status in pairs { ["[1,2,3,4]"] = 413, ["[]"] = 400, ["{}"] = 400, ["[1,"] = 400, ["[1]"] = 202 } do
        assert.equal(status, post(array, body).status, body)
      end
    end)
  end)

  describe("with an Idempotency-Key", function()
    local function post(g, key, body)
      return g:post("/in", { body = body or "x", headers = { ["Idempotency-Key"] = key } })
    end

    it("publishes a repeated request once, and gives the same answer", function()
      local g, topic = producer()
      local first, second = post(g, "a"), post(g, "a")
      assert.equal(202, first.status)
      assert.equal(202, second.status)
      assert.same(json.decode(first.body), json.decode(second.body))
      assert.equal(1, json.decode(post(g, "b").body).offset)
      assert.equal(2, #cluster:records(topic, 2))
    end)

    it("lets those wait that come while it is on its way", function()
      local slow = test.kafka()
      slow:topic "t"
      slow:delay(0.2)
      local g = new_gateway { config = { kafka = { slow:config "events" } }, routes = { { name = "in",
        paths = { "/in" }, plugins = { use("t", { timeout = "20s" }) } } } }
      local work = {}
      for i = 1, 5 do
        work[i] = function() return post(g, "a") end
      end
      local answers = task.all(work)
      for i = 1, 5 do
        assert.equal(202, answers[i].status)
        assert.equal(answers[1].body, answers[i].body)
      end
      assert.equal(1, json.decode(post(g, "b").body).offset)
    end)

    it("goes on when its client leaves", function()
      local slow = test.kafka()
      slow:topic "t"
      slow:delay(0.2)
      local g = new_gateway { config = { kafka = { slow:config "events" } }, routes = { { name = "in",
        paths = { "/in" }, plugins = { use("t", { timeout = "20s" }) } } } }
      local c = g:connect()
      c:send "POST /in HTTP/1.1\r\nHost: a\r\nIdempotency-Key: a\r\nContent-Length: 1\r\n\r\nx"
      g:get "/nowhere" -- so that it was read
      c:close()
      assert.equal(0, json.decode(post(g, "a").body).offset)
      assert.equal(1, json.decode(post(g, "b").body).offset)
    end)

    it("refuses another content, and a key without end; keys are each consumer's own", function()
      local g = producer()
      post(g, "a")
      assert.equal(422, post(g, "a", "y").status)
      for _, path in ipairs { "/in/1", "/in?x=1" } do -- of which topics and keys are made
        assert.equal(422, g:post(path, { body = "x", headers = { ["Idempotency-Key"] = "a" } }).status)
      end
      assert.equal(400, post(g, ("k"):rep(600)).status)
    end)

    it("tries again after a failure, with the same event id", function()
      local flaky = test.kafka()
      flaky:topic "t"
      flaky:down()
      local g = new_gateway { config = { kafka = { flaky:config "events" } }, routes = { { name = "in",
        paths = { "/in" }, plugins = { use("t", { timeout = "300ms" }) } } } }
      local response = post(g, "a")
      assert.equal(504, response.status)
      local id = response.headers["event-id"]
      flaky:up()
      test.eventually(function()
        response = post(g, "a")
        return response.status == 202
      end, "no answer", 20)
      assert.equal(id, response.headers["event-id"])
      assert.equal(id, header(flaky:records("t")[1], "id"))
    end)
  end)

  describe("with an Idempotency-Key in Redis", function()
    local server, topic

    setup(function() server = test.redis() end)

    before_each(function()
      topic = new_topic()
      server:command "FLUSHALL"
    end)

    local function gateway(url, brokers)
      local route = { name = "in", paths = { "/in" }, plugins = { use(topic, { idempotency_redis = "main" }) } }
      return gateway_of(route, { config = {
        kafka = { (brokers or cluster):config "events" }, redis = { { name = "main", url = url or server.url } } } })
    end

    local function post(g, key, body)
      return g:post("/in", { body = body or "x", headers = { ["Idempotency-Key"] = key } })
    end

    -- What is in memory, as another gateway has not, or one that was started again. The name that it has in Redis.
    local function forget()
      local names = server:command("KEYS", "demilune:kafka:*")
      for _, name in ipairs(names) do
        store.use():delete(name:sub(#"demilune:" + 1))
      end
      return names[1]
    end

    it("publishes once, over gateways and their ends", function()
      local g = gateway()
      local first = post(g, "a")
      assert.equal(202, first.status)
      forget()
      assert.equal(first.body, post(g, "a").body)
      assert.equal(422, post(g, "a", "y").status)
      assert.equal(1, json.decode(post(g, "b").body).offset)
    end)

    it("tells who comes while another gateway is at it, until its claim has run out", function()
      local g = gateway()
      post(g, "a")
      server:command("SET", forget(), "cof another one", "PX", 300)
      local response = post(g, "a")
      assert.equal(409, response.status)
      assert.equal("1", response.headers["retry-after"])
      test.eventually(function() return post(g, "a").status == 202 end)
    end)

    it("keeps no failure, and does not publish where Redis can't be asked", function()
      local flaky = test.kafka()
      flaky:topic(topic)
      flaky:fail("Produce", "INVALID_RECORD")
      local g = gateway(nil, flaky)
      assert.equal(502, post(g, "f").status)
      assert.equal(202, post(g, "f").status)
      local response = post(gateway "redis://127.0.0.1:1", "a")
      assert.equal(503, response.status)
      assert.equal("1", response.headers["retry-after"])
    end)
  end)

  describe("as CloudEvents", function()
    it("has attributes in headers beside the data", function()
      local g, topic = producer { format = "cloudevents", cloudevents = {
        source = "/shop/{query:shop}", type = "shop.order", subject = "{header:x-none}",
        extensions = { tenant = "{host}" } } }
      local json_type = { ["Content-Type"] = "application/json" }
      assert.equal(202, g:post("/in?shop=9", { body = '{"a":1.0}', headers = json_type }).status)
      local record = cluster:records(topic)[1]
      assert.equal('{"a":1.0}', record.value)
      assert.same({ "1.0", "/shop/9", "shop.order", "127.0.0.1", "application/json" }, {
        header(record, "ce_specversion"), header(record, "ce_source"), header(record, "ce_type"),
        header(record, "ce_tenant"), header(record, "content-type") })
      assert.is_true(uuid.is(header(record, "ce_id")))
      assert.truthy(header(record, "ce_time"):find "^%d%d%d%d%-%d%d%-%d%dT")
      assert.is_nil(header(record, "ce_subject"))
    end)

    it("or is one JSON value, with the data as it stands, as a text, or in base64", function()
      local g, topic = producer { format = "cloudevents", cloudevents = { content_mode = "structured", type = "t" } }
      local rows = { { "application/json", '{"a":1.0}' }, { "text/plain", "x\"y" }, { "image/png", "\xff\0" } }
      for _, row in ipairs(rows) do
        assert.equal(202, g:post("/in", { body = row[2], headers = { ["Content-Type"] = row[1] } }).status)
      end
      local records = cluster:records(topic, 3)
      assert.truthy(records[1].value:find('"data":{"a":1.0}', 1, true))
      assert.equal("application/cloudevents+json; charset=UTF-8", header(records[1], "content-type"))
      local event = json.decode(records[1].value)
      assert.same({ "1.0", "t", header(records[1], "ce_id") }, { event.specversion, event.type, event.id })
      assert.equal('x"y', json.decode(records[2].value).data)
      assert.equal("/wA=", json.decode(records[3].value).data_base64)
    end)

    it("takes over those of the client, binary, structured and batched", function()
      local g, topic = producer { format = "cloudevents", batch = "auto", cloudevents = { source = "/mine" } }
      local binary = { ["ce-specversion"] = "1.0", ["ce-id"] = "e-1", ["ce-type"] = "t%20x", ["ce-source"] = "/theirs",
        ["ce-partitionkey"] = "pk", ["Content-Type"] = "text/plain" }
      assert.equal("e-1", json.decode(g:post("/in", { body = "data", headers = binary }).body).id)
      local envelope = '{"specversion":"1.0","id":"e-2","type":"t","source":"/s","data":{"x":1}}'
      assert.equal(202, g:post("/in", { body = envelope,
        headers = { ["Content-Type"] = "application/cloudevents+json" } }).status)
      assert.equal(202, g:post("/in", { body = "[" .. envelope:gsub("e%-2", "e-3") .. "]",
        headers = { ["Content-Type"] = "application/cloudevents-batch+json" } }).status)
      local records = cluster:records(topic, 3)
      assert.same({ "data", "e-1", "t x", "/mine", "pk", "text/plain" }, {
        records[1].value, header(records[1], "ce_id"), header(records[1], "ce_type"), header(records[1], "ce_source"),
        records[1].key, header(records[1], "content-type") })
      assert.same({ '{"x":1}', "e-2" }, { records[2].value, header(records[2], "ce_id") })
      assert.equal("e-3", header(records[3], "ce_id"))
    end)

    it("refuses an id that no field can carry", function()
      local g = producer { format = "cloudevents" }
      for _, id in ipairs { "a\r\nX-Evil: 1", "a\nb", "a\0b", "\127", ("i"):rep(2000) } do
        local response = g:post("/in", { headers = { ["Content-Type"] = "application/cloudevents+json" },
          body = { specversion = "1.0", id = id, source = "s", type = "t" } })
        assert.equal(400, response.status, response.body)
        assert.is_nil(response.headers["x-evil"])
      end
      for _, id in ipairs { "%FF", "\xff", "%0D%0AX-Evil: 1" } do
        local response = g:post("/in", { headers = { ["ce-specversion"] = "1.0", ["ce-id"] = id, ["ce-source"] = "s",
          ["ce-type"] = "t" } })
        assert.equal(400, response.status, response.body)
      end
    end)

    it("tells what is wrong where that is no UTF-8", function()
      for name in pairs { topic = 1, partition = 1, timestamp = 1 } do
        local g = producer { [name] = "{header:x-what}" }
        local response = g:post("/in", { body = "x", headers = { ["X-What"] = "\xff\xfe" } })
        assert.equal(400, response.status, response.body)
        assert.truthy(json.decode(response.body).detail:find(name, 1, true))
      end
      local g = producer { batch = "ndjson", partition = "{header:x-what}" }
      local response = g:post("/in", { body = "1\n2", headers = { ["X-What"] = "\xff\xfe" } })
      assert.equal(400, response.status, response.body)
      assert.equal(2, #json.decode(response.body).records)
    end)

    it("refuses what is none", function()
      local g = producer { format = "cloudevents" }
      for body, message in pairs {
        ['{"specversion":"0.3","id":"1","type":"t","source":"s"}'] = 'specversion is "0.3"',
        ['{"specversion":"1.0","id":"1","type":"t"}'] = 'the attribute "source" is missing',
        ["[1]"] = "is a JSON object", ["{"] = "no JSON",
        ['{"specversion":"1.0","id":"1","type":"t","source":"s","data_base64":"?"}'] = "no base64",
      } do
        local response = g:post("/in", { body = body, headers = { ["Content-Type"] = "application/cloudevents+json" } })
        assert.equal(400, response.status)
        assert.truthy(json.decode(response.body).detail:find(message, 1, true), response.body)
      end
    end)
  end)

  describe("beside an upstream", function()
    it("publishes what the response says, and only of good ones", function()
      local topic = new_topic()
      local upstream = test.upstream(function(request)
        return request.path == "/bad" and 422 or 201, { ["Content-Type"] = "application/json" }, '{"order":17}'
      end)
      local g = gateway_of { name = "all", paths = { "/*" }, upstream = upstream.url, plugins = { use(topic, {
        when = "response", key = "{response_body:order}",
        value = { order = "{response_body:order}", asked = "{body}", status = "{status}" } }) } }
      assert.equal(422, g:post("/bad", { body = { sku = "a" } }).status)
      local response = g:post("/orders", { body = { sku = "b" } })
      assert.equal(201, response.status)
      assert.equal('{"order":17}', response.body)
      assert.equal('{"sku":"b"}', upstream:last().body)
      local record = cluster:records(topic)[1]
      assert.equal("17", record.key)
      assert.same({ order = 17, asked = { sku = "b" }, status = 201 }, json.decode(record.value))
    end)

    it("refuses, or lets go on, when the event can't be published", function()
      for choice, status in pairs { refuse = 400, continue = 200 } do
        for _, moment in ipairs { "request", "response" } do
          local g = gateway_of { name = "all", paths = { "/*" }, upstream = test.upstream { body = "up" }.url,
            plugins = { use(new_topic(), { when = moment, on_failure = choice, key = "{header:x-none}" }) } }
          assert.equal(status, g:get("/").status)
        end
      end
    end)

    it("lets a route's own answer be, and publishes beside it", function()
      local topic = new_topic()
      local g = gateway_of { name = "all", paths = { "/go" }, redirect = { to = "https://shop.example/", status = 302 },
        plugins = { use(topic, { value = { clicked = "{query:ad}" } }) } }
      assert.equal(302, g:get("/go?ad=7").status)
      assert.equal('{"clicked":"7"}', cluster:records(topic)[1].value)
    end)

    it("tells of each request when all is over", function()
      local topic = new_topic()
      local g = gateway_of { name = "all", paths = { "/*" }, upstream = test.upstream { status = 404 }.url,
        plugins = { use(topic, { when = "log", mode = "best_effort" }) } }
      assert.equal(404, g:get("/x").status)
      local event = json.decode(cluster:records(topic)[1].value)
      assert.same({ "GET", "/x", 404, "all" }, { event.method, event.path, event.status, event.route })
      assert.is_number(event.duration)
    end)

    it("collects what nobody waits for", function()
      local topic = new_topic()
      local g = gateway_of { name = "all", paths = { "/*" }, upstream = test.upstream {}.url,
        plugins = { use(topic, { mode = "best_effort", linger = "30ms" }) } }
      for i = 1, 3 do
        assert.equal(200, g:post("/", { body = "e" .. i }).status)
      end
      assert.same({ "e1", "e2", "e3" }, values_of(cluster:records(topic, 3)))
    end)
  end)

  it("finds faults in its configuration", function()
    for message, config in pairs {
      ['config.kafka: the configuration has no'] = { kafka = "other" },
      ["config.topic"] = { topic = "{nothing}" },
      ["config.headers.a"] = { headers = { a = "{nothing}" } },
      ["config.value.a.b"] = { value = { a = { b = "{nothing}" } } },
      ["config.cloudevents.type"] = { format = "cloudevents", cloudevents = { type = "{nothing}" } },
      ["config.when: this route has no upstream"] = { when = "log" },
      ["config.when: there is no response yet"] = { value = "{response_body}" },
      ["config.mode: the configuration has no spill"] = { mode = "accept" },
      ["config.linger: for best_effort only"] = { linger = "1s" },
      ["config.dead_letter_topic: for accept only"] = { dead_letter_topic = "t" },
      ["config.idempotency_key"] = { idempotency_key = "nothing" },
    } do
      assert.truthy(faults_of(config):find(message, 1, true), message .. ":\n" .. faults_of(config))
    end
    local batch = test.faults { upstream = "http://127.0.0.1:1", config = { kafka = { cluster:config "events" } },
      plugins = { use("t", { when = "response", batch = "json" }) } }
    assert.truthy(batch:find("only requests have batches", 1, true))
  end)
end)
