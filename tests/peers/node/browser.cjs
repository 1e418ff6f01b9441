// Chromium on a page that opens a WebSocket.
// usage: CHROMIUM=/path node browser.cjs ECHO_URL [OPTIONS as JSON: {closeCode, page, protocols, ignoreCertificate}]
// Ends with 0 and one line of JSON with what the page saw, or with 1 and the reason.
'use strict';
const http = require('node:http');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { chromium } = require('playwright-core');

const TIME_LIMIT_MS = 45_000;
const [url, json] = process.argv.slice(2);
const options = JSON.parse(json ?? '{}');

const PAGE = `<!doctype html><meta charset="utf-8"><title>A page that echoes</title><p>Echoing</p>`;

// Runs in the page.
async function talk({ url, closeCode, protocols }) {
  const MEGABYTE = 1 << 20;
  const socket = new WebSocket(url, protocols ?? []);
  socket.binaryType = 'arraybuffer';
  const closed = new Promise((resolve) => {
    socket.onclose = ({ code, reason, wasClean }) => resolve({ code, reason, wasClean });
  });
  const opened = new Promise((resolve) => {
    socket.onopen = () => resolve(true);
  });
  const open = await Promise.race([opened, closed.then(() => false)]);
  if (!open) return { open, close: await closed };
  const echo = (message) =>
    new Promise((resolve, reject) => {
      socket.onmessage = ({ data }) => resolve(data);
      closed.then(({ code, reason }) => reject(new Error(`closed with ${code} ${reason} instead of an echo`)));
      socket.send(message);
    });
  const binary = async (length) => {
    const bytes = Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8)) & 255);
    const back = new Uint8Array(await echo(bytes));
    return back.length === length && back.every((byte, index) => byte === bytes[index]);
  };
  const facts = {
    open,
    extensions: socket.extensions,
    protocol: socket.protocol,
    text: (await echo('grüße, 世界 🌊')) === 'grüße, 世界 🌊',
    empty: (await echo('')) === '',
    binary: await binary(1000),
    megabyte: await binary(MEGABYTE),
    megabyteOfText: (await echo('x'.repeat(MEGABYTE))) === 'x'.repeat(MEGABYTE),
  };
  // JSON of many sizes.
  facts.documents = true;
  for (const length of [...Array(40).keys(), 100, 500, 2_000, 10_000]) {
    const items = Array.from({ length }, (_, index) => ({ id: index * 7919, naïve: index % 7 === 0, '世': '🌊' }));
    const message = JSON.stringify(items);
    facts.documents &&= (await echo(message)) === message;
  }
  socket.close(closeCode, 'done');
  return { ...facts, close: await closed };
}

async function main() {
  const server = http.createServer((_, response) => response.setHeader('Content-Type', 'text/html').end(PAGE));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'tidegate-browser-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM,
    headless: true,
    chromiumSandbox: false,
    ignoreHTTPSErrors: Boolean(options.ignoreCertificate),
    args: [
      '--disable-gpu',
      '--disable-quic',
      '--disable-dev-shm-usage',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  try {
    const page = await context.newPage();
    await page.goto(options.page ?? `http://127.0.0.1:${server.address().port}/`);
    const origin = await page.evaluate(() => location.origin);
    const facts = await page.evaluate(talk, { url, closeCode: options.closeCode ?? 1000, protocols: options.protocols });
    return { origin, ...facts };
  } finally {
    await context.close();
    server.close();
    fs.rmSync(profile, { recursive: true, force: true });
  }
}

setTimeout(() => {
  console.error(`nothing within ${TIME_LIMIT_MS} ms`);
  process.exit(1);
}, TIME_LIMIT_MS);

main().then(
  (facts) => {
    console.log(JSON.stringify(facts));
    process.exit(0);
  },
  (error) => {
    console.error(error.stack);
    process.exit(1);
  },
);
