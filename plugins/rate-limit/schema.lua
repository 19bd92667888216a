-- SPDX-License-Identifier: Apache-2.0

local WHOLE = 2 ^ 53

local function limit() -- a copy for each place
  return { type = "integer", minimum = 1, maximum = WHOLE, description = "How many are allowed per window." }
end

local function window()
  return {
    type = "string", format = "duration", minimum = 0.001, maximum = 366 * 86400,
    description = "The time that `limit` is for; with `concurrent` the longest time one may stay inside.",
  }
end

local function burst()
  return {
    type = "integer", minimum = 1, maximum = WHOLE,
    description = "How many may come at once (gcra); absent = limit.",
  }
end

local function algorithm(default)
  return {
    enum = { "gcra", "sliding_window", "fixed_window", "concurrent" }, default = default,
    description = "How is counted.",
  }
end

return {
  type = "object",
  properties = {
    limit = limit(),
    window = window(),
    burst = burst(),
    algorithm = algorithm "gcra",
    limits = {
      type = "array", minItems = 1, maxItems = 4,
      items = {
        type = "object",
        properties = { limit = limit(), window = window(), burst = burst(), algorithm = algorithm() },
        required = { "limit" },
      },
      description = "Several limits at once, instead of `limit`: all must allow the request.",
    },
    by = {
      anyOf = {
        { type = "string", minLength = 1 },
        { type = "array", items = { type = "string", minLength = 1 }, minItems = 1, maxItems = 8 },
      },
      default = "client_ip",
      description = "Whose requests are counted together: a selector, a template, or a list; empty = client_ip.",
    },
    ipv6_prefix = {
      type = "integer", minimum = 1, maximum = 128, default = 64,
      description = "An IPv6 client is its network of so many bits.",
    },
    cost = {
      anyOf = { { type = "integer", minimum = 0, maximum = WHOLE }, { type = "string", format = "selector" } },
      default = 1,
      description = "What one request counts: a number, or a selector whose number counts.",
    },
    store = { enum = { "memory", "redis" }, default = "memory", description = "Where the counts are." },
    redis = { type = "string", description = "Name of a redis of the configuration, with store: redis." },
    on_store_failure = {
      enum = { "allow", "deny", "local" }, default = "allow",
      description = "What happens when the store can't tell: the request passes, is refused, or counts here alone.",
    },
    store_timeout = {
      type = "string", format = "duration", default = "100ms",
      description = "How long an answer of the store is waited for, with store: redis.",
    },
    headers = {
      enum = { "ietf", "x", "both", "none" }, default = "ietf",
      description = "Which fields tell the client its quota: RateLimit, X-RateLimit-*, both, none.",
    },
    status = { type = "integer", minimum = 400, maximum = 599, default = 429, description = "Status of a refusal." },
  },
  oneOf = {
    { required = { "limit" }, description = "limit" },
    { required = { "limits" }, description = "limits" },
  },
}
