-- SPDX-License-Identifier: Apache-2.0

-- oauth2 over all workers of a gateway: what the issuer is asked counts once for all of them, and a reload asks nothing.

package.path = "./?.lua;" .. package.path

local http = require "demilune.http"
local server = require "spec.support.server"
local task = require "demilune.task"
local test = require "demilune.test"

local WORKERS, CLIENTS = 4, 32

local CONFIG = [[
routes:
  - name: all
    paths: ["/*"]
    respond: { status: 204 }
    plugins:
      - name: oauth2
        config: { issuer: "%s", audience: api, introspection: { client_id: client, client_secret: secret } }
]]

describe("oauth2 with several workers", function()
  local issuer, gateway

  before_each(function()
    issuer = test.issuer()
  end)

  after_each(function()
    gateway:stop()
  end)

  local function start()
    gateway = server.start(CONFIG:format(issuer.url), { workers = WORKERS })
  end

  -- Each on a connection of its own: all are there before one is answered, where the issuer is asked.
  local function ask_all(token_of)
    local work = {}
    for i = 1, CLIENTS do
      local token = token_of(i)
      work[i] = function()
        local url = ("http://127.0.0.1:%d/"):format(gateway.port)
        return http.get(url, { headers = { Authorization = "Bearer " .. token } }).status
      end
    end
    for _, status in ipairs(task.all(work)) do
      assert.equal(204, status)
    end
  end

  -- The gateway is another process, which knows nothing of clocks that specs have moved.
  local function token(subject)
    local now = os.time()
    return issuer:token { sub = subject, iat = now, exp = now + 300 }
  end

  it("fetches keys once, and has them after a reload", function()
    start()
    ask_all(function(i) return token("user" .. i) end)
    assert.same({ 1, 1 }, { issuer:count "metadata", issuer:count "jwks" })
    issuer:script("jwks", { status = 503 })
    gateway:configure(CONFIG:format(issuer.url) .. "  - { name: more, paths: [/more], respond: { status: 200 } }\n")
    gateway:signal "HUP"
    test.eventually(function()
      return http.get(("http://127.0.0.1:%d/more"):format(gateway.port)).status == 200
    end)
    ask_all(function(i) return token("later" .. i) end)
    assert.equal(1, issuer:count "jwks")
  end)

  it("asks once about an opaque token", function()
    start()
    local opaque = issuer:token({}, { opaque = true })
    ask_all(function() return opaque end)
    assert.equal(1, issuer:count "introspect")
  end)
end)
