-- SPDX-License-Identifier: Apache-2.0

-- The configurations that the READMEs print pass `demilune check`, once what they leave out is there: an upstream that
-- they name, variables, folders. Certificates are not, so that they can't be read is the one fault allowed.

package.path = "./?.lua;" .. package.path

local dir = require "pl.dir"
local posix = require "spec.support.posix"
local server = require "spec.support.server"

local LISTENERS = 'listeners: [{ address: "127.0.0.1:0" }]\n'
local ORDERS = "upstreams: [{ name: orders, endpoints: [{ address: 127.0.0.1:9001 }] }]\n"

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

local function completed(text, folder)
  text = "\n" .. text:gsub("user: demilune[^\n]*\n", ""):gsub("/var/log/demilune", folder.path)
    :gsub("plugin_path: %[%.%]", "plugin_path: [../own-plugin]") -- of one that stands beside its plugin
    :gsub("%.%./own%-plugin", posix.readlink "/proc/self/cwd" .. "/examples/own-plugin")
  if not text:find "\nlisteners:" then
    text = text .. LISTENERS
  end
  if text:find "upstream: orders" and not text:find "\nupstreams:" then
    text = text .. ORDERS
  end
  return text
end

local function faults_of(block, folder)
  folder:write("demilune.yaml", completed(block, folder))
  local result = server.run({ "check" }, { folder = folder, env = {
    ACME_KEY = "a", ACME_OLD_KEY = "b", BOLT_KEY = "c", ACME_HMAC_SECRET = "a secret of some length",
    SHOP_SECRET = ("d"):rep(32), GATEWAY_SECRET = "e",
  } })
  local faults, without_files = {}, false
  for line in result.err:gmatch "demilune%.yaml:%d+:[^\n]+" do
    if line:find "can't read tls/" then
      without_files = true
    else
      faults[#faults + 1] = line
    end
  end
  assert.equal(without_files and 3 or 0, result.status, result.err)
  return faults
end

describe("the READMEs", function()
  local pages = { "README.md" }
  for _, root in ipairs { "plugins", "examples" } do
    for _, folder in ipairs(dir.getdirectories(root)) do
      pages[#pages + 1] = folder .. "/README.md"
    end
  end

  for _, page in ipairs(pages) do
    it("print configurations that pass the check: " .. page, function()
      local folder = server.folder()
      folder.files[folder.path .. "/access.log"] = true
      for block in read(page):gmatch "```yaml\n(.-)```" do
        assert.same({}, faults_of(block, folder), block)
      end
      folder:remove()
    end)
  end
end)
