// The demo page: connects to any route of this server, sends, and shows what goes and comes.

import { by, el, say } from './dom.js';
import { bytes, closeWords, count, microseconds } from './format.js';
import { Link } from './demo-link.js';
import { Log } from './demo-log.js';
import { People, someName } from './demo-people.js';
import { wordsOf } from './demo-words.js';

const NAME_KEY = 'tidegate-name';
const HINTS = {
  gateway: 'Names, rooms and private messages, in JSON.',
  echo: 'Every message comes back to you.',
  broadcast: 'Every message goes to everybody who is connected here.',
};
const STATES = {
  closed: ['closed', ''],
  connecting: ['connecting', 'caution'],
  open: ['open', 'good'],
  waiting: ['waiting', 'caution'],
};

const log = new Log(by('log'), by('empty'));
const encoder = new TextEncoder();
let facts = { routes: [], messageBytesMax: Infinity, subprotocols: [] };
let traffic = null;
let countdown = 0;

const link = new Link({ state: onState, message: onMessage });
const people = new People((message) => sendText(JSON.stringify(message)), choosePerson);
link.mayReconnect = () => by('again').checked;

const route = () => facts.routes[by('route').selectedIndex];
const isGateway = () => route()?.endpoint === 'gateway';

function problem(text) {
  by('problem').textContent = text;
}

// What the browser keeps for this tab.
function kept(use) {
  try {
    return use(sessionStorage);
  } catch {
    return null;
  }
}

function size(text) {
  return encoder.encode(text).length;
}

// Whether something was sent; where not, the person is told why.
function send(data, bytesSent, shown) {
  if (!link.isOpen) {
    problem('There is no connection. Connect first.');
    return false;
  }
  if (bytesSent > facts.messageBytesMax) {
    problem(`That is ${bytes(bytesSent)}, and this server takes messages of at most ${bytes(facts.messageBytesMax)}.`);
    return false;
  }
  problem('');
  link.send(data);
  traffic.sent += 1;
  traffic.sentBytes += bytesSent;
  traffic.since ??= performance.now();
  log.add('sent', { size: bytesSent, ...shown });
  showTraffic();
  return true;
}

