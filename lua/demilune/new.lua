-- SPDX-License-Identifier: Apache-2.0

-- `demilune new plugin NAME`: a folder with a plugin that works, from the files of new/template.lua.
-- It never touches what is there already.

local core = require "demilune.core"
local json = require "demilune.json"
local template = require "demilune.new.template"

local M = {}

local LONGEST = 64

-- "" for a name that a plugin may have (as a folder, in a module's name and a rock's); nil and what is wrong with it.
function M.check(name)
  if #name > LONGEST then
    return nil, ("the name is longer than %d bytes"):format(LONGEST)
  elseif not name:find "^%l[%l%d_-]*$" or not name:find "[%l%d]$" then
    return nil, ('"%s" is no name for a plugin: lower-case letters, digits, - and _, as in my-plugin')
      :format(name)
  end
  return ""
end

-- my-plugin → MyPlugin
local function variable_of(name)
  return (("-" .. name):gsub("[-_]+(.)", string.upper))
end

-- Makes a folder and those above it that are not there. True, or nil and a message.
local function make_folders(path)
  for stop in path:gmatch "()/" do
    local above = path:sub(1, stop - 1)
    if above ~= "" then
      core.make_folder(above) -- the last one tells
    end
  end
  return core.make_folder(path)
end

local function write(path, text)
  local file, message = io.open(path, "wb")
  if not file then
    return nil, message
  end
  local ok
  ok, message = file:write(text)
  file:close()
  return ok, ok or path .. ": " .. tostring(message)
end

-- Where this library is, for an editor that runs in another folder.
local function library_folder()
  return debug.getinfo(1, "S").source:match "^@(.*)/demilune/new%.lua$"
end

-- What is replaced in a file's text. JSON wants quotes and backslashes of a path escaped.
local function words_of(name)
  return {
    ["plugin%-name"] = name, PluginName = variable_of(name),
    ["library%-folder"] = json.encode(library_folder()):sub(2, -2),
  }
end

local function filled(text, words)
  for pattern, word in pairs(words) do
    text = text:gsub(pattern, (word:gsub("%%", "%%%%")))
  end
  return text
end

-- Makes the folder DIR/NAME; gives a text for the person who asked. nil and a message when that can't be.
function M.plugin(name, dir)
  local folder = (dir == "." and "" or dir:gsub("/+$", "") .. "/") .. name
  local ok, message = make_folders(folder)
  if not ok then
    return nil, ("the folder %s can't be made: %s"):format(folder, message)
  end
  local words = words_of(name)
  for _, file in ipairs(template.FILES) do
    local path = folder .. "/" .. file.name:gsub("NAME", name)
    ok, message = write(path, filled(file.text, words))
    if not ok then
      return nil, message
    end
  end
  return (template.FAREWELL:gsub("%u+", { FOLDER = folder, NAME = name, DIR = dir }))
end

return M
