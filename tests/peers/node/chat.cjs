// Two tabs of Chromium that chat by the gateway protocol, and a back end that pushes to them.
// usage: CHROMIUM=/path node chat.cjs HOST:PORT API_KEY
// Ends with 0 and one line of JSON with what the tabs heard, or with 1 and the reason.
'use strict';
const assert = require('node:assert');
const { withChromium, run } = require('./chromium.cjs');

const CHATS = 200;
const [host, key] = process.argv.slice(2);

// Runs in the page: opens its socket, and keeps what it hears until that is taken.
async function connect(url) {
  const heard = [];
  let wake = () => {};
  const socket = new WebSocket(url);
  socket.onmessage = ({ data }) => {
    heard.push(JSON.parse(data));
    wake();
  };
  const closed = new Promise((resolve) => {
    socket.onclose = ({ code, reason, wasClean }) => resolve({ code, reason, wasClean });
  });
  const lost = closed.then(({ code, reason }) => Promise.reject(new Error(`closed with ${code} ${reason}`)));
  lost.catch(() => {});
  await Promise.race([new Promise((resolve) => (socket.onopen = resolve)), lost]);
  const take = async (count) => {
    while (heard.length < count) await Promise.race([new Promise((resolve) => (wake = resolve)), lost]);
    return heard.splice(0, count);
  };
  window.tab = { socket, closed, take };
}

class Tab {
  constructor(page) {
    this.page = page;
    this.heard = [];
  }

  static async open(context, address) {
    const page = await context.newPage();
    await page.goto(address);
    await page.evaluate(connect, `ws://${host}/`);
    return new Tab(page);
  }

  // Sends the messages in one go.
  say(...messages) {
    return this.page.evaluate((all) => all.forEach((one) => window.tab.socket.send(JSON.stringify(one))), messages);
  }

  // The next messages, as they are.
  async take(count = 1) {
    const messages = await this.page.evaluate((count) => window.tab.take(count), count);
    this.heard.push(...messages);
    return messages;
  }

  // The next messages have to be these, and those from others have to say when they were sent.
  async hears(...expected) {
    for (const message of expected) {
      const [told] = await this.take();
      const { timestamp, ...rest } = told;
      assert.deepStrictEqual(rest, message);
      assert.strictEqual(timestamp !== undefined, !['ack', 'presence'].includes(told.type), JSON.stringify(told));
    }
  }

  async asks(message) {
    await this.say(message);
    return (await this.take())[0];
  }

  // Nothing has come that was not taken: what is asked now is answered first.
  async hasHeardAll() {
    assert.strictEqual((await this.asks({ type: 'ping' })).type, 'pong');
  }

  close() {
    return this.page.evaluate(() => {
      window.tab.socket.close(1000, 'done');
      return window.tab.closed;
    });
  }
}

// A call of the HTTP API, on the same way as the tabs.
async function call(path, body, headers = { 'X-API-Key': key }) {
  const response = await fetch(`http://${host}${path}`, {
    method: body ? 'POST' : 'GET',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: body && JSON.stringify(body),
  });
  return { status: response.status, ...(await response.json()) };
}

async function talk(ann, bob) {
  await ann.say({ type: 'chat', targetUserId: 'bob', text: 'grüße 🌊', id: 1 });
  await ann.hears({ type: 'ack', id: 1, delivered: 1 });
  await bob.hears({ type: 'chat', fromUserId: 'ann', text: 'grüße 🌊' });
  await bob.say({ type: 'chat', targetUserId: 'ann', text: 'hello', id: 'b' });
  await bob.hears({ type: 'ack', id: 'b', delivered: 1 });
  await ann.hears({ type: 'chat', fromUserId: 'bob', text: 'hello' });
  await bob.say({ type: 'notification', targetUserId: 'ann', action: 'invite', data: { game: [7] }, id: 2 });
  await bob.hears({ type: 'ack', id: 2, delivered: 1 });
  await ann.hears({ type: 'notification', fromUserId: 'bob', action: 'invite', data: { game: [7] } });
  await ann.say({ type: 'chat', targetUserId: 'eve', text: 'anybody?', id: 3 });
  await ann.hears({ type: 'ack', id: 3, delivered: 0 });
}

