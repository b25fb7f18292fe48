// Better Auth as an issuer on loopback: e-mail and password, the JWT plugin, a
// database in memory.
//
//   node better-auth.mjs '{"port": 1234, "alg": "ES256", "claims": "own"}'
//
// Beside /api/auth it answers the test alone:
//   POST /test/rotate   the rotation interval has passed; two first requests at
//                       once may have made two keys
//   POST /test/forget   so have the grace periods of all keys but the newest
//   POST /test/sign     {payload, overrideOptions} -> {token}, signed by the plugin
import { createServer } from "node:http";
import { randomBytes } from "node:crypto";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { toNodeHandler } from "better-auth/node";
import { jwt } from "better-auth/plugins";

const { port, alg, claims } = JSON.parse(process.argv[2]);
const grace = 3600;
const pairs = {
  EdDSA: { alg: "EdDSA", crv: "Ed25519" },
  RS256: { alg: "RS256", modulusLength: 2048 },
  ES256: { alg: "ES256" },
};
const db = { user: [], session: [], account: [], verification: [], jwks: [] };

const ownClaims = {
  // As a school's back end would define it: most users have no tenant.
  definePayload: ({ user }) => ({
    email: user.email,
    name: user.name,
    role: "teacher",
    tenant_id: null,
    org_role: null,
    organization_ids: [],
    scopes: ["agents:run"],
  }),
};

const auth = betterAuth({
  baseURL: `http://127.0.0.1:${port}`,
  secret: randomBytes(32).toString("hex"),
  database: memoryAdapter(db),
  emailAndPassword: { enabled: true },
  telemetry: { enabled: false },
  rateLimit: { enabled: false },
  plugins: [
    jwt({
      jwks: { keyPairConfig: pairs[alg], rotationInterval: 90 * 24 * 3600, gracePeriod: grace },
      jwt: claims === "own" ? ownClaims : {},
    }),
  ],
});

const newest = () => db.jwks.reduce((a, b) => (a.createdAt > b.createdAt ? a : b));

async function testRoute(path, body) {
  switch (path) {
    case "/test/rotate":
      for (const key of db.jwks.filter((k) => k.expiresAt > new Date())) key.expiresAt = new Date(Date.now() - 1);
      return {};
    case "/test/forget":
      for (const key of db.jwks.filter((k) => k !== newest())) key.expiresAt = new Date(Date.now() - (grace + 1) * 1000);
      return {};
    case "/test/sign":
      return await auth.api.signJWT({ body });
  }
}

const handler = toNodeHandler(auth);
createServer(async (req, res) => {
  if (!req.url.startsWith("/test/")) return handler(req, res);
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  const answer = await testRoute(req.url, JSON.parse(Buffer.concat(chunks).toString() || "{}"));
  res.setHeader("content-type", "application/json");
  res.end(JSON.stringify(answer));
}).listen(port, "127.0.0.1");
