-- SPDX-License-Identifier: Apache-2.0

-- The plugin of one's own passes its own specs.

package.path = "./?.lua;" .. package.path

local posix = require "spec.support.posix"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

describe("examples/own-plugin", function()
  it("passes its specs", function()
    local folder = server.folder()
    local out = folder.path .. "/stdout"
    local pid = posix.spawn({ server.program, "test", "-o", "TAP", "examples/own-plugin" }, {
      stdout = out, stderr = folder.path .. "/stderr",
    })
    local status = wait("the end of its specs", function() return posix.exit_status(pid) end)
    local told = io.open(out):read "*a"
    folder:remove()
    assert.equal(0, status, told)
    assert.matches("\nok 2", told, 1, true)
  end)
end)
