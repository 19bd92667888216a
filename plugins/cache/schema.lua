-- SPDX-License-Identifier: Apache-2.0

return {
  type = "object",
  properties = {
    store = {
      enum = { "memory", "redis" }, default = "memory",
      description = "Where responses are kept: memory of the process, shared by its workers; with redis also in a "
        .. "Redis behind it that gateways share.",
    },
    redis = { type = "string", description = "The name of a server in `redis`; needed with store: redis." },
    store_timeout = {
      type = "string", format = "duration",
      description = "What asking Redis may take; 100ms unless given.",
    },
    size = {
      type = "string", format = "size", default = "64MiB",
      description = "The most memory that this place's responses take; beyond it those go that were not used for long.",
    },
    max_object = {
      type = "string", format = "size", default = "1MiB",
      description = "A larger body is passed on and not kept. At most a 16th of size is of use.",
    },
    ttl = {
      type = "string", format = "duration",
      description = "How long responses are good for that say nothing of it and have no Last-Modified. Without it they "
        .. "are not kept.",
    },
    statuses = {
      type = "array", items = { type = "integer", minimum = 200, maximum = 599 }, minItems = 1, maxItems = 64,
      description = "The only statuses that are kept; any, by RFC 9111's rules, unless given.",
    },
    key = {
      type = "string", format = "key",
      description = "A template that stands for the URL: what is the same for two requests is answered with the same. "
        .. "Unless given: scheme, host, path and query.",
    },
    vary = {
      type = "array", items = { type = "string", format = "key" }, minItems = 1, maxItems = 8,
      description = "Selectors whose values keep responses apart, beside what their own Vary names.",
    },
    coalesce = {
      type = "boolean", default = true,
      description = "Of several requests for the same, at the same time, one asks upstream and the others wait for it.",
    },
    set_cookie = {
      type = "boolean", default = false,
      description = "Keep responses with Set-Cookie too, cookies included: everybody then gets the same.",
    },
    tag_header = {
      type = "string", minLength = 1, default = "Cache-Tag",
      description = "The response header whose words a response can be purged by.",
    },
  },
}
