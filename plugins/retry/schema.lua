-- SPDX-License-Identifier: Apache-2.0

return {
  type = "object",
  properties = {
    attempts = {
      type = "integer", minimum = 1, maximum = 10, default = 3,
      description = "How many attempts a request has all in all, the first included.",
    },
    on = {
      type = "array", minItems = 1,
      items = {
        anyOf = {
          { type = "integer", minimum = 100, maximum = 599 },
          {
            type = "string", pattern = [[^(connect|reset|timeout|protocol|[1-5]xx|[1-5]\d\d|grpc:[a-z_]+)$]],
            title = "connect, reset, timeout, protocol, a status, a class such as 5xx, or grpc:unavailable",
          },
        },
      },
      description = "What is tried again: kinds of failure, statuses; absent = connect, reset, timeout, 502, 503, 504.",
    },
    methods = {
      type = "array", minItems = 1,
      items = { type = "string", pattern = "^[A-Z]+$", title = "a method in capitals" },
      description = "Which methods are tried again; absent = the idempotent ones. Any method is when no connection "
        .. "was had.",
    },
    per_try_timeout = {
      type = "string", format = "duration",
      description = "What one attempt may take to its response head; the route's timeout holds for all of them.",
    },
    backoff = {
      type = "object",
      properties = {
        base = {
          type = "string", format = "duration", default = "25ms",
          description = "The wait before the first retry is a random time up to this; it doubles with each.",
        },
        max = {
          type = "string", format = "duration", default = "1s",
          description = "The longest wait; a Retry-After beyond it is not waited for.",
        },
      },
      description = "How long to wait before another attempt.",
    },
    budget = {
      type = { "string", "number" }, format = "ratio", default = "20%",
      description = "Retries are at most this share of the requests of the last 10 seconds, over all workers.",
    },
    hedge = {
      type = "object",
      properties = {
        percentile = {
          type = "number", minimum = 50, maximum = 99.9,
          description = "Another attempt begins when the first has taken longer than so many of 100 did of late.",
        },
        max = {
          type = "integer", minimum = 1, maximum = 1, default = 1,
          description = "How many attempts may be made beside the first at a time.",
        },
      },
      required = { "percentile" },
      description = "Does not wait for late answers alone: asks another endpoint, too, and takes the first answer.",
    },
    budget_min = {
      type = "integer", minimum = 0, maximum = 1000000, default = 3,
      description = "As many retries in 10 seconds are always allowed, for places with few requests.",
    },
  },
}
