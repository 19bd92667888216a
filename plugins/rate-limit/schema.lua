-- SPDX-License-Identifier: Apache-2.0

local MAX = 1e12

local limit = {
  type = "integer", minimum = 1, maximum = MAX,
  description = "How many requests (or how much cost) in a window; with concurrent, how many at a time.",
}
local window = {
  type = "string", format = "duration", description = "The time that the limit is for. Needed but for concurrent.",
}
local burst = {
  type = "integer", minimum = 1, maximum = MAX,
  description = "How many may come at once after a quiet time, with gcra; the limit unless given.",
}
local ALGORITHMS = { "gcra", "sliding_window", "fixed_window", "concurrent" }
local algorithm = {
  enum = ALGORITHMS, default = "gcra",
  description = "How it is counted: spread evenly (gcra), over the last window, by the clock, or how many at a time.",
}
local algorithm_of_one = { enum = ALGORITHMS, description = "How this one is counted; absent = as `algorithm` says." }

return {
  type = "object",
  properties = {
    limit = limit,
    window = window,
    burst = burst,
    algorithm = algorithm,
    limits = {
      type = "array", minItems = 1, maxItems = 4,
      description = "Several limits instead of one: a request must keep all of them.",
      items = {
        type = "object",
        properties = { limit = limit, window = window, burst = burst, algorithm = algorithm_of_one },
        required = { "limit" },
      },
    },
    by = {
      description = "What is counted: a selector, a template, or a list of them that count together. What is empty "
        .. "falls back to client_ip.",
      type = { "string", "array" },
      format = "key",
      items = { type = "string", format = "key" },
      minItems = 1, maxItems = 8,
      default = "client_ip",
    },
    ipv6_prefix = {
      type = "integer", minimum = 16, maximum = 128, default = 64,
      description = "IPv6 clients of one network of this size count as one.",
    },
    cost = {
      description = "What a request takes from the limit: a number, or a selector whose value is one.",
      type = { "number", "string" }, minimum = 0, format = "key", default = 1,
    },
    store = {
      enum = { "memory", "redis" }, default = "memory",
      description = "Where the counts are: memory of the process, exact over all workers, or Redis, over all gateways.",
    },
    redis = { type = "string", description = "The name of a server in `redis`; needed with store: redis." },
    store_timeout = {
      type = "string", format = "duration",
      description = "What asking Redis may take; 100ms unless given.",
    },
    on_store_failure = {
      enum = { "allow", "deny", "local" }, default = "allow",
      description = "When the store can't count: let pass, answer 503, or count in the process's memory.",
    },
    headers = {
      enum = { "ietf", "x", "both", "none" }, default = "ietf",
      description = "What tells the client: RateLimit and RateLimit-Policy, the X-RateLimit trio, both, or neither.",
    },
    status = {
      type = "integer", minimum = 400, maximum = 599, default = 429,
      description = "The answer to who is over the limit.",
    },
  },
}
