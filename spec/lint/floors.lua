-- Who may include whom in core/: the two tables of core/README.md as a test.

package.path = "spec/lint/support/?.lua;" .. package.path
local lint = require "lint"

-- Each floor and what it sees besides itself. http and side are twins, blind to each other.
local SEES = {
  base = {},
  net = { base = true },
  http = { base = true, net = true },
  side = { base = true, net = true },
  gate = { base = true, net = true, http = true, side = true },
  script = { base = true, net = true, http = true, side = true, gate = true },
  app = { base = true, net = true, http = true, side = true, gate = true, script = true },
}

-- Headers of other people's libraries (patterns), and the only files that may name them.
local LIBRARIES = {
  { name = "c-ares", headers = { "^ares[%w_]*%.h$" }, files = { "^net/dns%.c$", "^net/dns_channel%.[ch]$" } },
  { name = "OpenSSL", headers = { "^openssl/" },
    files = { "^net/tls[%w_]*%.c$", "^script/api_crypto[%w_]*%.c$", "^script/crypto_[%w_]+%.[ch]$",
      "^app/cli_version%.c$" } },
  { name = "libxcrypt", headers = { "^crypt%.h$" }, files = { "^script/crypto_password%.c$" } },
  { name = "nghttp2", headers = { "^nghttp2/" }, files = { "^http/h2%.[ch]$", "^app/cli_version%.c$" } },
  { name = "hiredis", headers = { "^hiredis/", "^hiredis%.h$" }, files = { "^side/redis_reply%.c$" } },
  { name = "librdkafka", headers = { "^librdkafka/" },
    files = { "^side/kafka[%w_]*%.c$", "^side/kafka_parts%.h$", "^app/cli_version%.c$" } },
  { name = "libyaml", headers = { "^yaml%.h$" }, files = { "^gate/conf_yaml%.c$" } },
  { name = "PCRE2", headers = { "^pcre2" }, files = { "^base/regex%.c$" } },
  { name = "LuaJIT", headers = { "^lua%.h$", "^lauxlib%.h$", "^lualib%.h$", "^luajit%.h$", "^luaconf%.h$" },
    files = { "^script/vm%.[ch]$", "^script/vm_collect%.[ch]$", "^script/co%.[ch]$", "^script/hooks%.c$",
      "^script/hooks_make%.c$", "^script/plugin%.[ch]$", "^script/plugin_chain%.c$", "^script/call_[%w_]+%.c$",
      "^app/cli_version%.c$" } },
}

-- What libc, the compiler and the kernel bring. Anything that is in neither list is a new library,
-- and a new library is a decision: it gets a row above and in core/README.md.
local SYSTEM = {}
for name in ([[
  alloca assert byteswap complex ctype dirent dlfcn elf endian errno error execinfo fcntl features fenv float
  fnmatch getopt glob grp ifaddrs inttypes iso646 langinfo libgen limits link locale malloc math memory netdb
  poll printf pthread pwd regex resolv sched search semaphore setjmp signal spawn stdalign stdarg stdatomic
  stdbool stddef stdint stdio stdlib stdnoreturn string strings syscall sysexits syslog tgmath threads time
  ucontext unistd utime wchar wctype
  cpuid emmintrin immintrin nmmintrin smmintrin tmmintrin x86intrin arm_neon]]):gmatch "%S+" do
  SYSTEM[name .. ".h"] = true
end
local SYSTEM_FOLDERS = { sys = true, netinet = true, net = true, arpa = true, linux = true, asm = true,
  bits = true, sanitizer = true }

-- base has no I/O of the network.
local SOCKETS = { "^sys/socket%.h$", "^sys/un%.h$", "^sys/epoll%.h$", "^netinet/", "^netdb%.h$" }

local function matches(text, patterns)
  for _, pattern in ipairs(patterns) do
    if text:find(pattern) then
      return true
    end
  end
  return false
end

local function library_of(header)
  for _, library in ipairs(LIBRARIES) do
    if matches(header, library.headers) then
      return library
    end
  end
end

