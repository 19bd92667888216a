// SPDX-License-Identifier: Apache-2.0

// The identity service of the example: the stock oidc-provider from npm, with its login page for development (any name
// and password will do). SIGHUP rotates its keys; the old ones stay in the set, as providers keep them for a while.

import { generateKeyPairSync, randomUUID } from "node:crypto";
import http from "node:http";
import Provider from "oidc-provider";

const port = process.env.PROVIDER_PORT ?? "9000";
const issuer = `http://localhost:${port}`;
const site = `http://localhost:${process.env.PORT ?? "8080"}`;
const life = Number(process.env.TOKEN_LIFE ?? 600); // seconds of an access token

const clients = [
  {
    client_id: "shop", client_secret: "shop-demo-secret-that-nobody-guesses",
    grant_types: ["authorization_code", "refresh_token"],
    redirect_uris: [`${site}/oauth2/callback`], post_logout_redirect_uris: [`${site}/bye`],
  },
  {
    client_id: "reports", client_secret: "reports-demo-secret",
    grant_types: ["client_credentials"], redirect_uris: [], response_types: [],
  },
  {
    client_id: "gateway", client_secret: "gateway-demo-secret",
    grant_types: ["client_credentials"], redirect_uris: [], response_types: [],
  },
];

function newKey() {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), alg: "ES256", use: "sig" };
}

const keys = [newKey()];

// A service is given a JWT when it names the resource, else an opaque token.
const resources = {
  enabled: true,
  defaultResource: () => undefined,
  useGrantedResource: () => true,
  getResourceServerInfo: (_ctx, resource) => {
    return { scope: "orders", audience: resource, accessTokenFormat: "jwt", accessTokenTTL: life };
  },
};

function newProvider() {
  const provider = new Provider(issuer, {
    clients,
    jwks: { keys },
    cookies: { keys: ["only-for-the-example"] },
    claims: { openid: ["sub"], email: ["email"] },
    conformIdTokenClaims: false, // so that the gateway finds the address in the ID token
    clientDefaults: { id_token_signed_response_alg: "ES256" },
    features: {
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: (_ctx, client) => client.clientId === "gateway" },
      revocation: { enabled: true },
      resourceIndicators: resources,
    },
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@example.com` }) }),
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed("refresh_token"),
    scopes: ["openid", "email", "offline_access", "orders"],
    ttl: { AccessToken: life, ClientCredentials: life, IdToken: 600, RefreshToken: 86400, Session: 86400, Grant: 86400 },
  });
  return provider.callback();
}

let callback = newProvider();

process.on("SIGHUP", () => {
  keys.unshift(newKey());
  callback = newProvider(); // what it has issued lies in a memory that all providers of a process share
  console.error("the provider signs with a new key");
});

http.createServer((request, response) => callback(request, response)).listen(port, "localhost", () => {
  console.error(`the identity provider runs at ${issuer}`);
});
