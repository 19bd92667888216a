-- Made by rockspecs/make.lua. In the root of the source: luarocks --lua-version 5.1 make rockspecs/(this file)
rockspec_format = "3.0"
package = "demilune-plugin-rate-limit"
version = "1.1.0-1"
source = {
  url = "file://demilune-0.1.0.tar.gz", -- git archive --prefix=demilune-0.1.0/ -o demilune-0.1.0.tar.gz HEAD
  dir = "demilune-0.1.0",
}
description = {
  summary = "Refuses who asks too often with 429, and tells every client where it stands",
  detailed = "The plugin rate-limit of the Demilune gateway.",
  license = "Apache-2.0",
}
dependencies = { "lua == 5.1" } -- LuaJIT; the gateway brings the library along
build = {
  type = "builtin",
  modules = {
    ["demilune.plugins.rate-limit"] = "plugins/rate-limit/init.lua",
    ["demilune.plugins.rate-limit.schema"] = "plugins/rate-limit/schema.lua",
  },
  install = { lua = { ["demilune.plugins.rate-limit.README"] = "plugins/rate-limit/README.md" } },
}
