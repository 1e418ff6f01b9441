// A small back end behind Tidegate: it says who may connect, answers orders, and hears who has gone.
// usage: BACKEND_SECRET=whsec_... node backend.js [PORT]
// The secret is the one that Tidegate has; docs/backend.md tells of every field.
'use strict';
const http = require('node:http');
const { Webhook } = require('standardwebhooks');

const BODY_BYTES_MAX = 2 << 20;
const KNOWN_MAX = 10_000;

const webhook = new Webhook(process.env.BACKEND_SECRET);
// What was answered to which webhook-id: an event that comes again is answered the same, and not done twice.
const known = new Map();
let orders = 0;

const does = {
  connect({ query, address }) {
    // Who asks is whoever says so here. A real one looks at a cookie (headers) or a token (claims).
    const name = new URLSearchParams(query ?? '').get('name');
    if (!name) return [403, 'Say who you are: connect to /?name=YOU.'];
    return [200, { userId: name, rooms: ['harbour'], metadata: { from: address } }];
  },

  message({ userId, namespace, message }) {
    // A client of Socket.IO says it in the first argument of its event.
    const item = (namespace ? message.args[0] : message)?.item;
    if (message.type !== 'order' || typeof item !== 'string') return [400, 'Only an order with an item is understood here.'];
    const order = { number: ++orders, item };
    return [
      200,
      {
        send: [{ type: 'ordered', ...order }],
        publish: [{ room: 'harbour', event: 'order', data: { by: userId, ...order } }],
      },
    ];
  },

  disconnect({ userId, connectionId }) {
    console.log(userId ?? connectionId, 'has gone');
    return [204];
  },
};

// The status and what is said, a sentence or an object.
function answer(headers, body) {
  let event;
  try {
    event = webhook.verify(body, headers);
  } catch {
    return [401, 'The signature is not good.'];
  }
  // With BACKEND_FORMAT=structured the data is a part of it. Header fields are not signed: what it is stands in the data, too.
  const data = 'specversion' in event ? event.data : event;
  const delivery = headers['webhook-id'];
  if (!known.has(delivery)) {
    known.set(delivery, does[data.event](data));
    if (known.size > KNOWN_MAX) known.delete(known.keys().next().value);
  }
  return known.get(delivery);
}

function say(response, [status, said]) {
  if (said === undefined) return response.writeHead(status).end();
  const isSentence = typeof said === 'string';
  const body = Buffer.from(isSentence ? said : JSON.stringify(said));
  response.writeHead(status, { 'Content-Type': isSentence ? 'text/plain' : 'application/json', 'Content-Length': body.length });
  response.end(body);
}

const server = http.createServer((request, response) => {
  const parts = [];
  let bytes = 0;
  request.on('data', (part) => {
    bytes += part.length;
    if (bytes > BODY_BYTES_MAX) return request.destroy();
    parts.push(part);
  });
  request.on('end', () => say(response, answer(request.headers, Buffer.concat(parts).toString())));
});

server.listen(Number(process.argv[2] ?? 4000), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}/`);
});
