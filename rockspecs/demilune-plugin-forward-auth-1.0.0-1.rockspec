-- Made by rockspecs/make.lua. In the root of the source: luarocks --lua-version 5.1 make rockspecs/(this file)
rockspec_format = "3.0"
package = "demilune-plugin-forward-auth"
version = "1.0.0-1"
source = {
  url = "file://demilune-0.1.0.tar.gz", -- git archive --prefix=demilune-0.1.0/ -o demilune-0.1.0.tar.gz HEAD
  dir = "demilune-0.1.0",
}
description = {
  summary = "Asks another service whether a request may pass",
  detailed = "The plugin forward-auth of the Demilune gateway.",
  license = "Apache-2.0",
}
dependencies = { "lua == 5.1" } -- LuaJIT; the gateway brings the library along
build = {
  type = "builtin",
  modules = {
    ["demilune.plugins.forward-auth"] = "plugins/forward-auth/init.lua",
    ["demilune.plugins.forward-auth.schema"] = "plugins/forward-auth/schema.lua",
  },
  install = { lua = { ["demilune.plugins.forward-auth.README"] = "plugins/forward-auth/README.md" } },
}
