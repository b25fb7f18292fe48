// Plays what a test asks for: with the Agno client in this process, or with its React
// provider in Chromium. Started by live.Node, it listens where the environment says:
//
//   CONTROL  POST /SCENE with arguments as JSON answers what came of that scene
//   PAGES    the front end and its own back end: /chat, and GET /api/get-token
//   FOREIGN  a page of an origin that the policy does not name
import { createServer } from "node:http";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { pageScenes } from "./page.mjs";

const { CONTROL, PAGES, FOREIGN, CHROMIUM, EXAMPLE, SECRET } = process.env;
const workshop = await mkdtemp(join(tmpdir(), "gatepost-agno-"));

/** Bundles an entry that may import from EXAMPLE, which has no node_modules of its own. */
async function bundle(entry, name, options) {
  const outfile = join(workshop, name);
  await build({
    entryPoints: [entry], outfile, bundle: true, minify: true, jsx: "automatic", logLevel: "error",
    nodePaths: [join(import.meta.dirname, "node_modules")], alias: { "gatepost-example": EXAMPLE },
    define: { "process.env.NODE_ENV": '"production"' }, ...options,
  });
  return outfile;
}

const inNode = await bundle("node.js", "node.mjs", {
  platform: "node", format: "esm",
  banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
});
const { backend, scenes } = await import(pathToFileURL(inNode));
const site = backend(SECRET);
site.set({});
const plays = { ...scenes, backend: ({ set }) => site.set(set), token: (args) => site.token(args), asked: () => ({ asked: site.asked, expires: site.expires }) };

const scripts = {};
let browser;
if (CHROMIUM) {
  scripts["/chat.js"] = await readFile(await bundle(join(EXAMPLE, "main.jsx"), "chat.js", { format: "iife" }));
  scripts["/inline.js"] = await readFile(await bundle("inline.jsx", "inline.js", { format: "iife" }));
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
  Object.assign(plays, pageScenes({ browser, site, pages: `http://${PAGES}`, foreign: `http://${FOREIGN}` }));
}

function listen(address, handler) {
  const [host, port] = address.split(":");
  return new Promise((ready) => createServer(handler).listen(Number(port), host, ready));
}

function page(request, response) {
  const { pathname } = new URL(request.url, "http://page");
  if (pathname === "/api/get-token") return site.answer(response);
  const script = scripts[pathname];
  response.writeHead(200, { "Content-Type": script ? "text/javascript" : "text/html" });
  if (script) return response.end(script);
  const load = scripts[`${pathname}.js`] ? `<script src="${pathname}.js"></script>` : "";
  response.end(`<!doctype html><meta charset="utf-8"><title>page</title><link rel="icon" href="data:,">
<body data-endpoint="${site.endpoint}" data-agent-id="echo one"><div id="chat"></div>${load}`);
}

await listen(PAGES, page);
await listen(FOREIGN, page);
await listen(CONTROL, async (request, response) => {
  let text = "";
  for await (const chunk of request) text += chunk;
  try {
    const scene = request.url.slice(1);
    response.end(JSON.stringify((await plays[scene]({ site, ...JSON.parse(text) })) ?? null));
  } catch (error) {
    response.writeHead(500);
    response.end(error.stack ?? String(error));
  }
});

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, async () => {
    await browser?.close();
    await rm(workshop, { recursive: true, force: true });
    process.exit(0);
  });
}
