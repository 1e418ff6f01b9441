// Chromium on a page that opens a WebSocket.
// usage: CHROMIUM=/path node browser.cjs ECHO_URL [OPTIONS as JSON: {closeCode, page, protocols, ignoreCertificate}]
// Ends with 0 and one line of JSON with what the page saw, or with 1 and the reason.
'use strict';
const { withChromium, run } = require('./chromium.cjs');

const [url, json] = process.argv.slice(2);
const options = JSON.parse(json ?? '{}');

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

run(() =>
  withChromium(options, async (context, address) => {
    const page = await context.newPage();
    await page.goto(options.page ?? address);
    const origin = await page.evaluate(() => location.origin);
    const facts = await page.evaluate(talk, { url, closeCode: options.closeCode ?? 1000, protocols: options.protocols });
    return { origin, ...facts };
  }),
);
