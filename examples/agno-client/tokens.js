// The agent's token as one page holds it: fetched when there is none, before the one
// in use dies, and when the agent says that it has died.
//
// How long a token lives is counted from the moment it was asked for, so that a wrong
// clock of the visitor's machine does no harm.

const settled = 1000; // ms after a refresh in which a refusal still means the old token

/** A source of tokens; fetchToken asks the front end's own back end for one. */
export function tokenSource(fetchToken) {
  let token, pending;
  let asked = 0, came = 0, life = 0; // ms

  const now = () => performance.now();
  const left = () => (token ? asked + life - now() : 0);
  const margin = () => Math.min(15_000, life / 4);

  async function fetchNew() {
    const began = now();
    try {
      const fresh = await fetchToken();
      life = lifetime(fresh);
      [token, asked, came] = [fresh, began, now()];
      return token;
    } finally {
      pending = undefined;
    }
  }

  /** A new token. Who asks while one is on its way, or has just come, gets that one. */
  function refresh() {
    if (token && now() - came < settled) return Promise.resolve(token);
    return (pending ??= fetchNew());
  }

  return {
    refresh,
    /** The token in use, or a new one when it has a quarter of its life left or less. */
    fresh: () => (left() > margin() ? Promise.resolve(token) : refresh()),
    /** Milliseconds until fresh() will want a new token. */
    wait: () => Math.max(0, left() - margin()),
  };
}

/**
 * How long a token lives, in ms, less the second that rounding may have taken. Its claims
 * are read, not verified: that is the agent's side.
 */
function lifetime(token) {
  const claims = JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
  return 1000 * (claims.exp - (claims.iat ?? Date.now() / 1000) - 1);
}
