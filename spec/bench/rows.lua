-- SPDX-License-Identifier: Apache-2.0

-- What is measured: one entry a row, in the order of the table.
--
--   name         for --rows
--   about        one line for the report
--   path         what is asked for; %d becomes a number from 1 to `spread`
--   connections  of the load, kept alive
--   spread       how many numbers there are; the load takes 1,000 of them evenly
--   gateway      what the peer's start script is told: `routes = 10` becomes BENCH_ROUTES=10
--   needs        features a peer must have, one word per line in its `features` file
--   against      another row that the same peer runs in the same rounds, for a ratio to it
--   reuse        the share of requests over kept upstream connections that ours must exceed

return {
  {
    name = "plain", about = "one worker, a 100 byte answer",
    path = "/small", connections = 50,
  },
  {
    name = "policy", about = "key check among 1,000 keys, rate limit, a header set each way",
    path = "/small", connections = 50, spread = 1000,
    gateway = { keys = 1000 }, needs = { "policy" }, against = "plain",
  },
  {
    name = "c1", about = "one connection",
    path = "/small", connections = 1,
  },
  {
    name = "c1000", about = "1,000 connections",
    path = "/small", connections = 1000,
  },
  {
    name = "routes-10k", about = "a plain request among 10,000 routes",
    path = "/s%d/items/42", connections = 50, spread = 10000,
    gateway = { routes = 10000 }, needs = { "routes" }, against = "plain",
  },
  {
    name = "routes-50k", about = "a plain request among 50,000 routes",
    path = "/s%d/items/42", connections = 50, spread = 50000,
    gateway = { routes = 50000 }, needs = { "routes" }, against = "plain",
  },
  {
    name = "body-10k", about = "a 10 KB answer",
    path = "/10k", connections = 50,
  },
  {
    name = "body-1m", about = "a 1 MB answer",
    path = "/1m", connections = 8,
  },
  {
    name = "workers-4", about = "four workers: upstream connections are still reused",
    path = "/small", connections = 50,
    gateway = { workers = 4 }, needs = { "workers" }, reuse = 0.999,
  },
}
