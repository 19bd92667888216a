// SPDX-License-Identifier: Apache-2.0

// A person in Chromium: logs in, reloads when the token has ended, logs out.

import { chromium } from "playwright-core";

const WAIT = { timeout: 60000 };

async function logIn(page, site) {
  await page.goto(`${site}/shop/basket?item=7`, WAIT);
  await page.fill("input[name=login]", "ann", WAIT);
  await page.fill("input[name=password]", "any", WAIT);
  await page.click("button[type=submit]", WAIT);
  await page.waitForURL(/interaction|shop/, WAIT);
  if (page.url().includes("/interaction/")) {
    await page.click("button[type=submit]", WAIT); // she agrees
  }
  await page.waitForURL(`${site}/shop/basket?item=7`, WAIT);
}

// Cookies of the gateway by name.
async function cookiesOf(context) {
  return (await context.cookies()).filter((cookie) => cookie.name.startsWith("demilune-"));
}

export async function people(executablePath, site, { expect, until }) {
  const browser = await chromium.launch({
    executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"], timeout: 120000,
  });
  try {
    const context = await browser.newContext();
    const page = await context.newPage();
    const heading = () => page.textContent("h1", WAIT);

    await logIn(page, site);
    expect("a person logs in and is back on her page", await heading(), "Hello, ann");
    expect("... with what the provider says of her", await page.textContent("p", WAIT), /ann@example.com/);
    expect("... and no script can read the cookie", await page.evaluate("document.cookie"), "");
    const before = await cookiesOf(context);
    expect("... which is there", before.some((cookie) => cookie.httpOnly && cookie.sameSite === "Lax"), true);

    const status = (path) => page.evaluate((to) => fetch(to).then((answer) => answer.status), path);
    expect("a script of the page gets through", await status("/shop/api"), 200);

    await page.waitForTimeout(1000 * (Number(process.env.TOKEN_LIFE) + 1));
    await page.reload(WAIT);
    expect("a reload when the token has ended", await heading(), "Hello, ann");
    expect("... without another login", page.url(), `${site}/shop/basket?item=7`);

    await page.click("a", WAIT);
    await page.waitForURL(/session\/end|bye/, WAIT);
    if (page.url().includes("/session/end")) {
      await page.click("button[autofocus]", WAIT);
    }
    await page.waitForURL(`${site}/bye`, WAIT);
    expect("she logs out, at the provider too", await page.textContent("body", WAIT), /See you/);
    await until("... and her session is gone", () => status("/shop/api"), 401);
    await context.addCookies(before);
    expect("... also with the cookies of before", await status("/shop/api"), 401);
    await page.goto(`${site}/shop/`, WAIT);
    expect("... and the provider asks for her name again", await page.isVisible("input[name=login]"), true);
  } finally {
    await browser.close();
  }
}
