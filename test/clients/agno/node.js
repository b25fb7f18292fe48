// The scenes with the Agno client alone, and the front end's back end. Bundled and
// loaded by driver.mjs, because the example's imports resolve from here.
import { AgnoClient } from "@rodrigocoliveira/agno-client";
import jwt from "jsonwebtoken";
import { send } from "gatepost-example/agno.js";
import { answerToken, mint } from "gatepost-example/backend.js";
import { callAgent } from "gatepost-example/call.js";
import { tokenSource } from "gatepost-example/tokens.js";

const user = { id: "u-7", name: "Zoë Müller", email: "zoe@example.com" };

/** The back end whose tokens live as long as the test says; it counts who asks. */
export function backend(secret) {
  return {
    endpoint: "", asked: 0, expires: 0,
    set(changes) {
      Object.assign(this, { life: 60, age: 0, signedIn: true, asked: 0 }, changes);
    },
    /** As the example does it; or a token from a cache, which has lived for age seconds. */
    answer(response) {
      this.asked++;
      this.expires = Date.now() / 1000 + this.life - this.age;
      if (!this.age) return answerToken(response, this.signedIn && user, secret, this.life);
      response.end(JSON.stringify({ token: this.token(this) }));
    },
    /** A token that was minted age seconds ago for life seconds, or with another secret. */
    token({ life = 60, age = 0, forged }) {
      if (!age && !forged) return mint(user, secret, life);
      const iat = Math.floor(Date.now() / 1000) - age;
      return jwt.sign({ sub: user.id, iat }, forged ? "another secret of more than 32 bytes" : secret, { expiresIn: life });
    },
  };
}

/** Plays the steps one after the other, the client's own calls among them, and tells what each came to. */
async function play(steps, acts, client) {
  const told = [];
  for (const [name, ...args] of steps) {
    try {
      told.push({ value: (await (acts[name] ?? client[name].bind(client))(...args)) ?? null });
    } catch (error) {
      told.push({ error: error.message });
    }
  }
  return told;
}

export const scenes = {
  /**
   * The client starts with the first token; whoever asks for another gets the second.
   * callbacks counts onTokenExpired, fetched what the back end was asked for.
   */
  async client({ site, endpoint, first, second, steps }) {
    let callbacks = 0, fetched = 0, authToken;
    const tokens = tokenSource(async () => {
      if (!authToken) return (authToken = site.token(first));
      fetched++;
      return site.token(second);
    });
    if (steps.some(([name]) => /^(send|sendFile|call)$/.test(name))) {
      await tokens.refresh();
      await new Promise((ok) => setTimeout(ok, 1100)); // the source takes it for settled
    } else authToken = site.token(first);
    const client = new AgnoClient({
      endpoint, agentId: "echo one", userId: "u-7", authToken,
      onTokenExpired: () => (callbacks++, tokens.refresh()),
    });
    const errors = [], shown = [];
    client.on("message:error", (text) => errors.push(text));
    client.on("run:resume:error", ({ message }) => errors.push(message));
    client.on("message:update", (all) => all.at(-1)?.role === "agent" && shown.push(all.at(-1).content));
    const reloaded = () => new Promise((ok) => {
      client.once("message:refreshed", ok);
      client.on("message:error", (text) => text.startsWith("Session refresh failed") && ok());
    });
    const told = await play(steps, {
      expire: () => client.updateConfig({ authToken: site.token({ age: 120 }) }),
      async sendAndReload(text) {
        const end = reloaded();
        await client.sendMessage(text);
        await end;
      },
      refresh: async () => client.updateConfig({ authToken: await tokens.refresh() }),
      async send(text) {
        const end = reloaded();
        await send(client, tokens, text);
        await end;
      },
      async sendFile(text) {
        const form = new FormData();
        form.append("message", text);
        form.append("files", new File(["twelve bytes"], "note.txt"));
        const end = reloaded();
        await send(client, tokens, form);
        await end;
      },
      call: async (path) => (await callAgent(tokens, endpoint + path)).status,
      messages: () => client.getMessages().map(({ role, content }) => ({ role, content })),
    }, client);
    return { steps: told, callbacks, fetched, errors, shown };
  },
};
