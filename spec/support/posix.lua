-- SPDX-License-Identifier: Apache-2.0

-- The few system calls that black-box specs need: processes, sockets, time. They go to libc directly
-- and block, with a time limit on each: the gateway under test is another process, and a script that
-- plays client and upstream by turns says in which order things happen. Nothing here uses the
-- runtime that is being tested.

local ffi = require "ffi"
local C = ffi.C

-- Specs are loaded one after another into one process, which may hold only one definition.
if not pcall(ffi.typeof, "struct spec_actions") then
  ffi.cdef [[
    struct spec_pollfd { int fd; short events, revents; };
    struct spec_in { unsigned short family, port; unsigned int addr; char zero[8]; };
    struct spec_in6 { unsigned short family, port; unsigned int flow; unsigned char addr[16]; unsigned int scope; };
    struct spec_un { unsigned short family; char path[108]; };
    struct spec_linger { int on, seconds; };
    struct spec_timespec { long s, ns; };
    struct spec_actions { long opaque[32]; };
    struct spec_usage { long user_s, user_us, system_s, system_us, rest[14]; };

    int socket(int domain, int type, int protocol);
    int bind(int fd, const struct spec_in *address, unsigned len);
    int listen(int fd, int backlog);
    int accept4(int fd, void *address, void *len, int flags);
    int connect(int fd, const void *address, unsigned len);
    int getsockname(int fd, struct spec_in *address, unsigned *len);
    int setsockopt(int fd, int level, int name, const void *value, unsigned len);
    int shutdown(int fd, int how);
    long send(int fd, const char *bytes, size_t len, int flags);
    long recv(int fd, char *bytes, size_t len, int flags);
    int poll(struct spec_pollfd *fds, unsigned long n, int timeout);
    int close(int fd);

    int posix_spawn(int *pid, const char *path, struct spec_actions *actions, void *attributes,
                    const char *const *argv, const char *const *envp);
    int posix_spawn_file_actions_init(struct spec_actions *actions);
    int posix_spawn_file_actions_destroy(struct spec_actions *actions);
    int posix_spawn_file_actions_addopen(struct spec_actions *actions, int fd, const char *path, int flags,
                                         unsigned mode);
    int posix_spawn_file_actions_addchdir_np(struct spec_actions *actions, const char *path);
    int waitpid(int pid, int *status, int options);
    int kill(int pid, int signal);
    int getrusage(int who, struct spec_usage *out);
    extern char **environ;

    int clock_gettime(int clock, struct spec_timespec *out);
    int nanosleep(const struct spec_timespec *wanted, struct spec_timespec *left);
    int truncate(const char *path, long size);
    long readlink(const char *path, char *out, size_t size);
    char *mkdtemp(char *template);
    int symlink(const char *target, const char *path);
    int rmdir(const char *path);
    int mkdir(const char *path, unsigned mode);
  ]]
end

local M = { SIGINT = 2, SIGHUP = 1, SIGKILL = 9, SIGTERM = 15, SIGUSR1 = 10, SIGUSR2 = 12, SIGCONT = 18, SIGSTOP = 19 }

-- A sanitizer makes all of it several times slower.
local preset = os.getenv "DEMILUNE_PRESET"
M.PATIENCE = (preset == "asan" or preset == "tsan") and 60 or 15

function M.now()
  local t = ffi.new "struct spec_timespec"
  C.clock_gettime(1, t)
  return tonumber(t.s) + tonumber(t.ns) / 1e9
end

function M.sleep(seconds)
  C.nanosleep(ffi.new("struct spec_timespec", 0, seconds * 1e9), nil)
end

-- --- sockets ------------------------------------------------------------------------------------

local IN, OUT, MSG_NOSIGNAL = 1, 4, 0x4000
local STREAM, SOL_SOCKET = 1 + 0x80000, 1 -- with SOCK_CLOEXEC

local function address(port)
  local a = ffi.new "struct spec_in"
  a.family = 2
  a.port = bit.rshift(bit.bswap(port), 16)
  a.addr = ffi.abi "le" and 0x0100007f or 0x7f000001
  return a
end

local function port_of(fd)
  local a, len = ffi.new "struct spec_in", ffi.new("unsigned[1]", ffi.sizeof "struct spec_in")
  assert(C.getsockname(fd, a, len) == 0)
  return bit.rshift(bit.bswap(a.port), 16)
end

function M.readable(fd, seconds)
  local p = ffi.new("struct spec_pollfd", fd, IN, 0)
  return C.poll(p, 1, math.floor(seconds * 1000)) > 0
end

function M.writable(fd, seconds)
  local p = ffi.new("struct spec_pollfd", fd, OUT, 0)
  return C.poll(p, 1, math.floor(seconds * 1000)) > 0
end

-- Listens on 127.0.0.1; port 0 or nil: a free one. Returns the descriptor and the port.
function M.listen(port)
  local fd, on = C.socket(2, STREAM, 0), ffi.new("int[1]", 1)
  C.setsockopt(fd, SOL_SOCKET, 2, on, 4)
  assert(C.bind(fd, address(port or 0), ffi.sizeof "struct spec_in") == 0, "can't bind")
  assert(C.listen(fd, 128) == 0, "can't listen")
  return fd, port_of(fd)
end

function M.accept(fd, seconds)
  if not M.readable(fd, seconds) then
    return nil
  end
  return C.accept4(fd, nil, nil, 0x80000)
end

local function address6(port)
  local a = ffi.new "struct spec_in6"
  a.family = 10
  a.port = bit.rshift(bit.bswap(port), 16)
  a.addr[15] = 1
  return a
end

