-- Made by rockspecs/make.lua. In the root of the source: luarocks --lua-version 5.1 make rockspecs/(this file)
rockspec_format = "3.0"
package = "demilune-plugin-mtls-auth"
version = "1.0.0-1"
source = {
  url = "file://demilune-0.1.0.tar.gz", -- git archive --prefix=demilune-0.1.0/ -o demilune-0.1.0.tar.gz HEAD
  dir = "demilune-0.1.0",
}
description = {
  summary = "Lets those pass whose client certificate has the subject of one of the configured consumers",
  detailed = "The plugin mtls-auth of the Demilune gateway.",
  license = "Apache-2.0",
}
dependencies = { "lua == 5.1" } -- LuaJIT; the gateway brings the library along
build = {
  type = "builtin",
  modules = {
    ["demilune.plugins.mtls-auth"] = "plugins/mtls-auth/init.lua",
    ["demilune.plugins.mtls-auth.schema"] = "plugins/mtls-auth/schema.lua",
  },
  install = { lua = { ["demilune.plugins.mtls-auth.README"] = "plugins/mtls-auth/README.md" } },
}
