// Serves oidc-provider on loopback. The only argument is JSON: port, redirect and sign-out addresses, accounts.
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const asked = JSON.parse(process.argv[2]);
const issuer = `http://127.0.0.1:${asked.port}`;
const client = (client_id, more) => ({
  client_id,
  redirect_uris: [asked.redirect_uri],
  post_logout_redirect_uris: [asked.signed_out_uri],
  ...more,
});
const provider = new Provider(issuer, {
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
