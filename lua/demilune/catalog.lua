-- SPDX-License-Identifier: Apache-2.0

-- What the commands `demilune plugins` and `demilune schema` tell about the plugins that can be
-- enabled. Each function returns a text, or nil and a message.

local json = require "demilune.json"
local editor = require "demilune.schema.editor"
local plugin = require "demilune.plugin"

local M = {}

local function sorted_keys(map)
  local keys = {}
  for key in pairs(map) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

local function hooks_of(loaded)
  local list = {}
  for _, hook in ipairs(plugin.HOOKS) do
    if loaded[hook] then
      list[#list + 1] = hook
    end
  end
  return table.concat(list, ", ")
end

-- Rows of cells → lines; columns as wide as their widest cell.
function M.layout(rows)
  local widths, lines = {}, {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do
      widths[i] = math.max(widths[i] or 0, #cell)
    end
  end
  for _, row in ipairs(rows) do
    local cells = {}
    for i, cell in ipairs(row) do
      cells[i] = i == #row and cell or cell .. (" "):rep(widths[i] - #cell)
    end
    lines[#lines + 1] = table.concat(cells, "  "):gsub(" +$", "") .. "\n"
  end
  return table.concat(lines)
end

local function folder_of(name)
  return plugin.installed()[name]:match "^(.*)/[^/]*$"
end

local function read_readme(name)
  local file = io.open(folder_of(name) .. "/README.md")
  local text = file and file:read "*a"
  if file then
    file:close()
  end
  return text
end

local SUMMARY = 80 -- bytes

-- What it does: the first sentence of its README, cut where that is long.
local function summary_of(name)
  local paragraph = ((read_readme(name) or "") .. "\n\n"):match "^# [^\n]*\n+([^#`|].-)\n\n" or ""
  paragraph = paragraph:gsub("%s+", " ")
  local sentence = (paragraph .. " "):match "^(.-)[.:;]? *$" or ""
  sentence = sentence:match "^(.-)[.:;] " or sentence
  if #sentence > SUMMARY then
    sentence = sentence:sub(1, SUMMARY):match "^(.*) " .. " ..."
  end
  return sentence
end

function M.list()
  local rows = { { "PLUGIN", "VERSION", "HOOKS", "WHAT IT DOES" } }
  for _, name in ipairs(sorted_keys(plugin.installed())) do
    local loaded, message = plugin.load(name)
    rows[#rows + 1] = loaded and { name, loaded.version, hooks_of(loaded), summary_of(name) } or { name, "-", message }
  end
  return M.layout(rows)
end

-- --- one plugin ---------------------------------------------------------------------------------

-- A schema may stand behind a reference within its document.
local function resolve(node, document)
  local name = type(node["$ref"]) == "string" and node["$ref"]:match "^#/%$defs/([^/]+)$"
  return name and document["$defs"] and document["$defs"][name] or node
end

-- As faults and READMEs call them.
local TYPES = { string = "text", integer = "number", boolean = "true or false", array = "list", object = "map" }
local FORMATS = {
  header = "header name", key = "selector or template", uri = "URL", cidr = "network", ratio = "share",
  ["response-selector"] = "selector", ["response-template"] = "template",
}

local type_of

local function type_words(kinds)
  local words = {}
  for i, kind in ipairs(kinds) do
    words[i] = type(kind) == "table" and type_of(kind) or TYPES[kind] or kind
  end
  return table.concat(words, " or ")
end

function type_of(node)
  if node.enum then
    return type_words(node.enum):gsub(" or ", " | ")
  elseif node.anyOf and not node.type then
    return type_words(node.anyOf)
  elseif node.format then
    return FORMATS[node.format] or node.format
  elseif node.type == "array" and type(node.items) == "table" then
    return ("list of %ss"):format((type_of(node.items):gsub(" or ", "s or ")))
  end
  return node.type and type_words(type(node.type) == "table" and node.type or { node.type }) or "any"
end

local function default_of(node, needs_it)
  if node.default ~= nil then
    local is_empty = type(node.default) == "table" and next(node.default) == nil
    return is_empty and (node.type == "array" and "[]" or "{}") or (json.encode(node.default))
  end
  return needs_it and "(needed)" or ""
end

local function is_needed(node, key)
  for _, name in ipairs(node.required or {}) do
    if name == key then
      return true
    end
  end
  return false
end

-- Adds a row for each option, those inside of objects and lists behind the one that holds them.
local function add_options(rows, node, document, prefix, depth)
  for _, key in ipairs(sorted_keys(node.properties or {})) do
    local option = resolve(node.properties[key], document)
    local path = prefix .. key
    rows[#rows + 1] = { path, type_of(option), default_of(option, is_needed(node, key)), option.description or "" }
    if depth < 4 then
      add_options(rows, option, document, path .. ".", depth + 1)
      if type(option.items) == "table" then
        add_options(rows, resolve(option.items, document), document, path .. "[].", depth + 1)
      end
    end
  end
end

-- nil when there are none.
local function table_of(title, schema)
  local rows = { { title, "TYPE", "DEFAULT", "MEANING" } }
  add_options(rows, schema, schema, "", 1)
  return #rows > 1 and M.layout(rows) or nil
end

local function options_of(loaded)
  local text = table_of("OPTION", loaded.schema or {}) or "It has no options.\n"
  if loaded.credential then
    text = text .. "\n" .. (table_of("OF A CREDENTIAL", loaded.credential.schema) or "")
  end
  return text
end

function M.describe(name)
  local loaded, message = plugin.load(name)
  if not loaded then
    return nil, message
  end
  local head = ("%s %s\nhooks: %s\n"):format(name, loaded.version, hooks_of(loaded))
  if loaded.after and #loaded.after > 0 then
    head = head .. ("stands after: %s\n"):format(table.concat(loaded.after, ", "))
  end
  if loaded.answers_preflights then
    head = head .. "answers preflights: a route that it is enabled on takes the CORS preflights of its methods\n"
  end
  if loaded.answers then
    head = head .. "answers: a route that it is enabled on needs no upstream\n"
  end
  if loaded.guards then
    head = head .. "guards: it decides who may pass, so its failure always ends in 500\n"
  end
  local readme = read_readme(name)
  return head .. "\n" .. options_of(loaded) .. (readme and "\n" .. readme or "")
end

-- --- the schema of all --------------------------------------------------------------------------

-- As json.encode, with the keys in order: the same plugins give the same text.
local function encode(value, is_list)
  if type(value) ~= "table" then
    return assert(json.encode(value))
  end
  local parts = {}
  if is_list or json.is_array(value) or value[1] ~= nil then
    for i, item in ipairs(value) do
      parts[i] = encode(item)
    end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  for _, key in ipairs(sorted_keys(value)) do
    parts[#parts + 1] = assert(json.encode(key)) .. ":" .. encode(value[key], key == "required")
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

-- A plugin's schema as a document of its own within ours, so that its "#/..." stay its own.
local function as_document(id, schema)
  local copy = { ["$id"] = "urn:demilune:" .. id }
  for key, value in pairs(editor.of(schema)) do
    copy[key] = value
  end
  if copy.additionalProperties == nil and copy.unevaluatedProperties == nil then
    copy.additionalProperties = false
  end
  copy.properties = copy.properties or {}
  return copy
end

-- What holds of a place where this plugin is enabled.
local function case_of(name, schema)
  local config, needs_it = as_document("plugin:" .. name, schema), schema.required and #schema.required > 0
  return {
    ["if"] = { properties = { name = { const = name } } },
    ["then"] = {
      properties = { config = needs_it and config or { anyOf = { config, { type = "null" } } } },
      required = needs_it and { "config" } or nil,
    },
  }
end

-- The definition of a place where a plugin is enabled.
function M.plugin_schema()
  local names, cases = {}, {}
  for _, name in ipairs(sorted_keys(plugin.installed())) do
    local loaded = plugin.load(name)
    if loaded then
      names[#names + 1] = name
      cases[#cases + 1] = case_of(name, loaded.schema or { type = "object" })
    end
  end
  return encode {
    description = "A place where a plugin is enabled.",
    type = "object",
    required = { "name" },
    properties = {
      name = { description = "The plugin.", enum = json.array(names) },
      config = { description = "Its configuration, by its own schema." },
      on_error = {
        description = "When a hook fails: answer 500, or let the request pass.",
        enum = { "fail", "continue", json.null },
        default = "fail",
      },
    },
    additionalProperties = false,
    allOf = #cases > 0 and cases or nil,
  }
end

-- The definition of a consumer's credentials.
function M.credentials_schema()
  local properties = {}
  for name in pairs(plugin.installed()) do
    local loaded = plugin.load(name)
    if loaded then
      local schema = loaded.credential and loaded.credential.schema
      properties[name] = { type = { "array", "null" }, items = schema and as_document("credential:" .. name, schema) }
    end
  end
  return encode {
    description = "What a consumer proves itself with, by plugin.",
    type = "object",
    properties = properties,
    additionalProperties = false,
  }
end

return M
