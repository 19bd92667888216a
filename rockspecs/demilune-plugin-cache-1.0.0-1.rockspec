-- Made by rockspecs/make.lua. In the root of the source: luarocks --lua-version 5.1 make rockspecs/(this file)
rockspec_format = "3.0"
package = "demilune-plugin-cache"
version = "1.0.0-1"
source = {
  url = "file://demilune-0.1.0.tar.gz", -- git archive --prefix=demilune-0.1.0/ -o demilune-0.1.0.tar.gz HEAD
  dir = "demilune-0.1.0",
}
description = {
  summary = "Keeps responses in memory, and in Redis if told so, and answers with them",
  detailed = "The plugin cache of the Demilune gateway.",
  license = "Apache-2.0",
}
dependencies = { "lua == 5.1" } -- LuaJIT; the gateway brings the library along
build = {
  type = "builtin",
  modules = {
    ["demilune.plugins.cache"] = "plugins/cache/init.lua",
    ["demilune.plugins.cache.schema"] = "plugins/cache/schema.lua",
    ["demilune.plugins.cache.tier"] = "plugins/cache/tier.lua",
  },
  install = { lua = { ["demilune.plugins.cache.README"] = "plugins/cache/README.md" } },
}
