-- SPDX-License-Identifier: Apache-2.0

-- Processes: starting and stopping them, and the CPU time of a whole tree, from /proc.
-- Run time comes from schedstat (nanoseconds; user and system together), since the ticks of
-- `stat` are 10 ms; the ticks only tell how it splits. All of it runs on one CPU, so
-- while this reads, nothing that is read is running, and the figures are exact.

local ffi = require "ffi"

ffi.cdef [[
int kill(int pid, int signal);
int poll(void *fds, unsigned long count, int timeout_ms);
]]

local M = {}

function M.sleep(seconds)
  ffi.C.poll(nil, 0, seconds * 1000)
end

function M.quote(text)
  return "'" .. tostring(text):gsub("'", [['\'']]) .. "'"
end

function M.output(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("*a")
  pipe:close()
  return text
end

local function read(path)
  local file = io.open(path)
  local text = file and file:read("*a")
  if file then
    file:close()
  end
  return text
end
M.read = read

local function words_of(path, arguments, environment)
  local words = { "env" }
  for name, value in pairs(environment or {}) do
    words[#words + 1] = name .. "=" .. M.quote(value)
  end
  words[#words + 1] = path
  for _, argument in ipairs(arguments or {}) do
    words[#words + 1] = M.quote(argument)
  end
  return table.concat(words, " ")
end

-- Runs a command to its end: all that it says without the blanks at the end, and its exit status.
function M.run(command, environment)
  local text = M.output(words_of(command, nil, environment) .. " 2>&1 </dev/null; echo $?")
  local said, status = text:match("^(.-)%s*(%d+)%s*$")
  return said, tonumber(status)
end

-- Starts a program in the background, its output in the file `log`; returns its process id.
function M.start(path, arguments, environment, log)
  local command = ("(exec %s) >%s 2>&1 </dev/null & echo $!"):format(
    words_of(M.quote(path), arguments, environment), M.quote(log))
  return assert(tonumber(M.output(command)))
end

-- The fields of a /proc stat line after the name, which may hold anything: state is the first.
local function fields(stat)
  local list = {}
  for word in stat:match("^.*%) (.*)$"):gmatch("%S+") do
    list[#list + 1] = word
  end
  return list
end

function M.alive(pid)
  local stat = read("/proc/" .. pid .. "/stat")
  return stat ~= nil and fields(stat)[1] ~= "Z"
end

local function numbers(folder)
  local list = {}
  for name in M.output("ls " .. folder .. " 2>/dev/null"):gmatch("%S+") do
    list[#list + 1] = tonumber(name)
  end
  return list
end

-- The process and all its descendants.
local function tree(root)
  local parent = {}
  for _, pid in ipairs(numbers("/proc")) do
    local stat = read("/proc/" .. pid .. "/stat")
    parent[pid] = stat and tonumber(fields(stat)[2])
  end
  local members = {}
  for pid in pairs(parent) do
    local at = pid
    while at and at ~= root do
      at = parent[at]
    end
    members[#members + 1] = at and pid
  end
  return members
end
M.tree = tree

-- CPU time of the tree so far: seconds, and user and system seconds by ticks.
function M.cpu(root)
  local run, user, system = 0, 0, 0
  for _, pid in ipairs(tree(root)) do
    local tasks = "/proc/" .. pid .. "/task"
    for _, task in ipairs(numbers(tasks)) do
      local folder = tasks .. "/" .. task
      local schedstat, stat = read(folder .. "/schedstat"), read(folder .. "/stat")
      if schedstat and stat then
        local field = fields(stat)
        run = run + tonumber(schedstat:match("%d+")) / 1e9
        user = user + tonumber(field[12]) / 100
        system = system + tonumber(field[13]) / 100
      end
    end
  end
  return { run = run, user = user, system = system }
end

-- Memory of the tree in MiB: what is its own, and its share of what it shares (PSS); and how many
-- processes it has.
function M.memory(root)
  local kib, processes = 0, 0
  for _, pid in ipairs(tree(root)) do
    local rollup = read("/proc/" .. pid .. "/smaps_rollup")
    kib = kib + tonumber(rollup and rollup:match("\nPss:%s+(%d+)") or 0)
    processes = processes + 1
  end
  return { mib = kib / 1024, processes = processes }
end

-- How many connections a port has accepted that are still open on both sides.
function M.connections(port)
  local _, count = read("/proc/net/tcp"):gsub(("\n *%%d+: %%x+:%04X %%x+:%%x+ 01 "):format(port), "")
  return count
end

-- Asks a process to end, and after `patience` seconds makes it.
function M.stop(pid, patience)
  ffi.C.kill(pid, 15)
  for _ = 1, (patience or 5) * 50 do
    if not M.alive(pid) then
      return
    end
    M.sleep(0.02)
  end
  ffi.C.kill(pid, 9)
end

return M
