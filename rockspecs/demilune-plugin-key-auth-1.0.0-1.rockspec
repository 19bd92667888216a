-- Made by rockspecs/make.lua. In the root of the source: luarocks --lua-version 5.1 make rockspecs/(this file)
rockspec_format = "3.0"
package = "demilune-plugin-key-auth"
version = "1.0.0-1"
source = {
  url = "file://demilune-0.1.0.tar.gz", -- git archive --prefix=demilune-0.1.0/ -o demilune-0.1.0.tar.gz HEAD
  dir = "demilune-0.1.0",
}
description = {
  summary = "Lets those pass who bring a key that one of the configured consumers has",
  detailed = "The plugin key-auth of the Demilune gateway.",
  license = "Apache-2.0",
}
dependencies = { "lua == 5.1" } -- LuaJIT; the gateway brings the library along
build = {
  type = "builtin",
  modules = {
    ["demilune.plugins.key-auth.hide"] = "plugins/key-auth/hide.lua",
    ["demilune.plugins.key-auth"] = "plugins/key-auth/init.lua",
    ["demilune.plugins.key-auth.schema"] = "plugins/key-auth/schema.lua",
  },
  install = { lua = { ["demilune.plugins.key-auth.README"] = "plugins/key-auth/README.md" } },
}
