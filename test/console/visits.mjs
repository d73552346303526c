// The visits: node visits.mjs NAME URL DIRECTORY
import assert from "node:assert/strict";
import path from "node:path";
import { axeFinds, calls, fake, field, open, quiet, until, withBrowser, work } from "./page.mjs";

const [, , name, url, dir] = process.argv;
const picture = (page, file) => page.screenshot({ path: path.join(dir, file) });

// whole is a picture of all of the page: the window has to be as high, since rows
// out of sight are not drawn.
async function whole(page, file) {
  const size = page.viewportSize();
  for (let i = 0; i < 2; i++) {
    const height = await page.evaluate(() => document.documentElement.scrollHeight);
    await page.setViewportSize({ ...size, height });
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  }
  await picture(page, file);
  await page.setViewportSize(size);
}

// focused waits until the focus is at an element with this text.
const focused = (page, text) => page.waitForFunction((text) => document.activeElement.textContent.trim() === text, text);

const visits = {
  // What a card says is what the API says, to the letter; the card goes when the
  // backend is well.
  async cards(browser) {
    const page = await open(browser, url);
    await page.locator(".card").nth(1).waitFor();
    assert.deepEqual(await page.locator(".card").evaluateAll((all) => all.map((c) => c.dataset.backend)), ["tickets", "weather"]);
    const { backends } = await fake(url, "seen");
    for (const b of backends.filter((b) => ["tickets", "weather"].includes(b.name))) {
      const card = page.locator(`.card[data-backend="${b.name}"]`);
      for (const name of ["status", "reason", "message", "tried", "fix", "clientsSee"]) assert.equal(await field(card, name), b[name], name);
      assert.equal(await card.locator('[data-field="since"]').getAttribute("datetime"), b.since);
    }
    const card = page.locator('.card[data-backend="tickets"]');
    assert.match(await card.innerText(), /37 calls affected/);
    assert.match(await card.innerText(), /Bearer error="invalid_token"/);
    assert.match(await card.innerText(), /Breaker tries again\s+in \d+ s/);
    assert.equal(await card.locator("code", { hasText: "recloser doctor" }).innerText(), "recloser doctor tickets");
    await card.getByRole("button", { name: "Copy recloser doctor" }).click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "recloser doctor tickets");
    assert.equal(await page.title(), "(2) Degraded · Recloser");
    assert.match(await page.locator("h1").innerText(), /^2 of 6 backends need you · 48 of 60 tools served/);
    await whole(page, "light.png");

    await fake(url, "mend", "tickets");
    await card.waitFor({ state: "detached" });
    await fake(url, "break", "docs");
    await page.locator('.card[data-backend="docs"]').waitFor();
    assert.equal(await page.title(), "(2) Degraded · Recloser");
    await page.getByText("docs is unavailable: auth_refused.").waitFor();
    await fake(url, "mend", "docs");
    await fake(url, "mend", "weather");
    await page.waitForFunction(() => document.title === "Ready · Recloser");
    assert.equal(await page.locator(".card, .cards").count(), 0);
    quiet(page);
  },

  async table(browser) {
    const page = await open(browser, url);
    const rows = page.locator("tbody tr");
    await rows.nth(6).waitFor();
    const names = () => rows.evaluateAll((all) => all.map((r) => r.dataset.backend));
    assert.deepEqual(await names(), ["tickets", "weather", "slow-start", "wiki", "files", "docs", "staging"]);
    // The text of a row that is out of sight is not the inner one.
    const cells = await rows.evaluateAll((all) => all.map((r) => r.textContent));
    assert.match(cells[0], /unavailable\s*auth_refused 11 min/);
    assert.match(cells[1], /degraded[^]*expires in 1 min \d+ s renewal failed/);
    assert.match(cells[3], /ready[^]*client_credentials\s*expires in 4 min[^]*84 ms/);
    assert.match(cells[6], /disabled/);
    await page.getByRole("img", { name: /^Last hour: 12 min unavailable, 42 min ready$/ }).waitFor();
    await page.getByRole("img", { name: /^p95 over the last hour: \d+ ms to \d+ ms$/ }).first().waitFor();
    await page.getByRole("img", { name: /^Calls in the last hour: [\d,]+, of them failed 108, saved by renewal \d+$/ }).waitFor();
    assert.equal(await page.locator("#filter").count(), 0); // seven rows need no filter

    // Within a state the order of the configuration stays.
    await fake(url, "break", "wiki");
    await page.waitForFunction(() => document.querySelector("tbody tr:nth-child(1)").dataset.backend === "wiki");
    assert.deepEqual(await names(), ["wiki", "tickets", "weather", "slow-start", "files", "docs", "staging"]);
    await fake(url, "remove", "files");
    await page.locator('tr[data-backend="files"]').waitFor({ state: "detached" });
    quiet(page);
  },

  async drawer(browser) {
    const page = await open(browser, url);
    await page.locator('tr[data-backend="tickets"] td').nth(4).click();
    const drawer = page.getByRole("dialog", { name: "tickets" });
    await drawer.waitFor();
    assert.equal(new URL(page.url()).hash, "#backend=tickets");
    await drawer.getByText("37 calls affected").waitFor();
    assert.match(await drawer.locator(".facts").innerText(), /Authenticated\s+no[^]*Breaker\s+open for[^]*Sends refused\s+61/);
    await picture(page, "drawer.png");

    await drawer.getByRole("tab", { name: "Timeline" }).click();
    assert.match(await drawer.locator(".timeline").innerText(), /auth_refused[^]*The breaker of tickets has opened[^]*14 times\s+trace 4bf92f35/);
    assert.deepEqual(await drawer.locator(".timeline li").evaluateAll((all) => all.map((e) => e.dataset.event)), ["5", "4", "3"]);
    await drawer.getByRole("tab", { name: "Requests" }).click();
    assert.match(await drawer.locator(".requests").innerText(), /failed[^]*auth_refused[^]*401[^]*401[^]*401[^]*recovered[^]*401[^]*200[^]*renewed[^]*no answer/);
    await picture(page, "drawer-requests.png");
    await drawer.getByRole("tab", { name: "Configuration" }).click();
    assert.match(await drawer.locator("pre").innerText(), /token: '\*\*\*'/);

    // What happens shows in the open drawer.
    await drawer.getByRole("tab", { name: "Timeline" }).click();
    await fake(url, "mend", "tickets");
    await drawer.getByText("tickets is ready again.").waitFor();
    await page.keyboard.press("Escape");
    await drawer.waitFor({ state: "detached" });
    assert.equal(new URL(page.url()).hash, "");
    await page.goBack();
    await drawer.waitFor();
    quiet(page);

    const linked = await open(browser, url, {}, "#backend=wiki");
    await linked.getByRole("dialog", { name: "wiki" }).getByText("client_credentials").waitFor();
    await linked.getByRole("button", { name: /Close/ }).click();
    await linked.getByRole("dialog").waitFor({ state: "detached" });
    await focused(linked, "wiki");
    quiet(linked);

    const none = await open(browser, url, {}, "#backend=nobody");
    none.expected = /404/;
    await none.getByText('there is no backend "nobody"').waitFor();
    quiet(none);
  },

  async tools(browser) {
    const page = await open(browser, url, {}, "#backend=wiki");
    await page.getByRole("tab", { name: "Tools" }).click();
    const tool = (name) => page.locator(`[data-tool="${name}"]`);
    const sent = async () => (await fake(url, "seen")).tools.at(-1);
    const search = tool("wiki_search");
    await search.locator("summary").first().click();
    await search.getByLabel(/query/).fill("printer");
    await search.getByLabel(/open/).selectOption("true");
    await search.getByRole("button", { name: "Call the tool" }).click();
    await search.getByText("Answered in 12.3 ms").waitFor();
    assert.deepEqual(await sent(), { name: "wiki_search", arguments: { query: "printer", limit: 20, open: true, order: "newest" } });
    assert.match(await search.locator(".answer").innerText(), /You sent \{"query":"printer"[^]*\(image, image\/png, 3 KB\)/);
    await picture(page, "drawer-tools.png");

    // What was typed is kept in the editor.
    await search.getByRole("button", { name: "Edit as JSON" }).click();
    assert.deepEqual(JSON.parse(await search.getByLabel("Arguments (JSON)").inputValue()), { query: "printer", limit: 20, open: true, order: "newest" });

    // What is nested has no form.
    const create = tool("wiki_create");
    await create.locator("summary").first().click();
    const editor = create.getByLabel("Arguments (JSON)");
    assert.deepEqual(JSON.parse(await editor.inputValue()), { title: "", labels: [] });
    await editor.fill("{oops");
    await create.getByRole("button", { name: "Call the tool" }).click();
    await create.getByText("These arguments are no JSON").waitFor();
    await editor.fill('{"title": "x", "labels": ["a"]}');
    await create.getByRole("button", { name: "Call the tool" }).click();
    await create.getByText("Answered").waitFor();
    assert.deepEqual(await sent(), { name: "wiki_create", arguments: { title: "x", labels: ["a"] } });

    // An error of the tool is a result; an error of the call has its reason and hint.
    const close = tool("wiki_close");
    await close.locator("summary").first().click();
    await close.getByLabel(/number/).fill("12");
    await close.getByRole("button", { name: "Call the tool" }).click();
    await close.getByText("The tool reports an error in 3.2 ms").waitFor();
    await close.getByText("no ticket has this number").waitFor();
    assert.deepEqual(await sent(), { name: "wiki_close", arguments: { number: 12 } });
    await fake(url, "break", "wiki");
    const ping = tool("wiki_ping");
    await ping.locator("summary").first().click();
    await ping.getByRole("button", { name: "Call the tool" }).click();
    await ping.getByText("The call failed in 1.2 s").waitFor();
    assert.match(await ping.locator(".answer").innerText(), /wiki refuses the credential[^]*auth_refused[^]*code -32001[^]*An administrator has to/);
    // What a form holds stays through all of it.
    assert.equal(await close.getByLabel(/number/).inputValue(), "12");
    quiet(page);
  },

  async actions(browser) {
    const page = await open(browser, url, {}, "#backend=tickets");
    page.expected = /409/;
    const drawer = page.getByRole("dialog", { name: "tickets" });
    const told = drawer.locator('.told[aria-live="polite"]');
    const press = async (label, says) => {
      await drawer.getByRole("button", { name: label, exact: true }).click();
      await told.getByText(says).waitFor();
    };
    await press("Probe now", "probe of tickets is done.");
    await press("Renew credential", "cannot be renewed");
    await press("Reset breaker", "reset of tickets is done.");
    await press("Pause", "pause of tickets is done.");
    // Somebody took it out of service: nobody needs to be told to mend it.
    await page.locator(".card[data-backend=tickets]").waitFor({ state: "detached" });
    assert.match(await page.locator("tr[data-backend=tickets]").textContent(), /paused/);
    await press("Resume", "resume of tickets is done.");
    await page.locator(".card[data-backend=tickets]").waitFor();
    await page.keyboard.press("Escape");

    const reload = page.getByRole("button", { name: "Reload configuration" });
    await reload.click();
    await page.locator(".top .told").getByText("nothing has changed").waitFor();
    await fake(url, "refuse");
    await reload.click();
    await page.getByText("the configuration has 2 mistakes").waitFor();
    const problems = await page.locator(".problems li").allInnerTexts();
    assert.match(problems[0], /mcp\.yaml:7:5[^]*mcpServers\.tickets\.urk[^]*unknown key[^]*Did you mean url\?/);
    assert.match(problems[1], /mcp\.yaml:12:9/);
    await picture(page, "reload-refused.png");
    await page.getByRole("button", { name: "Dismiss" }).click();
    assert.equal(await page.locator(".problems").count(), 0);
    const { actions } = await fake(url, "seen");
    assert.deepEqual(actions, ["tickets probe", "tickets renew", "tickets reset", "tickets pause", "tickets resume", "reload", "reload"]);
    quiet(page);
  },

  async token(browser) {
    await fake(url, "token", "correct-horse");
    const page = await open(browser, url);
    page.expected = /401/;
    const form = page.getByRole("dialog", { name: "Admin token" });
    await form.getByText("admin.token in the configuration").waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), "token");
    await picture(page, "token.png");
    await form.getByLabel("Token").fill("wrong");
    await page.keyboard.press("Enter");
    await form.getByText("does not accept this token").waitFor();
    await form.getByLabel("Token").fill("correct-horse");
    await page.keyboard.press("Enter");
    await form.waitFor({ state: "detached" });
    await page.locator("tbody tr").first().waitFor();
    await page.getByText("tickets is unavailable").waitFor(); // from the stream
    await page.reload();
    await page.locator("tbody tr").first().waitFor();
    assert.deepEqual(await page.evaluate(() => [localStorage.length, document.cookie, Object.values(sessionStorage)]), [0, "", ["correct-horse"]]);
    // Another tab knows nothing of it; a new token is asked for where it is needed.
    const other = await open(browser, url);
    other.expected = /401/;
    await other.getByRole("dialog", { name: "Admin token" }).waitFor();
    quiet(other);
    await fake(url, "token", "battery-staple");
    await page.getByRole("button", { name: "Reload configuration" }).click();
    await form.getByText("does not accept this token").waitFor();
    await fake(url, "break", "docs");
    await form.getByLabel("Token").fill("battery-staple");
    await page.keyboard.press("Enter");
    await page.locator(".card[data-backend=docs]").waitFor();
    quiet(page);
  },

  async lost(browser) {
    const page = await open(browser, url, {}, "", true);
    page.expected = /ERR_/;
    await page.getByText("The breaker of tickets has opened").waitFor();
    await fake(url, "cut");
    const banner = page.getByRole("alert").getByText(/Connection to the gateway lost since \d\d:\d\d:\d\d UTC/);
    await banner.waitFor();
    await page.locator(".top").getByText("stale").waitFor();
    assert.equal(await page.title(), "Connection lost · Recloser");
    assert.equal(await page.locator('.card[data-backend=tickets] [data-field="next"]').innerText(), "not known while the connection is lost");
    await page.locator("tbody tr").nth(6).waitFor(); // what was known stays
    await picture(page, "lost.png");
    await fake(url, "break", "docs"); // and is caught up with
    // With the time standing still it does not try by itself.
    await page.clock.pauseAt(Date.now() + 2000);
    await page.locator(".banner").getByText("Trying again in").waitFor();
    await fake(url, "join");
    await page.getByRole("button", { name: "Try now" }).click();
    await banner.waitFor({ state: "detached" });
    await page.clock.resume();
    await page.locator(".card[data-backend=docs]").waitFor();
    await page.locator(".events").getByText("docs is unavailable").waitFor();
    const { after } = await fake(url, "seen");
    assert.equal(after[0], "");
    assert.equal(after.at(-1), "6"); // the last event that it had
    const ids = () => page.locator(".events li").evaluateAll((all) => all.map((e) => e.dataset.event));
    assert.deepEqual(await ids(), ["7", "6", "5", "4", "3", "2", "1"]);

    // Another process counts from one again.
    await fake(url, "restart");
    await page.locator(".events").getByText("The gateway has started.").waitFor();
    assert.deepEqual(await ids(), ["1"]);
    await until(url, "one stream is left", (seen) => seen.streams === 1);
    quiet(page);
  },

  // Without even a keep-alive for three of their times nobody is at the other end.
  async silent(browser) {
    const page = await open(browser, url, {}, "", true);
    await page.getByText("The breaker of tickets has opened").waitFor();
    await page.clock.pauseAt(Date.now() + 2000);
    await page.clock.fastForward(30_000);
    await page.clock.runFor(2_000); // a stream that was given up is asked for again by now
    assert.equal((await fake(url, "seen")).after.length, 1);
    await page.clock.fastForward(46_000);
    await page.clock.resume();
    const { after } = await until(url, "it asks again", (seen) => seen.after.length > 1);
    assert.deepEqual(after, ["", "6"]);

    // If nobody answers then either, it was lost when it was last heard of.
    page.expected = /ERR_/;
    await fake(url, "deaf");
    const heard = Date.now(); // the gateway's time, which the page goes by
    await page.clock.pauseAt((await page.evaluate(() => Date.now())) + 2000);
    await page.clock.fastForward(46_000);
    await page.clock.resume();
    await page.locator(".banner").waitFor();
    const since = Date.parse(await page.locator(".banner time").first().getAttribute("datetime"));
    assert.ok(since <= heard + 10_000, `lost since ${since - heard} ms after it was heard of`);
    quiet(page);
  },

  async events(browser) {
    const page = await open(browser, url);
    const ids = () => page.locator(".events li").evaluateAll((all) => all.map((e) => e.dataset.event));
    await page.locator(".events li").nth(5).waitFor();
    assert.deepEqual(await ids(), ["6", "5", "4", "3", "2", "1"]);
    await page.getByLabel("Warnings and errors only").check();
    assert.deepEqual(await ids(), ["6", "5", "4", "3"]);
    const told = page.locator('.events li[data-event="3"]');
    assert.match(await told.innerText(), /^\d\d:\d\d:\d\d\s+warning:\s+refusal\s+tickets refused a call with 401 invalid_token\. 14 times trace 4bf92f35/);
    await told.getByRole("button", { name: "Copy trace id" }).click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "4bf92f3577b34da6a3ce929d0e0e4736");
    await page.getByText("Copied").waitFor(); // to a screen reader
    assert.equal(await page.locator('.events li[data-event="6"] a').innerText(), "weather"); // in the middle of the words

    // Of many the last are there at first.
    await fake(url, "storm", "60");
    await page.getByLabel("Warnings and errors only").uncheck();
    await page.getByRole("button", { name: "Show 26 more events" }).click();
    await page.locator(".events li").nth(65).waitFor();
    assert.equal((await ids())[0], "66");

    await page.getByText("Configuration in effect").click();
    await page.getByText("/etc/recloser/mcp.yaml").waitFor();
    assert.match(await page.locator(".configuration pre").innerText(), /listen: 127\.0\.0\.1:8484/);

    // The gateway answers, but not this: it says why.
    page.expected = /403/;
    await fake(url, "forbid", "a page of another origin must not ask");
    await fake(url, "calls", "wiki");
    await page.getByRole("alert").getByText("a page of another origin must not ask").waitFor();
    await fake(url, "forbid");
    await fake(url, "calls", "wiki");
    await page.locator(".banner").waitFor({ state: "detached" });
    quiet(page);
  },

  async empty(browser) {
    const page = await open(browser, url);
    await page.getByRole("heading", { name: "No backend is configured" }).waitFor();
    await page.getByText("/etc/recloser/mcp.yaml").waitFor();
    await page.getByText("Nothing has happened yet.").waitFor();
    assert.equal(await page.locator("table, .cards").count(), 0);
    assert.deepEqual(await axeFinds(page), []);
    await picture(page, "empty.png");
    quiet(page);
  },

  async keyboard(browser) {
    const page = await open(browser, url);
    await page.locator("tbody tr").nth(6).waitFor();
    const at = () => page.evaluate(() => document.activeElement.textContent.trim() || document.activeElement.getAttribute("aria-label"));
    const press = async (key) => {
      await page.keyboard.press(key);
      return at();
    };
    assert.equal(await press("Tab"), "Skip to the backends");
    const box = await page.locator(".skip").boundingBox();
    assert.ok(box.y >= 0, "the skip link is seen when it has the focus");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "backends");
    assert.equal(await press("Tab"), "tickets");
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.equal(outline, "solid");
    assert.equal(await press("Tab"), "weather");
    await page.keyboard.press("Enter");
    const drawer = page.getByRole("dialog", { name: "weather" });
    await drawer.waitFor();
    assert.equal(await at(), "weather");
    await drawer.locator(".facts").waitFor();
    const walk = [];
    for (let i = 0; i < 6; i++) walk.push(await press("Tab"));
    assert.deepEqual(walk.map((w) => w.split(" ")[0]), ["Close", "Probe", "Renew", "Reset", "Pause", "Overview"]);
    assert.match(await press("ArrowRight"), /^Timeline/);
    await press("End");
    assert.equal(await drawer.getByRole("tab", { selected: true }).innerText(), "Configuration");
    assert.match(await press("ArrowRight"), /^Overview/);
    // The focus stays inside until Esc gives it back.
    for (let i = 0; i < 12; i++) {
      await page.keyboard.press("Tab");
      assert.ok(await page.evaluate(() => document.activeElement === document.body || !!document.activeElement.closest("dialog")));
    }
    await page.keyboard.press("Escape");
    await drawer.waitFor({ state: "detached" }); // it goes with the address, a moment later
    await focused(page, "weather");
    quiet(page);
  },

  async accessibility(browser) {
    for (const colorScheme of ["light", "dark"]) {
      const page = await open(browser, url, { colorScheme });
      await page.locator("tbody tr").nth(6).waitFor();
      await page.locator(".strip").first().waitFor();
      assert.deepEqual(await axeFinds(page), [], colorScheme);
      if (colorScheme === "dark") await whole(page, "dark.png");
      await page.locator('tr[data-backend="tickets"] a').click();
      for (const tab of ["Overview", "Timeline", "Requests", "Tools", "Configuration"]) {
        await page.getByRole("tab", { name: tab }).click();
        if (tab === "Tools") await page.locator('[data-tool="tickets_search"] summary').first().click();
        await page.locator(".panel > *").first().waitFor();
        assert.deepEqual(await axeFinds(page), [], `${colorScheme} ${tab}`);
        if (colorScheme === "dark" && (tab === "Overview" || tab === "Tools")) await picture(page, `drawer-${tab.toLowerCase()}-dark.png`);
      }
      await fake(url, "cut");
      page.expected = /ERR_/;
      await page.keyboard.press("Escape");
      await page.locator(".banner").waitFor();
      assert.deepEqual(await axeFinds(page), [], colorScheme + " lost");
      await fake(url, "join");
      for (const landmark of ["banner", "main", "contentinfo"]) assert.equal(await page.getByRole(landmark).count(), 1, landmark);
      assert.equal(await page.getByRole("columnheader").count(), 9);
      assert.equal(await page.getByRole("rowheader").count(), 7);
      quiet(page);
      await page.context().close();
    }
  },

  async phone(browser) {
    const page = await open(browser, url, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
    await page.locator("tbody tr").nth(6).waitFor();
    await page.locator(".strip").first().waitFor();
    // A page that is too wide widens the window of a phone with it.
    const wide = () => page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.deepEqual(await wide(), [360, 360]);
    assert.equal(await page.getByRole("rowheader").count(), 7); // still a table to a screen reader
    assert.deepEqual(await axeFinds(page), []);
    await whole(page, "narrow.png");
    await page.setViewportSize({ width: 800, height: 1000 });
    await page.locator("table").scrollIntoViewIfNeeded();
    await picture(page, "tablet.png");
    await page.setViewportSize({ width: 360, height: 740 });
    await page.locator('tr[data-backend="tickets"] a').click();
    await page.locator(".facts").waitFor();
    assert.deepEqual(await wide(), [360, 360]);
    const close = await page.getByRole("button", { name: /Close/ }).boundingBox();
    assert.ok(close.x + close.width <= 360);
    await picture(page, "narrow-drawer.png");
    await page.getByRole("tab", { name: "Requests" }).click();
    await picture(page, "narrow-requests.png");
    assert.deepEqual(await axeFinds(page), []);
    quiet(page);
  },

  // Only what is counted is asserted; the times are for people to read.
  async thousand(browser) {
    const page = await open(browser, url);
    await page.locator("tbody tr").first().waitFor();
    const first = await page.evaluate(() => Math.round(performance.now()));
    await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1000);
    const all = await page.evaluate(() => Math.round(performance.now()));
    await page.locator(".strip").nth(999).waitFor();
    const paint = await page.evaluate(() => Math.round(performance.getEntriesByName("first-contentful-paint")[0].startTime));
    assert.deepEqual((await page.locator("tbody tr").evaluateAll((r) => r.slice(0, 11).map((e) => e.dataset.state))), [
      ...Array(10).fill("unavailable"),
      "ready",
    ]);
    const drawn = await page.locator("tbody tr th").evaluateAll((r) => r.filter((e) => e.checkVisibility({ contentVisibilityAuto: true })).length);
    assert.ok(drawn < 100, `${drawn} rows are laid out, though few are in sight`);
    // The cards leave room for the table, and are all there on demand.
    assert.equal(await page.locator(".card").count(), 8);
    assert.equal(await page.title(), "(10) Degraded · Recloser");
    await page.getByRole("button", { name: "Show 2 more cards" }).click();
    await page.locator(".card").nth(9).waitFor();

    const loaded = await work(page);
    // A storm of events: how long the page does not react, by the browser's count.
    await page.evaluate(() => {
      window.long = [];
      new PerformanceObserver((l) => window.long.push(...l.getEntries().map((e) => Math.round(e.duration)))).observe({ type: "longtask" });
    });
    const before = (await fake(url, "seen")).statuses;
    for (let i = 0; i < 40; i++) await fake(url, "storm", "50");
    await page.locator("#filter").fill("unavailable");
    await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 10);
    await page.getByText("10 of 1,000").waitFor();
    await page.locator("#filter").fill("0042");
    await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
    await page.locator("#filter").fill("");
    await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1000);
    const { statuses, backends } = await fake(url, "seen");
    await page.waitForFunction(
      ([name, calls]) => document.querySelector(`tr[data-backend="${name}"] td:nth-of-type(4)`).textContent === calls,
      [backends[37].name, backends[37].counters.calls.toLocaleString("en-US")],
    );
    const asked = statuses - before;
    const long = await page.evaluate(() => window.long);
    assert.ok(asked >= 1 && asked <= 40, `2000 events made it read the status ${asked} times`);
    console.log(
      `first paint ${paint} ms, first rows ${first} ms, all rows ${all} ms, work ${JSON.stringify(loaded)}; ` +
        `2000 events: ${asked} times the status, work in all ${JSON.stringify(await work(page))}, long tasks ${long}`,
    );
    await picture(page, "thousand.png");
    quiet(page);
  },

  // A change of one backend renders its own row, and touches its nodes only.
  async sparing(browser) {
    const page = await open(browser, url);
    await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 40);
    await page.locator(".strip").nth(39).waitFor();
    await page.evaluate(() => {
      window.touched = new Set();
      new MutationObserver((list) => {
        for (const m of list) {
          const at = m.target.nodeType === 1 ? m.target : m.target.parentElement;
          // The seconds of a time count by themselves.
          if (at && !at.closest("time")) window.touched.add(at.closest("tr")?.dataset.backend ?? "the table");
        }
      }).observe(document.querySelector("tbody"), { childList: true, subtree: true, characterData: true, attributes: true });
    });
    const change = async (name) => {
      await fake(url, "calls", name);
      await page.waitForFunction((name) => window.touched.has(name), name);
    };
    await change("backend-0007");
    assert.equal(await calls(page, '"rowheader"', () => change("backend-0031")), 1);
    assert.deepEqual(await page.evaluate(() => [...window.touched]), ["backend-0007", "backend-0031"]);
    quiet(page);
  },
};

await withBrowser(visits[name]);
