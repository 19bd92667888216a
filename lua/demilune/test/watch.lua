-- SPDX-License-Identifier: Apache-2.0

-- `demilune test --watch`: runs the specs in a process of their own, then waits until a file changes and
-- runs again what that concerns: a spec that changed, the specs beside code that changed, else all.
--
-- It blocks in the kernel (inotify); there is nothing else that this process has to do.

local ffi = require "ffi"
local core = require "demilune.core"

ffi.cdef [[
  struct dml_watch_event { int wd; uint32_t mask, cookie, len; };
  struct dml_watch_poll { int fd; short events, revents; };
  extern char **environ;
  int inotify_init1(int flags);
  int inotify_add_watch(int fd, const char *path, uint32_t mask);
  long read(int fd, void *buf, size_t n);
  int poll(struct dml_watch_poll *fds, unsigned long n, int timeout);
  int posix_spawn(int *pid, const char *path, const void *actions, const void *attr, const char *const argv[],
                  char *const envp[]);
  int waitpid(int pid, int *status, int options);
]]

local C = ffi.C

local M = {}

local CLOSE_WRITE, MOVED_TO, CREATE, DELETE, IS_DIR = 0x8, 0x80, 0x100, 0x200, 0x40000000
local CHANGES = CLOSE_WRITE + MOVED_TO + CREATE + DELETE
local CLOEXEC, READABLE = 0x80000, 1
local FOLDERS_MAX, DEPTH_MAX = 4096, 24
local SETTLED = 60    -- milliseconds without a change: an editor has written all that it wants to
local BUFFER = 65536

local ENDINGS = { lua = true, yaml = true, yml = true, json = true, rockspec = true, md = true, pem = true, key = true }

-- --- arguments -----------------------------------------------------------------------------------

-- busted's options whose value is a word of its own.
local TAKES_VALUE = {}
for option in ([[
  -p --pattern --exclude-pattern -e -o --output -d --cwd -C --directory -f --config-file --coverage-config-file
  -t --tags --exclude-tags --filter --filter-out -m --lpath --cpath -r --run --repeat --seed --lang --loaders --helper
  --lua -Xoutput -Xhelper]]):gmatch "%S+" do
  TAKES_VALUE[option] = true
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then
    file:close()
  end
  return file ~= nil
end

