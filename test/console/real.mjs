// The console of a real gateway, from a fault to its end: node real.mjs URL DIRECTORY
// Each line of output tells the test that started it how far it is.
import assert from "node:assert/strict";
import path from "node:path";
import { field, open, quiet, withBrowser } from "./page.mjs";

const [, , url, dir] = process.argv;
const tell = (what, value = {}) => console.log(JSON.stringify({ what, ...value }));

await withBrowser(async (browser) => {
  const page = await open(browser, url);
  await page.locator('tr[data-backend="tickets"] .is-ready').first().waitFor();
  assert.equal(await page.locator(".card").count(), 0);
  const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0);
  tell("well", { paint });

  const card = page.locator('.card[data-backend="tickets"]');
  await card.getByText("unavailable").waitFor();
  const fields = { headline: await page.locator("h1 .headline, h1").last().innerText() };
  for (const name of ["status", "reason", "message", "tried", "fix", "clientsSee"]) fields[name] = await field(card, name);
  fields.since = await card.locator('[data-field="since"]').getAttribute("datetime");
  await page.screenshot({ path: path.join(dir, "real-broken.png") });
  tell("broken", { fields });

  await card.waitFor({ state: "detached" });
  await page.locator('tr[data-backend="tickets"] .is-ready').first().waitFor();
  tell("mended");

  await page.goto(url + "/#backend=clock");
  await page.getByRole("tab", { name: "Tools" }).click();
  const tool = page.locator('[data-tool="clock_echo"]');
  await tool.locator("summary").first().click();
  await tool.getByRole("button", { name: "Call the tool" }).click();
  await tool.getByText("Answered in").waitFor();
  await page.screenshot({ path: path.join(dir, "real-tool.png") });
  quiet(page);
  tell("called");
});
