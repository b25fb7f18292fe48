// The scenes in Chromium: the example's page as a visitor uses it, and bare requests of
// pages of two origins.

const patience = 30_000;

export function pageScenes({ browser, site, pages, foreign }) {
  let context, chat;
  const problems = []; // what the browser's console shows
  const origin = { pages, foreign };

  /** The page of each origin that bare requests are made by, and what its console shows. */
  const blanks = {};
  async function blankPage(from) {
    const page = await (await browser.newContext()).newPage();
    const said = [];
    page.on("console", (message) => message.type() === "error" && said.push(message.text()));
    await page.goto(`${origin[from]}/blank`);
    return { page, said };
  }

  /** One bare request; cookie is the visitor's session at the agent's host. */
  async function blank({ from, url, cookie }, act, args) {
    const { page, said } = await (blanks[from] ??= blankPage(from));
    said.length = 0;
    await page.context().clearCookies();
    if (cookie) {
      const host = url.replace(/^ws/, "http");
      await page.context().addCookies([{ name: "session", value: cookie, url: host, httpOnly: true, sameSite: "Lax" }]);
    }
    const result = await page.evaluate(act, args);
    return { ...result, console: said };
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
    fetch: ({ init, ...visit }) => blank(visit, async ([url, init]) => {
      try {
        const response = await fetch(url, init);
        return { status: response.status, text: await response.text(), headers: Object.fromEntries(response.headers) };
      } catch (error) {
        return { error: String(error) };
      }
    }, [visit.url, init]),

    /** One WebSocket of a page: the messages it got, and how it ended. */
    socket: ({ protocols, say, leaveAfter, ...visit }) => blank(visit, ([url, protocols, say, leaveAfter]) => new Promise((done) => {
      const told = { opened: false, protocol: "", got: [], code: 0, reason: "" };
      const ws = new WebSocket(url, protocols);
      ws.onopen = () => {
        Object.assign(told, { opened: true, protocol: ws.protocol });
        say.forEach((text) => ws.send(text));
      };
      ws.onmessage = ({ data }) => {
        told.got.push(data);
        if (told.got.length === leaveAfter) ws.close(1000);
      };
      ws.onclose = ({ code, reason }) => done({ ...told, code, reason });
    }), [visit.url, protocols, say ?? [], leaveAfter ?? 0]),
  };
}
