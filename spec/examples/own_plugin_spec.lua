-- SPDX-License-Identifier: Apache-2.0

-- The plugins of one's own pass their specs, and the tutorial does what it prints: files are written where it says so,
-- commands are run in order, and each line behind a command is in what that has printed.

package.path = "./?.lua;" .. package.path

local command = require "spec.support.command"
local origin = require "spec.support.origin"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local TUTORIAL = "examples/own-plugin/README.md"

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local function free_port()
  local held = origin.listen()
  held:close()
  return tostring(held.port)
end

-- The steps in order: { file, text } or { command, lines }.
local function steps_of(text)
  local steps, fence, named = {}, nil, nil
  for line in text:gmatch "([^\n]*)\n" do
    if fence and line == "```" then
      steps[#steps + 1], fence = { file = fence.file, text = table.concat(fence.lines, "\n") .. "\n" }, nil
    elseif fence then
      table.insert(fence.lines, line)
    elseif line:find "^```" then
      fence = { file = assert(named, "a block without a file"), lines = {} }
    elseif line:find "^    %$ " then
      steps[#steps + 1] = { command = line:sub(7), lines = {} }
    elseif line:find "^    " then
      table.insert(steps[#steps].lines, line:sub(5))
    end
    named = line:match "`([%w_/.-]+%.%a+)` becomes:$" or line:match "^`(demilune%.yaml)`" or named
  end
  return steps
end

describe("examples/own-plugin", function()
  it("passes its specs", function()
    local folder = server.folder()
    local result = server.run({ "test", "-o", "TAP", posix.readlink "/proc/self/cwd" .. "/examples/own-plugin" },
      { folder = folder })
    folder:remove()
    assert.equal(0, result.status, result.out)
    assert.matches("\nok 9", result.out, 1, true)
  end)

  describe("tutorial", function()
    local place, env
    local ports, started = {}, {}

    setup(function()
      place, ports = posix.new_folder(), { ["8080"] = free_port(), ["6379"] = free_port() }
      for _, folder in ipairs { "/bin", "/home", "/tutorial" } do
        posix.mkdir(place .. folder)
      end
      command.run { "ln", "-s", server.program, place .. "/bin/demilune" }
      env = { PATH = ("%s/bin:%s"):format(place, os.getenv "PATH"), HOME = place .. "/home" }
    end)

    teardown(function()
      for _, pid in ipairs(started) do
        posix.kill(pid, posix.SIGINT)
        wait("its end", function() return posix.exit_status(pid) end)
      end
      command.run { "rm", "-rf", place }
    end)

    -- What stays in the foreground, until it says that it is ready.
    local function start(line)
      local log = ("%s/log%d"):format(place, #started)
      started[#started + 1] = posix.spawn({ "/bin/sh", "-c", "exec " .. line },
        { stdout = log, stderr = log, dir = place .. "/tutorial", env = env })
      wait(function() return line .. " in: " .. read(log) end, function()
        return read(log):lower():find("ready", 1, true)
      end)
    end

    local function on_free_ports(text)
      return (text:gsub("%d%d%d%d", ports))
    end

    local function run(step)
      local result = command.run({ "sh", "-c", step.command }, { dir = place .. "/tutorial", env = env, seconds = 30 })
      assert.equal(0, result.status, step.command .. ": " .. result.out .. result.err)
      local told = (result.out .. result.err):gsub(" +", " ")
      for _, line in ipairs(step.lines) do
        assert.matches(line:gsub(" +", " "), told, 1, true)
      end
    end

    it("does what it says", function()
      local ran = 0
      for _, step in ipairs(steps_of(read(TUTORIAL))) do
        if step.file then
          write(("%s/tutorial/%s"):format(place, step.file), on_free_ports(step.text))
        elseif step.command == "demilune run --dev" or step.command:find "^redis%-server" then
          start(on_free_ports(step.command))
        else
          step.command = on_free_ports(step.command)
          run(step)
          ran = ran + 1
        end
      end
      assert.equal(10, ran)
    end)

    it("has the folder as its result", function()
      for _, step in ipairs(steps_of(read(TUTORIAL))) do
        if step.file and step.file:find "^account%-tier/" then
          assert.equal(read("examples/own-plugin/" .. step.file), step.text)
        end
      end
    end)
  end)
end)
