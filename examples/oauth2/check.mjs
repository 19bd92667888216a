// SPDX-License-Identifier: Apache-2.0

// Tries the example out: services with the stock openid-client, people with a headless Chromium (browser.mjs), where
// there is one. Prints a line for each step, and fails when one is wrong.

import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import * as client from "openid-client";

const site = `http://localhost:${process.env.PORT}`;
const issuer = new URL(`http://localhost:${process.env.PROVIDER_PORT}`);
const chromium = process.env.CHROMIUM ?? "/usr/bin/chromium";
let failed = false;

function expect(what, is, wanted) {
  const fine = wanted instanceof RegExp ? wanted.test(String(is)) : is === wanted;
  console.log(fine ? `ok     ${what}` : `WRONG  ${what}: ${is} instead of ${wanted}`);
  failed ||= !fine;
}

async function orders(token, headers = {}) {
  const response = await fetch(`${site}/orders`, {
    headers: { ...headers, ...(token ? { authorization: `Bearer ${token}` } : {}) },
  });
  return { status: response.status, challenge: response.headers.get("www-authenticate"), body: await response.text() };
}

async function services() {
  const reports = await client.discovery(issuer, "reports", undefined,
    client.ClientSecretBasic("reports-demo-secret"), { execute: [client.allowInsecureRequests] });
  const token = async (more) => (await client.clientCredentialsGrant(reports, { scope: "orders", ...more })).access_token;

  expect("no token", (await orders()).status, 401);
  expect("... and what is wanted", (await orders()).challenge, /^Bearer scope="orders"$/);
  const jwt = await token({ resource: "urn:shop" });
  expect("a JWT", jwt.split(".").length, 3);
  const answer = await orders(jwt, { "x-user": "root", "x-consumer": "root" });
  expect("... lets the service in", answer.status, 200);
  expect("... whose it is, whatever it says itself", answer.body, /"user":"reports","consumer":"reporting"/);
  expect("a JWT for somebody else", (await orders(await token({ resource: "urn:other" }))).status, 401);
  expect("a JWT that was changed", (await orders(jwt.slice(0, -4) + "AAAA")).status, 401);

  const opaque = await token({});
  expect("an opaque token", opaque.split(".").length, 1);
  expect("... lets the service in", (await orders(opaque)).status, 200);
  expect("one that nobody knows", (await orders("nobody-knows-this")).status, 401);
  await client.tokenRevocation(reports, opaque);
  await until("... not any more when it was revoked", async () => (await orders(opaque)).status, 401);

  process.kill(Number(process.env.PROVIDER_PID), "SIGHUP");
  const kid = (text) => JSON.parse(Buffer.from(text.split(".")[0], "base64url")).kid;
  let next = jwt;
  await until("the provider rotates its keys", async () => {
    next = await token({ resource: "urn:shop" });
    return kid(next) !== kid(jwt);
  }, true);
  await until("... and the gateway follows", async () => (await orders(next)).status, 200);
}

async function until(what, f, wanted, seconds = 30) {
  let is;
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(100)) {
    is = await f();
    if (is === wanted) break;
  }
  expect(what, is, wanted);
}

await services();
if (existsSync(chromium)) {
  const { people } = await import("./browser.mjs");
  await people(chromium, site, { expect, until });
} else {
  console.log("skip   a person in a browser: there is no Chromium");
}
process.exit(failed ? 1 : 0);
