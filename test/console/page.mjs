// A page of the console in a real Chromium, with what every visit wants to do.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import path from "node:path";

const packages = createRequire(path.resolve(import.meta.dirname, "../../.tools/console/node_modules/x.js"));
const { chromium } = packages("playwright-core");
const axe = readFileSync(packages.resolve("axe-core/axe.min.js"), "utf8");

// withBrowser runs f with a browser, and closes it whatever happens.
export async function withBrowser(f) {
  const browser = await chromium.launch({
    executablePath: process.env.RECLOSER_CHROMIUM,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"],
  });
  const end = () => browser.close().finally(() => process.exit(1));
  process.once("SIGINT", end);
  try {
    await f(browser);
  } finally {
    await browser.close();
  }
}

// open makes a page that fails the visit on an error in the browser's console, a
// breach of the content security policy, or a request to another host.
export async function open(browser, url, options = {}, hash = "", clock = false) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 900 },
    reducedMotion: "reduce",
    permissions: ["clipboard-read", "clipboard-write"],
    ...options,
  });
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  if (clock) await page.clock.install(); // time goes on by itself, and by leaps
  page.faults = [];
  page.expected = /$^/; // faults that the visit brings about on purpose
  page.on("console", (m) => m.type() === "error" && page.faults.push(m.text()));
  page.on("pageerror", (e) => page.faults.push(String(e)));
  page.on("request", (r) => r.url().startsWith(url) || page.faults.push("asks " + r.url()));
  page.debug = await context.newCDPSession(page);
  await page.debug.send("Performance.enable");
  await page.goto(url + "/" + hash);
  return page;
}

// quiet asserts that nothing went wrong in the page.
export function quiet(page) {
  assert.deepEqual(page.faults.filter((f) => !page.expected.test(f)), []);
}

// fake changes the gateway behind the page.
export async function fake(url, what, arg = "") {
  const resp = await fetch(`${url}/fake/${what}?arg=${encodeURIComponent(arg)}`, { method: "POST" });
  assert.equal(resp.status, 200, what);
  return resp.json();
}

// field is the text of a card's field, exactly as it is in the page.
export const field = (card, name) => card.locator(`[data-field="${name}"]`).evaluate((e) => e.textContent);

// until waits for a condition on what the fake has seen.
export async function until(url, what, ok) {
  for (let i = 0; i < 150; i++) {
    const seen = await fake(url, "seen");
    if (ok(seen)) return seen;
    await new Promise((done) => setTimeout(done, 100));
  }
  assert.fail("it never came to pass: " + what);
}

// work is what the browser has spent on a page so far, in milliseconds.
export async function work(page) {
  const { metrics } = await page.debug.send("Performance.getMetrics");
  const of = (name) => Math.round(1000 * metrics.find((m) => m.name === name).value);
  return { script: of("ScriptDuration"), layout: of("LayoutDuration") + of("RecalcStyleDuration"), all: of("TaskDuration") };
}

// calls counts the calls of the innermost function of the page's script whose
// source has a text, while f runs.
export async function calls(page, text, f) {
  const script = await page.evaluate(async () => (await fetch("console.js")).text());
  await page.debug.send("Profiler.enable");
  await page.debug.send("Profiler.startPreciseCoverage", { callCount: true, detailed: false });
  await f();
  const { result } = await page.debug.send("Profiler.takePreciseCoverage");
  await page.debug.send("Profiler.stopPreciseCoverage");
  const source = ({ startOffset, endOffset }) => script.slice(startOffset, endOffset);
  return result
    .filter((r) => r.url.endsWith("/console.js"))
    .flatMap((r) => r.functions.map((f) => f.ranges[0]))
    .filter((r) => source(r).includes(text))
    .sort((a, b) => source(a).length - source(b).length)[0]?.count;
}

// axeFinds are the serious and critical findings of axe about the page as it is.
export async function axeFinds(page) {
  // By the debugger, which the policy of the page does not bind.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations
    .filter((v) => v.impact === "serious" || v.impact === "critical")
    .map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.target + " " + (n.any[0]?.message ?? "")).join("; ")}`);
}
