-- Made by rockspecs/make.lua. In the root of the source: luarocks --lua-version 5.1 make rockspecs/(this file)
rockspec_format = "3.0"
package = "demilune-plugin-acl"
version = "1.0.0-1"
source = {
  url = "file://demilune-0.1.0.tar.gz", -- git archive --prefix=demilune-0.1.0/ -o demilune-0.1.0.tar.gz HEAD
  dir = "demilune-0.1.0",
}
description = {
  summary = "Says which consumers may pass, by their names and groups",
  detailed = "The plugin acl of the Demilune gateway.",
  license = "Apache-2.0",
}
dependencies = { "lua == 5.1" } -- LuaJIT; the gateway brings the library along
build = {
  type = "builtin",
  modules = {
    ["demilune.plugins.acl"] = "plugins/acl/init.lua",
    ["demilune.plugins.acl.schema"] = "plugins/acl/schema.lua",
  },
  install = { lua = { ["demilune.plugins.acl.README"] = "plugins/acl/README.md" } },
}
