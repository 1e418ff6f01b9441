// The dashboard: signs in with the API key, and shows what the server tells.

import { by, say } from './dom.js';
import { about, bytes, count, microseconds } from './format.js';
import { Actions } from './dashboard-actions.js';
import { Api, Live, Refused } from './dashboard-live.js';
import { Plot } from './dashboard-plot.js';
import { Series } from './dashboard-series.js';
import { showCounts, showLargest, showNodes, showNow } from './dashboard-tables.js';

const KEY = 'tidegate-api-key';
const NODES_PERIOD_MS = 5_000;
const PLOTS = [
  { title: 'Connections', lines: [{ name: 'connections', title: 'open' }], format: count, least: 4 },
  {
    title: 'Messages a second',
    lines: [
      { name: 'received', title: 'in' },
      { name: 'sent', title: 'out' },
    ],
    format: about,
    least: 4,
  },
  {
    title: 'Bytes a second',
    lines: [
      { name: 'receivedBytes', title: 'in' },
      { name: 'sentBytes', title: 'out' },
    ],
    format: bytes,
    least: 1_024,
    base: 1_024,
  },
  {
    title: 'Time within which turns of the event loops end',
    lines: [
      { name: 'turnP50', title: 'half' },
      { name: 'turnP99', title: '99 %' },
    ],
    format: microseconds,
    least: 100,
  },
  { title: 'Waiting to be sent', lines: [{ name: 'sendQueue', title: 'in send queues' }], format: bytes, least: 1_024, base: 1_024 },
  {
    title: 'Users and rooms',
    lines: [
      { name: 'users', title: 'users' },
      { name: 'rooms', title: 'rooms' },
    ],
    format: count,
    least: 4,
  },
];
const STATES = {
  connecting: ['connecting', 'caution'],
  live: ['live', 'good'],
  waiting: ['connection lost', 'bad'],
};

const plots = PLOTS.map((plot) => new Plot(plot));
let series = new Series();
let api = null;
let live = null;
let own = '';
let hasCluster = false;
let nodesTimer = 0;

const actions = new Actions(() => api);

// The key is kept for this tab, where the browser allows that; else until the page is left.
function kept(use) {
  try {
    return use(sessionStorage);
  } catch {
    return null;
  }
}

function state(word, tone) {
  say(by('state'), word);
  by('state').className = `pill ${tone}`;
}

function draw() {
  const seconds = Number(document.querySelector('[name="span"]:checked').value);
  for (const plot of plots) plot.draw(series, seconds);
}

function told(message) {
  if (message.type === 'history') {
    series.begin(message.columns, message.rows);
    return;
  }
  own = message.node.name;
  series.add(message.row);
  showNow(message);
  showCounts(series.value(message.row, 'users'), series.value(message.row, 'rooms'));
  if (message.users) showLargest(message, { find: (user) => void actions.find(user), write: (room) => actions.write('room', room) });
  if (hasCluster !== (message.redis !== null)) {
    hasCluster = !hasCluster;
    void askNodes();
  }
  if (!document.hidden) draw();
}

// Other nodes are asked only while there may be some, and somebody looks.
async function askNodes() {
  clearTimeout(nodesTimer);
  const asked = api;
  if (!hasCluster) return showNodes(own, null);
  if (!document.hidden) {
    const info = await asked.get('/api/redis-info').catch(() => null);
    if (asked !== api) return;
    if (info) showNodes(own, info);
  }
  nodesTimer = setTimeout(askNodes, NODES_PERIOD_MS);
}

function board(isShown) {
  by('board').hidden = !isShown;
  by('sign-out').hidden = !isShown;
  by('sign-in').hidden = isShown;
}

function signOut(problem = '') {
  live?.end();
  clearTimeout(nodesTimer);
  live = null;
  api = null;
  hasCluster = false;
  series = new Series();
  kept((storage) => storage.removeItem(KEY));
  actions.forget();
  board(false);
  state('signed out', '');
  say(by('about'), '');
  say(by('sign-in-problem'), problem);
  by('key').value = '';
  by('key').focus();
}

const PROBLEMS = {
  401: 'That is not the API key of this server.',
  403: 'No API key is set on this server, so that nobody can sign in. Start it with API_KEY=… (at least eight bytes), then sign in with that.',
};

async function signIn(key) {
  say(by('sign-in-problem'), '');
  by('sign-in-button').disabled = true;
  const tried = new Api(key);
  try {
    await tried.get('/api/status');
  } catch (error) {
    // A server that is away for a moment has refused nothing: its dashboard is tried again and again.
    const problem = error instanceof Refused ? PROBLEMS[error.status] : 'A key like that cannot be sent.';
    if (problem) return signOut(problem);
  } finally {
    by('sign-in-button').disabled = false;
  }
  api = tried;
  by('key').value = '';
  kept((storage) => storage.setItem(KEY, key));
  board(true);
  showNodes('', null);
  live = new Live(key, {
    state: (now, seconds) => {
      const [word, tone] = STATES[now];
      state(seconds === undefined ? word : `${word}, again in ${seconds} s`, tone);
    },
    refused: signOut,
    told,
  });
}

by('plots').append(...plots.map((plot) => plot.node));
by('sign-in-form').addEventListener('submit', (event) => {
  event.preventDefault();
  void signIn(by('key').value);
});
by('sign-out').addEventListener('click', () => signOut());
for (const span of document.querySelectorAll('[name="span"]')) span.addEventListener('change', draw);
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && live) draw();
});
const before = kept((storage) => storage.getItem(KEY));
if (before) void signIn(before);
document.documentElement.dataset.ready = '';
