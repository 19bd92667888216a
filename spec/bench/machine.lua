-- SPDX-License-Identifier: Apache-2.0

-- What a reader must know of the machine to compare its figures with another's.

local process = require "process"

local M = {}

local function first(command)
  return (process.output(command .. " 2>/dev/null"):gsub("%s+$", ""))
end

function M.describe()
  return {
    date = first("date -u +%F"),
    cpu = first("sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1") .. ", " .. first("nproc --all") .. " cores",
    system = first(". /etc/os-release; echo $PRETTY_NAME") .. ", kernel " .. first("uname -r"),
    wrk = first("wrk -v | head -n 1 | cut -d' ' -f2"),
    load = process.read("/proc/loadavg"):match("%S+"),
  }
end

return M
