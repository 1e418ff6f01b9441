// What stands in tables: users, rooms, workers, nodes, closes, limits.

import { by, el, say, unseen } from './dom.js';
import { bytes, closeWords, count, duration, microseconds, plural } from './format.js';

const LIMITS = {
  connections: 'Connections of the server',
  connectionsOfAddress: 'Connections of one address',
  connectionRateOfAddress: 'New connections of one address',
  connectionsOfUser: 'Connections of one user',
  roomsOfConnection: 'Rooms of one connection',
  nameLength: 'Length of a name',
  messageRate: 'Messages of one connection',
  sendQueue: 'Read too slowly, dropped',
  roomMessagesDropped: 'Messages of rooms dropped for slow readers',
};
const WHO = { peer: 'the client', server: 'the server', transport: 'the network' };

const number = (value) => el('td', { class: 'number' }, typeof value === 'number' ? count(value) : value);

function head(names) {
  return el('thead', {}, el('tr', {}, ...names.map(([name, isNumber]) => el('th', { scope: 'col', class: isNumber ? 'number' : undefined }, name || unseen('Action')))));
}

// Puts a table into a place: caption for who does not see the heading, names of columns ([name, isNumber]), and rows of cells.
export function table(place, caption, names, rows, nothing) {
  if (rows.length === 0) return place.replaceChildren(el('p', { class: 'small soft' }, nothing));
  // What is under the keyboard must not be taken away every second.
  const held = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const body = el('tbody', {}, ...rows.map((cells) => el('tr', {}, ...cells)));
  place.replaceChildren(el('table', {}, el('caption', { class: 'visually-hidden' }, caption), head(names), body));
  if (held !== undefined) [...place.querySelectorAll('[data-key]')].find((node) => node.dataset.key === held)?.focus();
}

const rowHead = (...children) => el('th', { scope: 'row' }, ...children);

// The users and rooms with the most connections; `find` and `write` are called with a name.
export function showLargest({ users, rooms }, { find, write }) {
  const button = (name, what, act) => el('button', { class: 'button slim plain', type: 'button', 'data-key': name, click: () => act(name) }, what, unseen(` ${name}`));
  table(
    by('users'),
    'Users with the most connections',
    [['User'], ['Connections', true], ['']],
    users.map(([name, connections]) => [rowHead(name), number(connections), el('td', { class: 'number' }, button(name, 'Find', find))]),
    'Nobody is here.',
  );
  table(
    by('rooms'),
    'Rooms with the most members',
    [['Room'], ['Members', true], ['']],
    rooms.map(([name, members]) => [rowHead(name), number(members), el('td', { class: 'number' }, button(name, 'Write', write))]),
    'There is no room.',
  );
  by('known-users').replaceChildren(...users.map(([name]) => el('option', { value: name })));
}

function showWorkers(workers) {
  table(
    by('workers'),
    'Workers',
    [['Worker'], ['Connections', true], ['Busy']],
    workers.map(({ connections, busy }, index) => {
      const percent = `${Math.round(busy * 100)} %`;
      const meter = el('meter', { min: 0, max: 1, high: 0.8, value: Math.min(1, busy), 'aria-label': `Worker ${index} is busy ${percent}` }, percent);
      return [rowHead(String(index)), number(connections), el('td', { class: 'bar-cell' }, el('span', {}, meter, percent))];
    }),
    'There is none.',
  );
}

function showEnds(closes, limits) {
  const sorted = [...closes].sort((one, other) => other.hour - one.hour || other.total - one.total);
  table(
    by('closes'),
    'How connections ended',
    [['Why'], ['By'], ['Last hour', true], ['Since the start', true]],
    sorted.map(({ initiator, code, hour, total }) => [rowHead(`${code}: ${closeWords(code)}`), el('td', {}, WHO[initiator] ?? initiator), number(hour), number(total)]),
    'None has ended yet.',
  );
  table(
    by('limits'),
    'Limits that were reached',
    [['Limit'], ['Last hour', true], ['Since the start', true]],
    limits.map(({ limit, hour, total }) => [rowHead(LIMITS[limit] ?? limit), number(hour), number(total)]),
    'None was reached since the start.',
  );
}

