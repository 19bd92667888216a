-- Made by rockspecs/make.lua. In the root of the source: luarocks --lua-version 5.1 make rockspecs/(this file)
rockspec_format = "3.0"
package = "demilune-plugin-hmac-auth"
version = "1.0.0-1"
source = {
  url = "file://demilune-0.1.0.tar.gz", -- git archive --prefix=demilune-0.1.0/ -o demilune-0.1.0.tar.gz HEAD
  dir = "demilune-0.1.0",
}
description = {
  summary = "Lets those pass who sign their requests with a secret that one of the configured consumers has",
  detailed = "The plugin hmac-auth of the Demilune gateway.",
  license = "Apache-2.0",
}
dependencies = { "lua == 5.1" } -- LuaJIT; the gateway brings the library along
build = {
  type = "builtin",
  modules = {
    ["demilune.plugins.hmac-auth.base"] = "plugins/hmac-auth/base.lua",
    ["demilune.plugins.hmac-auth.fields"] = "plugins/hmac-auth/fields.lua",
    ["demilune.plugins.hmac-auth"] = "plugins/hmac-auth/init.lua",
    ["demilune.plugins.hmac-auth.schema"] = "plugins/hmac-auth/schema.lua",
  },
  install = { lua = { ["demilune.plugins.hmac-auth.README"] = "plugins/hmac-auth/README.md" } },
}
