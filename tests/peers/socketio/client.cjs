// npm `socket.io-client` against a server with the conformance events.
// usage: node client.cjs SCENARIO URL [OPTIONS as JSON for the client]
// Ends with 0 and one line of JSON with what was seen, or with 1 and the reason.
'use strict';
const assert = require('node:assert');
const { once } = require('node:events');
const { createInterface } = require('node:readline');
const { io } = require('socket.io-client');

const TIME_LIMIT_MS = 40_000;

const [scenario, url, json] = process.argv.slice(2);
const options = JSON.parse(json ?? '{}');
// Of one process, so that each has a connection of its own.
const open = (namespace = '', more = {}) => io(url + namespace, { forceNew: true, ...options, ...more });

const connected = async (socket) => {
  const refused = once(socket, 'connect_error').then(([error]) => assert.fail(`${error.message} ${error.description ?? ''}`));
  await Promise.race([once(socket, 'connect'), refused]);
  return socket;
};
const event = async (socket, name) => (await once(socket, name))[0];
const ask = (socket, name, ...args) => socket.timeout(TIME_LIMIT_MS).emitWithAck(name, ...args);
const transport = (socket) => socket.io.engine.transport.name;

// With its default options a client begins with long-polling and changes.
async function upgraded(socket) {
  if (transport(socket) === 'polling' && !options.transports) {
    await once(socket.io.engine, 'upgrade');
  }
}

const scenarios = {
  // Acks, events, binary, large and many, each also while the transport changes.
  async talk() {
    const socket = open();
    // It may have changed by the time that it is in its namespace.
    const began = once(socket.io, 'open').then(() => transport(socket));
    await connected(socket);
    const first = await began;
    const echoes = [];
    socket.on('message-back', (...args) => echoes.push(args));
    for (let index = 0; index < 100; index += 1) {
      socket.emit('message', index);
    }
    await upgraded(socket);
    const bytes = Buffer.from([0, 1, 2, 250]);
    const args = [1, '2 ü 世 🌊', { three: [true, null] }, bytes];
    assert.deepStrictEqual(await ask(socket, 'message-with-ack', 'alone'), 'alone');
    const large = 'x'.repeat(700_000);
    assert.strictEqual(await ask(socket, 'message-with-ack', large), large);
    socket.emit('message', ...args);
    while (echoes.length < 101) {
      await once(socket, 'message-back');
    }
    assert.deepStrictEqual(echoes.slice(0, 100), Array.from({ length: 100 }, (_, index) => [index]));
    const [one, two, three, four] = echoes[100];
    assert.deepStrictEqual([one, two, three], args.slice(0, 3));
    assert.ok(Buffer.from(four).equals(bytes));
    const second = transport(socket);
    socket.disconnect();
    return { first, second };
  },

  async namespaces() {
    const main = open();
    const custom = main.io.socket('/custom');
    const greeted = Promise.all([event(main, 'auth'), event(custom, 'auth')]);
    custom.connect();
    await Promise.all([connected(main), connected(custom), greeted]);
    assert.notStrictEqual(main.id, custom.id);
    assert.strictEqual(await ask(custom, 'message-with-ack', 'there'), 'there');
    main.disconnect();
    assert.strictEqual(await ask(custom, 'message-with-ack', 'still'), 'still');
    const unknown = custom.io.socket('/nowhere');
    const refusal = once(unknown, 'connect_error');
    unknown.connect();
    const [error] = await refusal;
    custom.disconnect();
    return { refused: error.message };
  },

  // Users, rooms and messages of the gateway.
  async people() {
    const [alice, bob] = [open(), open()];
    await Promise.all([connected(alice), connected(bob)]);
    const registered = event(alice, 'registered');
    alice.emit('register', { userId: 'alice' });
    assert.strictEqual((await registered).userId, 'alice');
    assert.strictEqual((await ask(bob, 'register', 'bob')).userId, 'bob');
    const heard = event(bob, 'message');
    assert.strictEqual((await ask(alice, 'send_message', { recipient: 'bob', content: 'hi' })).delivered, 1);
    const { sender, content } = await heard;
    assert.deepStrictEqual([sender, content], ['alice', 'hi']);
    const whole = event(bob, 'message');
    alice.emit('send_message', { recipient: 'bob', content: { a: [1] } });
    assert.deepStrictEqual((await whole).content, { a: [1] });
    await Promise.all([ask(alice, 'join', { room: 'r' }), ask(bob, 'join', 'r')]);
    assert.deepStrictEqual((await ask(alice, 'presence', 'r')).users.sort(), ['alice', 'bob']);
    const news = event(bob, 'news');
    const published = await ask(alice, 'publish', { room: 'r', event: 'news', data: { n: 1 } });
    assert.deepStrictEqual([published.delivered, await news], [1, { n: 1 }]);
    await ask(bob, 'leave', 'r');
    assert.strictEqual((await ask(alice, 'publish', { room: 'r', event: 'news', data: 2 })).delivered, 0);
    const errors = [];
    for (const [name, ...args] of [['leave', 'r2'], ['nonsense', 1], ['join', { room: 7 }], ['send_message', {}], ['join', bytes()]]) {
      errors.push((await ask(alice, name, ...args)).error.code);
    }
    alice.disconnect();
    bob.disconnect();
    return { errors };
  },

  // Says READY, tells each event by a line, and ends when its input does.
  async listen() {
    const socket = open();
    socket.onAny((name, ...args) => console.log(`EVENT ${JSON.stringify([name, ...args])}`));
    socket.on('ready', ({ pier }, answer) => answer(pier, Buffer.from([pier])));
    socket.on('disconnect', (reason) => console.log(`DISCONNECTED ${reason}`));
    socket.on('connect', async () => {
      if (socket.recovered) {
        console.log(`RECOVERED ${transport(socket)}`);
        return;
      }
      if (options.userId) {
        await ask(socket, 'register', { userId: options.userId });
      }
      if (options.room) {
        await ask(socket, 'join', options.room);
      }
      await upgraded(socket);
      console.log(`READY ${transport(socket)}`);
    });
    for await (const line of createInterface({ input: process.stdin })) {
      const [name, ...args] = JSON.parse(line);
      console.log(`ACK ${JSON.stringify(await ask(socket, name, ...args))}`);
    }
    socket.disconnect();
    return {};
  },

  // A back end refuses who shows no name, and answers events; what is emitted before that waits in the client.
  async backed() {
    const nobody = open();
    const [error] = await once(nobody, 'connect_error');
    nobody.disconnect();
    const socket = open('', { auth: { name: 'ann' } });
    const heard = event(socket, 'ordered');
    const answer = await ask(socket, 'order', { item: 'eel' }, 2);
    await upgraded(socket);
    assert.deepStrictEqual((await ask(socket, 'presence', 'harbour')).users, ['ann']);
    const seen = { refused: { message: error.message, data: error.data }, answer, heard: await heard };
    socket.disconnect();
    return seen;
  },

  async refused() {
    const socket = open();
    const [error] = await once(socket, 'connect_error');
    socket.disconnect();
    return { message: error.message, data: error.data ?? null };
  },
};

function bytes() {
  return Buffer.from([1]);
}

async function main() {
  setTimeout(() => {
    console.error(`${scenario}: not in time`);
    process.exit(1);
  }, TIME_LIMIT_MS).unref();
  const seen = await scenarios[scenario]();
  console.log(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