local function address_of(place)
  local path, port = tostring(place):match "^unix:(.+)", tostring(place):match "^%[::1%]:(%d+)$"
  local b, c, d, port4 = tostring(place):match "^127%.(%d+)%.(%d+)%.(%d+):(%d+)$"
  if path then
    return ffi.new("struct spec_un", 1, path)
  elseif port then
    return address6(tonumber(port))
  elseif port4 then
    local a = address(tonumber(port4))
    local bytes = ffi.cast("unsigned char *", a) + ffi.offsetof(a, "addr")
    bytes[1], bytes[2], bytes[3] = tonumber(b), tonumber(c), tonumber(d)
    return a
  end
  return address(place)
end

-- place: a port of 127.0.0.1, "127.x.y.z:port", "[::1]:port" or "unix:/path". The descriptor, or nil when nobody
-- listens there.
function M.connect(place)
  local a = address_of(place)
  local fd = C.socket(a.family, STREAM, 0)
  if C.connect(fd, a, ffi.sizeof(a)) ~= 0 then
    C.close(fd)
    return nil
  end
  return fd
end

function M.send(fd, bytes, seconds)
  local sent = 0
  while sent < #bytes do
    if not M.writable(fd, seconds) then
      return nil, "timeout"
    end
    local n = tonumber(C.send(fd, ffi.cast("const char *", bytes) + sent, #bytes - sent, MSG_NOSIGNAL))
    if n < 0 then
      return nil, "broken"
    end
    sent = sent + n
  end
  return true
end

-- Sends what the kernel takes now; bytes taken.
function M.send_some(fd, bytes)
  return math.max(0, tonumber(C.send(fd, bytes, #bytes, MSG_NOSIGNAL + 0x40)))
end

local chunk = ffi.new "char[65536]"

-- Bytes, or nil and "closed", "reset" or "timeout".
function M.recv(fd, seconds)
  if not M.readable(fd, seconds) then
    return nil, "timeout"
  end
  local n = tonumber(C.recv(fd, chunk, 65536, 0))
  if n > 0 then
    return ffi.string(chunk, n)
  end
  return nil, n == 0 and "closed" or "reset"
end

function M.shutdown(fd)
  C.shutdown(fd, 1)
end

function M.close(fd)
  C.close(fd)
end

-- Closes so that the other end sees a reset.
function M.reset(fd)
  C.setsockopt(fd, SOL_SOCKET, 13, ffi.new("struct spec_linger", 1, 0), ffi.sizeof "struct spec_linger")
  C.close(fd)
end

-- --- processes and files ------------------------------------------------------------------------

local function strings(list)
  local array = ffi.new("const char *[?]", #list + 1)
  for i, text in ipairs(list) do
    array[i - 1] = text
  end
  return array
end

local function environment(extra)
  local list, i = {}, 0
  while C.environ[i] ~= nil do
    local pair = ffi.string(C.environ[i])
    if extra[pair:match "^[^=]*"] == nil then
      list[#list + 1] = pair
    end
    i = i + 1
  end
  for name, value in pairs(extra) do
    if value then
      list[#list + 1] = name .. "=" .. value
    end
  end
  return list
end

-- argv[1] is the program's path. options: stdout, stderr (files), dir, env (false takes one away).
function M.spawn(argv, options)
  local actions, pid = ffi.new "struct spec_actions", ffi.new "int[1]"
  C.posix_spawn_file_actions_init(actions)
  local write = 1 + 64 + 512 + 1024 -- O_WRONLY | O_CREAT | O_TRUNC | O_APPEND
  C.posix_spawn_file_actions_addopen(actions, 0, "/dev/null", 0, 0)
  C.posix_spawn_file_actions_addopen(actions, 1, options.stdout or "/dev/null", write, 384)
  C.posix_spawn_file_actions_addopen(actions, 2, options.stderr or "/dev/null", write, 384)
  if options.dir then
    C.posix_spawn_file_actions_addchdir_np(actions, options.dir)
  end
  local env = environment(options.env or {})
  local rc = C.posix_spawn(pid, argv[1], actions, nil, strings(argv), strings(env))
  C.posix_spawn_file_actions_destroy(actions)
  assert(rc == 0, "can't start " .. argv[1])
  return pid[0]
end

-- nil while it runs; then its exit status, or 128 + the signal that ended it.
function M.exit_status(pid)
  local status = ffi.new "int[1]"
  if C.waitpid(pid, status, 1) == 0 then
    return nil
  end
  local signal = bit.band(status[0], 0x7f)
  return signal ~= 0 and 128 + signal or bit.band(bit.rshift(status[0], 8), 0xff)
end

-- CPU time, in seconds, of the children that have ended and were asked for their status.
function M.children_cpu()
  local usage = ffi.new "struct spec_usage"
  assert(C.getrusage(-1, usage) == 0)
  return tonumber(usage.user_s + usage.system_s) + tonumber(usage.user_us + usage.system_us) / 1e6
end

function M.kill(pid, signal)
  return C.kill(pid, signal) == 0
end

function M.readlink(path)
  local out = ffi.new "char[4096]"
  local n = tonumber(C.readlink(path, out, 4096))
  return n > 0 and ffi.string(out, n) or nil
end

-- Cuts a file to so many bytes.
function M.truncate(path, size)
  return C.truncate(path, size) == 0
end

function M.new_folder()
  local name = ffi.new("char[64]", "/tmp/demilune-spec-XXXXXX")
  assert(C.mkdtemp(name) ~= nil)
  return ffi.string(name)
end

function M.mkdir(path)
  C.mkdir(path, 448)
end

function M.symlink(target, path)
  return C.symlink(target, path) == 0
end

function M.rmdir(path)
  C.rmdir(path)
end

return M
