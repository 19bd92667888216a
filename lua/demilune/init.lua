-- SPDX-License-Identifier: Apache-2.0

-- require "demilune" gives all public modules as fields, loaded when they are first used. Nothing
-- is global: a plugin requires the ones it needs by their own names.

local names = {}
for name in ([[
  breaker budget cache crypto dns http json jwt kafka limit log marks metrics redis regex retry schema selector socket
  store task test time trace url uuid]]):gmatch "%S+" do
  names[name] = true
end

return setmetatable({}, {
  __index = function(modules, name)
    if not names[name] then
      error(('there is no module "demilune.%s"'):format(tostring(name)), 2)
    end
    local module = require("demilune." .. name)
    rawset(modules, name, module)
    return module
  end,
})
