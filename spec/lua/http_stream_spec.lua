-- SPDX-License-Identifier: Apache-2.0

-- Bodies of demilune.http that go by piece by piece, against an upstream whose every byte the test writes.

local http = require "demilune.http"
local socket = require "demilune.socket"
local task = require "demilune.task"
local test = require "demilune.test"

local CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

local function chunk(text)
  return ("%x\r\n%s\r\n"):format(#text, text)
end

describe("http, streamed", function()
  local listener, url, spawned

  before_each(function()
    listener = assert(socket.listen("127.0.0.1", 0))
    url = "http://127.0.0.1:" .. listener:port()
    spawned = {}
  end)

  after_each(function()
    listener:close()
    for _, s in ipairs(spawned) do
      s:close()
    end
  end)

  local function accept()
    local s = assert(listener:accept(5))
    spawned[#spawned + 1] = s
    return s
  end

  -- Takes a connection and its request's head.
  local function head()
    local s = accept()
    return s, assert(s:read_until("\r\n\r\n", 65536, 5))
  end

  local function in_background(f)
    return task.spawn(f)
  end

  describe("response", function()
    it("comes with its head, and then piece by piece", function()
      local call = in_background(function() return http.get(url, { stream = true }) end)
      local s, request = head()
      assert.matches("^GET / HTTP/1.1\r\n", request)
      s:write((CHUNKED:gsub("\r\n", "\r\nX-A: 1\r\n", 1)))
      local response = assert(call:join())
      assert.same({ 200, "1" }, { response.status, response.headers["x-a"] })
      assert.is_nil(response.body)
      s:write(chunk "one")
      assert.equal("one", response:chunk())
      s:write(chunk "two" .. "0\r\n\r\n")
      local rest = {}
      for piece in response:chunks() do
        rest[#rest + 1] = piece
      end
      assert.equal("two", table.concat(rest))
      assert.is_nil(response:chunk())
    end)

    it("is read to its end, up to a cap, or as JSON", function()
      local upstream = test.upstream { body = '{"a":[1,2]}' }
      local function get()
        return assert(http.get(upstream.url, { stream = true }))
      end
      assert.equal('{"a":[1,2]}', get():read())
      assert.same({ 1, 2 }, { unpack(get():json().a) })
      assert.same({ nil, "body_too_large" }, { get():read(10) })
      assert.equal('{"a":[1,2]}', get():read(11))
    end)

    it("makes the upstream wait for who does not read", function()
      local total, sent = 32 * 2 ^ 20, 0
      local call = in_background(function() return http.get(url, { stream = true }) end)
      local s = head()
      in_background(function()
        local piece = ("x"):rep(65536)
        s:write(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"):format(total))
        while sent < total and s:write(piece, 30) do
          sent = sent + #piece
        end
      end)
      local response = assert(call:join())
      local before = -1
      while sent > before do -- until the sockets between are full
        before = sent
        task.sleep(0.05)
      end
      assert.is_true(sent > 0 and sent < total / 2, sent .. " bytes were taken")
      local read = 0
      for piece in response:chunks() do
        assert.is_true(#piece <= 65536)
        read = read + #piece
      end
      assert.equal(total, read)
    end)

    it("gives its connection back when it has been read", function()
      local upstream = test.upstream { body = "fine" }
      for _ = 1, 5 do
        assert.equal("fine", assert(http.get(upstream.url, { stream = true })):read())
      end
      assert.equal(1, upstream.connections)
    end)

    it("breaks off with a word", function()
      local function broken(script)
        return assert(http.get(test.upstream(script).url, { stream = true }))
      end
      local response = broken { reset = "body", body = "half and half" }
      local piece, word = response:chunk()
      assert.truthy(piece == "half a" or word == "reset") -- the reset may overtake what was sent before it
      for _ = 1, 2 do
        assert.same({ nil, "reset" }, { response:chunk() })
      end
      assert.error_matches(function()
        for _ in broken({ reset = "body", body = "1" }):chunks() do end
      end, "the response broke off: reset")
      assert.same({ nil, "reset" }, { broken({ reset = "body", body = "1" }):read() })
    end)

    it("has a deadline for its head, and for each piece", function()
      assert.same({ nil, "timeout" },
        { http.get(test.upstream({ stall = "head" }).url, { stream = true, timeout = 0.05 }) })
      local stalled = test.upstream { stall = "body", body = "four" }
      local response = assert(http.get(stalled.url, { stream = true, idle_timeout = 0.05 }))
      assert.equal("fo", response:chunk())
      assert.same({ nil, "timeout" }, { response:chunk() })
      assert.same({ nil, "timeout" }, { response:chunk(0.01) })
    end)

    it("is cut off at max_body, where that is given", function()
      local upstream = test.upstream { body = ("x"):rep(100) }
      assert.equal(100, #assert(http.get(upstream.url, { stream = true, max_body = 100 })):read())
      local response = assert(http.get(upstream.url, { stream = true, max_body = 99 }))
      assert.same({ nil, "body_too_large" }, { response:read() })
    end)

    it("can be closed before its end, and the upstream sees it", function()
      local call = in_background(function() return http.get(url, { stream = true }) end)
      local s = head()
      s:write(CHUNKED .. chunk "one")
      local response = assert(call:join())
      response:close()
      response:close()
      assert.is_nil(s:read(1, 5))
      local _, word = response:chunk()
      assert.truthy(word == nil or word == "closed")
    end)

    it("is cancelled with its task", function()
      local call = in_background(function()
        local response = assert(http.get(url, { stream = true }))
        return response:chunk()
      end)
      local s = head()
      s:write(CHUNKED)
      task.sleep(0.02)
      call:cancel()
      assert.same({ nil, "cancelled" }, { call:join() })
      collectgarbage()
      collectgarbage()
      assert.is_nil(s:read(1, 5))
    end)

    it("may be none at all", function()
      local upstream = test.upstream(function(request)
        return request.path == "/204" and 204 or 200, {}, ""
      end)
      assert.is_nil(assert(http.get(upstream.url .. "/204", { stream = true })):chunk())
      assert.equal("", assert(http.head(upstream.url, { stream = true })):read())
    end)

    it("is left behind where a redirect is followed", function()
      local upstream = test.upstream(function(request)
        if request.path == "/" then
          return 302, { Location = "/there" }, ("x"):rep(300000)
        end
        return 200, {}, "there"
      end)
      assert.equal("there", assert(http.get(upstream.url .. "/", { stream = true, redirects = 1 })):read())
    end)
  end)

  describe("request", function()
    local echo

    setup(function()
      echo = test.upstream(function(request)
        return 200, {}, (request.headers["content-length"] or request.headers["transfer-encoding"] or "none")
          .. "|" .. request.body
      end)
    end)

    local function pieces(...)
      local list, i = { ... }, 0
      return function()
        i = i + 1
        return list[i]
      end
    end

    it("takes its body from a function, by chunks", function()
      assert.equal("chunked|one two", assert(http.post(echo.url, { body = pieces("one", "", " two") })).body)
      assert.equal("0|", assert(http.post(echo.url, { body = pieces() })).body)
    end)

    it("says the length, where it is known", function()
      assert.equal("7|one two", assert(http.put(echo.url, { body = pieces("one", " two"), length = 7 })).body)
      assert.equal("5|hello", assert(http.post(echo.url, { body = "hello", stream = true })):read())
      assert.has_error(function() http.put(echo.url, { body = pieces "too long", length = 7 }) end)
      assert.has_error(function() http.put(echo.url, { body = pieces "short", length = 7 }) end)
    end)

    it("hands large bodies on, whatever the pieces", function()
      local large = ("0123456789abcdef"):rep(2 ^ 16)
      local response = assert(http.post(echo.url, { body = pieces(large, large, "end"), max_body = 4 * 2 ^ 20 }))
      assert.equal("chunked|" .. large .. large .. "end", response.body)
    end)

    it("waits for who does not read", function()
      local given = 0
      local call = in_background(function()
        return http.post(url, { timeout = 20, body = function()
          given = given + 65536
          return given <= 32 * 2 ^ 20 and ("x"):rep(65536) or nil
        end })
      end)
      local s = head()
      local before = -1
      while given > before do
        before = given
        task.sleep(0.05)
      end
      assert.is_true(given < 16 * 2 ^ 20, given .. " bytes were taken")
      in_background(function()
        while s:read(65536, 5) do end
      end)
      test.eventually(function() return given > 32 * 2 ^ 20 end, "the rest is not taken", 20)
      s:write "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
      assert.equal("ok", assert(call:join()).body)
    end)

    it("is given up when its body breaks off", function()
      local has_come = false
      local call = in_background(function()
        local n = 0
        return http.post(url, { body = function()
          n = n + 1
          if n == 2 then
            while not has_come do task.sleep(0.001) end
            return nil, "no more"
          end
          return "part"
        end })
      end)
      local s = head()
      has_come = true
      assert.same({ nil, "no more" }, { call:join() })
      local got = s:read_all(1000, 5) or ""
      assert.is_nil(got:find("0\r\n\r\n", 1, true))
    end)

    it("hears an answer that comes before its end", function()
      local call = in_background(function()
        return http.post(url, { body = function()
          task.sleep(0.001)
          return "more"
        end })
      end)
      local s = head()
      s:write "HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\n\r\nstop"
      local response = assert(call:join())
      assert.same({ 413, "stop" }, { response.status, response.body })
    end)

    it("has a deadline until the response's head", function()
      assert.same({ nil, "timeout" }, { http.post(test.upstream({ stall = "head" }).url,
        { body = pieces("a", "b"), timeout = 0.05 }) })
      local call = in_background(function()
        return http.post(url, { timeout = 0.2, body = function() return ("x"):rep(65536) end })
      end)
      head()
      assert.same({ nil, "timeout" }, { call:join() })
    end)

    it("is sent once: where it was redirected to is told, not gone to", function()
      local moved = test.upstream { status = 307, headers = { Location = echo.url } }
      assert.equal(307, assert(http.post(moved.url, { body = pieces "x", redirects = 1 })).status)
    end)
  end)

  describe("both ways", function()
    it("sends and reads in turns", function()
      local call = assert(http.open { method = "POST", url = url })
      assert.is_true(call:send "ping")
      local s, request = head()
      assert.matches("\r\nTransfer-Encoding: chunked\r\n", request, 1, true)
      assert.equal("4\r\nping\r\n", s:read_exactly(9, 5))
      s:write(CHUNKED .. chunk "pong")
      local response = assert(call:response())
      assert.equal("pong", response:chunk())
      assert.is_true(call:send "again")
      assert.equal("5\r\nagain\r\n", s:read_exactly(10, 5))
      assert.is_true(call:finish())
      assert.equal("0\r\n\r\n", s:read_exactly(5, 5))
      s:write(chunk "bye" .. "0\r\n\r\n")
      assert.equal("bye", response:read())
      assert.same({ nil, "closed" }, { call:send "too late" })
    end)

    it("says how it can't be begun", function()
      assert.same({ nil, "refused" }, { http.open { url = "http://127.0.0.1:1/" } })
      assert.same({ nil, "denied" }, { http.open { url = "http://169.254.169.254/" } })
      assert.same({ nil, "bad_argument" }, { http.open { url = url, headers = { ["Content-Length"] = "5" } } })
      assert.same({ nil, "not_found" }, { http.open { upstream = "nowhere" } })
      assert.has_error(function() http.open {} end)
    end)

    it("lets one task at a time read, and one write", function()
      local call = assert(http.open { method = "POST", url = url })
      head()
      local reader = in_background(function() return call:response() end)
      task.sleep(0.01)
      assert.error_matches(function() call:response() end, "another coroutine reads this response already")
      call:close()
      assert.same({ nil, "closed" }, { reader:join() })
    end)
  end)

  describe("in a hook", function()
    local folder

    before_each(function()
      folder = os.tmpname()
      os.remove(folder)
      require("pl.dir").makepath(folder .. "/caller")
    end)

    after_each(function()
      require("pl.dir").rmtree(folder)
    end)

    local function gateway(access)
      local file = assert(io.open(folder .. "/caller/init.lua", "w"))
      file:write(([[
        local http = require "demilune.http"
        local Caller = { name = "caller", version = "1.0.0" }
        Caller.__index = Caller
        function Caller.new() return setmetatable({}, Caller) end
        function Caller:access(exchange) %s end
        return Caller
      ]]):format(access))
      file:close()
      return test.gateway {
        plugin_path = { folder }, plugins = { "caller" },
        config = { upstreams = { { name = "side", endpoints = { { address = (url:gsub("^http://", "")) } } } } },
      }
    end

    it("hands the request's body on as it comes", function()
      local g = gateway [[
        local body = exchange.request.body
        local response, err = http.request { method = "POST", upstream = "side", path = "/x", body = body }
        exchange:reply(200, {}, response and response.body or err)
      ]]
      local answer = in_background(function() return g:post("/", { body = ("z"):rep(100000) }) end)
      local s, request = head()
      assert.matches("^POST /x HTTP/1.1\r\n", request)
      local body = assert(s:read_until("\r\n0\r\n\r\n", 2 ^ 20, 5))
      assert.equal(100000, select(2, body:gsub("z", "")))
      s:write "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"
      assert.equal("done", answer:join().body)
    end)

    it("is closed when the exchange ends", function()
      local g = gateway(([[
        exchange.ctx.stream = http.get("%s", { stream = true })
        exchange:reply(200, {}, exchange.ctx.stream:chunk())
      ]]):format(url))
      local answer = in_background(function() return g:get "/" end)
      local s = head()
      s:write(CHUNKED .. chunk "first")
      assert.equal("first", answer:join().body)
      assert.is_nil(s:read(1, 5))
    end)
  end)
end)
