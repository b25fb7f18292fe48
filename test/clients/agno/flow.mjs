// The page of a site, its own back end and a visitor with Chromium, for a guard and an
// issuer that are elsewhere: test/e2e runs this in the network of a cluster's node.
//
// It writes one line of JSON, {port}, when the site listens on 127.0.0.1; reads one,
// {site, issuer: {host, address}, agent: {host, address}, secret}; plays; and writes what
// came of it. The page runs examples/agno-client (EXAMPLE) as it is.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import jwt from "jsonwebtoken";
import { chromium } from "playwright-core";

const { CHROMIUM, EXAMPLE } = process.env;
const patience = 60_000;
let told;

/** The site knows who is signed in, and says so in a cookie that its sister hosts get too. */
function site(request, response) {
  const script = /^\/(tokens|call)\.js$/.exec(request.url)?.[1];
  if (script) {
    response.writeHead(200, { "Content-Type": "text/javascript" });
    return readFile(join(EXAMPLE, `${script}.js`)).then((text) => response.end(text));
  }
  const session = jwt.sign({ sub: "u-7", name: "Ada" }, told.secret, { algorithm: "HS256", expiresIn: "8h" });
  const domain = told.site.split(".").slice(1).join(".");
  response.writeHead(200, { "Content-Type": "text/html", "Set-Cookie": `session=${session}; Domain=${domain}; Path=/; HttpOnly; SameSite=Lax` });
  response.end('<!doctype html><meta charset="utf-8"><title>chat</title><link rel="icon" href="data:,">');
}

const server = createServer(site);
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const { port } = server.address();
console.log(JSON.stringify({ port }));
for await (const line of createInterface({ input: process.stdin })) {
  told = JSON.parse(line);
  break;
}

/** What a visitor's browser makes of the names that the cluster's ingress would have. */
function names() {
  const map = [`MAP ${told.site} 127.0.0.1`];
  for (const { host, address } of [told.issuer, told.agent]) map.push(`MAP ${host} ${address.slice(0, address.lastIndexOf(":"))}`);
  return map.join(", ");
}

const origin = ({ host, address }) => `http://${host}:${address.slice(address.lastIndexOf(":") + 1)}`;

/** The visitor's minute, in the page: nothing but the example's code and fetch. */
async function visit({ issuer, agent }) {
  const { tokenSource } = await import("/tokens.js");
  const { callAgent } = await import("/call.js");
  const told = { gets: [], refreshes: [] }; // of these the seconds when it asked
  const from = (path, method) => async () => {
    (method === "GET" ? told.refreshes : told.gets).push(performance.now() / 1000);
    const response = await fetch(issuer + path, { method, credentials: "include" });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()).token;
  };
  const claims = (token) => JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));

  const tokens = tokenSource(from("/api/get-token", "POST"));
  const first = await tokens.fresh();
  told.claims = claims(first);

  const stream = await callAgent(tokens, `${agent}/stream`);
  told.stream = { status: stream.status, type: stream.headers.get("content-type"), pieces: 0, text: "" };
  const reader = stream.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    told.stream.pieces++;
    told.stream.text += piece.value;
  }

  const say = (message) => ({ method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ message }) });
  const life = 1000 * (claims(first).exp - claims(first).iat);
  for (const end = performance.now() + 3 * life; ; await new Promise((ok) => setTimeout(ok, 1000))) {
    const { headers } = say("");
    const late = await fetch(`${agent}/agent`, { ...say("still me"), headers: { ...headers, Authorization: `Bearer ${first}` } });
    told.late = { status: late.status, challenge: late.headers.get("www-authenticate"), decision: late.headers.get("x-gatepost-decision"), body: await late.json() };
    if (late.status !== 200 || performance.now() > end) break;
  }

  const refreshing = tokenSource(from("/api/refresh-token", "GET"));
  // Another refusal is no reason to refresh.
  const stranger = await callAgent({ fresh: async () => `${first}x`, refresh: refreshing.refresh }, `${agent}/stream`);
  told.stranger = { status: stranger.status, detail: (await stranger.json()).detail, refreshes: told.refreshes.length };

  // The page goes on with what it has, is told, refreshes, and its call succeeds.
  const again = await callAgent({ fresh: async () => first, refresh: refreshing.refresh }, `${agent}/agent`, say("me again"));
  told.again = { status: again.status, body: await again.json() };
  told.refreshed = claims(await refreshing.fresh());
  const next = await callAgent(refreshing, `${agent}/agent`, say("and again"));
  told.next = { status: next.status, body: await next.json() };
  return told;
}

/** A page of an origin that neither issuer nor agent name: what does it get with the cookie? */
async function trespass({ issuer }) {
  try {
    const response = await fetch(`${issuer}/api/get-token`, { method: "POST", credentials: "include" });
    return { status: response.status, text: await response.text() };
  } catch (error) {
    return { error: String(error) };
  }
}

const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", `--host-resolver-rules=${names()}, MAP evil.${told.site.split(".").slice(1).join(".")} 127.0.0.1`,
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});
const came = { requests: [], console: [] };
try {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  page.on("response", (response) => {
    const { host, pathname } = new URL(response.url());
    if (!host.startsWith(told.site)) came.requests.push(`${response.request().method()} ${host.split(":")[0]}${pathname} ${response.status()}`);
  });
  page.on("console", (message) => message.type() === "error" && came.console.push(message.text()));
  await page.goto(`http://${told.site}:${port}/`);
  came.visit = await page.evaluate(visit, { issuer: origin(told.issuer), agent: origin(told.agent) });
  const stranger = await context.newPage();
  await stranger.goto(`http://${told.site.replace(/^[^.]*/, "evil")}:${port}/`);
  came.trespass = await stranger.evaluate(trespass, { issuer: origin(told.issuer) });
} catch (error) {
  came.error = error.stack ?? String(error);
}
await browser.close();
console.log(JSON.stringify(came));
process.exit(0);
