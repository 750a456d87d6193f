// Serves oidc-provider on loopback. The only argument is JSON: port, redirect and sign-out addresses, accounts.
// Each start has a key of its own.
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const asked = JSON.parse(process.argv[2]);
const issuer = `http://127.0.0.1:${asked.port}`;
const client = (client_id, more) => ({
  client_id,
  redirect_uris: [asked.redirect_uri],
  post_logout_redirect_uris: [asked.signed_out_uri],
  backchannel_logout_uri: asked.back_channel_uri,
  backchannel_logout_session_required: true,
  ...more,
});
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const key = { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig", alg: "RS256" };
const provider = new Provider(issuer, {
  jwks: { keys: [key] },
  features: { backchannelLogout: { enabled: true } },
  fetch: (url, { dispatcher, ...options }) => fetch(url, options), // its own refuses addresses of loopback
  clients: [
    client("desk", { client_secret: asked.client_secret }),
    client("public-desk", { token_endpoint_auth_method: "none" }),
  ],
  claims: { openid: ["sub", "roles"], profile: ["name"] },
  conformIdTokenClaims: false, // the ID token has the claims, as those of most providers do
  pkce: { required: () => true },
  cookies: { keys: ["of the tests alone"] },
  findAccount: (_, id) =>
    asked.accounts[id] && { accountId: id, claims: () => ({ sub: id, ...asked.accounts[id] }) },
});
createServer(provider.callback()).listen(asked.port, "127.0.0.1", () => console.log("listening"));
