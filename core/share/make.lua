-- SPDX-License-Identifier: Apache-2.0

-- Makes the manual pages, the completion and the reference of the tables that the program itself is made of,
-- core/app/cli_commands.def and core/gate/conf_keys.def:
--
--   luajit core/share/make.lua       writes them into core/share/
--
-- spec/lint/pages.lua compares what is there with what would be made.

package.path = "core/share/?.lua;" .. package.path

local completion = require "make.completion"
local def = require "make.def"
local man = require "make.man"
local reference = require "make.reference"

local M = {}

-- path → text
function M.generate()
  local line, sections = def.command_line(), def.configuration()
  return {
    ["core/share/demilune.1"] = man.commands(line),
    ["core/share/demilune.yaml.5"] = man.configuration(sections),
    ["core/share/demilune.bash"] = completion.bash(line),
    ["core/share/_demilune"] = completion.zsh(line),
    ["core/share/REFERENCE.md"] = reference(line, sections),
  }
end

if arg and arg[0] and arg[0]:find "share/make%.lua$" then
  for path, text in pairs(M.generate()) do
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
  end
end

return M
