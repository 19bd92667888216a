-- SPDX-License-Identifier: Apache-2.0

local function changes(template, whose)
  local function values(description)
    return {
      type = "object",
      description = description,
      propertyNames = { format = "header" },
      additionalProperties = { type = "string", format = template },
    }
  end
  return {
    type = "object",
    description = ("Changes of %s headers. They are made in the order remove, set, default, add."):format(whose),
    properties = {
      remove = {
        type = "array",
        description = "Names of headers that are taken away.",
        items = { type = "string", format = "header" },
      },
      set = values "Name: template. Takes the place of all headers of that name; with nothing in it, none is left.",
      default = values "Name: template. Set only when there is no header of that name.",
      add = values "Name: template. One more header, beside those of that name.",
    },
  }
end

return {
  type = "object",
  properties = {
    request = changes("template", "the request's"),
    response = changes("response-template", "the response's"),
  },
}
