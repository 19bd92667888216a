-- SPDX-License-Identifier: Apache-2.0

-- Lets those pass who sign their requests with a consumer's secret: HTTP Message Signatures (RFC 9421) by HMAC. The
-- secret never travels, and a signature is good for one request. What is checked comes in the order of its cost: form,
-- age, signature, whether it came before, and at last the body, which has to be waited for.

local crypto = require "demilune.crypto"
local identity = require "demilune.identity"
local marks = require "demilune.marks"
local time = require "demilune.time"
local base = require "demilune.plugins.hmac-auth.base"
local fields = require "demilune.plugins.hmac-auth.fields"

local HmacAuth = { name = "hmac-auth", version = "1.0.0", guards = true }
HmacAuth.__index = HmacAuth
HmacAuth.schema = require "demilune.plugins.hmac-auth.schema"

HmacAuth.credential = {
  schema = {
    type = "object",
    properties = {
      id = {
        type = "string",
        description = "What the client calls itself: keyid of the signature.",
        pattern = [[^[\x20-\x21\x23-\x5b\x5d-\x7e]+$]],
        title = "visible ASCII characters without quotes and backslashes",
        maxLength = 256,
      },
      secret = {
        type = "string",
        description = "What signatures are made with: 16 bytes or more, and random.",
        minLength = 16,
        writeOnly = true,
      },
      algorithm = {
        type = "string", enum = { "hmac-sha256", "hmac-sha512" },
        description = "How signatures are made.",
        default = "hmac-sha256",
      },
    },
    required = { "id", "secret" },
  },
  unique = "id",
}

local DIGESTS = { ["hmac-sha256"] = "sha256", ["hmac-sha512"] = "sha512" }
local BODY_DIGESTS = { ["sha-256"] = "sha256", ["sha-512"] = "sha512" }

-- Whoever is unknown is compared with this, so that it takes as long.
local NOBODY = { secret = crypto.random(32), algorithm = "hmac-sha256" }

-- --- instances -----------------------------------------------------------------------------------

local users_of = identity.shared(function(list)
  local users = {}
  for _, item in ipairs(list) do
    local credential = item.credential
    users[credential.id] = {
      consumer = item.consumer, secret = credential.secret, algorithm = credential.algorithm,
    }
  end
  return users
end)

-- What a client is told to sign (RFC 9421, 5.1).
local function wanted(components)
  return ('sig=("%s");created;keyid'):format(table.concat(components, '" "'))
end

function HmacAuth.new(config, context)
  local who, message, path = identity.new(config, context, { "signature", "signature-input" })
  if not who then
    return nil, message, path
  end
  return setmetatable({
    identity = who,
    users = users_of(context.consumers "hmac-auth", context.version),
    components = config.components,
    body_digest = config.body_digest,
    max_age = config.max_age,
    clock_skew = config.clock_skew,
    once = config.replay == "deny",
    challenge = { ["WWW-Authenticate"] = "Signature", ["Accept-Signature"] = wanted(config.components) },
  }, HmacAuth)
end

-- --- signatures ----------------------------------------------------------------------------------

-- The input and the signature of the first member that says whose it is; or nil and what is wrong.
local function find(request)
  local inputs = request.headers["signature-input"]
  local signatures = request.headers["signature"]
  if not inputs and not signatures then
    return nil, "A signature is needed."
  end
  inputs, signatures = fields.inputs(inputs), fields.bytes(signatures)
  if not inputs or not signatures then
    return nil, "The fields Signature-Input and Signature can't be read."
  end
  for _, member in ipairs(inputs) do
    if type(member.value.parameters.keyid) == "string" and signatures[member.key] then
      return member.value, signatures[member.key]
    end
  end
  return nil, "No signature says whose it is (keyid)."
end

-- What is wrong with the dates of a signature, or nil.
local function fault_of_dates(self, parameters)
  local now, created, expires = time.now(), parameters.created, parameters.expires
  if type(created) ~= "number" then
    return "The signature does not say when it was made (created)."
  elseif created > now + self.clock_skew then
    return "The signature was made in the future: look at the clock."
  elseif created < now - self.max_age - self.clock_skew then
    return "The signature is too old."
  elseif expires ~= nil and (type(expires) ~= "number" or expires < now - self.clock_skew) then
    return "The signature has expired."
  end
end

local function fault_of_components(self, covered)
  for _, component in ipairs(self.components) do
    if not covered[component] then
      return ('The signature does not cover "%s".'):format(component)
    end
  end
end

-- Who has signed, and the set of what is signed; nil and what is wrong.
local function verify(self, request, input, signature)
  local text, covered = base.of(request, input)
  if not text then
    return nil, ('The component "%s" can\'t be verified.'):format(covered)
  end
  local parameters = input.parameters
  local fault = fault_of_dates(self, parameters) or fault_of_components(self, covered)
  if fault then
    return nil, fault
  end
  local user = self.users[parameters.keyid] or NOBODY
  local mac = crypto.hmac(DIGESTS[user.algorithm], user.secret, text)
  if not crypto.equal(mac, signature) or user == NOBODY
    or (parameters.alg ~= nil and parameters.alg ~= user.algorithm) then
    return nil, "The signature is not the one of this request and key."
  end
  return user, covered
end

-- --- what a good signature does not tell ---------------------------------------------------------

-- True; false when the signature came before; nil when that can't be told.
local function is_first(self, signature)
  return not self.once or marks.first("h" .. signature:sub(1, 32), self.max_age + 2 * self.clock_skew + 1)
end

-- Is the body what the field says? nil when it says nothing that is known here.
local function fits(text, field)
  local digests, fit = fields.bytes(field), nil
  for name, digest in pairs(BODY_DIGESTS) do
    local given = digests and digests[name]
    if given then
      fit = fit ~= false and crypto.equal(crypto.digest(digest, text), given)
    end
  end
  return fit
end

-- Status and what is wrong with the body, or nil.
local function fault_of_body(self, request, covered)
  if not self.body_digest then
    return nil
  end
  local text, word = request.body:read()
  if not text then
    return word == "body_too_large" and 413 or 400, "The body can't be read to verify its digest."
  elseif covered["content-digest"] then
    if not fits(text, request.headers["content-digest"]) then
      return 401, "The body is not the one of the Content-Digest (sha-256 or sha-512)."
    end
  elseif text ~= "" then
    return 401, 'The signature does not cover "content-digest", and there is a body.'
  end
end

-- --- requests ------------------------------------------------------------------------------------

local function refuse(self, exchange, detail)
  self.identity:refuse(exchange, 401, detail, self.challenge)
end

function HmacAuth:access(exchange)
  local request = exchange.request
  local input, signature = find(request)
  if not input then
    return refuse(self, exchange, signature)
  end
  local user, covered = verify(self, request, input, signature)
  if not user then
    return refuse(self, exchange, covered)
  end
  local first = is_first(self, signature)
  if first == nil then
    return exchange:problem(503, "Too many signatures are being remembered.", { ["Retry-After"] = "10" })
  elseif not first then
    return refuse(self, exchange, "The signature was used before: add a nonce, or wait a second.")
  end
  local status, detail = fault_of_body(self, request, covered)
  if status == 401 then
    return refuse(self, exchange, detail)
  elseif status then
    return exchange:problem(status, detail)
  end
  exchange.consumer = user.consumer
  self.identity:hand_on(exchange)
end

return HmacAuth
