// What agno-client 2.3 leaves to the application about tokens that expire: it refreshes
// by itself for checkStatus, fetchAgents, fetchTeams, cancelRun, fetchMetrics and
// refreshMetrics, and for nothing else.

const expired = /token has expired/i; // the agent's words; no other refusal has them
const patience = 5000; // ms between attempts when no token can be had

/**
 * sendMessage that survives the token's death: a token about to die is replaced before,
 * a dead one after the refusal, once. Rejects with the text that the client shows.
 */
export async function send(client, tokens, message, options) {
  client.updateConfig({ authToken: await tokens.fresh() });
  let refusal = await attempt(client, message, options);
  if (refusal && expired.test(refusal)) {
    client.updateConfig({ authToken: await tokens.refresh() });
    refusal = await attempt(client, message, options);
  }
  if (refusal) throw new Error(refusal);
}

/** One sendMessage. The client never rejects it: what went wrong is an event. */
async function attempt(client, message, options) {
  let refusal;
  const note = (text) => (refusal ??= text);
  client.on("message:error", note);
  try {
    await client.sendMessage(copy(message), options);
  } finally {
    client.off("message:error", note);
  }
  return refusal;
}

/** sendMessage adds fields to the form it is given: a form that is sent twice has them twice. */
function copy(message) {
  if (!(message instanceof FormData)) return message;
  const form = new FormData();
  for (const [name, value] of message) form.append(name, value);
  return form;
}

/**
 * Hands the client a new token before the old one dies, for the calls that do not
 * refresh: sessions, memories, knowledge, and what the client asks for after a run that
 * was longer than its token. Returns a function that ends it.
 */
export function keepFresh(client, tokens) {
  let timer, ended;
  const supply = async () => {
    let pause = patience;
    try {
      const token = await tokens.fresh();
      if (ended) return;
      client.updateConfig({ authToken: token });
      pause = tokens.wait();
    } catch {
      // The next call of the client says what is wrong.
    }
    if (!ended) timer = setTimeout(supply, Math.max(250, pause));
  };
  supply();
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}
