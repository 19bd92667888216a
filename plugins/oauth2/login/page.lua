-- SPDX-License-Identifier: Apache-2.0

-- Answers of a login: a page for people where a browser goes to one, a problem (RFC 9457) for scripts.

local M = {}

local HTML = [[
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>%s</title>
<style>body{font:1.1rem/1.5 sans-serif;max-width:34rem;margin:4rem auto;padding:0 1rem}</style></head>
<body><h1>%s</h1><p>%s</p>%s</body>
</html>
]]

local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

local function escaped(text)
  return (text:gsub("[&<>\"']", ESCAPES))
end

-- Does a browser go to a page, or does a script of one ask (fetch, XMLHttpRequest)?
function M.is_navigation(exchange)
  local headers = exchange.request.headers
  local mode = headers["sec-fetch-mode"]
  if mode then
    return mode == "navigate"
  end
  return (headers["accept"] or ""):find("text/html", 1, true) ~= nil and headers["x-requested-with"] == nil
end

local function with(headers, fields)
  headers["Cache-Control"] = "no-store"
  if fields and fields[1] then
    headers["Set-Cookie"] = fields
  end
  return headers
end

-- A page with a title and a sentence. options: link { to, text } or button { to, text } (a POST), headers, fields (of
-- Set-Cookie).
function M.show(exchange, status, title, text, options)
  options = options or {}
  local headers = with(options.headers or {}, options.fields)
  if not M.is_navigation(exchange) then
    return exchange:problem(status, text, headers)
  end
  local more, link, button = "", options.link, options.button
  if link then
    more = ('<p><a href="%s">%s</a></p>'):format(escaped(link.to), escaped(link.text))
  elseif button then
    more = ('<form method="post" action="%s"><button>%s</button></form>'):format(escaped(button.to),
      escaped(button.text))
  end
  headers["Content-Type"] = "text/html; charset=utf-8"
  headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    .. "frame-ancestors 'none'"
  headers["Referrer-Policy"] = "no-referrer"
  exchange:reply(status, headers, HTML:format(escaped(title), escaped(title), escaped(text), more))
end

-- Sends the browser on. What it asks for there it asks by GET.
function M.redirect(exchange, to, fields)
  exchange:reply(303, with({ Location = to, ["Referrer-Policy"] = "no-referrer" }, fields))
end

-- options: as of show, and title.
function M.unavailable(exchange, options)
  options = options or {}
  options.headers = { ["Retry-After"] = "10" }
  M.show(exchange, 503, options.title or "Signing in is not possible for now", "The identity provider, or the place "
    .. "where sessions are kept, can't be reached. Please try again in a moment.", options)
end

return M
