// SPDX-License-Identifier: Apache-2.0
//
// An OpenID provider with one client, for compose.yaml alone: its keys are new at each start, and its secret is known to all.
// Access tokens for the gateway's audience are JWTs, which the plugin oauth2 verifies by the provider's keys.

import { generateKeyPairSync } from "node:crypto";

import Provider from "oidc-provider";

const issuer = process.env.ISSUER ?? "http://openid:9000";
const audience = "https://api.example.com";

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });

const provider = new Provider(issuer, {
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256" }] },
  clients: [{
    client_id: "acme-web",
    client_secret: "acme-demo-secret",
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
  }],
  scopes: ["orders.read"],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      getResourceServerInfo: () => ({ audience, scope: "orders.read", accessTokenFormat: "jwt", accessTokenTTL: 600 }),
    },
  },
});

const server = provider.listen(9000, () => console.log(`${issuer} is ready`));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
