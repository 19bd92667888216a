-- SPDX-License-Identifier: Apache-2.0

local function names(description, default, what)
  local items = { type = "string", format = "header" }
  if what then
    items = { type = "string", pattern = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", title = what }
  end
  return { type = "array", items = items, default = default, description = description }
end

return {
  type = "object",
  properties = {
    origins = {
      type = "array", minItems = 1,
      items = {
        type = "string", pattern = [[^(\*|https?://(\*\.)?[^/*?#\s]+)$]],
        title = [[an origin such as "https://app.example.com" or "https://*.example.com", or "*"]],
      },
      description = 'Origins that may read answers: "https://a.example", "https://*.example" (any subdomain), "*".',
    },
    methods = names('Methods that a preflight allows; "*" = whatever it asks for.',
      { "GET", "HEAD", "PUT", "PATCH", "POST", "DELETE" },
      "the name of a method such as PUT"),
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
    required = { "origins", "credentials" },
    description = 'credentials for the origin "*" would let every page act as the user: name the origins',
  },
}
