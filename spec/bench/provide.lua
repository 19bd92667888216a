-- SPDX-License-Identifier: Apache-2.0

-- What a row needs beside gateway and origin, made when the first row asks for it: a Redis, and tokens that
-- no two requests in a row have in common.

local gateways = require "gateway"
local process = require "process"

local M = {}

local TOOLS, WORK = os.getenv("BENCH_TOOLS"), os.getenv("BENCH_WORK")
local PATIENCE = 30

-- More than a gateway remembers, so that a token that comes again after all the others has been forgotten.
M.TOKENS = 10000

local redis -- its process id
local has_tokens = false

local function ask_redis(what)
  return process.output(("redis-cli -p %d %s 2>/dev/null"):format(gateways.REDIS_PORT, what))
end

local function start_redis()
  if redis then
    return true
  elseif process.output("command -v redis-server && command -v redis-cli"):gsub("%S+", "") ~= "\n\n" then
    return nil, "redis-server and redis-cli are not installed"
  end
  redis = process.start("redis-server",
    { "--bind", "127.0.0.1", "--port", gateways.REDIS_PORT, "--save", "", "--dir", WORK }, {}, WORK .. "/redis.log")
  for _ = 1, PATIENCE * 20 do
    if ask_redis("ping"):find "PONG" then
      return true
    end
    process.sleep(0.05)
  end
  return nil, "redis-server does not answer"
end

local function make_tokens()
  if has_tokens then
    return true
  end
  local key = process.quote(gateways.TOKEN_KEY)
  local said, status = process.run(("sh -c %s"):format(process.quote(
    ("openssl genrsa -out %s 2048 && openssl rsa -in %s -pubout -out %s.pub && %s sign %s %d >%s"):format(key, key, key,
      process.quote(TOOLS .. "/rs256"), key, M.TOKENS, process.quote(gateways.TOKENS)))))
  has_tokens = status == 0
  return has_tokens, said
end

-- True, or nil and why the row can't be measured here.
function M.provide(row)
  local wants = row.gateway or {}
  if wants.store == "redis" then
    return start_redis()
  elseif wants.first_token then
    return make_tokens()
  end
  return true
end

-- CPU time of the Redis that a row has, in seconds; and the scripts that it was asked to run.
function M.redis_spent(row)
  if (row.gateway or {}).store ~= "redis" then
    return 0
  end
  return process.cpu(redis).run, tonumber(ask_redis("info commandstats"):match("cmdstat_evalsha:calls=(%d+)"))
end

return M
