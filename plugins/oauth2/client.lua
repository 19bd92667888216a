-- SPDX-License-Identifier: Apache-2.0

-- The gateway as a client of the issuer: how it proves itself there, and what comes of asking the token endpoint.

local crypto = require "demilune.crypto"
local json = require "demilune.json"
local url = require "demilune.url"

local Client = {}
Client.__index = Client

local WORD = "^[%w_.-]+$" -- an error code that may stand in a log

-- options: client_id, client_secret (none: a public client), client_auth ("basic", the default, or "post").
function Client.new(options, line)
  local self = setmetatable({ line = line, id = options.client_id, secret = options.client_secret }, Client)
  if self.secret and options.client_auth ~= "post" then
    self.authorization = "Basic " .. crypto.base64(url.encode(self.id) .. ":" .. url.encode(self.secret))
  end
  return self
end

-- The response, whatever its status; nil and why.
function Client:post(address, form)
  if not self.authorization then
    form.client_id, form.client_secret = self.id, self.secret
  end
  return self.line:post(address, form, self.authorization)
end

local function word_of(answer, status)
  local word = type(answer) == "table" and answer.error
  if type(word) == "string" and #word <= 64 and word:find(WORD) then
    return word
  end
  return "status " .. status
end

local function is_text(value)
  return type(value) == "string" and value ~= ""
end

-- Asks for tokens: the answer as a table, whose expires_in is a number or nil. nil, a word and what kind of failure it
-- is: "refused" (the issuer says no, and will again) or "unavailable".
function Client:tokens(address, form)
  local response, why = self:post(address, form)
  if not response then
    return nil, why, "unavailable"
  end
  local answer = json.decode(response.body, { depth = 32 })
  if response.status == 400 or response.status == 401 or response.status == 403 then
    return nil, word_of(answer, response.status), "refused"
  elseif response.status ~= 200 then
    return nil, word_of(answer, response.status), "unavailable"
  elseif type(answer) ~= "table" or not is_text(answer.access_token) or not is_text(answer.token_type)
    or answer.token_type:lower() ~= "bearer" or answer.access_token:find "[^!-~]" then
    return nil, "its answer has no bearer token", "unavailable"
  end
  for _, name in ipairs { "refresh_token", "id_token", "scope" } do
    answer[name] = is_text(answer[name]) and answer[name] or nil
  end
  local life = tonumber(answer.expires_in)
  answer.expires_in = life and life > 0 and life < 1e9 and life or nil
  return answer
end

return Client
