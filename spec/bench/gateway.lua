-- SPDX-License-Identifier: Apache-2.0

-- The peers and what is asked of them. A peer is a folder of peers/ with a list of what it can do
-- and some programs; README.md says which, and what they are told.

local process = require "process"

local M = {}

local HERE = os.getenv("BENCH_HERE")
local WORK = os.getenv("BENCH_WORK")

M.ORIGIN_PORT = 9000
M.KEY = "key-%06d-6f2b1c9d8e7a4f30"
M.TOKEN = process.read(HERE .. "/token.jwt"):match "%S+"
M.CERTIFICATE, M.CERTIFICATE_KEY = WORK .. "/certificate.pem", WORK .. "/certificate.key"
M.TOKEN_KEY, M.TOKENS = WORK .. "/tokens.pem", WORK .. "/tokens"
M.REDIS_PORT = 9001

local next_port = 9100

local function write_lines(path, count, format)
  local file = assert(io.open(path, "w"))
  for i = 1, count do
    file:write(format:format(i), "\n")
  end
  file:close()
end

-- What a row's requests bring along, as a header's name and a format of its value for a request's number; or nil. Where
-- the row has tokens of its own the number chooses a line of M.TOKENS instead.
function M.credential(row)
  local wants = row.gateway or {}
  if wants.keys then
    return "X-Api-Key", M.KEY
  elseif wants.token then
    return "Authorization", "Bearer " .. M.TOKEN
  elseif wants.first_token then
    return "Authorization", "Bearer %s"
  end
end

local function token_line(n)
  for line in io.lines(M.TOKENS) do
    n = n - 1
    if n == 0 then
      return line
    end
  end
end

-- The same as the line of a header; nil.
function M.credential_format(row)
  local name, format = M.credential(row)
  return name and ("%s: %s"):format(name, format)
end

-- The same for request n.
function M.credential_line(row, n)
  local format = M.credential_format(row)
  return format and format:format((row.gateway or {}).first_token and token_line(n) or n)
end

-- Looks a peer up: { name, version, features }, or nil and why not.
function M.find(name)
  local folder = HERE .. "/peers/" .. name
  local features = process.read(folder .. "/features")
  if not features then
    return nil, "no such folder in spec/bench/peers"
  end
  local said, status = process.run(process.quote(folder .. "/check"))
  if status ~= 0 then
    return nil, said
  end
  local peer = { name = name, version = said, features = {}, folder = folder }
  for word in features:gmatch("%S+") do
    peer.features[word] = true
  end
  return peer
end

-- All peers: ours, the floor, then the others by name, backwards so that nginx comes before HAProxy.
function M.names()
  local names = { "demilune", "relay" }
  for name in process.output("ls -r " .. process.quote(HERE .. "/peers")):gmatch("%S+") do
    if name ~= "demilune" and name ~= "relay" then
      names[#names + 1] = name
    end
  end
  return names
end

-- True, or false and the feature that is missing.
function M.can(peer, row)
  if peer.features.floor then
    return row.floor or false, "floor"
  end
  for _, need in ipairs(row.needs or {}) do
    if not peer.features[need] then
      return false, need
    end
  end
  return true
end

local function environment_of(gateway, wrap)
  local environment = {
    BENCH_PORT = gateway.port, BENCH_ORIGIN_PORT = M.ORIGIN_PORT, BENCH_DIR = gateway.dir,
    BENCH_WORKERS = 1, BENCH_WRAP = wrap or "",
    BENCH_TOKEN_KEY = M.TOKEN_KEY .. ".pub", BENCH_REDIS_PORT = M.REDIS_PORT,
    BENCH_HERE = HERE, BENCH_CERTIFICATE = M.CERTIFICATE, BENCH_CERTIFICATE_KEY = M.CERTIFICATE_KEY,
  }
  for name, value in pairs(gateway.row.gateway or {}) do
    environment["BENCH_" .. name:upper()] = value
  end
  return environment
end

local function run_program(gateway, name)
  local said, status = process.run(process.quote(gateway.peer.folder .. "/" .. name), gateway.environment)
  if status ~= 0 then
    error(("%s: %s: %s"):format(gateway.peer.name, name, said))
  end
end

local function configure(gateway)
  if process.read(gateway.peer.folder .. "/configure") then
    run_program(gateway, "configure")
  end
end

-- Starts a peer for a row; `wrap` is a command to put before the gateway, or what makes one of it.
function M.start(peer, row, wrap)
  next_port = next_port + 1
  local gateway = { peer = peer, row = row, port = next_port }
  gateway.scheme = (row.gateway or {}).tls and "https" or "http"
  gateway.dir = ("%s/%s.%d"):format(WORK, peer.name, next_port)
  os.execute("mkdir " .. process.quote(gateway.dir))
  gateway.log = gateway.dir .. "/log"

  local wants = row.gateway or {}
  write_lines(gateway.dir .. "/keys", wants.keys or 0, M.KEY)
  write_lines(gateway.dir .. "/routes", wants.routes or 0, "/s%d/items/")
  gateway.environment = environment_of(gateway, type(wrap) == "function" and wrap(gateway) or wrap)
  configure(gateway)
  gateway.pid = process.start(peer.folder .. "/start", {}, gateway.environment, gateway.log)
  gateway.environment.BENCH_PID = gateway.pid
  return gateway
end

-- Writes the configuration anew with one route more, which the gateway does not know before reload.
function M.add_route(gateway, prefix)
  local file = assert(io.open(gateway.dir .. "/routes", "a"))
  file:write(prefix, "\n")
  file:close()
  configure(gateway)
end

function M.reload(gateway)
  run_program(gateway, "reload")
end

function M.stop(gateway, patience)
  process.stop(gateway.pid, patience)
end

return M
