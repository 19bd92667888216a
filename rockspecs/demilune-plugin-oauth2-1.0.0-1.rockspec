-- Made by rockspecs/make.lua. In the root of the source: luarocks --lua-version 5.1 make rockspecs/(this file)
rockspec_format = "3.0"
package = "demilune-plugin-oauth2"
version = "1.0.0-1"
source = {
  url = "file://demilune-0.1.0.tar.gz", -- git archive --prefix=demilune-0.1.0/ -o demilune-0.1.0.tar.gz HEAD
  dir = "demilune-0.1.0",
}
description = {
  summary = "Lets those pass who bring an access token of your identity provider (a resource server of OAuth 2.0)",
  detailed = "The plugin oauth2 of the Demilune gateway.",
  license = "Apache-2.0",
}
dependencies = { "lua == 5.1" } -- LuaJIT; the gateway brings the library along
build = {
  type = "builtin",
  modules = {
    ["demilune.plugins.oauth2.bearer"] = "plugins/oauth2/bearer.lua",
    ["demilune.plugins.oauth2.challenge"] = "plugins/oauth2/challenge.lua",
    ["demilune.plugins.oauth2.claims"] = "plugins/oauth2/claims.lua",
    ["demilune.plugins.oauth2"] = "plugins/oauth2/init.lua",
    ["demilune.plugins.oauth2.introspection"] = "plugins/oauth2/introspection.lua",
    ["demilune.plugins.oauth2.issuer"] = "plugins/oauth2/issuer.lua",
    ["demilune.plugins.oauth2.keys"] = "plugins/oauth2/keys.lua",
    ["demilune.plugins.oauth2.memory"] = "plugins/oauth2/memory.lua",
    ["demilune.plugins.oauth2.schema"] = "plugins/oauth2/schema.lua",
  },
  install = { lua = { ["demilune.plugins.oauth2.README"] = "plugins/oauth2/README.md" } },
}
