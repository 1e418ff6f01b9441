// A mixed cluster: a Socket.IO server of Node's and an emitter beside two servers that are to be like it, with a client at each.
// Each line of the input names a step, and each line of the output is a JSON object that tells what came of it.
// usage: node mixed.cjs REDIS_URL API_KEY URL_A URL_B
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
const [redisUrl, apiKey, ...urls] = process.argv.slice(2);
const ROOM = 'harbour';

const say = (fact) => process.stdout.write(`${JSON.stringify(fact)}\n`);

// Binary data as its digits.
const shown = (value) => {
  if (Buffer.isBuffer(value)) return { hex: value.toString('hex') };
  if (value instanceof Uint8Array || value instanceof ArrayBuffer) return shown(Buffer.from(value));
  if (Array.isArray(value)) return value.map(shown);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shown(inner)]));
};

async function redis() {
  const client = createClient({ url: redisUrl });
  client.on('error', (error) => { throw error; });
  return client.connect();
}

let io, emitter;
// By name: n is at Node's server, a and b at the others; c is a's in another namespace.
const clients = {};
const heard = {};

function listen(name, socket) {
  clients[name] = socket;
  heard[name] = [];
  socket.onAny((...event) => {
    const ack = event.at(-1);
    if (typeof ack === 'function') {
      event.pop();
      ack({ from: name, bytes: Buffer.from([7]) }, 'what nobody gets');
    }
    heard[name].push(shown(event));
    heard[name].wake?.();
  });
  // Of one that polls the client may tell twice: by the packet, and by the end of the session behind it.
  socket.on('disconnect', () => {
    if (!heard[name].some(([event]) => event === 'left')) heard[name].push(['left']);
    heard[name].wake?.();
  });
}

async function until(holds) {
  while (!holds()) {
    await new Promise((wake) => {
      for (const list of Object.values(heard)) list.wake = wake;
    });
  }
}

const ask = (socket, ...event) => socket.emitWithAck(...event);

async function join(name, url, options) {
  const socket = connect(url, { forceNew: true, reconnection: false, ...options });
  listen(name, socket);
  await once(socket, 'connect');
  return socket;
}

