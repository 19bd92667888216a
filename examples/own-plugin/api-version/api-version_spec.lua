-- SPDX-License-Identifier: Apache-2.0

local test = require "demilune.test"

describe("api-version", function()
  local upstream = test.upstream(function(request)
    return 200, {}, request.headers["api-version"]
  end)

  it("adds the default", function()
    local gateway = test.gateway { upstream = upstream, plugins = { { name = "api-version" } } }
    local response = gateway:get "/"
    assert.equal(200, response.status)
    assert.equal("1", response.body)
    assert.equal("1", response.headers["api-version"])
  end)

  it("leaves what the client says", function()
    local gateway = test.gateway { upstream = upstream, plugins = { { name = "api-version" } } }
    assert.equal("3", gateway:get("/", { headers = { ["api-version"] = "3" } }).body)
  end)
end)
