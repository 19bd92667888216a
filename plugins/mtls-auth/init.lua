-- SPDX-License-Identifier: Apache-2.0

-- Lets those pass whose client certificate names a consumer. The handshake has verified the certificate; what is
-- compared here is its subject.

local identity = require "demilune.identity"
local keyring = require "demilune.keyring"
local selector = require "demilune.selector"

local MtlsAuth = { name = "mtls-auth", version = "1.0.0", guards = true }
MtlsAuth.__index = MtlsAuth
MtlsAuth.schema = require "demilune.plugins.mtls-auth.schema"

MtlsAuth.credential = {
  schema = {
    type = "object",
    properties = {
      subject = {
        type = "string",
        description = "The certificate's subject, as RFC 4514 writes it: CN=ann,O=Example.",
        pattern = [[^[A-Za-z0-9.]+=.]],
        title = "a subject such as CN=ann,O=Example",
      },
    },
    required = { "subject" },
  },
  unique = "subject",
}

function MtlsAuth.new(config, context)
  local who, message, path = identity.new(config, context)
  if not who then
    return nil, message, path
  end
  local subjects = keyring.new(context.version)
  for _, item in ipairs(context.consumers "mtls-auth") do
    subjects:add(item.credential.subject, item.number)
  end
  return setmetatable({
    identity = who,
    subjects = subjects,
    source = selector.selector("tls:subject", context),
  }, MtlsAuth)
end

function MtlsAuth:access(exchange)
  if self.subjects:identify(self.source, exchange) then
    self.identity:hand_on(exchange)
  elseif (self.source:value(exchange) or "") == "" then
    self.identity:refuse(exchange, 403, "A client certificate is needed.")
  else
    self.identity:refuse(exchange, 403, "The subject of this client certificate is not known.")
  end
end

return MtlsAuth
