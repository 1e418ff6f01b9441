// A page with `socket.io-client` as it comes from npm, in Chromium, that chats with a tab of the gateway protocol.
// usage: CHROMIUM=/path SOCKETIO=/path/to/socket.io.js node socketio.cjs HOST:PORT
// Ends with 0 and one line of JSON with what the page saw, or with 1 and the reason.
'use strict';
const assert = require('node:assert');
const { withChromium, run } = require('./chromium.cjs');

const [host] = process.argv.slice(2);

// Runs in the page: connects with default options, and tells how its transport changed.
async function connect(url) {
  const socket = io(url);
  const transports = [];
  socket.io.on('open', () => {
    transports.push(socket.io.engine.transport.name);
    socket.io.engine.on('upgrade', (transport) => transports.push(transport.name));
  });
  const heard = [];
  let wake = () => {};
  socket.onAny((...event) => {
    heard.push(event);
    wake();
  });
  await new Promise((resolve, reject) => {
    socket.on('connect', resolve);
    socket.on('connect_error', reject);
  });
  while (transports.length < 2) await new Promise((resolve) => socket.io.engine.once('upgrade', () => setTimeout(resolve)));
  const take = async () => {
    while (heard.length === 0) await new Promise((resolve) => (wake = resolve));
    return heard.shift();
  };
  window.tab = { ask: (...event) => socket.timeout(20_000).emitWithAck(...event), take, socket };
  return transports;
}

// Runs in the other page.
async function join(url) {
  const socket = new WebSocket(url);
  const heard = [];
  let wake = () => {};
  socket.onmessage = ({ data }) => {
    heard.push(JSON.parse(data));
    wake();
  };
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = reject;
  });
  const take = async () => {
    while (heard.length === 0) await new Promise((resolve) => (wake = resolve));
    return heard.shift();
  };
  const say = (message) => socket.send(JSON.stringify(message));
  window.tab = { say, take };
  say({ type: 'register', userId: 'ann' });
  return (await take()).type;
}

async function main() {
  return withChromium({}, async (context, address) => {
    const page = await context.newPage();
    await page.goto(address);
    await page.addScriptTag({ path: process.env.SOCKETIO });
    const transports = await page.evaluate(connect, `http://${host}`);
    const ask = (...event) => page.evaluate((event) => window.tab.ask(...event), event);
    const hear = () => page.evaluate(() => window.tab.take());
    assert.strictEqual((await ask('register', { userId: 'bob' })).userId, 'bob');
    const other = await context.newPage();
    await other.goto(address);
    assert.strictEqual(await other.evaluate(join, `ws://${host}/`), 'registered');
    const say = (message) => other.evaluate((message) => window.tab.say(message), message);
    const take = () => other.evaluate(() => window.tab.take());
    for (let round = 0; round < 20; round += 1) {
      await say({ type: 'chat', targetUserId: 'bob', text: `ahoy ${round} ⚓` });
      const [event, { sender, content }] = await hear();
      assert.deepStrictEqual([event, sender, content], ['message', 'ann', `ahoy ${round} ⚓`]);
      assert.deepStrictEqual(await ask('send_message', { recipient: 'ann', content: `aye ${round}` }), { delivered: 1 });
      const { type, fromUserId, text } = await take();
      assert.deepStrictEqual([type, fromUserId, text], ['chat', 'bob', `aye ${round}`]);
    }
    await page.evaluate(() => window.tab.socket.disconnect());
    return { transports };
  });
}

run(main);