function parsed(text) {
  if (!isGateway()) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function sendText(text) {
  return send(text, size(text), { text, ...wordsOf(parsed(text), true) });
}

async function sendFile(file) {
  if (file.size > facts.messageBytesMax) {
    problem(`${file.name} has ${bytes(file.size)}, and this server takes messages of at most ${bytes(facts.messageBytesMax)}.`);
    return;
  }
  try {
    const data = await file.arrayBuffer();
    send(data, data.byteLength, { data, name: file.name });
  } catch (error) {
    problem(`${file.name} cannot be read: ${error.message}`);
  }
}

function onMessage(data) {
  traffic.received += 1;
  if (traffic.since !== null) {
    traffic.roundTrip = (performance.now() - traffic.since) * 1_000;
    traffic.since = null;
  }
  if (typeof data !== 'string') {
    traffic.receivedBytes += data.byteLength;
    log.add('received', { data, size: data.byteLength });
  } else {
    const bytesReceived = size(data);
    traffic.receivedBytes += bytesReceived;
    const message = parsed(data);
    const isError = message?.type === 'error';
    log.add(isError ? 'failed' : 'received', { text: data, size: bytesReceived, ...wordsOf(message, false) });
    if (isError) problem(String(message.message));
    if (message && people.hear(message) === 'registered') onRegistered();
  }
  showTraffic();
}

function onRegistered() {
  say(by('status'), `Connected to ${route().path} as ${people.name}.`);
  const room = by('room-name').value.trim();
  if (room !== '') people.join(room);
}

function showTraffic() {
  const shown = (number, size) => `${count(number)} · ${bytes(size)}`;
  by('sent').textContent = traffic ? shown(traffic.sent, traffic.sentBytes) : '–';
  by('received').textContent = traffic ? shown(traffic.received, traffic.receivedBytes) : '–';
  by('round-trip').textContent = microseconds(traffic?.roundTrip);
}

function closeSentence({ code, reason, wasOpen }) {
  if (!wasOpen) {
    const token = facts.tokenRequired ? ' It wants an access token.' : '';
    return `The server could not be reached, or it refused the connection.${token}`;
  }
  return `Close code ${code}: ${closeWords(code)}${reason ? ` (“${reason}”)` : ''}.`;
}

function onState(state, { ms, close, compression }) {
  clearInterval(countdown);
  const [word, tone] = STATES[state];
  say(by('state'), word);
  by('state').className = `pill ${tone}`;
  const isIdle = state === 'closed';
  by('connect').textContent = isIdle ? 'Connect' : 'Disconnect';
  by('connect').classList.toggle('first', isIdle);
  for (const id of ['route', 'token', 'name']) by(id).disabled = !isIdle;
  for (const id of ['send-button', 'ping', 'file-button']) by(id).disabled = state !== 'open';
  if (close) {
    log.note(closeSentence(close), close.code === 1000 ? 'note' : 'failed');
    people.forget();
  }
  if (state === 'open') onOpen(compression);
  if (state === 'connecting') say(by('status'), `Connecting to ${route().path} …`);
  if (state === 'closed') say(by('status'), close ? closeSentence(close) : 'Not connected.');
  if (state === 'waiting') waitFor(ms, close);
}

function waitFor(ms, close) {
  const until = performance.now() + ms;
  say(by('status'), `${closeSentence(close)} Trying again.`);
  const tick = () => {
    const seconds = Math.max(0, Math.ceil((until - performance.now()) / 1_000));
    by('state').textContent = `again in ${seconds} s`;
  };
  tick();
  countdown = setInterval(tick, 500);
}

function onOpen(compression) {
  traffic = { sent: 0, sentBytes: 0, received: 0, receivedBytes: 0, since: null, roundTrip: undefined };
  by('compression').textContent = compression ? 'permessage-deflate' : 'none';
  showTraffic();
  problem('');
  say(by('status'), `Connected to ${route().path}.`);
  log.note(`Connected to ${route().path}`);
  if (isGateway()) people.register(by('token').value === '' ? by('name').value.trim() : '');
  by('text').focus();
}

function connect() {
  const url = new URL(route().path, location.href);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  const token = by('token').value.trim();
  // A subprotocol keeps a token out of the logs of proxies; it needs another one that the server agrees on.
  const [protocol] = facts.subprotocols;
  if (token !== '' && protocol === undefined) url.searchParams.set('token', token);
  const protocols = protocol === undefined ? [] : [protocol, ...(token === '' ? [] : [`bearer.${token}`])];
  if (isGateway() && token === '') {
    by('name').value ||= someName();
    kept((storage) => storage.setItem(NAME_KEY, by('name').value));
  }
  try {
    link.open(url, protocols);
  } catch (error) {
    onState('closed', {});
    problem(`The browser does not connect: ${error.message}`);
  }
}

function choosePerson(user) {
  by('to').value = 'user';
  by('whom').value = user;
  onTo();
  by('text').focus();
}

function onRoute() {
  const { endpoint } = route() ?? {};
  say(by('route-hint'), HINTS[endpoint] ?? '');
  const speaks = endpoint === 'gateway';
  for (const id of ['name-field', 'room', 'to-field', 'ping']) by(id).hidden = !speaks;
  by('file-button').hidden = speaks;
  onTo();
}

function onTo() {
  by('whom-field').hidden = !isGateway() || by('to').value !== 'user';
}

function submitText() {
  const text = by('text').value;
  if (!isGateway() || by('to').value === 'raw') return sendText(text);
  if (text.trim() === '') return false;
  if (by('to').value === 'room') {
    if (!people.isIn) {
      problem('You are in no room. Join one first.');
      return false;
    }
    people.toRoom(text);
  } else if (by('to').value === 'user') {
    const whom = by('whom').value.trim();
    if (whom === '') {
      problem('Say whom it is for.');
      return false;
    }
    people.toUser(whom, text);
  } else {
    people.toEveryone(text);
  }
  return link.isOpen;
}

function listen() {
  by('route').addEventListener('change', onRoute);
  by('to').addEventListener('change', onTo);
  by('connection').addEventListener('submit', (event) => {
    event.preventDefault();
    if (by('connect').textContent === 'Connect') connect();
    else link.close();
  });
  by('send').addEventListener('submit', (event) => {
    event.preventDefault();
    if (submitText()) by('text').value = '';
  });
  by('text').addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    by('send').requestSubmit(by('send-button'));
  });
  by('join').addEventListener('submit', (event) => {
    event.preventDefault();
    const room = by('room-name').value.trim();
    if (!link.isOpen) problem('There is no connection. Connect first.');
    else if (people.isIn) people.leave();
    else if (room === '') problem('A room has a name.');
    else people.join(room);
  });
  by('who').addEventListener('click', () => people.who());
  by('ping').addEventListener('click', () => people.ping());
  by('file-button').addEventListener('click', () => by('file').click());
  by('file').addEventListener('change', () => {
    const [file] = by('file').files;
    if (file) void sendFile(file);
    by('file').value = '';
  });
  by('clear').addEventListener('click', () => log.clear());
  by('raw').addEventListener('change', () => by('log').classList.toggle('both', by('raw').checked));
}

async function start() {
  listen();
  try {
    const response = await fetch('/pages/demo.json');
    facts = await response.json();
  } catch {
    say(by('status'), 'The server does not answer. Load this page again.');
    by('connect').disabled = true;
    return;
  }
  say(by('version'), facts.version);
  by('route').append(...facts.routes.map(({ path, endpoint }) => el('option', {}, `${path} · ${endpoint}`)));
  const here = facts.routes.findIndex(({ path }) => path === location.pathname);
  by('route').selectedIndex = Math.max(0, here);
  by('token-field').hidden = !facts.tokens;
  if (!facts.clientsBroadcast) by('to').querySelector('[value="everyone"]').remove();
  by('name').value = kept((storage) => storage.getItem(NAME_KEY)) ?? someName();
  onRoute();
  document.documentElement.dataset.ready = '';
}

void start();
