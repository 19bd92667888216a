-- SPDX-License-Identifier: Apache-2.0

local function endpoint(description)
  return { type = "string", pattern = "^https?://", title = "an http or https URL", description = description }
end

local function path(description, default)
  return {
    type = "string", pattern = "^/([A-Za-z0-9._~-][A-Za-z0-9._~/-]*)?$",
    title = "a plain path that begins with one slash", description = description, default = default,
  }
end

-- What the login itself says there.
local OWN = {
  "response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge",
  "code_challenge_method",
}

return {
  type = "object",
  properties = {
    client_id = { type = "string", minLength = 1, description = "The gateway's own, at the issuer." },
    client_secret = {
      type = "string", minLength = 1, writeOnly = true, description = "Its secret; none: a public client.",
    },
    client_auth = {
      enum = { "basic", "post" }, default = "basic",
      description = "How the client proves itself: in an Authorization field, or in the form.",
    },
    issuer = { type = "string", description = "Where browsers log in, where there are several issuers." },
    redirect_path = path("Where the issuer sends browsers back to. A route with this plugin has to take it.",
      "/oauth2/callback"),
    logout_path = path("Where a browser logs out. A route with this plugin has to take it.", "/oauth2/logout"),
    after_logout = path "The page after a logout, if the issuer is to send browsers back (post_logout_redirect_uri).",
    scopes = {
      type = "array", default = { "openid" },
      items = { type = "string", pattern = "^[!#-\\[\\]-~]+$", title = "a scope" },
      description = "What is asked for; openid always is. offline_access gives refresh tokens with many issuers.",
    },
    parameters = {
      type = "object", additionalProperties = { type = "string" },
      propertyNames = { ["not"] = { enum = OWN } },
      description = "More that the issuer is told when a browser is sent there, such as prompt or resource.",
    },
    store = {
      enum = { "memory", "redis", "cookie" }, default = "memory",
      description = "Where sessions are: in the gateway's memory, in Redis, or sealed in the browser's cookies.",
    },
    memory = {
      type = "string", minLength = 1, default = "default",
      description = "The name of one of stores, for store: memory; for store: cookie it has their renewals.",
    },
    redis = { type = "string", minLength = 1, description = "The name of a server in redis, for store: redis." },
    keys = {
      type = "array", minItems = 1, maxItems = 8, items = { type = "string", minLength = 32, writeOnly = true },
      description = "Secrets that cookies are sealed with, of 32 characters or more: the first seals, all open. Needed "
        .. "for store: cookie.",
    },
    cookie = {
      type = "string", pattern = "^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?$", title = "a plain name", maxLength = 64,
      description = "The name of the cookies, behind __Host-. Unless given it is made of issuer and client_id.",
    },
    idle_timeout = {
      type = "string", format = "duration", default = "1h",
      description = "A session ends when the browser has asked nothing for so long; 0: it does not.",
    },
    lifetime = { type = "string", format = "duration", default = "12h", description = "A session ends after so long." },
    origin = {
      type = "string", pattern = "^https?://[^/?#]+$", title = "an origin such as https://shop.example.com",
      description = "The site as browsers know it. Unless given it is taken from the request.",
    },
    plain_http = {
      type = "boolean", default = false,
      description = "For development without TLS: cookies have neither Secure nor __Host-.",
    },
    pass_token = {
      type = "boolean", default = false,
      description = "The upstream gets the access token in Authorization. Else it gets no such field.",
    },
    userinfo = {
      type = "boolean", default = false,
      description = "Asks the issuer at a login for more claims (userinfo_endpoint), where the ID token has few.",
    },
    authorization_endpoint = endpoint "Where browsers are sent to. Unless given it is discovered.",
    token_endpoint = endpoint "Where tokens are asked for. Unless given it is discovered.",
    end_session_endpoint = endpoint "Where browsers are sent to for a logout. Unless given it is discovered.",
    userinfo_endpoint = endpoint "Where userinfo is asked for. Unless given it is discovered.",
    revocation_endpoint = endpoint "Where refresh tokens are taken back at a logout. Unless given it is discovered.",
  },
  required = { "client_id" },
  description = "Sends browsers to the issuer to log in, and keeps their sessions.",
}
