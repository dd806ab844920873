// Drives Chromium for tests/page: one JSON object a line comes in and says what to do, one goes out and says what came of it.
// Notes every word on the console, every request and every error of the page, whatever it is asked.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const BOUND = 60_000;
const browser = await chromium.launch({ executablePath: process.argv[2], args: ["--no-sandbox", "--disable-gpu"], timeout: 90_000 });
let context = null, page = null;
let noted = { console: [], requests: [], errors: [] };

const does = {
  // A new page, as another person would have it.
  async open({ url, scheme = "light", width = 1280, height = 900, scale = 1, motion = "reduce", js = true }) {
    await context?.close();
    context = await browser.newContext({
      viewport: { width, height }, deviceScaleFactor: scale, colorScheme: scheme, reducedMotion: motion, javaScriptEnabled: js,
    });
    context.setDefaultTimeout(BOUND);
    page = await context.newPage();
    noted = { console: [], requests: [], errors: [] };
    page.on("console", (message) => noted.console.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => noted.errors.push(String(error)));
    page.on("request", (request) => noted.requests.push(request.url()));
    page.on("dialog", (dialog) => { noted.errors.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
    const answer = await page.goto(url, { waitUntil: "domcontentloaded" });
    return { status: answer.status() };
  },
  // Until something is there that says this.
  async see({ selector, text = "" }) {
    await page.locator(selector).filter({ hasText: text, visible: true }).first().waitFor();
  },
  // Until nothing like that is to be seen any more.
  async miss({ selector, text = "" }) {
    await page.locator(selector).filter({ hasText: text, visible: true }).first().waitFor({ state: "hidden" });
  },
  async texts({ selector }) {
    return page.locator(selector).filter({ visible: true }).allInnerTexts();
  },
  async click({ selector, text = "" }) {
    await page.locator(selector).filter({ hasText: text }).first().click();
  },
  async type({ selector, text }) {
    await page.locator(selector).fill("");
    await page.locator(selector).pressSequentially(text);
  },
  async press({ key }) {
    await page.keyboard.press(key);
  },
  async point({ selector, x, y }) {
    await page.locator(selector).first().hover({ position: { x, y } });
  },
  async evaluate({ script }) {
    return page.evaluate(script);
  },
  async shot({ path, whole = false }) {
    await page.screenshot({ path, fullPage: whole });
  },
  async noted() {
    return noted;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const wish = JSON.parse(line);
  let said;
  try {
    said = { ok: (await does[wish.do](wish)) ?? null };
  } catch (error) {
    said = { error: `${wish.do}: ${error.message}`, noted, page: await page?.locator("body").innerText().catch(() => "") };
  }
  process.stdout.write(`${JSON.stringify(said)}\n`);
}
await browser.close();
