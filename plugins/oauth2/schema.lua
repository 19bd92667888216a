-- SPDX-License-Identifier: Apache-2.0

local identity = require "demilune.identity"

local AUDIENCE = {
  anyOf = {
    { type = "string", minLength = 1 },
    { type = "array", items = { type = "string", minLength = 1 }, minItems = 1, maxItems = 64 },
  },
  description = "Whom tokens are for: a text or a list, one of which must be in a token's aud.",
}

local ALGORITHM = {
  "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512",
}

local ALGORITHMS = {
  type = "array", minItems = 1, items = { enum = ALGORITHM },
  description = "The only signatures that are good. Unless given: all but HS, and those that keys name.",
}

local JWKS_URI = {
  type = "string", pattern = "^https?://", title = "an http or https URL",
  description = "Where the issuer's key set is. Unless given it is discovered.",
}

local KEYS = {
  type = "array", minItems = 1,
  items = {
    type = "object",
    properties = {
      file = { type = "string", minLength = 1, description = "A PEM, a JWK set, or a secret (any other bytes)." },
      algorithm = { enum = ALGORITHM, description = "The only one that the key is for. A secret needs it." },
    },
    required = { "file" },
  },
  description = "Keys in files, in place of a key set that is fetched.",
}

local CLIENT_AUTH = {
  enum = { "basic", "post" }, default = "basic",
  description = "How the client proves itself: in an Authorization field, or in the form.",
}

local function endpoint(description)
  return { type = "string", pattern = "^https?://", title = "an http or https URL", description = description }
end

return {
  type = "object",
  properties = {
    issuer = {
      anyOf = {
        { type = "string", minLength = 1 },
        {
          type = "array", minItems = 1, maxItems = 32,
          items = {
            type = "object",
            properties = {
              issuer = { type = "string", minLength = 1, description = "As in a token's iss, to the letter." },
              audience = AUDIENCE, algorithms = ALGORITHMS, jwks_uri = JWKS_URI, keys = KEYS,
            },
            required = { "issuer" },
          },
        },
      },
      description = "Who issues the tokens, as in their iss, to the letter: a URL, or a list of maps with issuer and "
        .. "own audience, algorithms, jwks_uri and keys.",
    },
    audience = AUDIENCE,
    algorithms = ALGORITHMS,
    jwks_uri = JWKS_URI,
    keys = KEYS,
    rfc9068 = {
      type = "boolean", default = false,
      description = "Only access tokens of RFC 9068: with typ at+jwt, and with sub, client_id, iat and jti.",
    },
    id_tokens = {
      type = "boolean", default = false,
      description = "Takes ID tokens for access tokens, too, for issuers that have no others for an API.",
    },
    introspection = {
      type = "object",
      properties = {
        client_id = { type = "string", minLength = 1, description = "The gateway's own, at the issuer." },
        client_secret = { type = "string", minLength = 1, writeOnly = true, description = "Its secret." },
        client_auth = CLIENT_AUTH,
        endpoint = endpoint "Where the issuer is asked. Unless given it is discovered.",
      },
      required = { "client_id", "client_secret" },
      description = "Asks the issuer about tokens that are no JWTs (RFC 7662).",
    },
    cache_ttl = {
      type = "string", format = "duration", default = "1m",
      description = "How long an answer of introspection is good for, at most.",
    },
    clock_skew = {
      type = "string", format = "duration", default = "30s",
      description = "How far the issuer's clock may differ.",
    },
    scopes = {
      type = "array", items = { type = "string", pattern = "^[!#-\\[\\]-~]+$", title = "a scope" }, minItems = 1,
      description = "Scopes that a token must have, all of them; else 403.",
    },
    claims = {
      type = "object",
      additionalProperties = {
        anyOf = {
          { type = { "string", "number", "boolean" } },
          { type = "array", items = { type = { "string", "number", "boolean" } }, minItems = 1 },
        },
      },
      description = "Claims (dots go inward) and the value, or the list of values, one of which each must have; else "
        .. "403. Of a claim that is a list one item is enough.",
    },
    claims_to_headers = {
      type = "object",
      propertyNames = { pattern = "^[^{}]+$", title = "the name of a claim" },
      additionalProperties = { type = "string", format = "header" },
      description = "Claims (dots go inward) and the request headers that tell the upstream their values. The client's "
        .. "own are removed.",
    },
    consumer_claim = {
      type = "string", minLength = 1,
      description = "The claim that names the consumer by a client_id of its credentials. Unless given: client_id, or "
        .. "azp.",
    },
    consumer_header = {
      type = "string", format = "header", default = "X-Consumer",
      description = "The request header that tells the upstream the consumer's name. The client's own is removed.",
    },
    hide_credentials = {
      type = "boolean", default = false,
      description = "Takes the token away from the request, so that the upstream does not see it.",
    },
    anonymous = identity.options.anonymous,
    ca = {
      type = "string", minLength = 1,
      description = "A file of authorities (PEM) that verify the issuer's certificate, in place of the system's.",
    },
    login = require "demilune.plugins.oauth2.login.schema",
    upstream_token = {
      type = "object",
      properties = {
        token_endpoint = endpoint "Where tokens are asked for. Unless given it is discovered.",
        issuer = {
          type = "string", pattern = "^https?://", title = "an http or https URL",
          description = "Whose metadata name the token_endpoint. Unless given: issuer of the place.",
        },
        client_id = { type = "string", minLength = 1, description = "The gateway's own, at the issuer." },
        client_secret = { type = "string", minLength = 1, writeOnly = true, description = "Its secret." },
        client_auth = CLIENT_AUTH,
        scopes = {
          type = "array", items = { type = "string", pattern = "^[!#-\\[\\]-~]+$", title = "a scope" }, minItems = 1,
          description = "Scopes that are asked for.",
        },
        parameters = {
          type = "object", additionalProperties = { type = "string", writeOnly = true },
          propertyNames = { ["not"] = { enum = { "grant_type", "client_id", "client_secret", "scope" } } },
          description = "More that is asked for, such as audience or resource.",
        },
      },
      required = { "client_id", "client_secret" },
      description = "Requests go upstream with a token of the gateway's own (client credentials).",
    },
  },
}
