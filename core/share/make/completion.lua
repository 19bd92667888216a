-- SPDX-License-Identifier: Apache-2.0

-- Completion for bash and zsh. What may stand at a place is told by its word in the usage: FILE, DIR, METHOD, NAME of
-- plugins (asked of the program), and what the program calls busted's arguments are files.

local M = {}

local METHODS = "GET HEAD POST PUT PATCH DELETE OPTIONS"

-- The words of a command's arguments: { "METHOD", "URL" }.
local function arguments(c)
  local out = {}
  local usage = c.usage:gsub("%[%-[^%]]*%]%.*", " ") -- options
  for word in usage:gmatch "[%w]+" do
    out[#out + 1] = word
  end
  return out
end

local function long_options(c)
  local out = {}
  for _, o in ipairs(c.options) do
    out[#out + 1] = "--" .. o.name
    out[#out + 1] = o.letter and "-" .. o.letter
  end
  if c.takes_all then
    for word in c.usage:gmatch "%-%-%w+" do
      out[#out + 1] = word
    end
    out[#out + 1] = "--help"
  end
  return table.concat(out, " ")
end

-- --- bash -----------------------------------------------------------------------------------------------

local BASH_VALUES = {
  METHOD = ('COMPREPLY=($(compgen -W "%s" -- "$word"))'):format(METHODS),
  NAME = 'COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" plugins 2>/dev/null | awk \'NR > 1 { print $1 }\')"'
    .. ' -- "$word"))',
  plugin = 'COMPREPLY=($(compgen -W "plugin" -- "$word"))',
}

local function bash_case(c)
  local out = { ("    %s)\n        options=%q\n"):format(c.name, long_options(c)) }
  local words = arguments(c)
  for i, word in ipairs(words) do
    local code = BASH_VALUES[word]
    if code and not (word == "NAME" and c.name ~= "plugins") then
      out[#out + 1] = ("        [ $place != %d ] || %s\n"):format(i, code)
    end
  end
  if c.takes_all then
    out[#out + 1] = "        _demilune_files -f\n"
  end
  out[#out + 1] = "        ;;\n"
  return table.concat(out)
end

local BASH = [=[
# Made by core/share/make.lua. Not to be edited.

_demilune_files() { # -f files, -d folders; only these are quoted and get a slash, a command's name does not
    mapfile -t COMPREPLY < <(compgen "$1" -- "$word")
    compopt -o filenames 2>/dev/null
}

_demilune() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} options= place=0 i
    COMPREPLY=()
    if [ "$COMP_CWORD" = 1 ]; then
        COMPREPLY=($(compgen -W "@COMMANDS@ help --help" -- "$word"))
        return
    fi
    if [ "$word" = = ]; then # --config=FILE comes as three words
        word=
    elif [ "$before" = = ]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $before in
@VALUES@    esac
    for ((i = 2; i <= COMP_CWORD; i++)); do # which argument this is, options and their values not counted
        case ${COMP_WORDS[i]} in
        @VALUED@)
            [ "${COMP_WORDS[i + 1]}" != = ] || i=$((i + 1))
            i=$((i + 1))
            ;;
        -*) ;;
        *) place=$((place + 1)) ;;
        esac
    done
    case ${COMP_WORDS[1]} in
@CASES@    help) COMPREPLY=($(compgen -W "@COMMANDS@" -- "$word")) ;;
    esac
    [[ $word != -* ]] || COMPREPLY=($(compgen -W "$options" -- "$word"))
}
complete -F _demilune demilune
]=]

local function fill(template, values)
  return (template:gsub("@(%u+)@", values))
end

local function names(line)
  local out = {}
  for _, c in ipairs(line.commands) do
    out[#out + 1] = c.name
  end
  return table.concat(out, " ")
end

local BASH_OPTION = { FILE = "_demilune_files -f", DIR = "_demilune_files -d" }

function M.bash(line)
  local values, valued, cases = {}, {}, {}
  for _, o in ipairs(line.options) do
    if o.value then
      local pattern = (o.letter and "-" .. o.letter .. " | " or "") .. "--" .. o.name
      local how = BASH_OPTION[o.value]
      valued[#valued + 1] = pattern
      values[#values + 1] = ("    %s)\n%s        return\n        ;;\n"):format(pattern,
        how and "        " .. how .. "\n" or "")
    end
  end
  for _, c in ipairs(line.commands) do
    cases[#cases + 1] = bash_case(c)
  end
  return fill(BASH, { COMMANDS = names(line), VALUES = table.concat(values), VALUED = table.concat(valued, " | "),
    CASES = table.concat(cases) })
end

-- --- zsh ------------------------------------------------------------------------------------------------

local ZSH_VALUES = { FILE = "_files", DIR = "_files -/", METHOD = ("(%s)"):format(METHODS), plugin = "(plugin)",
  BUSTED = "_files" }

local function zsh_quote(text)
  return (text:gsub("\n", " "):gsub("'", "'\\''"):gsub("[%[%]:]", "\\%0"))
end

local function zsh_option(o)
  local value = o.value and (":%s:%s"):format((o.value:gsub("'", ""):gsub(":.*", "")), ZSH_VALUES[o.value] or " ") or ""
  local text = zsh_quote(o.text)
  if o.letter then
    local once = o.id == "HEADER" and "*" or ("(-%s --%s)"):format(o.letter, o.name)
    return ("            '%s'{-%s%s,--%s%s}'[%s]%s'"):format(once, o.letter, o.value and "+" or "", o.name,
      o.value and "=" or "", text, value)
  end
  return ("            '--%s%s[%s]%s'"):format(o.name, o.value and "=" or "", text, value)
end

local function zsh_case(c)
  local rows = {}
  for _, o in ipairs(c.options) do
    rows[#rows + 1] = zsh_option(o)
  end
  if c.takes_all then
    rows[#rows + 1] = "            '--watch[run again what a change concerns]'"
    rows[#rows + 1] = "            '*:file:_files'"
  else
    for _, word in ipairs(arguments(c)) do
      local how = ZSH_VALUES[word] or (word == "NAME" and c.name == "plugins" and "_demilune_plugins") or " "
      rows[#rows + 1] = ("            ':%s:%s'"):format(word:lower(), how)
    end
  end
  return ("        %s)\n            _arguments \\\n    %s ;;\n"):format(c.name, table.concat(rows, " \\\n    "))
end

local ZSH = [[
#compdef demilune
# Made by core/share/make.lua. Not to be edited.

_demilune_plugins() {
    local -a found
    found=(${(f)"$($program plugins 2>/dev/null | awk 'NR > 1 { print $1 }')"})
    compadd -a found
}

_demilune() {
    local -a commands
    commands=(
@COMMANDS@    )
    if ((CURRENT == 2)); then
        _describe command commands
        return
    fi
    local program=${(e)words[1]}
    shift words
    ((CURRENT--))
    case $words[1] in
@CASES@        help) _describe command commands ;;
    esac
}

_demilune "$@"
]]

function M.zsh(line)
  local commands, cases = {}, {}
  for _, c in ipairs(line.commands) do
    commands[#commands + 1] = ("        '%s:%s'\n"):format(c.name, zsh_quote(c.brief))
    cases[#cases + 1] = zsh_case(c)
  end
  return fill(ZSH, { COMMANDS = table.concat(commands), CASES = table.concat(cases) })
end

return M
