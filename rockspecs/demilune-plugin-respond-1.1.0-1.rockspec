-- Made by rockspecs/make.lua. In the root of the source: luarocks --lua-version 5.1 make rockspecs/(this file)
rockspec_format = "3.0"
package = "demilune-plugin-respond"
version = "1.1.0-1"
source = {
  url = "file://demilune-0.1.0.tar.gz", -- git archive --prefix=demilune-0.1.0/ -o demilune-0.1.0.tar.gz HEAD
  dir = "demilune-0.1.0",
}
description = {
  summary = "Answers a request itself, with a status, header fields and a body of templates",
  detailed = "The plugin respond of the Demilune gateway.",
  license = "Apache-2.0",
}
dependencies = { "lua == 5.1" } -- LuaJIT; the gateway brings the library along
build = {
  type = "builtin",
  modules = {
    ["demilune.plugins.respond"] = "plugins/respond/init.lua",
    ["demilune.plugins.respond.schema"] = "plugins/respond/schema.lua",
  },
  install = { lua = { ["demilune.plugins.respond.README"] = "plugins/respond/README.md" } },
}
