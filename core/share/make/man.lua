-- SPDX-License-Identifier: Apache-2.0

-- The manual pages, in man(7)'s macros: demilune(1) of the command line, demilune.yaml(5) of the keys.

local words = require "make.words"

local M = {}

local function quote(text)
  text = text:gsub("\\", "\\e"):gsub("%-", "\\-")
  return (text:gsub("^([%.'])", "\\&%1"):gsub("\n([%.'])", "\n\\&%1"))
end

local function head(name, section, title)
  return ('.\\" Made by core/share/make.lua. Not to be edited.\n.TH %s %d "" "Demilune" "%s"\n')
    :format(name, section, title)
end

-- A help text: paragraphs, and lines set in by blanks, which stay as they are.
local function prose(text)
  local out = {}
  for block in (text .. "\n\n"):gmatch "(.-)\n\n+" do
    if block:find "^  " then
      out[#out + 1] = ".PP\n.nf\n" .. quote(block) .. "\n.fi\n"
    else
      out[#out + 1] = (#out > 0 and ".PP\n" or "") .. quote(block) .. "\n"
    end
  end
  return table.concat(out)
end

local function option(o)
  local left = (o.letter and ("\\fB\\-%s\\fR, "):format(o.letter) or "") .. "\\fB\\-\\-" .. quote(o.name) .. "\\fR"
  return (".TP\n%s%s\n%s\n"):format(left, o.value and " \\fI" .. quote(o.value) .. "\\fR" or "", quote(o.text))
end

local function command(c)
  local out = { (".SS demilune %s %s\n%s.\n"):format(c.name, quote(c.usage), quote(c.brief)) }
  if c.about then
    out[#out + 1] = ".PP\n" .. prose(c.about)
  end
  for _, o in ipairs(c.options) do
    if o.id ~= "HELP" then
      out[#out + 1] = option(o)
    end
  end
  return table.concat(out)
end

local ENDING = [[
.SH EXIT STATUS
%s.
.SH FILES
.TP
.I demilune.yaml
The configuration, where the program is started; otherwise
.I /etc/demilune/demilune.yaml
.SH ENVIRONMENT
What the configuration names by ${NAME}. The program itself reads none.
.SH SEE ALSO
.BR demilune.yaml (5)
]]

function M.commands(line)
  local out = { head("DEMILUNE", 1, "User Commands"), ".SH NAME\ndemilune \\- ", line.summary,
    "\n.SH SYNOPSIS\n.B demilune\n.I COMMAND\n[\\fIARGUMENTS\\fR]\n.PP\n.B demilune\n.I COMMAND\n.B \\-\\-help\n",
    ".SH COMMANDS\n" }
  for _, c in ipairs(line.commands) do
    out[#out + 1] = command(c)
  end
  out[#out + 1] = ENDING:format(quote(line.status))
  return table.concat(out)
end

local INTRO = [[
.SH NAME
demilune.yaml \- the configuration of the gateway demilune
.SH DESCRIPTION
YAML 1.2 (so
.I on
and
.I yes
are text). A duration has a unit (250ms, 10s, 5m), a size too (64KiB, 1MiB), and a bare 0 is both.
.PP
${NAME}, ${NAME:\-default} and ${file:/run/secrets/x} in a scalar are replaced, and $${ is a literal ${; a name that is
not set is a fault.
.PP
.B demilune check
says what is wrong with a file;
.B demilune plugins
.I NAME
tells the options of a plugin, and
.B demilune schema
prints all of this for an editor.
]]

local function key(k)
  local kind, section = words.type(k)
  local default = words.default(k)
  local remarks = words.remarks(k)
  return (".TP\n\\fB%s\\fR (%s%s)%s\n%s%s\n"):format(quote(k.name), quote(kind),
    section and ", see \\fI" .. section .. "\\fR" or "",
    default and (default == "required" and " required" or " = " .. quote(default)) or "",
    quote(k.text), remarks ~= "" and "\n" .. quote(remarks) or "")
end

function M.configuration(sections)
  local out = { head("DEMILUNE.YAML", 5, "File Formats"), INTRO }
  for _, section in ipairs(sections) do
    local title = section.name == "root" and "THE FILE" or section.name
    out[#out + 1] = (".SH %s\n%s\n"):format(title, quote(section.text))
    for _, k in ipairs(section.keys) do
      out[#out + 1] = key(k)
    end
  end
  out[#out + 1] = ".SH SEE ALSO\n.BR demilune (1)\n"
  return table.concat(out)
end

return M
