-- SPDX-License-Identifier: Apache-2.0

-- What is measured: one entry a row, in the order of the report.
--
--   name         for --rows
--   about        one line for the report
--   kind         how: load (by wrk; the default), handshakes, idle, start, reload
--   path         what is asked for; %d becomes a number from 1 to `spread`
--   connections  of the load, kept alive; with idle: how many are held
--   spread       how many numbers there are; the load takes 1,000 of them evenly
--   gateway      what the peer's programs are told: `routes = 10` becomes BENCH_ROUTES=10
--   needs        features a peer must have, words of its `features` file
--   floor        the relay takes part
--   against      another row that the same peer runs in the same rounds, for a ratio to it
--   per          the difference to that row is divided by this
--   yardstick    a measure in microseconds (loaded.lua), taken beside each load: the difference to that row as a multiple
--                of it is the figure `yardsticks`
--   inside       a path whose answer is a figure in nanoseconds, from a loop inside the gateway
--   all_cpus     not on one CPU but on all
--   reuse        the share of requests over kept upstream connections that ours must exceed
--   rounds       at most so many
--   goals        what Demilune is to reach; see goals.lua

local TO_NGINX = { to = { "nginx" }, most = 1 } -- everywhere: never more than nginx

local CACHES = {
  { to = { "haproxy" }, most = 0.80 }, { to = { "nginx" }, most = 0.73 }, { to = { "varnish" }, most = 0.5 },
}

local function within_base(most)
  return { to_base = true, most = most }
end

local function over_base(most)
  return { figure = "over_base_us", most = most, unit = "us" }
end

local function better(most)
  return { to = { "nginx", "haproxy" }, most = most }
end

