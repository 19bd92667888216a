-- SPDX-License-Identifier: Apache-2.0

-- A JSON line per request. The writer is the core's: fields are compiled at load, and a request costs one call.

local accesslog = require "demilune.accesslog"
local ranges = require "demilune.ranges"

local AccessLog = { name = "access-log", version = "1.0.0" }
AccessLog.__index = AccessLog
AccessLog.schema = require "demilune.plugins.access-log.schema"

local DEFAULT = {
  { "time", "{time}" }, { "id", "{id}" }, { "client_ip", "{client_ip}" }, { "method", "{method}" },
  { "host", "{host}" }, { "path", "{path}" }, { "query", "{query}" }, { "version", "{version}" },
  { "status", "{status}" }, { "duration", "{duration}" }, { "bytes_received", "{bytes_received}" },
  { "bytes_sent", "{bytes_sent}" }, { "route", "{route}" }, { "consumer", "{consumer}" },
  { "upstream", "{upstream}" }, { "attempts", "{attempts}" }, { "tries", "{tries}" },
  { "error", "{error}" },
  { "user_agent", "{header:user-agent}" }, { "referer", "{header:referer}" },
}

-- Fields of a map, by name, so that lines look alike.
local function listed(fields)
  if not fields then
    return DEFAULT
  end
  local list = {}
  for name, text in pairs(fields) do
    list[#list + 1] = { name, text }
  end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

function AccessLog.new(config, context)
  if config.to:find "^kafka:" or config.to:find "^https?://" then
    return nil, "not yet supported: lines go to stdout or to a file", "to"
  end
  local writer, err = accesslog.open(config.to ~= "stdout" and config.to or nil)
  if not writer then
    return nil, ('"%s" can\'t be opened: %s'):format(config.to, err), "to"
  end
  for _, field in ipairs(listed(config.fields)) do
    err = writer:field(field[1], field[2], context)
    if err then
      return nil, err, "fields." .. field[1]
    end
  end
  for _, status in ipairs(config.when and config.when.status or {}) do
    writer:when(ranges.bounds(status))
  end
  return setmetatable({ writer = writer }, AccessLog)
end

function AccessLog:log(exchange)
  self.writer:write(exchange)
end

return AccessLog
