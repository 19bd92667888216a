-- Made by rockspecs/make.lua. In the root of the source: luarocks --lua-version 5.1 make rockspecs/(this file)
rockspec_format = "3.0"
package = "demilune-plugin-access-log"
version = "1.1.0-1"
source = {
  url = "file://demilune-0.1.0.tar.gz", -- git archive --prefix=demilune-0.1.0/ -o demilune-0.1.0.tar.gz HEAD
  dir = "demilune-0.1.0",
}
description = {
  summary = "One line of JSON per request, to standard output, a file or Kafka",
  detailed = "The plugin access-log of the Demilune gateway.",
  license = "Apache-2.0",
}
dependencies = { "lua == 5.1" } -- LuaJIT; the gateway brings the library along
build = {
  type = "builtin",
  modules = {
    ["demilune.plugins.access-log"] = "plugins/access-log/init.lua",
    ["demilune.plugins.access-log.schema"] = "plugins/access-log/schema.lua",
  },
  install = { lua = { ["demilune.plugins.access-log.README"] = "plugins/access-log/README.md" } },
}
