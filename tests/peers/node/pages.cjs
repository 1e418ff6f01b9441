// What the scripts about the pages of the server share: guards over everything that a page does, the accessibility checker, pictures.
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');

// Notes whatever no page of ours may do; `verify` fails where one has.
async function guard(context, origins) {
  const wrong = [];
  const isOurs = (url) => origins.some((origin) => url.startsWith(`${origin}/`) || url.startsWith(`${origin.replace('http', 'ws')}/`));
  const check = (what, url) => {
    if (!isOurs(url) && !url.startsWith('blob:') && url !== 'about:blank') wrong.push(`${what} ${url}`);
  };
  await context.addInitScript(() => {
    window.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sourceFile, lineNumber }) => {
      console.error(`Content Security Policy: ${violatedDirective} ${blockedURI} ${sourceFile}:${lineNumber}`);
    });
  });
  context.on('request', (request) => check('request', request.url()));
  context.on('page', (page) => page.on('websocket', (socket) => check('WebSocket', socket.url())));
  context.on('weberror', (error) => wrong.push(`error ${error.error().stack}`));
  context.on('console', (message) => {
    const text = message.text();
    // What the browser says of a refusal that a test wants.
    const isWanted = /status of (401|403|422)|net::ERR_FAILED|WebSocket connection to .* failed/.test(text);
    if (['error', 'warning'].includes(message.type()) && !isWanted) wrong.push(`console ${text}`);
  });
  return { verify: () => assert.deepStrictEqual(wrong, []) };
}

// A page that has begun. Colours change at once there, as for whoever wants no motion.
async function open(context, url, viewport = { width: 1280, height: 800 }) {
  const page = await context.newPage();
  await page.setViewportSize(viewport);
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await page.goto(url);
  await page.waitForSelector('html[data-ready]', { state: 'attached' });
  return page;
}

const source = () => fs.readFileSync(require.resolve('axe-core/axe.min.js', { paths: [process.env.AXE] }), 'utf8');

// No violation of WCAG 2.2 A and AA nor of good practice, in light and dark.
async function accessible(page, what) {
  await page.evaluate(source());
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    const { violations, passes } = await page.evaluate(() => window.axe.run(document));
    const told = violations.map(({ id, help, nodes }) => `${what}, ${colorScheme}: ${id} (${help}): ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join(' | ')}`);
    assert.deepStrictEqual(told, []);
    assert.ok(passes.some(({ id }) => id === 'color-contrast'), 'the colours were looked at');
  }
  await page.emulateMedia({ colorScheme: 'light' });
}

// The page fits a small phone without being pushed sideways.
async function fits(page, what) {
  const before = page.viewportSize();
  await page.setViewportSize({ width: 320, height: 640 });
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 320, `${what} is ${width} wide`);
  await page.setViewportSize(before);
}

// The first thing on the way of the keyboard leads past the bar.
async function skips(page, target) {
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  assert.strictEqual(await page.evaluate(() => document.activeElement.id), target);
}

// Choosing a theme outranks the system, and lasts.
async function themes(page) {
  const paper = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await paper();
  await page.selectOption('#theme', 'dark');
  const dark = await paper();
  assert.notStrictEqual(dark, light);
  await page.reload();
  await page.waitForSelector('html[data-ready]', { state: 'attached' });
  assert.strictEqual(await paper(), dark);
  await page.selectOption('#theme', 'auto');
  assert.strictEqual(await paper(), light);
}

// Writes docs/NAME.png, of a page or of a part of it.
async function picture(page, name, part = page) {
  await page.bringToFront();
  await part.screenshot({ path: path.join(process.env.PICTURES, `${name}.png`) });
}

// Two pictures of a page, or of a part of it, light and dark, where the test was asked for pictures.
async function lightAndDark(page, name, part) {
  if (!process.env.PICTURES) return;
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await picture(page, `${name}-${colorScheme}`, part);
  }
  await page.emulateMedia({ colorScheme: 'light' });
}

// Those and one on a phone.
async function pictures(page, name, phone) {
  if (!process.env.PICTURES) return;
  await lightAndDark(page, name);
  await page.setViewportSize({ width: 360, height: 780 });
  await phone?.();
  await picture(page, `${name}-phone`);
}

module.exports = { guard, open, accessible, fits, skips, themes, lightAndDark, pictures };
