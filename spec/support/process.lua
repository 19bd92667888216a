-- SPDX-License-Identifier: Apache-2.0

-- What the system says of a running process.

local posix = require "spec.support.posix"
local wait = require "spec.support.wait"

local M = {}

-- A sanitizer keeps books of its own: so much more memory than without one.
local STRETCH = { asan = 4, tsan = 8 }

-- For server.start: an address sanitizer that does not keep what was freed.
M.LEAN = {
  ASAN_OPTIONS = (os.getenv "ASAN_OPTIONS" or "") .. ":quarantine_size_mb=1:thread_local_quarantine_size_kb=64",
}

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

-- Does it run? One that has ended and is not yet reaped does not.
function M.is_running(pid)
  local file = io.open(("/proc/%d/stat"):format(pid))
  local text = file and file:read "*a" or "" -- it may end in between
  if file then
    file:close()
  end
  local state = text:match "%) (%a)"
  return state ~= nil and state ~= "Z"
end

-- The processes that it has started, or has been given.
function M.children(pid)
  local file, list = io.open(("/proc/%d/task/%d/children"):format(pid, pid)), {}
  for child in (file and file:read "*a" or ""):gmatch "%d+" do
    list[#list + 1] = tonumber(child)
  end
  if file then
    file:close()
  end
  return list
end

-- Its resident memory, in bytes.
function M.rss(pid)
  return tonumber(read(("/proc/%d/statm"):format(pid)):match "^%d+ (%d+)") * 4096
end

-- Has it grown by less than so many bytes since `before`?
function M.has_grown_less(pid, before, bytes)
  return M.rss(pid) - before < bytes * (STRETCH[os.getenv "DEMILUNE_PRESET"] or 1)
end

-- How many of the descriptors below `limit` are open?
function M.open_files(pid, limit)
  local n = 0
  for fd = 0, limit - 1 do
    n = n + (posix.readlink(("/proc/%d/fd/%d"):format(pid, fd)) and 1 or 0)
  end
  return n
end

-- The CPU time of its threads so far, in seconds.
function M.cpu(pid)
  local fields = read(("/proc/%d/stat"):format(pid)):match "%) (.*)$"
  local user, system = fields:match("^" .. ("%S+ "):rep(11) .. "(%d+) (%d+)")
  return (tonumber(user) + tonumber(system)) / 100
end

-- The threads of it whose names begin so.
function M.threads(pid, name)
  local folder = posix.new_folder()
  local ls = posix.spawn({ "/bin/ls", ("/proc/%d/task"):format(pid) }, { stdout = folder .. "/list" })
  wait("the end of ls", function()
    return posix.exit_status(ls)
  end)
  local list, found = read(folder .. "/list"), {}
  for thread in list:gmatch "%d+" do
    if read(("/proc/%d/task/%s/comm"):format(pid, thread)):find(name, 1, true) == 1 then
      found[#found + 1] = tonumber(thread)
    end
  end
  os.remove(folder .. "/list")
  posix.rmdir(folder)
  return found
end

-- How long these threads have had a CPU so far, and how long they have waited for one, in seconds.
function M.ran_and_waited(pid, threads)
  local ran, waited = 0, 0
  for _, thread in ipairs(threads) do
    local r, w = read(("/proc/%d/task/%d/schedstat"):format(pid, thread)):match "^(%d+) (%d+)"
    ran, waited = ran + r / 1e9, waited + w / 1e9
  end
  return ran, waited
end

return M
