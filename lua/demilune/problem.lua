-- SPDX-License-Identifier: Apache-2.0

-- Refusals in the gateway's own form (RFC 9457): application/problem+json with type, title,
-- status, detail and the request's id. `detail` is for the client: nothing of the inside.

local json = require "demilune.json"

local TITLES = {
  [400] = "Bad Request", [401] = "Unauthorized", [403] = "Forbidden", [404] = "Not Found",
  [405] = "Method Not Allowed", [413] = "Content Too Large", [429] = "Too Many Requests",
  [500] = "Internal Server Error", [501] = "Not Implemented", [502] = "Bad Gateway",
  [503] = "Service Unavailable", [504] = "Gateway Timeout",
}

local M = {}

-- headers: further ones, or nil; the table is given back with content-type in it.
function M.reply(exchange, status, detail, headers)
  headers = headers or {}
  headers["content-type"] = "application/problem+json"
  exchange:reply(status, headers, json.encode {
    type = "about:blank",
    title = TITLES[status] or "Error",
    status = status,
    detail = detail,
    request_id = exchange.id,
  })
end

return M
