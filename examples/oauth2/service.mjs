// SPDX-License-Identifier: Apache-2.0

// The service behind the gateway. It knows nothing of OAuth: who asks stands in headers that only the gateway sets.

import http from "node:http";

const port = process.env.SERVICE_PORT ?? "9001";

http.createServer((request, response) => {
  const { "x-user": user, "x-email": email, "x-consumer": consumer } = request.headers;
  if (request.url.startsWith("/shop")) {
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    response.end(`<!doctype html><title>Shop</title><h1>Hello, ${user}</h1><p>Mail goes to ${email}.</p>
<p><a href="/oauth2/logout">Sign out</a></p>`);
  } else {
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({ user, consumer, path: request.url }) + "\n");
  }
}).listen(port, "127.0.0.1");