local function includes(text)
  local list = {}
  for number, line in lint.lines(text) do
    local mark, header = line:match '^%s*#%s*include%s*([<"])([^>"]+)[>"]'
    if header then
      list[#list + 1] = { line = number, header = header, own = mark == '"' }
    end
  end
  return list
end

local function check_own(faults, path, floor, include)
  local target = include.header:match "^([%w_]+)/"
  if not target or not SEES[target] then
    faults:add(path, include.line, 'write "floor/file.h", not "%s"', include.header)
  elseif target ~= floor and not SEES[floor][target] then
    faults:add(path, include.line, "core/%s may not include %s: it sees %s", floor, include.header,
      next(SEES[floor]) and "only itself and the floors below it" or "only itself")
  end
end

local function check_foreign(faults, path, name, floor, include)
  local header = include.header
  local library = library_of(header)
  if library then
    if not matches(name, library.files) then
      faults:add(path, include.line, "%s belongs to %s, which this file may not know", header, library.name)
    end
  elseif not SYSTEM[header] and not SYSTEM_FOLDERS[header:match "^([^/]+)/" or ""] then
    faults:add(path, include.line, "%s belongs to no library that core/ may use", header)
  elseif floor == "base" and matches(header, SOCKETS) then
    faults:add(path, include.line, "core/base knows no sockets (%s)", header)
  end
end

-- A file of core/. `read(header)` gives the text of another one, or nil.
local function check_core(faults, path, text, read)
  local name = path:gsub("^core/", "")
  local floor = name:match "^([%w_]+)/"
  if not SEES[floor] then
    faults:add(path, 1, "core/%s is no floor", tostring(floor))
    return
  end
  for _, include in ipairs(includes(text)) do
    if include.own then
      check_own(faults, path, floor, include)
    else
      check_foreign(faults, path, name, floor, include)
    end
  end
  if not name:find "^script/api_" then
    return
  end

  -- Leaf functions see no Lua header, not even through one of ours: so they can't call back.
  local seen = {}
  local function walk(body, first)
    for _, include in ipairs(includes(body)) do
      local from = first or include
      if not include.own and library_of(include.header) and library_of(include.header).name == "LuaJIT" then
        if first then
          faults:add(path, from.line, "%s brings in %s: an api_ file may not see Lua", from.header, include.header)
        end
      elseif include.own and not seen[include.header] then
        seen[include.header] = true
        walk(read(include.header) or "", from)
      end
    end
  end
  walk(text)
end

-- A C test sees what its floor sees, and the floor itself.
local function check_test(faults, path, text)
  local floor = path:match "^spec/core/([%w_]+)/"
  if not SEES[floor] then
    return
  end
  for _, include in ipairs(includes(text)) do
    local target = include.own and include.header:match "^([%w_]+)/"
    if target and SEES[target] and target ~= floor and not SEES[floor][target] then
      faults:add(path, include.line, "a test of core/%s may not include %s", floor, include.header)
    end
  end
end

local function check(faults, path, text, read)
  if path:find "^core/" then
    check_core(faults, path, text, read)
  else
    check_test(faults, path, text)
  end
end

local function no_file() end
local function lua_inside() return "#include <lua.h>\n" end

lint.self_check(check, {
  { "core/base/a.c", '#include "net/loop.h"\n', no_file },
  { "core/http/a.c", '#include "side/redis.h"\n', no_file },
  { "core/side/a.c", '#include "http/wire.h"\n', no_file },
  { "core/gate/a.c", '#  include "script/vm.h"\n', no_file },
  { "core/gate/a.c", '#include "wire.h"\n', no_file },
  { "core/gate/a.c", '#include "../http/wire.h"\n', no_file },
  { "core/net/tcp.c", "#include <ev.h>\n", no_file },
  { "core/gate/exchange.c", "#include <lua.h>\n", no_file },
  { "core/script/api_base.c", "#include <lauxlib.h>\n", no_file },
  { "core/script/api_base.c", '#include "script/vm.h"\n', lua_inside },
  { "core/base/a.c", "#include <uv.h>\n", no_file },
  { "core/base/a.c", "#include <sys/socket.h>\n", no_file },
  { "core/tools/a.c", "\n", no_file },
  { "spec/core/base/a_test.c", '#include "net/loop.h"\n', no_file },
}, {
  { "core/base/a.c", '#include "base/slice.h"\n#include <string.h>\n#include <sys/random.h>\n', no_file },
  { "core/gate/a.c", '#include "http/wire.h"\n#include "side/store.h"\n', no_file },
  { "core/script/call_dns.c", '#include "net/dns.h"\n#include <lua.h>\n', no_file },
  { "core/script/api_base.c", '#include "script/api.h"\n#include "net/loop.h"\n', no_file },
  { "core/http/h2.c", "#include <nghttp2/nghttp2.h>\n", no_file },
  { "spec/core/net/a_test.c", '#include "support/test.h"\n#include "base/buf.h"\n', no_file },
})

local function read_header(header)
  local file = io.open("core/" .. header, "rb")
  if file then
    local text = file:read "*a"
    file:close()
    return text
  end
end

local faults = lint.faults()
local files = lint.files "^core/.*%.[chd]e?f?$"
for _, path in ipairs(lint.files "^spec/core/.*%.[ch]$") do
  files[#files + 1] = path
end
for _, path in ipairs(files) do
  check(faults, path, lint.read(path), read_header)
end
lint.finish(faults, #files)
