-- Made by rockspecs/make.lua. In the root of the source: luarocks --lua-version 5.1 make rockspecs/(this file)
rockspec_format = "3.0"
package = "demilune-plugin-oauth2"
version = "1.1.0-1"
source = {
  url = "file://demilune-0.1.0.tar.gz", -- git archive --prefix=demilune-0.1.0/ -o demilune-0.1.0.tar.gz HEAD
  dir = "demilune-0.1.0",
}
description = {
  summary = "OAuth 2.0 and OpenID Connect in three roles, each by itself or together",
  detailed = "The plugin oauth2 of the Demilune gateway.",
  license = "Apache-2.0",
}
dependencies = { "lua == 5.1" } -- LuaJIT; the gateway brings the library along
build = {
  type = "builtin",
  modules = {
    ["demilune.plugins.oauth2.admission"] = "plugins/oauth2/admission.lua",
    ["demilune.plugins.oauth2.bearer"] = "plugins/oauth2/bearer.lua",
    ["demilune.plugins.oauth2.binding"] = "plugins/oauth2/binding.lua",
    ["demilune.plugins.oauth2.challenge"] = "plugins/oauth2/challenge.lua",
    ["demilune.plugins.oauth2.claims"] = "plugins/oauth2/claims.lua",
    ["demilune.plugins.oauth2.client"] = "plugins/oauth2/client.lua",
    ["demilune.plugins.oauth2.dpop"] = "plugins/oauth2/dpop.lua",
    ["demilune.plugins.oauth2"] = "plugins/oauth2/init.lua",
    ["demilune.plugins.oauth2.introspection"] = "plugins/oauth2/introspection.lua",
    ["demilune.plugins.oauth2.issuer"] = "plugins/oauth2/issuer.lua",
    ["demilune.plugins.oauth2.keys"] = "plugins/oauth2/keys.lua",
    ["demilune.plugins.oauth2.login"] = "plugins/oauth2/login.lua",
    ["demilune.plugins.oauth2.login.callback"] = "plugins/oauth2/login/callback.lua",
    ["demilune.plugins.oauth2.login.carried"] = "plugins/oauth2/login/carried.lua",
    ["demilune.plugins.oauth2.login.cookies"] = "plugins/oauth2/login/cookies.lua",
    ["demilune.plugins.oauth2.login.id_token"] = "plugins/oauth2/login/id_token.lua",
    ["demilune.plugins.oauth2.login.kept"] = "plugins/oauth2/login/kept.lua",
    ["demilune.plugins.oauth2.login.logout"] = "plugins/oauth2/login/logout.lua",
    ["demilune.plugins.oauth2.login.page"] = "plugins/oauth2/login/page.lua",
    ["demilune.plugins.oauth2.login.pending"] = "plugins/oauth2/login/pending.lua",
    ["demilune.plugins.oauth2.login.records"] = "plugins/oauth2/login/records.lua",
    ["demilune.plugins.oauth2.login.refresh"] = "plugins/oauth2/login/refresh.lua",
    ["demilune.plugins.oauth2.login.schema"] = "plugins/oauth2/login/schema.lua",
    ["demilune.plugins.oauth2.login.seal"] = "plugins/oauth2/login/seal.lua",
    ["demilune.plugins.oauth2.login.session"] = "plugins/oauth2/login/session.lua",
    ["demilune.plugins.oauth2.login.start"] = "plugins/oauth2/login/start.lua",
    ["demilune.plugins.oauth2.login.userinfo"] = "plugins/oauth2/login/userinfo.lua",
    ["demilune.plugins.oauth2.memory"] = "plugins/oauth2/memory.lua",
    ["demilune.plugins.oauth2.metadata"] = "plugins/oauth2/metadata.lua",
    ["demilune.plugins.oauth2.remote"] = "plugins/oauth2/remote.lua",
    ["demilune.plugins.oauth2.schema"] = "plugins/oauth2/schema.lua",
    ["demilune.plugins.oauth2.token"] = "plugins/oauth2/token.lua",
    ["demilune.plugins.oauth2.upstream_token"] = "plugins/oauth2/upstream_token.lua",
  },
  install = { lua = { ["demilune.plugins.oauth2.README"] = "plugins/oauth2/README.md" } },
}
