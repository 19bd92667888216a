-- Made by rockspecs/make.lua. In the root of the source: luarocks --lua-version 5.1 make rockspecs/(this file)
rockspec_format = "3.0"
package = "demilune-plugin-basic-auth"
version = "1.0.0-1"
source = {
  url = "file://demilune-0.1.0.tar.gz", -- git archive --prefix=demilune-0.1.0/ -o demilune-0.1.0.tar.gz HEAD
  dir = "demilune-0.1.0",
}
description = {
  summary = "Lets those pass who bring the name and the password of one of the configured consumers (HTTP Basic, RFC 7617)",
  detailed = "The plugin basic-auth of the Demilune gateway.",
  license = "Apache-2.0",
}
dependencies = { "lua == 5.1" } -- LuaJIT; the gateway brings the library along
build = {
  type = "builtin",
  modules = {
    ["demilune.plugins.basic-auth"] = "plugins/basic-auth/init.lua",
    ["demilune.plugins.basic-auth.schema"] = "plugins/basic-auth/schema.lua",
  },
  install = { lua = { ["demilune.plugins.basic-auth.README"] = "plugins/basic-auth/README.md" } },
}
