-- SPDX-License-Identifier: Apache-2.0

local function networks(description)
  return {
    type = "array", minItems = 1, description = description,
    items = { type = "string", format = "cidr" },
  }
end

return {
  type = "object",
  properties = {
    allow = networks "Addresses and networks that may pass; no other may.",
    deny = networks "Addresses and networks that may not pass, even when allow has them.",
  },
  anyOf = { { required = { "allow" } }, { required = { "deny" } } },
}
