// Signs what it is told with jsonwebtoken or jose.
//
//   node mint.mjs jose < {"secret": "...", "jobs": [{alg, key, kid, claims}]}
//
// prints {"jwks": {"keys": [...]}, "tokens": ["..."]}. A job's key is "own", or
// "other" for one that nobody publishes; HS algorithms take the secret itself.
import { generateKeyPairSync } from "node:crypto";
import { text } from "node:stream/consumers";
import * as jose from "jose";
import jwt from "jsonwebtoken";

const pairs = {
  RS256: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
  PS256: () => generateKeyPairSync("rsa", { modulusLength: 3072 }),
  ES256: () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
  ES384: () => generateKeyPairSync("ec", { namedCurve: "P-384" }),
  EdDSA: () => generateKeyPairSync("ed25519"),
};

const libraries = {
  jsonwebtoken: {
    sign: ({ alg, kid, claims }, key) =>
      jwt.sign(claims, key, { algorithm: alg, ...(kid ? { keyid: kid } : {}) }),
    // Its users publish keys through Node itself.
    publish: (key) => key.export({ format: "jwk" }),
  },
  jose: {
    sign: ({ alg, kid, claims }, key) =>
      alg === "none"
        ? new jose.UnsecuredJWT(claims).encode()
        : new jose.SignJWT(claims).setProtectedHeader({ alg, typ: "JWT", ...(kid ? { kid } : {}) }).sign(key),
    publish: (key) => jose.exportJWK(key),
  },
};

const library = libraries[process.argv[2]];
const { secret, jobs } = JSON.parse(await text(process.stdin));
const keys = {};
const keyOf = ({ alg, key }) => {
  if (alg === "none") return "";
  if (alg.startsWith("HS")) return Buffer.from(key === "own" ? secret : secret.split("").reverse().join(""));
  return (keys[`${key} ${alg}`] ??= pairs[alg]()).privateKey;
};

const tokens = [];
for (const job of jobs) tokens.push(await library.sign(job, keyOf(job)));
const published = [];
for (const [name, pair] of Object.entries(keys)) {
  const [whose, alg] = name.split(" ");
  if (whose === "own") published.push({ ...(await library.publish(pair.publicKey)), alg, kid: alg, use: "sig" });
}
console.log(JSON.stringify({ jwks: { keys: published }, tokens }));
