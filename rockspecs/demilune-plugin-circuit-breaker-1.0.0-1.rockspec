-- Made by rockspecs/make.lua. In the root of the source: luarocks --lua-version 5.1 make rockspecs/(this file)
rockspec_format = "3.0"
package = "demilune-plugin-circuit-breaker"
version = "1.0.0-1"
source = {
  url = "file://demilune-0.1.0.tar.gz", -- git archive --prefix=demilune-0.1.0/ -o demilune-0.1.0.tar.gz HEAD
  dir = "demilune-0.1.0",
}
description = {
  summary = "Stops asking a service that fails or is too slow, answers at once in its place, and lets it come back little by little",
  detailed = "The plugin circuit-breaker of the Demilune gateway.",
  license = "Apache-2.0",
}
dependencies = { "lua == 5.1" } -- LuaJIT; the gateway brings the library along
build = {
  type = "builtin",
  modules = {
    ["demilune.plugins.circuit-breaker"] = "plugins/circuit-breaker/init.lua",
    ["demilune.plugins.circuit-breaker.schema"] = "plugins/circuit-breaker/schema.lua",
  },
  install = { lua = { ["demilune.plugins.circuit-breaker.README"] = "plugins/circuit-breaker/README.md" } },
}
