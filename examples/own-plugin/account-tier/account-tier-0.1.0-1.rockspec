rockspec_format = "3.0"
package = "account-tier"
version = "0.1.0-1"
source = {
  url = "git+https://git.example/account-tier.git", -- where others get it from
  tag = "v0.1.0",
}
description = {
  summary = "Asks a service which tier an account has",
  license = "Apache-2.0",
}
dependencies = {
  "lua == 5.1", -- LuaJIT
}
build = {
  type = "builtin",
  modules = {
    ["demilune.plugins.account-tier"] = "init.lua",
    ["demilune.plugins.account-tier.schema"] = "schema.lua",
  },
  install = {
    lua = { ["demilune.plugins.account-tier.README"] = "README.md" }, -- what `demilune plugins account-tier` shows
  },
}
