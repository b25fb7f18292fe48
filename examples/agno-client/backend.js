// The front end's own back end: it knows who is signed in, holds the secret, and mints
// tokens of a minute or two. The agent is never asked for tokens.
import jwt from "jsonwebtoken";

/** A token for the agent that lives for the given seconds. */
export function mint(user, secret, seconds = 120) {
  return jwt.sign({ sub: user.id, name: user.name, email: user.email }, secret, { expiresIn: seconds });
}

/** Answers GET /api/get-token for the user of the session, or nobody. */
export function answerToken(response, user, secret, seconds) {
  const body = user ? { token: mint(user, secret, seconds) } : { detail: "Please sign in" };
  response.writeHead(user ? 200 : 401, { "Content-Type": "application/json", "Cache-Control": "no-store" });
  response.end(JSON.stringify(body));
}
