-- SPDX-License-Identifier: Apache-2.0

-- demilune.socket, both ends in one process.

local socket = require "demilune.socket"
local task = require "demilune.task"

local function pair()
  local listener = assert(socket.listen("127.0.0.1", 0))
  local near = assert(socket.connect("127.0.0.1", listener:port(), 2))
  local far = assert(listener:accept(2))
  return near, far, listener
end

describe("demilune.socket", function()
  local near, far, listener

  before_each(function()
    near, far, listener = pair()
  end)

  after_each(function()
    near:close()
    far:close()
    listener:close()
  end)

  it("carries bytes both ways", function()
    assert.is_true(near:write "hello")
    assert.equal("hello", far:read(100, 2))
    assert.is_true(far:write "\0\255")
    assert.equal("\0\255", near:read(100, 2))
  end)

  it("reads what is there, as much as is asked for at most", function()
    near:write "abcdef"
    assert.equal("abcd", far:read(4, 2))
    assert.equal("ef", far:read(4, 2))
  end)

  it("reads exactly, whatever the pieces", function()
    task.spawn(function()
      near:write "ab"
      task.sleep(0.01)
      near:write "cde"
    end)
    assert.equal("abcd", far:read_exactly(4, 2))
    assert.equal("e", far:read(10, 2))
  end)

  it("reads up to a text, which may come in two pieces, and keeps the rest", function()
    task.spawn(function()
      near:write "one\r"
      task.sleep(0.01)
      near:write "\ntwo\r\nrest"
    end)
    assert.equal("one\r\n", far:read_until("\r\n", 100, 2))
    assert.equal("two\r\n", far:read_until("\r\n", 100, 2))
    assert.equal("rest", far:read(100, 2))
  end)

  it("gives up looking for a text beyond the limit", function()
    near:write(("x"):rep(2000))
    assert.equal("limit", select(2, far:read_until("\n", 1000, 2)))
  end)

  it("says that the peer has closed, and what came before", function()
    near:write "half"
    near:close()
    assert.same({ nil, "closed", "half" }, { far:read_exactly(10, 2) })
    assert.same({ nil, "closed", "" }, { far:read(10, 2) })
  end)

  it("reads all that comes until the end", function()
    task.spawn(function()
      near:write(("a"):rep(100000))
      near:write(("b"):rep(100000))
      near:shutdown()
    end)
    local all = assert(far:read_all(300000, 2))
    assert.equal(200000, #all)
    assert.equal("b", all:sub(-1))
  end)

  it("goes on reading after its own end of writing", function()
    near:shutdown()
    assert.same({ nil, "closed", "" }, { far:read(10, 2) })
    far:write "still here"
    assert.equal("still here", near:read(100, 2))
  end)

  it("tells a reset from an end", function()
    far:reset()
    assert.equal("reset", select(2, near:read(10, 2)))
  end)

  it("waits no longer than told", function()
    assert.equal("timeout", select(2, near:read(10, 0.01)))
    assert.equal("timeout", select(2, listener:accept(0.01)))
    far:write "later" -- and is as good as before
    assert.equal("later", near:read(10, 2))
  end)

  it("holds a writer back until the reader takes something", function()
    local block, written = ("x"):rep(1048576), 0
    local writer = task.spawn(function()
      for _ = 1, 40 do
        if not near:write(block, 5) then
          return
        end
        written = written + 1
      end
    end)
    task.sleep(0.05)
    assert.is_true(written < 40)
    local taken = 0
    while taken < 40 * #block do
      taken = taken + #assert(far:read(1048576, 5))
    end
    writer:join()
    assert.equal(40, written)
    assert.equal(40 * #block, taken)
  end)

  it("does not let a writer wait for ever", function()
    local word
    for _ = 1, 40 do
      local ok
      ok, word = near:write(("x"):rep(1048576), 0.02)
      if not ok then
        break
      end
    end
    assert.equal("timeout", word)
  end)

  it("sends what was written before it is closed", function()
    near:write(("y"):rep(3000000), 0.01)
    near:close()
    assert.equal(3000000, #assert(far:read_all(4000000, 5)))
  end)

  it("ends the waits of others when it is closed", function()
    local reader = task.spawn(function() return select(2, near:read(10, 5)) end)
    task.sleep(0.01)
    near:close()
    assert.equal("closed", reader:join())
    assert.same({ nil, "closed", "" }, { near:read(10, 1) })
    assert.same({ nil, "closed" }, { near:write("x", 1) })
  end)

  it("ends the wait of a task that is cancelled, and nothing else", function()
    local word
    local reader = task.spawn(function() word = select(2, near:read(10, 5)) end)
    task.sleep(0.01)
    reader:cancel()
    task.sleep(0.01)
    assert.equal("cancelled", word)
    far:write "for the next"
    assert.equal("for the next", near:read(100, 2))
  end)

  it("raises when two read at once", function()
    local reader = task.spawn(function() return near:read(10, 1) end)
    task.sleep(0.01)
    assert.error_matches(function() near:read(10, 1) end, "another coroutine reads")
    far:write "x"
    assert.equal("x", reader:join())
  end)

  it("is kept alive by who waits for it, and closed when nobody has it", function()
    local port = listener:port()
    local answer = task.spawn(function()
      return (socket.connect("127.0.0.1", port, 2):read(10, 2))
    end)
    local peer = assert(listener:accept(2))
    collectgarbage()
    collectgarbage()
    peer:write "alive"
    assert.equal("alive", answer:join())
    answer = nil -- luacheck: ignore 311
    for _ = 1, 100 do
      collectgarbage()
      if select(2, peer:read(10, 0.01)) ~= "timeout" then
        return
      end
    end
    error "it was never closed"
  end)

  it("knows both addresses", function()
    assert.equal("127.0.0.1:" .. listener:port(), near:peer())
    assert.equal(near:address(), far:peer())
    assert.equal(near:peer(), (listener:address()))
  end)

  it("listens on a unix socket", function()
    local path = os.tmpname()
    os.remove(path)
    local l = assert(socket.listen("unix:" .. path))
    local a = assert(socket.connect("unix:" .. path))
    local b = assert(l:accept(2))
    a:write "local"
    assert.equal("local", b:read(10, 2))
    a:close()
    b:close()
    l:close()
    os.remove(path)
  end)

  it("says why there is no connection", function()
    local port = listener:port()
    listener:close()
    assert.same({ nil, "refused" }, { socket.connect("127.0.0.1", port, 2) })
    assert.same({ nil, "dns" }, { socket.connect("no-such-host.invalid", 80, 2) })
    assert.same({ nil, "syntax" }, { socket.connect "nonsense" })
  end)

  it("resolves names", function()
    local s = assert(socket.connect("localhost", listener:port(), 2))
    s:close()
  end)

  it("ends the accept of a listener that is closed", function()
    local waiting = task.spawn(function() return select(2, listener:accept(5)) end)
    task.sleep(0.01)
    listener:close()
    assert.equal("closed", waiting:join())
    assert.same({ nil, "closed" }, { listener:accept(1) })
  end)

  it("refuses a second listener on a port", function()
    assert.same({ nil, "system" }, { socket.listen("127.0.0.1", listener:port()) })
  end)

  it("raises for what is no timeout", function()
    assert.error_matches(function() near:read(10, 0) end, "timeout")
    assert.error_matches(function() near:read(0, 1) end, "bytes")
  end)
end)

describe("demilune.socket, datagrams", function()
  local near, far, port

  before_each(function()
    far = assert(socket.udp_bind("127.0.0.1", 0))
    port = select(2, far:address())
    near = assert(socket.udp("127.0.0.1", port))
  end)

  after_each(function()
    near:close()
    far:close()
  end)

  it("carries them both ways, each as it is", function()
    assert.is_true(near:send "one")
    assert.is_true(near:send "")
    assert.is_true(near:send "\0\255")
    local text, host, from = far:receive(2)
    assert.same({ "one", "127.0.0.1", select(2, near:address()) }, { text, host, from })
    assert.equal("", far:receive(2))
    assert.equal("\0\255", (far:receive(2)))
    assert.is_true(far:send("back", host, from))
    assert.same({ "back" }, { near:receive(2) })
  end)

  it("waits for the next one, up to a deadline", function()
    local waiting = task.spawn(function() return far:receive(5) end)
    task.sleep(0.01)
    near:send "late"
    assert.equal("late", (waiting:join()))
    assert.same({ nil, "timeout" }, { near:receive(0.01) })
    near:send "and on"
    assert.equal("and on", (far:receive(2)))
  end)

  it("hears nobody but its peer", function()
    local stranger = assert(socket.udp_bind("127.0.0.1", 0))
    near:send "hello"
    local _, host, from = far:receive(2)
    stranger:send("evil", host, from)
    far:send("good", host, from)
    assert.equal("good", near:receive(2))
    assert.same({ nil, "timeout" }, { near:receive(0.02) })
    stranger:close()
  end)

  it("says that nobody listens, and what is too long", function()
    far:close()
    assert.is_true(near:send "anybody?")
    assert.same({ nil, "refused" }, { near:receive(2) })
    assert.same({ nil, "limit" }, { near:send(("x"):rep(65508)) })
  end)

  it("knows names, and what is none", function()
    local u = assert(socket.udp("localhost", port))
    u:close()
    assert.same({ nil, "dns" }, { socket.udp("no-such-host.invalid", 80) })
    assert.same({ nil, "bad_argument" }, { socket.udp "unix:/tmp/x" })
    assert.same({ nil, "syntax" }, { far:send("x", "localhost", port) })
  end)

  it("is closed for who waits, and for good", function()
    local waiting = task.spawn(function() return far:receive(5) end)
    task.sleep(0.01)
    far:close()
    assert.same({ nil, "closed" }, { waiting:join() })
    assert.same({ nil, "closed" }, { far:receive(1) })
    assert.same({ nil, "closed" }, { far:send("x", "127.0.0.1", port) })
    far:close()
  end)

  it("can be cancelled, and lets one task at a time receive", function()
    local waiting = task.spawn(function() return far:receive(5) end)
    task.sleep(0.01)
    assert.error_matches(function() far:receive(1) end, "another coroutine receives")
    waiting:cancel()
    assert.same({ nil, "cancelled" }, { waiting:join() })
    near:send "again"
    assert.equal("again", (far:receive(2)))
  end)

  it("never goes where outbound.deny forbids it, by no kind of socket", function()
    assert.same({ nil, "denied" }, { socket.udp("169.254.169.254", 53) })
    assert.same({ nil, "denied" }, { far:send("x", "169.254.169.254", 53) })
    assert.same({ nil, "denied" }, { socket.connect("169.254.169.254", 80, 1) })
    assert.same({ nil, "denied" }, { socket.connect("fe80::1", 80, 1) })
  end)
end)
