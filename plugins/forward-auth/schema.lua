-- SPDX-License-Identifier: Apache-2.0

-- Of a request that is made here these belong to the call itself.
local OWN = {
  "connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
}

local function headers(description, default)
  return {
    type = "array", description = description, default = default, uniqueItems = true,
    items = {
      type = "string", format = "header",
      ["not"] = { enum = OWN, description = "this field belongs to the connection and is not handed on" },
    },
  }
end

return {
  type = "object",
  properties = {
    url = {
      type = "string", format = "uri", pattern = "^https?://", title = "an http or https URL",
      description = "The service that is asked.",
    },
    upstream = { type = "string", description = "An upstream of the configuration that is asked, in place of url." },
    path = {
      type = "string", pattern = "^/", title = "a path that begins with a slash",
      description = "The path that the upstream is asked for.", default = "/",
    },
    method = { enum = { "GET", "HEAD", "POST" }, default = "GET", description = "The method of the question." },
    request_headers = headers("Header fields of the request that the service is told.", { "authorization", "cookie" }),
    upstream_headers = headers(
      "Header fields of a good answer that the request takes over. The client's own of these names are removed.", {}),
    client_headers = headers("Header fields of a refusal that the client is given.", {
      "cache-control", "content-type", "location", "retry-after", "set-cookie", "www-authenticate",
    }),
    consumer_from = {
      type = "string", format = "header",
      description = "The header field of a good answer that names the consumer; a name that nobody has is none.",
    },
    timeout = {
      type = "string", format = "duration", default = "2s", exclusiveMinimum = 0, maximum = 60,
      description = "How long the service may take.",
    },
    on_failure = {
      enum = { "deny", "allow" }, default = "deny",
      description = "What becomes of a request when the service can't be asked: 503, or it goes on.",
    },
  },
  oneOf = { { required = { "url" } }, { required = { "upstream" } } },
}
