-- SPDX-License-Identifier: Apache-2.0

local function names(description, default)
  return { type = "array", items = { type = "string", minLength = 1 }, default = default, description = description }
end

return {
  type = "object",
  properties = {
    origins = {
      type = "array", minItems = 1,
      items = { type = "string", pattern = [[^(\*|https?://(\*\.)?[^/*?#\s]+)$]] },
      description = 'Origins that may read answers: "https://a.example", "https://*.example" (any subdomain), "*".',
    },
    methods = names("Methods that a preflight allows.", { "GET", "HEAD", "PUT", "PATCH", "POST", "DELETE" }),
    headers = names('Request headers that a preflight allows; "*" = whatever it asks for.', { "*" }),
    expose = names("Response headers that scripts may read.", {}),
    credentials = { type = "boolean", default = false, description = "Whether cookies and the like may come along." },
    max_age = {
      type = "string", format = "duration", default = "5s", maximum = 86400,
      description = "How long a browser may keep a preflight's answer.",
    },
  },
  required = { "origins" },
  ["not"] = {
    properties = { origins = { contains = { const = "*" } }, credentials = { const = true } },
    required = { "credentials" },
    description = 'credentials together with the origin "*": name the origins',
  },
}