async function meet(ann, bob) {
  for (const tab of [ann, bob]) {
    await tab.say({ type: 'join', room: 'harbour', id: 4 });
    await tab.hears({ type: 'ack', id: 4, room: 'harbour' });
  }
  await ann.say({ type: 'presence', room: 'harbour', id: 5 });
  await ann.hears({ type: 'presence', id: 5, room: 'harbour', users: ['ann', 'bob'] });
  const message = (event, data) => ({ type: 'message', room: 'harbour', event, data, fromUserId: 'ann' });
  await ann.say({ type: 'publish', room: 'harbour', event: 'tide', data: { level: 3.2 }, echo: false, id: 6 });
  await ann.hears({ type: 'ack', id: 6, delivered: 1 });
  await bob.hears(message('tide', { level: 3.2 }));
  await ann.hasHeardAll();
  await ann.say({ type: 'publish', room: 'harbour', event: 'wave', echo: true, id: 7 });
  await ann.hears({ type: 'ack', id: 7, delivered: 2 }, message('wave', null));
  await bob.hears(message('wave', null));
}

async function push(ann, bob) {
  const refused = await call('/api/broadcast', { event: 'e' }, {});
  assert.strictEqual(refused.status, 401);
  const answers = [
    await call('/api/message', { userId: 'bob', event: 'order', data: { id: 7 } }),
    await call('/api/send-to-user', { userId: 'bob', message: { title: 'Hello' }, type: 'toast' }),
    await call('/api/publish', { room: 'harbour', event: 'ferry', data: 'late' }),
    await call('/api/broadcast', { event: 'notice' }),
  ];
  assert.deepStrictEqual(answers, [
    { status: 200, success: true, delivered: 1, userId: 'bob' },
    { status: 200, success: true, delivered: 1, userId: 'bob' },
    { status: 200, success: true, delivered: 2 },
    { status: 200, success: true, delivered: 2 },
  ]);
  const toAll = [
    { type: 'message', room: 'harbour', event: 'ferry', data: 'late' },
    { type: 'broadcast', event: 'notice', data: null },
  ];
  await bob.hears(
    { type: 'message', event: 'order', data: { id: 7 } },
    { type: 'toast', message: { title: 'Hello' } },
    ...toAll,
  );
  await ann.hears(...toAll);
}

// Many chats at once arrive in the order in which they were sent, and so do their acks.
async function chatALot(ann, bob) {
  const numbers = Array.from({ length: CHATS }, (_, index) => index);
  await ann.say(...numbers.map((id) => ({ type: 'chat', targetUserId: 'bob', text: `chat ${id}`, id })));
  const [acks, chats] = await Promise.all([ann.take(CHATS), bob.take(CHATS)]);
  assert.deepStrictEqual(acks, numbers.map((id) => ({ type: 'ack', id, delivered: 1 })));
  assert.deepStrictEqual(chats.map(({ text }) => text), numbers.map((id) => `chat ${id}`));
  await ann.hasHeardAll();
  await bob.hasHeardAll();
}

// The time limit of the script ends this where it never comes true.
async function untilAlone(tab) {
  for (;;) {
    const { users } = await tab.asks({ type: 'presence', room: 'harbour' });
    if (users.length === 1) return users;
  }
}

run(() =>
  withChromium({}, async (context, address) => {
    const [ann, bob] = [await Tab.open(context, address), await Tab.open(context, address)];
    const connections = [
      await ann.asks({ type: 'register', userId: 'ann' }),
      await bob.asks({ type: 'register', userId: 'bob' }),
    ].map(({ connectionId }) => connectionId);
    await talk(ann, bob);
    await meet(ann, bob);
    await push(ann, bob);
    await chatALot(ann, bob);
    const seen = await call('/api/users/bob');
    await bob.page.close();
    const alone = await untilAlone(ann);
    await ann.say({ type: 'chat', targetUserId: 'bob', text: 'still there?', id: 8 });
    await ann.hears({ type: 'ack', id: 8, delivered: 0 });
    const gone = await call('/api/users/bob');
    return { connections, seen, alone, gone, close: await ann.close(), heard: [...ann.heard, ...bob.heard] };
  }),
);
