-- SPDX-License-Identifier: Apache-2.0

-- The peers and what is asked of them. A peer is a folder of peers/:
--
--   check     prints the version and exits 0, or prints why it can't be here and exits 1
--   start     writes its configuration into BENCH_DIR and becomes the gateway (exec), in the
--             foreground, on 127.0.0.1:BENCH_PORT, before 127.0.0.1:BENCH_ORIGIN_PORT
--   features  one word per line: policy, routes, workers, forwards (sets X-Forwarded-For), and
--             floor (joins every row, whatever is needed, and is asked for nothing but the body)

local process = require "process"

local M = {}

local HERE = os.getenv("BENCH_HERE")
local WORK = os.getenv("BENCH_WORK")

M.ORIGIN_PORT = 9000
M.KEY = "key-%06d-6f2b1c9d8e7a4f30"

local next_port = 9100

local function write_lines(path, count, format)
  local file = assert(io.open(path, "w"))
  for i = 1, count do
    file:write(format:format(i), "\n")
  end
  file:close()
end

-- Looks a peer up: { name, version, features }, or nil and why not.
function M.find(name)
  local folder = HERE .. "/peers/" .. name
  local features = process.read(folder .. "/features")
  if not features then
    return nil, "no such folder in spec/bench/peers"
  end
  local text = process.output(process.quote(folder .. "/check") .. " 2>&1; echo $?")
  local said, status = text:match("^(.-)%s*(%d+)%s*$")
  if status ~= "0" then
    return nil, said
  end
  local peer = { name = name, version = said, features = {}, folder = folder }
  for word in features:gmatch("%S+") do
    peer.features[word] = true
  end
  return peer
end

-- All peers: ours, the floor, then the others by name, backwards so that nginx comes first.
function M.names()
  local names = { "demilune", "relay" }
  for name in process.output("ls -r " .. process.quote(HERE .. "/peers")):gmatch("%S+") do
    if name ~= "demilune" and name ~= "relay" then
      names[#names + 1] = name
    end
  end
  return names
end

function M.can(peer, row)
  for _, need in ipairs(row.needs or {}) do
    if not (peer.features[need] or peer.features.floor) then
      return false, need
    end
  end
  return true
end

-- Starts a peer for a row; `wrap` is a command to put before the gateway.
function M.start(peer, row, wrap)
  next_port = next_port + 1
  local gateway = { peer = peer, row = row, port = next_port }
  gateway.dir = ("%s/%s.%d"):format(WORK, peer.name, next_port)
  os.execute("mkdir " .. process.quote(gateway.dir))
  gateway.log = gateway.dir .. "/log"

  local wants = row.gateway or {}
  write_lines(gateway.dir .. "/keys", wants.keys or 0, M.KEY)
  write_lines(gateway.dir .. "/routes", wants.routes or 0, "/s%d/items/")
  local environment = {
    BENCH_PORT = gateway.port, BENCH_ORIGIN_PORT = M.ORIGIN_PORT, BENCH_DIR = gateway.dir,
    BENCH_WORKERS = 1, BENCH_WRAP = wrap or "",
  }
  for name, value in pairs(wants) do
    environment["BENCH_" .. name:upper()] = value
  end
  gateway.pid = process.start(peer.folder .. "/start", {}, environment, gateway.log)
  return gateway
end

function M.stop(gateway, patience)
  process.stop(gateway.pid, patience)
end

return M
