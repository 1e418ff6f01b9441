// What Tidegate meets in a Redis that Node's servers share: such servers with a client each, and an emitter. Each line of the
// input names a step, and each line of the output is a JSON object: what a client heard, or what came of a step.
// usage: node peer.cjs REDIS_URL
'use strict';

const { createServer } = require('node:http');
const { once } = require('node:events');
const readline = require('node:readline');
const { createAdapter } = require('@socket.io/redis-adapter');
const { Emitter } = require('@socket.io/redis-emitter');
const { createClient } = require('redis');
const { Server } = require('socket.io');
const { io: connect } = require('socket.io-client');

// Longer than any test waits: what is not answered by everybody does not end.
const TIMEOUT = 120_000;
const url = process.argv[2];

const say = (fact) => process.stdout.write(`${JSON.stringify(fact)}\n`);

async function redis() {
  const client = createClient({ url });
  client.on('error', (error) => { throw error; });
  return client.connect();
}

// A server with what the adapter is told.
async function serve(options) {
  const [publisher, subscriber] = await Promise.all([redis(), redis()]);
  const http = createServer();
  const adapter = createAdapter(publisher, subscriber, { requestsTimeout: TIMEOUT, ...options });
  const server = new Server(http, { adapter });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  return { server, address: `http://127.0.0.1:${http.address().port}` };
}

// A client in a namespace, and the rooms that the server has put it into.
async function join(at, namespace, rooms) {
  const arrived = once(at.server.of(namespace), 'connection');
  const client = connect(at.address + namespace, { transports: ['websocket'], auth: { token: 'T' } });
  client.onAny((...event) => {
    const ack = event.at(-1);
    if (typeof ack === 'function') {
      event.pop();
      ack({ heard: event[1], bytes: Buffer.from([7, 8]) }, 'what nobody gets');
    }
    say({ heard: namespace, event });
  });
  client.on('disconnect', (reason) => say({ left: namespace, reason }));
  const [socket] = await arrived;
  socket.data = { name: 'Ada' };
  socket.join(rooms);
  if (!client.connected) await once(client, 'connect');
  return socket;
}

// The text is long enough for each way in which a writer puts the length down.
const VALUES = {
  text: 'Flut 🌊 "x"\n', long: 'ä'.repeat(200), numbers: [0, 127, 128, 65536, 4294967296, 9007199254740991, -1, -32, -33, -129, -32769,
    -2147483649, -9007199254740991, 1.5, -0.25], others: [true, false, null, undefined, NaN], nested: [[{}, []]],
  gone: undefined, 'key "q"': 1, at: new Date(1795301400007), second: new Date(1000), before: new Date(-1),
};
const wide = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`k${index}`, index]));

async function emit() {
  const emitter = new Emitter(await redis());
  emitter.emit('plain');
  emitter.emit('values', VALUES, wide, Array.from({ length: 17 }, (_, index) => index));
  emitter.to('harbour').emit('to a room', 1);
  emitter.to(['a', 'b']).in('c').except('d').except(['e', 'f']).emit('to rooms');
  emitter.to(5).emit('to a number');
  emitter.except('x#y').emit('but not to');
  emitter.volatile.compress(false).emit('flags');
  emitter.compress(true).emit('more flags');
  emitter.emit('binary', Buffer.from([1, 2, 3]), { deep: [new Uint8Array([4]), Buffer.alloc(300, 5)] });
  emitter.of('custom').to('harbour').emit('elsewhere');
  emitter.socketsJoin('r1');
  emitter.in('harbour').except('x').socketsJoin(['r1', 'r2']);
  emitter.in(5).socketsLeave(['r1']);
  emitter.disconnectSockets();
  emitter.in('harbour').disconnectSockets(true);
  emitter.of('/custom').serverSideEmit('hello', 1, { a: [null] });
  // Nothing of it.
  emitter.emit('too many', ...Array.from({ length: 11 }, () => Buffer.from([0])));
  emitter.emit('the end');
}

let main, socket;

async function start() {
  main = await serve({});
  socket = await join(main, '/', ['harbour']);
  await join(main, '/custom', []);
  say({ ready: socket.id });
}

// The same by the server itself, which has flags and an exception of its own.
function broadcast() {
  main.server.emit('to all', Buffer.from([9]));
  main.server.to(['a', 'b']).except('c').volatile.emit('to rooms');
  socket.broadcast.to('harbour').emit('to others');
  main.server.local.emit('nothing of it');
  main.server.socketsJoin('r1');
  main.server.in('r1').disconnectSockets();
  main.server.serverSideEmit('hello', 1);
}

const answers = {
  rooms: async () => [...await main.server.of('/').adapter.allRooms()],
  fetch: async () => (await main.server.in('harbour').except('x').fetchSockets()).map(
    ({ id, handshake, rooms, data }) => ({ id, auth: handshake.auth, rooms: [...rooms], data }),
  ),
  'emit to servers': () => main.server.serverSideEmitWithAck('hello', { a: 1 }),
  'broadcast with ack': () => main.server.timeout(TIMEOUT).to('harbour').emitWithAck('question', Buffer.from([1])),
};

const steps = {
  start,
  emit,
  broadcast,
  async 'start another'() {
    await serve({ key: 'other', publishOnSpecificResponseChannel: true });
    say({ started: 'another' });
  },
  'tell rooms': () => say({ rooms: [...socket.rooms] }),
  'answer emitted events'() {
    main.server.on('add', (one, other, ack) => ack(one + other));
    say({ answers: 'emitted events' });
  },
};

async function run() {
  say({ up: process.version });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (steps[line]) await steps[line]();
    else say({ answer: await answers[line]() });
  }
  process.exit(0);
}

run();