// The nodes of the cluster, as `GET /api/redis-info` tells them; this one alone without an answer.
export function showNodes(own, info) {
  const nodes = Object.entries(info?.processUsers ?? {});
  table(
    by('nodes'),
    'Nodes',
    [['Node'], ['Users', true]],
    nodes.map(([name, users]) => [rowHead(el('span', { class: 'mono' }, name), name === own ? ' (this one)' : ''), number(users)]),
    'This server is the only node.',
  );
}

function showRedis(redis) {
  const pill = by('redis-state');
  const isWhole = redis?.publishing && redis.listening;
  const [word, tone] = redis === null ? ['alone', ''] : isWhole ? ['Redis is connected', 'good'] : ['degraded: Redis is away', 'bad'];
  say(pill, word);
  pill.className = `pill ${tone}`;
  say(
    by('redis'),
    redis === null
      ? 'Several nodes act as one with REDIS_ENABLED=on.'
      : `Round trip ${microseconds(redis.roundTripMicroseconds)}; ${count(redis.published)} published, ${count(redis.received)} received, ${count(redis.dropped)} lost; ${count(redis.queued)} waiting.`,
  );
}

const BREAKER = {
  closed: ['answers', 'good'],
  open: ['away', 'bad'],
  half_open: ['away: one request tries it', 'bad'],
};

// The service behind the server, where there is one.
function showBackend(backend) {
  by('backend').hidden = backend === null;
  if (backend === null) return;
  const { state, requestsPerSecond, p99Microseconds, inFlight, waiting, departures, failed, lost } = backend;
  const [word, tone] = BREAKER[state];
  say(by('backend-state'), word);
  by('backend-state').className = `pill ${tone}`;
  const rows = [
    ['Requests a second', requestsPerSecond],
    ['99 of 100 took at most', p99Microseconds === null ? '–' : microseconds(p99Microseconds)],
    ['Requests under way', inFlight],
    ['Events that wait', waiting],
    ['Users who may have gone', departures],
    ['Events that failed since the start', failed],
    ['Disconnects that were lost', lost],
  ];
  table(
    by('backend-figures'),
    'The back end',
    [['What'], ['Now', true]],
    rows.map(([what, value]) => [rowHead(what), number(value)]),
    '',
  );
}

// Everything that comes once a second.
export function showNow({ node, process, workers, endpoints, closes, limits, redis, backend }) {
  const each = Object.entries(endpoints).filter(([, open]) => open > 0);
  const kinds = each.map(([name, open]) => `${count(open)} ${name}`).join(', ');
  const about = [
    `node ${node.name}`,
    `version ${node.version}`,
    `up ${duration(node.uptime)}`,
    `CPU ${Math.round(process.cpu * 100)} %`,
    `${bytes(process.residentBytes)} of memory`,
    `${count(process.descriptors)} of ${count(process.descriptorsMax)} descriptors`,
    kinds,
  ];
  say(by('about'), about.filter(Boolean).join(' · '));
  const trouble = [];
  if (node.draining) trouble.push('The server is going away: it drains its connections.');
  if (redis && !(redis.publishing && redis.listening)) trouble.push('Redis is away: other nodes are not reached, and what is local goes on.');
  if (backend && backend.state !== 'closed') trouble.push('The back end is away: what it has to answer is refused meanwhile.');
  if (node.connections >= node.connectionsMax * 0.95) trouble.push(`${plural(node.connections, 'connection')} of at most ${count(node.connectionsMax)} are open.`);
  say(by('trouble'), trouble.join(' '));
  showWorkers(workers);
  showEnds(closes, limits);
  showRedis(redis);
  showBackend(backend);
}

export function showCounts(users, rooms) {
  const shown = (number, one) => (number > 20 ? `${plural(number, one)}, the 20 largest` : plural(number, one));
  say(by('users-count'), shown(users, 'user'));
  say(by('rooms-count'), shown(rooms, 'room'));
}
