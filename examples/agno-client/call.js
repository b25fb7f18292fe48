// The agent called with plain fetch.

/** fetch with the agent's token: one that has expired is replaced, and the call made again, once. */
export async function callAgent(tokens, url, init = {}) {
  const attempt = (token) => fetch(url, { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } });
  const response = await attempt(await tokens.fresh());
  if (response.status !== 401) return response;
  const { detail } = await response.clone().json();
  return detail === "Token has expired" ? attempt(await tokens.refresh()) : response;
}