-- The options, and the files and folders with specs.
local function split(args)
  local options, places = {}, {}
  for i = 1, #args do
    if args[i] == "--watch" then -- luacheck: ignore 542
    elseif args[i]:sub(1, 1) ~= "-" and not TAKES_VALUE[args[i - 1] or ""] and exists(args[i]) then
      places[#places + 1] = args[i]
    else
      options[#options + 1] = args[i]
    end
  end
  return options, places
end

-- --- folders -------------------------------------------------------------------------------------

local Watch = {}
Watch.__index = Watch

-- Watches a folder and those below; one that is known already (a link leads there) is left alone.
function Watch:add(folder, depth)
  if self.count >= FOLDERS_MAX then
    self.is_partial = true
    return
  end
  local wd = C.inotify_add_watch(self.fd, folder, CHANGES)
  if wd < 0 or self.folders[wd] then
    return
  end
  self.folders[wd] = folder
  self.count = self.count + 1
  for _, name in ipairs(depth < DEPTH_MAX and core.subfolders(folder) or {}) do
    self:add(folder .. "/" .. name, depth + 1)
  end
end

local function new(places)
  local watch = setmetatable({ fd = C.inotify_init1(CLOEXEC), folders = {}, count = 0 }, Watch)
  if watch.fd < 0 then
    error("the system gives no inotify: see /proc/sys/fs/inotify/max_user_instances", 0)
  end
  for _, place in ipairs(places) do
    watch:add(exists(place .. "/.") and place:gsub("(.)/+$", "%1") or place:match "^(.*)/[^/]*$" or ".", 0)
  end
  watch:add(".", 0)
  return watch
end

local buffer = ffi.new("uint8_t[?]", BUFFER)
local HEAD = ffi.sizeof "struct dml_watch_event"

local function is_source(name)
  return name:sub(1, 1) ~= "." and ENDINGS[name:match "%.(%w+)$" or ""] == true
end

-- A new folder: what lies in it already has come without a word.
function Watch:add_new(folder, changed)
  self:add(folder, 0)
  for _, name in ipairs(core.files(folder)) do
    if is_source(name) then
      changed[folder .. "/" .. name] = true
    end
  end
  for _, name in ipairs(core.subfolders(folder)) do
    self:add_new(folder .. "/" .. name, changed)
  end
end

-- Adds what has changed, as a set of paths.
function Watch:read(changed)
  local n, at = tonumber(C.read(self.fd, buffer, BUFFER)), 0
  while at + HEAD <= n do
    local event = ffi.cast("struct dml_watch_event *", buffer + at)
    local folder, name = self.folders[event.wd], event.len > 0 and ffi.string(buffer + at + HEAD) or ""
    local is_folder = bit.band(event.mask, IS_DIR) ~= 0
    if folder and is_folder and bit.band(event.mask, CREATE + MOVED_TO) ~= 0 and name:sub(1, 1) ~= "." then
      self:add_new(folder .. "/" .. name, changed)
    elseif folder and not is_folder and is_source(name) then
      changed[folder .. "/" .. name] = true
    end
    at = at + HEAD + event.len
  end
end

function Watch:is_readable(milliseconds)
  local poll = ffi.new("struct dml_watch_poll[1]", { { self.fd, READABLE, 0 } })
  return C.poll(poll, 1, milliseconds) > 0
end

-- Waits for a change, and until no more come: a set of paths.
function Watch:wait()
  local changed = {}
  repeat
    while self:is_readable(next(changed) and SETTLED or -1) do
      self:read(changed)
    end
  until next(changed)
  return changed
end

-- --- what to run ---------------------------------------------------------------------------------

local function specs_in(folder)
  local list = {}
  for _, name in ipairs(core.files(folder)) do
    if name:find "_spec%.lua$" then
      list[#list + 1] = folder .. "/" .. name
    end
  end
  return list
end

-- The specs that a change of this file concerns: itself, that of its name, those beside it or in the nearest
-- folder above. nil: nobody can tell.
local function specs_of(path)
  local folder, name = path:match "^(.*)/([^/]*)$"
  if name:find "_spec%.lua$" then
    return { exists(path) and path or nil }
  elseif name:find "%.lua$" and exists(path:gsub("%.lua$", "_spec.lua")) then
    return { (path:gsub("%.lua$", "_spec.lua")) }
  end
  while folder do
    local list = specs_in(folder)
    if #list > 0 then
      return list
    end
    folder = folder:match "^(.*)/[^/]*$"
  end
end

local function is_below(path, places)
  for _, place in ipairs(places) do
    local full = place:gsub("(.)/+$", "%1")
    if path == full or path:sub(1, #full + 1) == full .. "/" or full == "." then
      return true
    end
  end
  return #places == 0
end

-- The files to run: an empty list is nothing, nil is all.
local function affected(changed, places)
  local set, list = {}, {}
  for path in pairs(changed) do
    local specs = specs_of(path)
    if not specs then
      return nil
    end
    for _, spec in ipairs(specs) do
      local known = spec:gsub("^%./", "")
      if not set[known] and (is_below(spec, places) or is_below(known, places)) then
        set[known] = true
        list[#list + 1] = known
      end
    end
  end
  table.sort(list)
  return list
end

-- --- running -------------------------------------------------------------------------------------

-- The specs, in a process of their own, to its end.
local function run(options, places)
  local words = { "demilune", "test" }
  for _, list in ipairs { options, places } do
    for _, word in ipairs(list) do
      words[#words + 1] = word
    end
  end
  local argv, pid = ffi.new("const char *[?]", #words + 1), ffi.new "int[1]"
  for i, word in ipairs(words) do
    argv[i - 1] = word
  end
  io.stdout:flush()
  if C.posix_spawn(pid, "/proc/self/exe", nil, nil, argv, C.environ) ~= 0 then
    error("the specs can't be started", 0)
  end
  C.waitpid(pid[0], nil, 0)
end

local function say(...)
  io.stdout:write("\n-- ", string.format(...), "\n")
  io.stdout:flush()
end

-- Called with the arguments; ends by a signal only.
function M.main(args)
  local options, places = split(args)
  local watch = new(places)
  if watch.is_partial then
    say("more than %d folders: those beyond are not watched", FOLDERS_MAX)
  end
  run(options, places)
  while true do
    say "waiting for a change (Ctrl-C ends)"
    local changed = watch:wait()
    local specs = affected(changed, places)
    if not specs then
      say "all again"
      run(options, places)
    elseif #specs > 0 then
      say("again: %s", table.concat(specs, " "))
      run(options, specs)
    end
  end
end

return M
