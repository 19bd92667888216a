-- Made by rockspecs/make.lua. In the root of the source: luarocks --lua-version 5.1 make rockspecs/(this file)
rockspec_format = "3.0"
package = "demilune-plugin-request-id"
version = "1.0.0-1"
source = {
  url = "file://demilune-0.1.0.tar.gz", -- git archive --prefix=demilune-0.1.0/ -o demilune-0.1.0.tar.gz HEAD
  dir = "demilune-0.1.0",
}
description = {
  summary = "Gives each request an id, hands it to the upstream in a header and back to the client in the same one",
  detailed = "The plugin request-id of the Demilune gateway.",
  license = "Apache-2.0",
}
dependencies = { "lua == 5.1" } -- LuaJIT; the gateway brings the library along
build = {
  type = "builtin",
  modules = {
    ["demilune.plugins.request-id"] = "plugins/request-id/init.lua",
    ["demilune.plugins.request-id.schema"] = "plugins/request-id/schema.lua",
  },
  install = { lua = { ["demilune.plugins.request-id.README"] = "plugins/request-id/README.md" } },
}
