-- SPDX-License-Identifier: Apache-2.0

local function duration(default, description)
  return { type = "string", format = "duration", default = default, description = description }
end

local function ratio(default, description)
  return { type = { "string", "number" }, format = "ratio", default = default, description = description }
end

return {
  type = "object",
  properties = {
    scope = {
      enum = { "upstream", "endpoint", "route" }, default = "upstream",
      description = "What has a circuit of its own. With endpoint an attempt goes to another one while one is closed.",
    },
    window = duration("10s", "The time whose attempts are judged; it slides on by a tenth of itself."),
    min_requests = {
      type = "integer", minimum = 1, maximum = 1000000000, default = 20,
      description = "Fewer attempts in the window are no ground to open.",
    },
    failure_ratio = ratio("50%", "Opens when so many of the attempts in the window have failed."),
    slow_call = {
      type = "object",
      properties = {
        over = { type = "string", format = "duration", description = "An attempt that takes longer is slow." },
        ratio = ratio("50%", "Opens when so many of the attempts in the window were slow."),
      },
      required = { "over" },
      description = "Opens for slow attempts, too; absent = none is slow.",
    },
    open_for = duration("5s", "How long it stays open; doubled each time that it has to open again."),
    open_for_max = duration("60s", "The longest that it stays open."),
    half_open_requests = {
      type = "integer", minimum = 1, maximum = 1000000, default = 5,
      description = "So many probes pass when that time is over; it closes when all of them are well.",
    },
    ramp = duration("10s", "Closed again, a share passes that grows to all of them in this time; 0 = all at once."),
    failures = {
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
      description = "What counts as a failure; absent = connect, reset, timeout, protocol, 500, 502, 503, 504.",
    },
    fallback = {
      anyOf = {
        {
          type = "object",
          properties = {
            status = { type = "integer", minimum = 200, maximum = 599, default = 503, description = "Its status." },
            headers = {
              type = "object", additionalProperties = { type = "string" }, description = "Its header fields.",
            },
            body = { type = "string", description = "Its body." },
            upstream = { type = "string", description = "Or the name of an upstream that takes the request." },
          },
        },
        { const = "stale" },
      },
      description = "What is done with a request while the circuit is open: an answer, another upstream, or stale: "
        .. "what the cache has kept; absent = 503.",
    },
  },
}
