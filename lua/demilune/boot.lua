-- SPDX-License-Identifier: Apache-2.0

-- What every VM runs first, before any other module: the compiler's limits, what is taken away
-- because it would hit all workers, where plugins are found, and the wrappers that let waits pass
-- through a plugin's own coroutines. vm.c has set package.path and demilune.core before.

local core = require "demilune.core"

jit.opt.start("maxtrace=8000", "maxmcode=16384", "maxrecord=16000", "maxside=200")
math.randomseed(core.seed)

local function forbid(library, name, reason)
  library[name] = function()
    error(name .. " is not available in the gateway: " .. reason, 2)
  end
end

forbid(os, "exit", "it would end all workers")
forbid(os, "execute", "it would stop this worker until the command has ended")
forbid(io, "popen", "it would stop this worker until the command has ended")
forbid(os, "setlocale", "it would change the numbers of all workers")

require "demilune.coroutine"
require "demilune.strict"
require "demilune.ffi"
require "demilune.plugin"
