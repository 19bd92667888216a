-- SPDX-License-Identifier: Apache-2.0

-- What `demilune schema` prints, in the hands of a validator that is not ours (python's jsonschema, as a YAML language
-- server would use it): the configurations of the examples and READMEs fit, and mistakes do not.

package.path = "./?.lua;" .. package.path

local command = require "spec.support.command"
local dir = require "pl.dir"
local posix = require "spec.support.posix"
local server = require "spec.support.server"

-- Reads files of YAML named on the command line; one line for each: its name, and the first fault or "fits".
local PROGRAM = [[
import json, sys, jsonschema, yaml
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for path in sys.argv[2:]:
    faults = sorted(validator.iter_errors(yaml.safe_load(open(path))), key=lambda e: list(map(str, e.path)))
    print(path.split("/")[-1], faults[0].message.split("\n")[0][:200] if faults else "fits")
]]

local function has_validator()
  return command.has "python3" and command.run({ "python3", "-c", "import jsonschema, yaml" }).status == 0
end

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

-- texts: name → YAML. Gives name → "fits" or a fault.
local function validate(texts)
  local folder = server.folder()
  local here = posix.readlink "/proc/self/cwd"
  folder:write("demilune.yaml", ("plugin_path: [%s/examples/own-plugin]"):format(here))
  local schema = server.run({ "schema" }, { folder = folder }).out
  local argv = { "python3", folder:write("program.py", PROGRAM), folder:write("schema.json", schema) }
  for name, text in pairs(texts) do
    argv[#argv + 1] = folder:write(name, text)
  end
  local result = command.run(argv)
  folder:remove()
  assert.equal(0, result.status, result.err)
  local verdicts = {}
  for name, verdict in result.out:gmatch "([^\n ]+) ([^\n]*)" do
    verdicts[name] = verdict
  end
  return verdicts
end

describe("the schema, with a validator of others", function()
  local here = has_validator()

  local function with_validator(what, test)
    it(what, function()
      if not here then
        pending "needs python3 with jsonschema and yaml"
      end
      test()
    end)
  end

  with_validator("takes the configurations of the examples and READMEs", function()
    local texts, n = {}, 0
    local pages = { "README.md" }
    for _, root in ipairs { "plugins", "examples" } do
      for _, folder in ipairs(dir.getdirectories(root)) do
        pages[#pages + 1] = folder .. "/README.md"
      end
    end
    for _, page in ipairs(pages) do
      for block in read(page):gmatch "```yaml\n(.-)```" do
        n = n + 1
        texts[page:gsub("/", "-") .. n] = block
      end
    end
    for _, path in ipairs(dir.getfiles("examples", "*.yaml")) do
      texts[path:gsub("/", "-")] = read(path)
    end
    for _, folder in ipairs(dir.getdirectories "examples") do
      for _, path in ipairs(dir.getfiles(folder, "*.yaml")) do
        texts[path:gsub("/", "-")] = read(path)
      end
    end
    assert.is_true(n > 5)
    for name, verdict in pairs(validate(texts)) do
      assert.equal("fits", verdict, name .. "\n" .. texts[name])
    end
  end)

  with_validator("refuses mistakes, in the configuration of every plugin too", function()
    local texts = {
      ["key"] = "listener: []",
      ["type"] = "listeners: [{ address: 5 }]",
      ["unit"] = "drain: { timeout: 5 }",
      ["word"] = "log: { level: loud }",
      ["deep"] = "routes: [{ paths: [/], upstream: a, plugins: [{ nam: cors }] }]",
      ["required"] = "plugins: [{ name: cors }]",
    }
    for _, folder in ipairs(dir.getdirectories "plugins") do
      local name = folder:match "[^/]+$"
      texts["plugin-" .. name] = ("plugins: [{ name: %s, config: { no-such-option: 1 } }]"):format(name)
    end
    for name, verdict in pairs(validate(texts)) do
      assert.are_not.equal("fits", verdict, name .. ": " .. texts[name])
    end
  end)
end)
