// The back end of a page: signs visitors in, and refreshes their tokens for the agent.
// It holds neither a password nor a signing key; the refresh token stays here, in the
// visitor's session, and never reaches the page.
import { randomUUID } from "node:crypto";
import express from "express";

const issuer = process.env.ISSUER_URL;
const sessions = new Map(); // id -> {refreshToken, pending}; yours may be elsewhere

/** Asks the issuer for tokens (RFC 6749); throws its answer when it has none. */
async function ask(form) {
  const answer = await fetch(`${issuer}/token`, {
    method: "POST",
    body: new URLSearchParams(form),
    signal: AbortSignal.timeout(5000),
  });
  const body = await answer.json();
  if (!answer.ok) throw { status: answer.status, error: body.error, retryAfter: answer.headers.get("retry-after") };
  return body;
}

/** A new token for a session. Who asks while one is on its way gets that one. */
function refresh(session) {
  return (session.pending ??= ask({ grant_type: "refresh_token", refresh_token: session.refreshToken })
    .then((tokens) => {
      session.refreshToken = tokens.refresh_token; // each is used once
      return tokens.access_token;
    })
    .finally(() => (session.pending = undefined)));
}

const sessionOf = (req) => sessions.get(/(?:^|; )session=([^;]*)/.exec(req.headers.cookie ?? "")?.[1]);

const app = express();
app.use((req, res, next) => {
  res.set("Cache-Control", "no-store");
  next();
});

app.post("/login", express.urlencoded({ extended: false }), async (req, res) => {
  const { username, password } = req.body;
  const tokens = await ask({ grant_type: "password", username, password });
  const id = randomUUID();
  sessions.set(id, { refreshToken: tokens.refresh_token });
  res.cookie("session", id, { httpOnly: true, sameSite: "lax", secure: process.env.NODE_ENV === "production" });
  res.json({ token: tokens.access_token });
});

app.get("/api/refresh-token", async (req, res) => {
  const session = sessionOf(req);
  if (!session) return res.status(401).json({ detail: "Please sign in" });
  res.json({ token: await refresh(session) });
});

app.use((problem, req, res, next) => {
  if (problem.error === "invalid_grant") return res.status(401).json({ detail: "Please sign in" });
  if (!problem.status) console.error(problem); // not the issuer's words
  if (problem.retryAfter) res.set("Retry-After", problem.retryAfter);
  res.status([429, 503].includes(problem.status) ? problem.status : 502).json({ detail: "No token" });
});

app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1");
