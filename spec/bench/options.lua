-- SPDX-License-Identifier: Apache-2.0

-- The command line. As a program it checks its arguments and prints what the shell script that
-- starts everything must know: the CPU, the peers (or "all") and the binary; nothing when it was --help.

local HELP = [[
usage: spec/bench/run [OPTIONS]

CPU time per request of Demilune and its peers at the same work.

  --rows A,B         rows to measure (default: all); see rows.lua
  --peers A,B        peers to measure (default: all folders of peers/)
  --rounds N         rounds (default 5)
  --seconds S        seconds of load for each peer in a round (default 2)
  --cpu N            the CPU that everything runs on (default 0)
  --demilune PATH    the binary (default build/release/demilune)
  --json             the result as JSON on stdout instead of the table
  --callgrind ROW    instructions per request instead of time, by valgrind;
                     of demilune, or of the first of --peers
  --requests N       with --callgrind: how many requests are counted (default 2000)
  --help             this

Progress goes to stderr. Exit status: 0 measured, whether goals are met or not; 1 a peer failed its
check or under load, or opened connections anew; 2 wrong usage; 3 the machine lacks something.
]]

local M = { help = HELP }

local function list(text)
  local names = {}
  for name in text:gmatch("[^,]+") do
    names[#names + 1] = name
  end
  return names
end

local function whole(least)
  return function(text)
    local n = tonumber(text)
    return n and n >= least and n % 1 == 0 and n or nil
  end
end

local function text_of(text)
  return text ~= "" and text or nil
end

local TAKES = {
  rows = list, peers = list, callgrind = text_of, demilune = text_of,
  rounds = whole(1), seconds = whole(1), requests = whole(1), cpu = whole(0),
}

-- Returns the options, or nil and what is wrong.
function M.parse(args)
  local options = { rounds = 5, seconds = 2, cpu = 0, requests = 2000 }
  local i = 1
  while i <= #args do
    local name, value = args[i]:match("^%-%-([%a]+)=?(.*)$")
    if name == "json" or name == "help" then
      options[name] = true
    elseif TAKES[name] then
      if not args[i]:find("=", 1, true) then
        i = i + 1
        value = args[i] or ""
      end
      options[name] = TAKES[name](value)
      if options[name] == nil then
        return nil, "--" .. name .. ": what is " .. (value == "" and "missing" or value) .. "?"
      end
    else
      return nil, "unknown option " .. args[i]
    end
    i = i + 1
  end
  return options
end

if arg and arg[0]:find("options%.lua$") then
  local options, fault = M.parse(arg)
  if not options then
    io.stderr:write("spec/bench/run: ", fault, " (see --help)\n")
    os.exit(2)
  end
  if options.help then
    io.stderr:write(HELP)
  else
    local peers = options.peers or options.callgrind and { "demilune" } or { "all" }
    print(options.cpu, table.concat(peers, ","), options.demilune or "")
  end
end

return M
