-- SPDX-License-Identifier: Apache-2.0

local function names(description)
  return {
    type = "array", minItems = 1, description = description,
    items = { type = "string", minLength = 1 },
  }
end

return {
  type = "object",
  properties = {
    allow = names "Consumers and groups that may pass; nobody else may. NAME, consumer:NAME or group:NAME.",
    deny = names "Consumers and groups that may not pass, even when allow names them.",
  },
  anyOf = { { required = { "allow" } }, { required = { "deny" } } },
}
