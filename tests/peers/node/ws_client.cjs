// npm `ws` as a client of an echo endpoint.
// usage: node ws_client.cjs SCENARIO URL [OPTIONS as JSON: {compress, windowBits, ca, code, reason, bytes, origin}]
// Ends with 0 and one line of JSON with what was seen, or with 1 and the reason.
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const { once } = require('node:events');
const WebSocket = require('ws');

const MEGABYTE = 1 << 20;
const TIME_LIMIT_MS = 30_000;

const [scenario, url, json] = process.argv.slice(2);
const options = JSON.parse(json ?? '{}');

async function open() {
  const socket = new WebSocket(url, {
    perMessageDeflate: options.compress ? { threshold: 0, serverMaxWindowBits: options.windowBits } : false,
    ca: options.ca && fs.readFileSync(options.ca),
    maxPayload: 64 * MEGABYTE,
  });
  socket.closed = new Promise((resolve) => {
    socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
  });
  await once(socket, 'open');
  return socket;
}

// Sends one message, as one frame or as the given fragments, and gives what comes back.
async function echo(socket, message, fragments = [message]) {
  const answer = once(socket, 'message');
  fragments.forEach((fragment, index) => {
    socket.send(fragment, { fin: index === fragments.length - 1, binary: Buffer.isBuffer(message) });
  });
  const lost = socket.closed.then(({ code, reason }) => assert.fail(`closed with ${code} ${reason} instead of an echo`));
  const [data, isBinary] = await Promise.race([answer, lost]);
  assert.strictEqual(isBinary, Buffer.isBuffer(message));
  assert.ok(data.equals(Buffer.from(message)), `an echo of ${data.length} bytes differs`);
}

function pseudoRandom(length) {
  const bytes = Buffer.alloc(length);
  let state = 0x2545f491;
  for (let index = 0; index < length; index += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

// A JSON document of about that many characters, not all of them ASCII.
function documentOf(length) {
  const items = [];
  for (let index = 0, size = 0; size < length; index += 1) {
    items.push({ id: ((index * 2654435761) >>> 0).toString(16), naïve: index % 7 === 0, level: (index * 37) % 1000, '世': '🌊' });
    size += 60;
  }
  return JSON.stringify(items);
}

const scenarios = {
  // Every kind of message, and how many bytes went over the wire for one that compresses well.
  async echo() {
    const socket = await open();
    const extensions = socket.extensions;
    await echo(socket, '');
    await echo(socket, 'grüße, 世界 🌊');
    await echo(socket, pseudoRandom(0));
    await echo(socket, pseudoRandom(70_000));
    await echo(socket, pseudoRandom(MEGABYTE));
    await echo(socket, 'one two three', ['one ', '', 'two ', 'three']);
    const halves = pseudoRandom(200_000);
    await echo(socket, halves, [halves.subarray(0, 65_536), halves.subarray(65_536)]);
    const [read, written] = [socket._socket.bytesRead, socket._socket.bytesWritten];
    await echo(socket, 'compressible '.repeat(MEGABYTE / 16));
    const wire = { read: socket._socket.bytesRead - read, written: socket._socket.bytesWritten - written };
    for (let index = 0; index < 200; index += 1) await echo(socket, `message ${index} of one context`);
    socket.close(1000);
    return { extensions, wire, close: await socket.closed };
  },

  // Documents of many sizes, one after another; and how much of the answers' text went over the wire.
  async documents() {
    const socket = await open();
    const read = socket._socket.bytesRead;
    let text = 0;
    for (const length of [...Array(300).keys(), 1_000, 4_000, 16_000, 40_000, 70_000, 300_000]) {
      const message = documentOf(length);
      await echo(socket, message);
      text += Buffer.byteLength(message);
    }
    const share = (socket._socket.bytesRead - read) / text;
    socket.close(1000);
    const windowBits = socket._extensions['permessage-deflate'].params.server_max_window_bits;
    return { windowBits, share, close: await socket.closed };
  },

  // Many messages in flight: all come back, in order.
  async pipelined() {
    const socket = await open();
    const count = 5000;
    let next = 0;
    const all = new Promise((resolve, reject) => {
      socket.on('message', (data) => {
        if (data.toString() !== `message ${next}`) reject(new Error(`${data} where ${next} was due`));
        next += 1;
        if (next === count) resolve();
      });
    });
    for (let index = 0; index < count; index += 1) socket.send(`message ${index}`);
    await all;
    socket.close(1000);
    return { count: next, close: await socket.closed };
  },

  async ping() {
    const socket = await open();
    const pong = once(socket, 'pong');
    socket.ping('are you there?');
    const [data] = await pong;
    assert.strictEqual(data.toString(), 'are you there?');
    socket.terminate();
    return { pong: data.toString() };
  },

  // The client closes; the server's Close must carry the same code.
  async close() {
    const socket = await open();
    const echoed = new Promise((resolve) => socket._receiver.once('conclude', (code) => resolve(code)));
    socket.close(options.code, options.reason);
    return { echoed: await echoed, close: await socket.closed };
  },

  // Sends a message of options.bytes and tells how the server closes.
  async oversize() {
    const socket = await open();
    socket.on('error', () => {});
    socket.send(Buffer.alloc(options.bytes));
    return { close: await socket.closed };
  },

  // Says that it is ready, and tells how the server closes.
  async wait() {
    const socket = await open();
    await echo(socket, 'ready');
    console.log('READY');
    return { close: await socket.closed };
  },

  // The opening handshake must be refused: tells the status and the body.
  async refused() {
    const socket = new WebSocket(url, { origin: options.origin });
    const [, response] = await once(socket, 'unexpected-response');
    let body = '';
    for await (const chunk of response) body += chunk;
    return { status: response.statusCode, body };
  },
};

setTimeout(() => {
  console.error(`${scenario}: nothing within ${TIME_LIMIT_MS} ms`);
  process.exit(1);
}, TIME_LIMIT_MS);

scenarios[scenario]().then(
  (facts) => {
    console.log(JSON.stringify(facts));
    process.exit(0);
  },
  (error) => {
    console.error(`${scenario}: ${error.stack}`);
    process.exit(1);
  },
);
