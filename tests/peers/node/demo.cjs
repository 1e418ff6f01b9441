// The demo page in Chromium: an echo, a file, two tabs that talk, losses and refusals in words.
// usage: CHROMIUM=/path AXE=/path node demo.cjs ORIGIN API_KEY
// Ends with 0 and one line of JSON, or with 1 and the reason.
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const { withChromium, run } = require('./chromium.cjs');
const { guard, open, accessible, fits, skips, themes, pictures } = require('./pages.cjs');

const [origin, key] = process.argv.slice(2);
const MEGABYTE = 1 << 20;
const EVIL = '<img src=x onerror="document.title=1">';

const frame = (page, way, text) => page.locator(`#log .frame.${way}`, { hasText: text }).first();

async function connect(page, { route, name }) {
  if (route) await page.selectOption('#route', { label: route });
  if (name) await page.fill('#name', name);
  await page.click('#connect');
  await page.waitForFunction(() => document.getElementById('state').textContent === 'open');
}

async function say(page, text) {
  await page.fill('#text', text);
  await page.press('#text', 'Enter');
}

// A back end closes the connections of a user.
async function disconnect(userId, code) {
  const response = await fetch(`${origin}/api/disconnect`, {
    method: 'POST',
    headers: { 'X-API-Key': key, 'Content-Type': 'application/json' },
    body: JSON.stringify({ userId, code, reason: 'a test' }),
  });
  assert.strictEqual((await response.json()).connections, 1);
}

// The echo: a text, a file of a megabyte that comes back as it was, and one that is too large.
async function echo(context) {
  const page = await open(context, `${origin}/`);
  await connect(page, { route: '/ws · echo' });
  await say(page, 'grüße, 世界 🌊');
  await frame(page, 'sent', 'grüße, 世界 🌊').waitFor();
  await frame(page, 'received', 'grüße, 世界 🌊').waitFor();
  const bytes = Buffer.from(Uint8Array.from({ length: MEGABYTE }, (_, index) => (index * 31 + (index >> 8)) & 255));
  await page.setInputFiles('#file', { name: 'tide.bin', mimeType: 'application/octet-stream', buffer: bytes });
  await frame(page, 'sent', 'tide.bin').waitFor();
  const back = frame(page, 'received', 'Binary');
  await back.waitFor();
  assert.strictEqual(await back.locator('.size').textContent(), '1 MiB');
  const [download] = await Promise.all([page.waitForEvent('download'), back.locator('button').click()]);
  assert.ok(fs.readFileSync(await download.path()).equals(bytes), 'the file that came back');
  await page.setInputFiles('#file', { name: 'large.bin', mimeType: 'application/octet-stream', buffer: Buffer.alloc(MEGABYTE + 1) });
  await page.waitForSelector('#problem:has-text("large.bin has 1 MiB, and this server takes messages of at most 1 MiB.")');
  await page.click('#connect');
  await page.waitForSelector('#status:has-text("Close code 1000: closed normally")');
  assert.strictEqual(await page.textContent('#state'), 'closed');
  await connect(page, { route: '/broadcast · broadcast' });
  await say(page, 'to everybody');
  await frame(page, 'received', 'to everybody').waitFor();
  await page.close();
}

async function talk(ann, bob) {
  await connect(ann, { name: 'ann' });
  await ann.waitForSelector('#people span:has-text("ann (you)")');
  await connect(bob, { name: 'bob' });
  await ann.waitForSelector('#people button:has-text("bob")');
  await bob.waitForSelector('#people button:has-text("ann")');
  await say(ann, 'High water is at noon. Are you at the harbour?');
  await frame(bob, 'received', 'ann in harbour: High water is at noon.').waitFor();
  await frame(ann, 'received', 'Handed to 1 connection').waitFor();
  await say(bob, 'On the mole already.');
  await frame(ann, 'received', 'bob in harbour: On the mole already.').waitFor();
  await ann.bringToFront();
  await ann.click('#people button:has-text("bob")');
  await say(ann, 'Keep me a place by the ferry.');
  await frame(bob, 'received', 'ann to you: Keep me a place by the ferry.').waitFor();
  await ann.click('#ping');
  await frame(ann, 'received', 'Pong').waitFor();
}

// What others say is a text, and what the server refuses is a sentence.
async function words(ann, bob) {
  await bob.selectOption('#to', 'user');
  await bob.fill('#whom', 'ann');
  await say(bob, EVIL);
  await frame(ann, 'received', `bob to you: ${EVIL}`).waitFor();
  await ann.selectOption('#to', 'raw');
  await say(ann, '{"type":"dance"}');
  await ann.waitForSelector('#problem:has-text("type")');
  await say(ann, EVIL);
  await frame(ann, 'failed', 'JSON').waitFor();
  await ann.selectOption('#to', 'room');
  await ann.click('#join-button');
  await bob.waitForFunction(() => document.querySelectorAll('#people li').length === 1);
  await ann.waitForSelector('#join-button:has-text("Join")');
  await say(ann, 'nobody hears this');
  await ann.waitForSelector('#problem:has-text("You are in no room. Join one first.")');
  await ann.fill('#text', '');
}

// Who is sent away for a while comes back by itself, into the same room; who is sent away for good does not.
async function returns(bob) {
  await disconnect('bob', 1012);
  await frame(bob, 'failed', 'Close code 1012: the server restarts (“a test”).').waitFor();
  await bob.waitForFunction(() => document.getElementById('state').textContent === 'open');
  await bob.waitForSelector('#people span:has-text("bob (you)")');
  await disconnect('bob', 1008);
  await bob.waitForSelector('#status:has-text("Close code 1008: against a rule of the server")');
  assert.strictEqual(await bob.textContent('#connect'), 'Connect');
}

run(() =>
  withChromium({}, async (context) => {
    const guarded = await guard(context, [origin]);
    await echo(context);
    const [ann, bob] = [await open(context, `${origin}/`), await open(context, `${origin}/`)];
    await skips(ann, 'talk');
    await themes(ann);
    await accessible(ann, 'before');
    await talk(ann, bob);
    await accessible(ann, 'talking');
    await fits(ann, 'the demo page');
    await ann.selectOption('#to', 'room');
    await pictures(ann, 'demo', async () => {
      await ann.evaluate(() => document.getElementById('talk').scrollIntoView());
      await ann.evaluate(() => document.getElementById('log').scrollTo(0, 1e6));
    });
    await words(ann, bob);
    await returns(bob);
    for (const page of [ann, bob]) {
      assert.strictEqual(await page.title(), 'Tidegate: try it');
      assert.strictEqual(await page.locator('img').count(), 1, 'but for the mark');
    }
    guarded.verify();
    return { done: true };
  }),
);
