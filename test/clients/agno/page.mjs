// The scenes in Chromium: the example's page as a visitor uses it, and bare requests of
// pages of two origins.

const patience = 30_000;

export function pageScenes({ browser, site, pages, foreign }) {
  let context, chat;
  const problems = []; // what the browser's console shows
  const origin = { pages, foreign };

  /** A page of the origin, for one bare request. */
  async function blank(from, act, args) {
    const own = await browser.newContext();
    try {
      const page = await own.newPage();
      const said = [];
      page.on("console", (message) => message.type() === "error" && said.push(message.text()));
      await page.goto(`${origin[from]}/blank`);
      const result = await page.evaluate(act, args);
      return { ...result, console: said };
    } finally {
      await own.close();
    }
  }

  return {
    /** Opens the example's page, path chat or another of the driver's. */
    async open({ path = "chat", endpoint, await: role = "textbox" }) {
      site.endpoint = endpoint;
      problems.length = 0;
      context = await browser.newContext();
      chat = await context.newPage();
      chat.setDefaultTimeout(patience);
      chat.on("console", (message) => message.type() === "error" && problems.push(message.text()));
      chat.on("pageerror", (error) => problems.push(String(error)));
      await chat.goto(`${pages}/${path}`);
      await chat.getByRole(role).waitFor();
    },
    /** Types a message, sends it, and waits for an answer that ends so, unless it is null. */
    async ask({ text, until }) {
      await chat.getByRole("textbox").fill(text);
      await chat.getByRole("button", { name: "Send" }).click();
      if (until) await chat.locator("li.agent").filter({ hasText: until }).last().waitFor();
    },
    /** Waits until the page has a field of that label. */
    labelled: ({ text }) => chat.getByLabel(text).waitFor(),
    /** Waits until no run is under way. */
    idle: () => chat.getByRole("button", { name: "Send", disabled: false }).waitFor(),
    press: ({ name }) => chat.getByRole("button", { name }).click(),
    /** What the visitor sees. */
    async view() {
      return {
        messages: await chat.locator("li").evaluateAll((all) => all.map((li) => ({ role: li.className, content: li.textContent }))),
        alert: (await chat.getByRole("alert").allTextContents()).join(),
        console: [...problems],
      };
    },
    run: ({ expression }) => chat.evaluate(expression),
    async close() {
      await context.close();
    },

    /** One fetch by a page: what it can read, or the error it gets instead. */
    fetch: ({ from, url, init }) => blank(from, async ([url, init]) => {
      try {
        const response = await fetch(url, init);
        return { status: response.status, text: await response.text(), headers: Object.fromEntries(response.headers) };
      } catch (error) {
        return { error: String(error) };
      }
    }, [url, init]),

    /** One WebSocket of a page: the messages it got, and how it ended. */
    socket: ({ from, url, protocols, say, stay }) => blank(from, ([url, protocols, say, stay]) => new Promise((done) => {
      const told = { opened: false, protocol: "", got: [], code: 0 };
      const ws = new WebSocket(url, protocols);
      ws.onopen = () => {
        Object.assign(told, { opened: true, protocol: ws.protocol });
        say.forEach((text) => ws.send(text));
      };
      ws.onmessage = ({ data }) => {
        told.got.push(data);
        if (told.got.length === stay) ws.close(1000);
      };
      ws.onclose = ({ code }) => done({ ...told, code });
    }), [url, protocols, say ?? [], stay ?? 0]),
  };
}
