-- SPDX-License-Identifier: Apache-2.0

local function fields(format, description)
  return {
    type = "object",
    propertyNames = { format = "header" },
    additionalProperties = { type = { "string", "number", "boolean" }, format = format },
    default = {},
    description = description,
  }
end

local function message(format, of)
  return {
    type = "object",
    properties = {
      set = fields(format, "Fields to set, instead of all of that name; one that comes out empty is removed."),
      add = fields(format, "Fields to add to those of that name."),
      default = fields(format, "Fields to set where there is none of that name."),
      remove = {
        type = "array", items = { type = "string", format = "header" }, default = {},
        description = "Names of fields to remove.",
      },
    },
    default = {},
    description = "What to change in the " .. of .. ". Values are templates.",
  }
end

return {
  type = "object",
  properties = {
    request = message("template", "request, before it goes upstream"),
    response = message("response-template", "response, before it goes to the client"),
  },
}
