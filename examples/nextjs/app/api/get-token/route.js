// POST /api/get-token hands the page a token for the agent. It holds no signing key: it
// shows the visitor's session to Gatepost's issuer, which verifies it and signs.

/** Answers {"token": ...} for the visitor of the session cookie. */
export async function POST(request) {
  const session = /(?:^|; )session=([^;]*)/.exec(request.headers.get("cookie") ?? "")?.[1];
  if (!session) return refuse(401, "Please sign in");
  let answer;
  try {
    answer = await fetch(`${process.env.ISSUER_URL}/api/get-token`, {
      method: "POST",
      headers: { Authorization: `Bearer ${session}` },
      cache: "no-store", // Next.js must not keep a token
      signal: AbortSignal.timeout(5000),
    });
  } catch {
    return refuse(503, "Tokens are not available at the moment", { "Retry-After": "2" });
  }
  if (answer.status === 401) return refuse(401, "Please sign in"); // the session has ended
  if (!answer.ok) return refuse(answer.status, "No token", retryAfter(answer));
  const { token } = await answer.json();
  return Response.json({ token }, { headers: { "Cache-Control": "no-store" } });
}

function refuse(status, detail, headers = {}) {
  return Response.json({ detail }, { status, headers: { "Cache-Control": "no-store", ...headers } });
}

function retryAfter(answer) {
  const seconds = answer.headers.get("retry-after");
  return seconds ? { "Retry-After": seconds } : {};
}
