-- SPDX-License-Identifier: Apache-2.0

-- What docker/ has beside the image: Kubernetes takes the manifests, compose.yaml hangs together, and the configurations in
-- all of them pass the check.

package.path = "./?.lua;" .. package.path

local command = require "spec.support.command"
local json = require "demilune.json"
local posix = require "spec.support.posix"
local server = require "spec.support.server"

local dir = require "pl.dir"

local PYTHON = "/usr/bin/python3" -- the system's, with its packages

local function documents(path)
  local result = command.run { "env", PYTHON, "-c", [[
import json, sys, yaml
print(json.dumps(list(filter(None, yaml.safe_load_all(open(sys.argv[1]))))))
]], path }
  assert.equal(0, result.status, result.err)
  return json.decode(result.out)
end

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

-- The configuration `name` of the folder passes, where secrets are what they are in a container.
local function passes(folder, name)
  local secrets, here = folder.path .. "/secrets/", posix.readlink "/proc/self/cwd"
  for path in pairs(folder.files) do
    if path:find "%.yaml$" then
      local text = read(path):gsub("/run/secrets/demilune/", secrets):gsub("/run/secrets/", secrets)
        :gsub("/etc/demilune/plugins", folder.path .. "/plugins")
        :gsub("plugin_path: %[/plugins%]", "plugin_path: [" .. here .. "/examples/own-plugin]")
      folder:write(path:sub(#folder.path + 2), text)
    end
  end
  local args = { "check", "-c", folder.path .. "/" .. name }
  local result = server.run(args, { folder = folder, env = { ADMIN_TOKEN = "a" } })
  assert.equal(0, result.status, result.err .. result.out)
end

-- Do the files hold against the schemas that are published for them?
local function holds(files)
  local result = command.run({ "env", PYTHON, "spec/container/manifests", unpack(files) }, { seconds = 180 })
  if result.status == 77 then
    pending(result.out)
  end
  assert.equal("", result.out .. result.err)
  assert.equal(0, result.status)
end

describe("docker/kubernetes", function()
  local files = dir.getfiles("docker/kubernetes", "*.yaml")

  it("is what Kubernetes takes", function()
    holds(files)
  end)

  it("names every file in its kustomization", function()
    local named = { ["kustomization.yaml"] = true }
    for _, name in ipairs(documents("docker/kubernetes/kustomization.yaml")[1].resources) do
      named[name] = true
    end
    for _, path in ipairs(files) do
      assert.is_true(named[path:match "[^/]*$"], path)
    end
  end)

  it("has a configuration and a plugin that pass the check, with the secret that is beside them", function()
    local map = documents("docker/kubernetes/configmap.yaml")[1].data
    local secret = documents("docker/kubernetes/secret.yaml")[1].stringData
    local pod = documents("docker/kubernetes/deployment.yaml")[1].spec.template.spec
    local folder = server.folder()
    for _, item in ipairs(pod.volumes[1].configMap.items) do
      folder:write(item.path, map[item.key])
    end
    for name, value in pairs(secret) do
      folder:write("secrets/" .. name, value)
    end
    passes(folder, "demilune.yaml")
    folder:remove()
  end)

  it("gives a pod more time to leave than it takes", function()
    local pod = documents("docker/kubernetes/deployment.yaml")[1].spec.template.spec
    local config = documents("docker/kubernetes/configmap.yaml")[1].data["demilune.yaml"]
    local delay, timeout = config:match "drain: { delay: (%d+)s, timeout: (%d+)s }"
    local before = pod.containers[1].lifecycle.preStop.exec.command[2]
    assert.is_true(before + delay + timeout < pod.terminationGracePeriodSeconds)
  end)
end)

describe("docker/compose.yaml", function()
  local compose = documents("docker/compose.yaml")[1]

  local function has(list, wanted)
    for _, value in ipairs(list) do
      if value == wanted then
        return true
      end
    end
    return false
  end

  it("is what compose takes", function()
    holds { "docker/compose.yaml" }
  end)

  it("starts in each profile all that the profile's services need", function()
    for name, service in pairs(compose.services) do
      for key, value in pairs(service.depends_on or {}) do
        local needed = compose.services[type(key) == "number" and value or key]
        for _, profile in ipairs(service.profiles) do
          assert.is_true(has(needed.profiles, profile), name .. " in " .. profile)
        end
      end
    end
  end)

  it("names files and folders that are there", function()
    local paths = { compose.secrets.acme_key.file }
    for _, service in pairs(compose.services) do
      for _, volume in ipairs(service.volumes or {}) do
        paths[#paths + 1] = volume:match "^[^:]*"
      end
      if service.build then
        local context = service.build.context
        paths[#paths + 1] = context .. "/" .. (service.build.dockerfile or "Dockerfile")
      end
    end
    assert.is_true(#paths > 5)
    for _, path in ipairs(paths) do
      assert(io.open("docker/" .. path), path):close()
    end
  end)

  for _, name in ipairs { "small", "platform" } do
    it("has a configuration that passes the check: " .. name, function()
      local folder = server.folder()
      for _, file in ipairs { "small.yaml", "platform.yaml" } do
        folder:write(file, read("docker/compose/" .. file))
      end
      folder:write("secrets/acme_key", read "docker/compose/acme_key")
      passes(folder, name .. ".yaml")
      folder:remove()
    end)
  end
end)

describe("docker/demilune.yaml", function()
  it("passes the check", function()
    local result = server.run { "check", "-c", posix.readlink "/proc/self/cwd" .. "/docker/demilune.yaml" }
    assert.equal(0, result.status, result.err)
  end)
end)
