-- SPDX-License-Identifier: Apache-2.0

-- Instructions per request: the gateway runs twice under callgrind, for different numbers
-- of requests, and the difference counts, so that start-up, the first traces of the JIT and the end
-- are subtracted. One connection, one request after the other.
--
-- A supervisor executes /proc/self/exe for its gateway, which under valgrind 3.19 would be valgrind. So
-- it runs without, and what it executes is put under valgrind by a library loaded into it.

local check = require "check"
local gateways = require "gateway"
local process = require "process"
local provide = require "provide"

local M = {}

local WARM_REQUESTS = 1000
local PATIENCE = 120

local VALGRIND = "valgrind --quiet --tool=callgrind --trace-children=yes "
  .. "--callgrind-out-file=%q{BENCH_DIR}/callgrind.out.%p"

local UNDER = [[
#include <stdlib.h>
#include <unistd.h>
int execv(const char *path, char *const argv[])
{
    char program[4096] = {0}, *words[64] = {WORDS, program};
    int n = 0;
    while (words[n])
        n++;
    for (int i = 1; argv[i] && n < 63; i++)
        words[n++] = argv[i];
    unsetenv("LD_PRELOAD");
    return readlink(path, program, sizeof(program) - 1) < 0 ? -1 : execvp(words[0], words);
}
]]

-- The command to put before a gateway that a supervisor executes.
local function under_supervisor()
  local library = os.getenv "BENCH_WORK" .. "/under.so"
  local compiler = assert(io.popen("cc -D_GNU_SOURCE -shared -fPIC -xc -o " .. process.quote(library) .. " -", "w"))
  local words = VALGRIND:gsub("%S+", '"%0",'):gsub(",$", "")
  compiler:write((UNDER:gsub("WORDS", function() return words end)))
  compiler:close()
  return "env LD_PRELOAD=" .. library
end

-- A file for curl in which each request has a credential of its own.
local function questions(gateway, url, count)
  local path, parts = gateway.dir .. "/questions", {}
  for line in io.lines(gateways.TOKENS) do
    parts[#parts + 1] = ('url = "%s"\nheader = "%s"\noutput = "%s/answer"\nwrite-out = "%%{http_code}\\n"\n'):format(
      url, gateways.credential_format(gateway.row):format(line), gateway.dir)
    if #parts == count then
      break
    end
  end
  local file = assert(io.open(path, "w"))
  file:write(table.concat(parts, "next\n"))
  file:close()
  return path
end

local function ask(gateway, count)
  local row = gateway.row
  local url = ("http://127.0.0.1:%d%s"):format(gateway.port, (row.path:gsub("%%d", tostring(row.spread or 1))))
  local arguments
  if (row.gateway or {}).first_token then
    arguments = "-K " .. process.quote(questions(gateway, url, count))
  else
    local credential = gateways.credential_line(row, 7)
    arguments = ("%s -o %s -w '%%{http_code}\\n' %s"):format(credential and "-H " .. process.quote(credential) or "",
      process.quote(gateway.dir .. "/answer"), process.quote(("%s#[1-%d]"):format(url, count)))
  end
  local statuses = process.output(("curl -s %s | sort | uniq -c"):format(arguments))
  assert(tonumber(statuses:match("^%s*(%d+) 200%s*$")) == count, "not all answered 200:\n" .. statuses)
end

-- What all processes of the gateway ran, from the files that callgrind leaves.
local function instructions(gateway)
  local total = 0
  for path in process.output("ls " .. gateway.dir .. "/callgrind.out.*"):gmatch("%S+") do
    total = total + (tonumber(process.read(path):match("\ntotals: (%d+)")) or 0)
  end
  return total
end

local function count(peer, row, requests)
  local gateway = gateways.start(peer, row, peer.name == "demilune" and under_supervisor() or VALGRIND)
  local up, why = check.wait_until_up(gateway, PATIENCE)
  if not up then
    error(why .. "\n" .. (process.read(gateway.log) or ""))
  end
  ask(gateway, requests)
  gateways.stop(gateway, PATIENCE)
  return instructions(gateway)
end

-- Prints the figure of the first of --peers, or of Demilune, in this row; false when it could not.
function M.run(row, options)
  if process.output("command -v valgrind") == "" then
    io.stderr:write("--callgrind needs valgrind\n")
    return false
  end
  local has, lack = provide.provide(row)
  if not has then
    io.stderr:write(("%s: %s\n"):format(row.name, lack))
    return false
  end
  local name = options.peers and options.peers[1] or "demilune"
  local peer, why = gateways.find(name)
  if not peer then
    io.stderr:write(("%s: %s\n"):format(name, why))
    return false
  end
  local few = count(peer, row, WARM_REQUESTS)
  local many = count(peer, row, WARM_REQUESTS + options.requests)
  print(("%s: %s: %.0f instructions per request (over %d requests)"):format(
    row.name, name, (many - few) / options.requests, options.requests))
  return true
end

return M
