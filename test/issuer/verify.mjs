// Verifies tokens with jose or jsonwebtoken.
//
//   node verify.mjs jose < [{token, alg, jwks, secret, issuer, audience}]
//
// prints [{ok, error, claims}].
import { createPublicKey } from "node:crypto";
import { text } from "node:stream/consumers";
import * as jose from "jose";
import jwt from "jsonwebtoken";

const libraries = {
  async jose({ token, alg, jwks, secret, issuer, audience }) {
    const key = jwks ? jose.createRemoteJWKSet(new URL(jwks)) : new TextEncoder().encode(secret);
    return (await jose.jwtVerify(token, key, { algorithms: [alg], issuer, audience, requiredClaims: ["exp", "iat", "sub"] })).payload;
  },
  // Its users choose the key by hand.
  async jsonwebtoken({ token, alg, jwks, secret, issuer, audience }) {
    let key = secret;
    if (jwks) {
      const { keys } = await (await fetch(jwks)).json();
      const { kid } = jwt.decode(token, { complete: true }).header;
      key = createPublicKey({ key: keys.find((one) => one.kid === kid), format: "jwk" });
    }
    return jwt.verify(token, key, { algorithms: [alg], issuer, audience });
  },
};

const verify = libraries[process.argv[2]];
const verdicts = [];
for (const job of JSON.parse(await text(process.stdin))) {
  verdicts.push(
    await verify(job).then(
      (claims) => ({ ok: true, claims }),
      (error) => ({ ok: false, error: String(error) }),
    ),
  );
}
process.stdout.write(JSON.stringify(verdicts));