return {
  {
    name = "plain", about = "one worker, a 100 byte answer",
    path = "/small", connections = 50, needs = { "proxy" }, floor = true,
    goals = { { to = { "nginx" }, most = 0.80 }, { to = { "haproxy" }, most = 0.80 } },
  },
  {
    name = "c1", about = "one connection",
    path = "/small", connections = 1, needs = { "proxy" }, floor = true,
    goals = { { to = { "nginx" }, most = 0.88 } },
  },
  {
    name = "c1000", about = "1,000 connections",
    path = "/small", connections = 1000, needs = { "proxy" }, floor = true,
    goals = { { to = { "nginx" }, most = 0.75 } },
  },
  {
    name = "tls", about = "TLS 1.3 terminated, connections kept alive",
    path = "/small", connections = 50, needs = { "proxy", "tls" },
    gateway = { tls = 1 },
    goals = { better(0.85), TO_NGINX },
  },
  {
    name = "tls-handshake", about = "a full TLS 1.3 handshake for every request", kind = "handshakes",
    path = "/small", connections = 50, needs = { "proxy", "tls" },
    gateway = { tls = 1 },
    goals = { better(0.95), TO_NGINX },
  },
  {
    name = "policy", about = "key check among 1,000 keys, rate limit, a header set each way",
    path = "/small", connections = 50, spread = 1000, needs = { "policy" }, floor = true,
    gateway = { keys = 1000 }, against = "plain",
    goals = { { to = { "nginx-lua" }, most = 0.80 }, within_base(1.12), TO_NGINX },
  },
  {
    name = "token", about = "a token that was verified before, its subject in a header",
    path = "/small", connections = 50, needs = { "token" }, floor = true,
    gateway = { token = 1 }, against = "plain",
    goals = { { to = { "nginx-lua" }, most = 0.85 } },
  },
  {
    name = "token-first", about = "a token that is seen for the first time, its RS256 signature verified",
    path = "/small", connections = 50, needs = { "token-first" },
    gateway = { first_token = 1 }, against = "plain", yardstick = "rs256",
    goals = { { figure = "yardsticks", most = 1.2, unit = "of OpenSSL's own verify" } },
  },
  {
    name = "limit", about = "a rate limit, counted in memory",
    path = "/small", connections = 50, needs = { "traffic" },
    gateway = { traffic = "limit" }, against = "plain",
    goals = { over_base(1) },
  },
  {
    name = "limit-redis", about = "a rate limit, counted in Redis",
    path = "/small", connections = 50, needs = { "traffic" },
    gateway = { traffic = "limit", store = "redis" }, against = "plain",
    goals = { over_base(10), { figure = "redis_scripts", most = 1.1, unit = "Redis scripts per request" } },
  },
  {
    name = "retry", about = "retry, where nothing fails",
    path = "/small", connections = 50, needs = { "traffic" },
    gateway = { traffic = "retry" }, against = "plain",
    goals = { over_base(0.5) },
  },
  {
    name = "breaker", about = "a circuit breaker, where nothing fails",
    path = "/small", connections = 50, needs = { "traffic" },
    gateway = { traffic = "breaker" }, against = "plain",
    goals = { over_base(0.5) },
  },
  {
    name = "routes-10k", about = "a plain request among 10,000 routes",
    path = "/s%d/items/42", connections = 50, spread = 10000, needs = { "routes" }, floor = true,
    gateway = { routes = 10000 }, against = "paths-10k",
    goals = { within_base(1.05), TO_NGINX },
  },
  {
    name = "routes-50k", about = "a plain request among 50,000 routes",
    path = "/s%d/items/42", connections = 50, spread = 50000, needs = { "routes" }, floor = true,
    gateway = { routes = 50000 }, against = "paths-50k",
    goals = { within_base(1.05), TO_NGINX },
  },
  {
    name = "body-10k", about = "a 10 KB answer",
    path = "/10k", connections = 50, needs = { "proxy" }, floor = true,
    goals = { better(0.88), TO_NGINX },
  },
  {
    name = "body-1m", about = "a 1 MB answer",
    path = "/1m", connections = 8, needs = { "proxy" }, floor = true,
    goals = { better(1), TO_NGINX },
  },
  {
    name = "cache-hit", about = "a 100 byte answer from the cache",
    path = "/fresh", connections = 50, needs = { "cache" },
    gateway = { kept = "hit" },
    goals = CACHES,
  },
  {
    name = "cache-hit-10k", about = "a 10 KB answer from the cache",
    path = "/fresh-10k", connections = 50, needs = { "cache" },
    gateway = { kept = "hit" },
    goals = CACHES,
  },
  {
    name = "cache-miss", about = "looked for in the cache, asked for, and not to be kept",
    path = "/small", connections = 50, needs = { "cache", "proxy" }, floor = true,
    gateway = { kept = "miss" }, against = "plain",
    goals = { { figure = "over_base_us", most = 1.5, unit = "us" }, TO_NGINX },
  },
  {
    name = "hook-empty", about = "a plugin with five hooks that do nothing; the difference is of each",
    path = "/small", connections = 50, needs = { "hooks" },
    gateway = { hooks = "empty" }, against = "plain", per = 5,
    goals = { { figure = "over_base_us", most = 0.3, unit = "us" } },
  },
  {
    name = "hook-read", about = "a plugin that reads one header",
    path = "/small", connections = 50, needs = { "hooks" },
    gateway = { hooks = "read" }, against = "plain", inside = "/loop",
    goals = { { figure = "inside_ns", most = 60, unit = "ns" } },
  },
  {
    name = "hook-five", about = "five plugins that each read and set one header",
    path = "/small", connections = 50, needs = { "hooks" },
    gateway = { hooks = "five" }, against = "plain", inside = "/loop",
    goals = { { figure = "over_base_us", most = 3, unit = "us" } },
  },
  {
    name = "workers-4", about = "four workers on all CPUs, against one worker on all CPUs",
    path = "/small", connections = 50, needs = { "workers" }, all_cpus = true,
    gateway = { workers = 4 }, against = "workers-1", reuse = 0.999,
    goals = { TO_NGINX, { figure = "futexes", most = 10, unit = "futex calls per 1,000 requests" } },
  },
  {
    name = "idle", about = "memory of a connection that was used once and is kept alive", kind = "idle",
    path = "/small", connections = 5000, rounds = 3, needs = { "proxy" },
    goals = { { figure = "kib", most = 0.6, unit = "KiB" } },
  },
  {
    name = "idle-tls", about = "the same over TLS 1.3", kind = "idle",
    path = "/small", connections = 5000, rounds = 3, needs = { "proxy", "tls" },
    gateway = { tls = 1 },
    goals = { { figure = "kib", most = 14.5, unit = "KiB" } },
  },
  {
    name = "start", about = "from the start to the first answer, with 10,000 routes", kind = "start",
    path = "/s%d/items/42", spread = 10000, needs = { "routes" },
    gateway = { routes = 10000 },
    goals = { { figure = "ms", most = 40, unit = "ms" } },
  },
  {
    name = "reload", about = "reload under load, with one route", kind = "reload",
    path = "/s%d/items/42", connections = 50, spread = 1, rounds = 3, needs = { "routes", "reload" },
    gateway = { routes = 1, reload = 1 },
    goals = {
      { figure = "failed", most = 0, unit = "failed requests" },
      { figure = "worst_ratio", most = 2, unit = "times the worst latency of a calm run" },
      { figure = "memory_ratio", most = 1.1, unit = "times the memory before" },
    },
  },
  {
    name = "reload-10k", about = "reload under load, with 10,000 routes", kind = "reload",
    path = "/s%d/items/42", connections = 50, spread = 10000, rounds = 3, needs = { "routes", "reload" },
    gateway = { routes = 10000, reload = 1 },
    goals = {
      { figure = "failed", most = 0, unit = "failed requests" },
      { figure = "worst_ratio", most = 2, unit = "times the worst latency of a calm run" },
      { figure = "memory_ratio", most = 1.1, unit = "times the memory before" },
    },
  },
  {
    name = "paths-10k", about = "what routes-10k is compared with: the same requests, and one route for all",
    path = "/s%d/items/42", connections = 50, spread = 10000, needs = { "proxy" }, is_base = true,
  },
  {
    name = "paths-50k", about = "what routes-50k is compared with",
    path = "/s%d/items/42", connections = 50, spread = 50000, needs = { "proxy" }, is_base = true,
  },
  {
    name = "workers-1", about = "what workers-4 is compared with", is_base = true,
    path = "/small", connections = 50, needs = { "workers" }, all_cpus = true,
  },
}