async function post(at, path, body) {
  const headers = { 'content-type': 'application/json', 'x-api-key': apiKey };
  const response = await fetch(`${urls[at]}/api/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  if (response.status !== 200) throw new Error(`${path}: ${response.status} ${await response.text()}`);
}

const fences = {
  node: (id) => io.to(ROOM).emit('fence', id),
  emitter: (id) => emitter.to(ROOM).emit('fence', id),
  a: (id) => ask(clients.a, 'publish', { room: ROOM, event: 'fence', data: id, echo: true }),
  b: (id) => ask(clients.b, 'publish', { room: ROOM, event: 'fence', data: id, echo: true }),
};
let fence = 0;

// What each client of the room has heard since the last time, once whatever anybody has said before has come by every way.
async function gathered(names = ['n', 'a', 'b'], ways = Object.keys(fences)) {
  const ids = ways.map((way) => `${way} ${++fence}`);
  for (const [index, way] of ways.entries()) await fences[way](ids[index]);
  const has = (name, id) => heard[name].some(([event, told]) => event === 'fence' && told === id);
  await until(() => names.every((name) => ids.every((id) => has(name, id))));
  return drained();
}

function drained() {
  const facts = {};
  for (const [name, list] of Object.entries(heard)) {
    facts[name] = list.splice(0).filter(([event]) => event !== 'fence').map((event) => JSON.stringify(event)).sort();
  }
  return facts;
}

const named = (id) => Object.keys(clients).find((name) => clients[name].id === id) ?? id;

const steps = {
  async start() {
    const [publisher, subscriber] = await Promise.all([redis(), redis()]);
    const http = createServer();
    io = new Server(http, { adapter: createAdapter(publisher, subscriber, { requestsTimeout: TIMEOUT }) });
    io.on('connection', (socket) => socket.join(ROOM));
    // As at the others, though nobody is there.
    io.of('/chat');
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    emitter = new Emitter(await redis());
    await join('n', `http://127.0.0.1:${http.address().port}`, {});
    return { started: true };
  },

  // Clients with their default options, and one that only polls.
  async join() {
    const [a, b] = await Promise.all([join('a', urls[0], {}), join('b', urls[1], { transports: ['polling'] })]);
    // Whoever polls is not always ready for what is volatile.
    const { engine } = a.io;
    if (engine.transport.name !== 'websocket') await once(engine, 'upgrade');
    await join('c', `${urls[0]}/chat`, { transports: ['websocket'] });
    for (const [socket, userId] of [[a, 'ann'], [b, 'bob']]) {
      await ask(socket, 'register', { userId });
      await ask(socket, 'join', ROOM);
    }
    // What is volatile passes by who is about to change its transport.
    if (a.io.engine.transport.name !== 'websocket') await once(a.io.engine, 'upgrade');
    return { sids: [a, b].map((socket) => typeof socket.id) };
  },

  async rooms() {
    io.to(ROOM).emit('node', 1, Buffer.from([1, 2]), { deep: [Buffer.from([3])] });
    emitter.to(ROOM).emit('emitter', { a: 1 });
    await ask(clients.a, 'publish', { room: ROOM, event: 'a', data: { n: 1 }, echo: true });
    await ask(clients.b, 'publish', { room: ROOM, event: 'b', data: null });
    await post(1, 'publish', { room: ROOM, event: 'api', data: [1] });
    return gathered();
  },

  async everyone() {
    io.emit('node', 'all');
    emitter.emit('emitter');
    await post(0, 'broadcast', { event: 'api', data: 7 });
    io.of('/chat').emit('chat', 1);
    return gathered();
  },

  async some() {
    await ask(clients.a, 'join', 'pier');
    io.to([ROOM, 'pier', 'nowhere']).except(clients.b.id).emit('but b');
    emitter.to(clients.b.id).emit('b alone');
    emitter.to('pier').except(ROOM).emit('nobody');
    emitter.except([ROOM]).emit('nobody either');
    io.sockets.sockets.get(clients.n.id).to(ROOM).emit('but n');
    const before = await gathered();
    emitter.volatile.compress(false).to('pier').emit('flags');
    const behind = await gathered();
    return Object.fromEntries(Object.keys(before).map((name) => [name, [...before[name], ...behind[name]]]));
  },

  async ask() {
    const fetched = await io.in(ROOM).fetchSockets();
    const chat = await io.of('/chat').fetchSockets();
    const rooms = [...await io.of('/').adapter.allRooms()];
    const told = await io.serverSideEmitWithAck('hello', 1);
    const answers = await io.timeout(TIMEOUT).to(ROOM).emitWithAck('question', Buffer.from([9]));
    const nobody = await io.in('nowhere').fetchSockets();
    const sorted = (list) => list.sort((one, other) => (one.who < other.who ? -1 : 1));
    return {
      fetched: sorted(fetched.map(({ id, rooms, data }) => ({ who: named(id), rooms: [...rooms].map(named).sort(), data }))),
      chat: chat.map(({ id }) => named(id)),
      rooms: rooms.map(named).sort(),
      told,
      answers: answers.map(shown).sort((one, other) => (one.from < other.from ? -1 : 1)),
      nobody,
      heard: await gathered(),
    };
  },

  async act() {
    io.in(clients.a.id).socketsJoin(['quay', 'q2']);
    // Answered behind it.
    await io.in('quay').fetchSockets();
    emitter.in('quay').socketsJoin('q3');
    await gathered();
    const [socket] = await io.in('q3').fetchSockets();
    io.in(ROOM).socketsLeave('q2');
    io.to('quay').emit('in the quay');
    io.to('q2').emit('nobody');
    const chat = [...await io.of('/chat').fetchSockets()].length;
    emitter.of('/chat').disconnectSockets();
    io.in(clients.b.id).disconnectSockets(true);
    await until(() => ['b', 'c'].every((name) => heard[name].some(([event]) => event === 'left')));
    const left = await io.in(ROOM).fetchSockets();
    return {
      who: named(socket.id),
      rooms: [...socket.rooms].map(named).sort(),
      chat,
      left: left.map(({ id }) => named(id)).sort(),
      heard: await gathered(['n', 'a'], ['node', 'emitter', 'a']),
    };
  },

  // While these come, a node is killed.
  async stream() {
    const count = 400;
    for (let n = 0; n < count; n += 1) {
      io.to(ROOM).emit('stream', n);
      if (n % 4 === 0) emitter.to(ROOM).emit('other stream', n);
      if (n === count / 2) say({ half: true });
      await new Promise(setImmediate);
    }
    await until(() => ['n', 'a'].every((name) => heard[name].filter(([event]) => event.endsWith('stream')).length >= count * 1.25));
    const inOrder = (name, event) => {
      const numbers = heard[name].filter(([one]) => one === event).map(([, n]) => n);
      return numbers.every((n, index) => index === 0 || numbers[index - 1] < n) ? numbers.length : numbers;
    };
    const facts = {};
    for (const name of ['n', 'a']) facts[name] = [inOrder(name, 'stream'), inOrder(name, 'other stream')];
    return facts;
  },

  async 'ask again'() {
    drained();
    const fetched = await io.fetchSockets();
    const told = await io.serverSideEmitWithAck('hello', 1);
    return { fetched: fetched.map(({ id }) => named(id)).sort(), told };
  },
};

async function run() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    say(await steps[line]());
  }
  process.exit(0);
}

run();
