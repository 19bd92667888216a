-- What the lints share: the files of the repository, and a list of faults that
-- becomes the exit status. A lint is run from the root of the repository:
--
--   luajit spec/lint/NAME.lua
--
-- Each checks itself first, on samples that it must and must not refuse, so
-- that a lint which has stopped looking is noticed.

local M = {}

local function lines_of(command)
  local pipe = assert(io.popen(command))
  local list = {}
  for line in pipe:lines() do
    list[#list + 1] = line:gsub("^%./", "")
  end
  pipe:close()
  return list
end

-- All files that are or would be committed; `pattern` is a Lua pattern of the path.
function M.files(pattern)
  local all = lines_of "git ls-files --cached --others --exclude-standard 2>/dev/null"
  if #all == 0 then -- a copy without git
    all = lines_of "find . -type f -not -path './.git/*' -not -path './build/*'"
  end
  local seen, list = {}, {}
  for _, path in ipairs(all) do
    if path:find(pattern) and not seen[path] then
      seen[path] = true
      local file = io.open(path, "rb") -- what was deleted is still in git's list
      if file then
        file:close()
        list[#list + 1] = path
      end
    end
  end
  table.sort(list)
  return list
end

function M.read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

-- Iterates over the numbered lines of a text.
function M.lines(text)
  if text:sub(-1) ~= "\n" then
    text = text .. "\n"
  end
  local number, next_line = 0, text:gmatch "([^\n]*)\n"
  return function()
    local line = next_line()
    if line then
      number = number + 1
      return number, line
    end
  end
end

function M.faults()
  local list = {}
  function list:add(path, line, format, ...)
    self[#self + 1] = ("%s:%d: %s"):format(path, line, format:format(...))
  end
  return list
end

-- `refused` and `accepted` are lists of arguments for `check(faults, ...)`.
function M.self_check(check, refused, accepted)
  for i, sample in ipairs(refused) do
    local faults = M.faults()
    check(faults, unpack(sample))
    if #faults == 0 then
      error(("the lint is broken: it lets bad sample %d pass (%s)"):format(i, sample[1]), 0)
    end
  end
  for i, sample in ipairs(accepted) do
    local faults = M.faults()
    check(faults, unpack(sample))
    if #faults > 0 then
      error(("the lint is broken: it refuses good sample %d: %s"):format(i, faults[1]), 0)
    end
  end
end

-- Prints the faults and ends the program.
function M.finish(faults, looked_at)
  for _, fault in ipairs(faults) do
    print(fault)
  end
  print(("%d files, %d faults"):format(looked_at, #faults))
  os.exit(#faults == 0 and 0 or 1)
end

return M
