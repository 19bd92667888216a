-- SPDX-License-Identifier: Apache-2.0

-- The same as Markdown, for those who read the source: core/share/REFERENCE.md.

local words = require "make.words"

local function cell(text)
  return (text:gsub("|", "\\|"):gsub("\n", " "))
end

local function commands(line)
  local out = { "## Commands\n" }
  for _, c in ipairs(line.commands) do
    out[#out + 1] = ("### demilune %s\n\n    demilune %s %s\n\n%s.\n"):format(c.name, c.name, c.usage, c.brief)
    if c.about then
      out[#out + 1] = (c.about:gsub("\n  ", "\n      ")) .. "\n"
    end
    local rows = {}
    for _, o in ipairs(c.options) do
      if o.id ~= "HELP" then
        rows[#rows + 1] = ("| `%s--%s%s` | %s |"):format(o.letter and "-" .. o.letter .. ", " or "", o.name,
          o.value and " " .. o.value or "", cell(o.text))
      end
    end
    if #rows > 0 then
      out[#out + 1] = "| option | |\n|---|---|\n" .. table.concat(rows, "\n") .. "\n"
    end
  end
  out[#out + 1] = ("Exit status: %s.\n"):format((line.status:gsub("\n", " ")))
  return table.concat(out, "\n"):gsub(" \n", "\n")
end

local function key(k)
  local kind, section = words.type(k)
  local remarks = words.remarks(k)
  local default = words.default(k)
  return ("| `%s` | %s%s | %s | %s%s |"):format(k.name, cell(kind),
    section and (" [%s](#%s)"):format(section, section) or "",
    default and (default == "required" and default or "`" .. default .. "`") or "",
    cell(k.text), remarks ~= "" and " " .. remarks or "")
end

local function configuration(sections)
  local out = { "## The configuration\n" }
  for _, section in ipairs(sections) do
    local rows = {}
    for _, k in ipairs(section.keys) do
      rows[#rows + 1] = key(k)
    end
    out[#out + 1] = ("%s%s\n\n| key | type | default | |\n|---|---|---|---|\n%s\n"):format(
      section.name == "root" and "" or "### " .. section.name .. "\n\n", section.text, table.concat(rows, "\n"))
  end
  return table.concat(out, "\n")
end

return function(line, sections)
  return "<!-- Made by core/share/make.lua. Not to be edited. -->\n\n# Commands and configuration\n\n"
    .. "In one list what [the README](../../README.md) explains. `demilune COMMAND --help`, `man demilune` and\n"
    .. "`man demilune.yaml` say the same: all are made of the program's own tables. Plugins have their options in\n"
    .. "their READMEs (`demilune plugins NAME`), and their library has [a reference](../../lua/REFERENCE.md).\n\n"
    .. commands(line) .. "\n" .. configuration(sections)
end
