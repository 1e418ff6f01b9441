// The dashboard in Chromium, and clients beside it.
// usage: CHROMIUM=/path AXE=/path node dashboard.cjs ORIGIN API_KEY ORIGIN_WITHOUT_KEY
// Ends with 0 and one line of JSON, or with 1 and the reason.
'use strict';
const assert = require('node:assert');
const { once } = require('node:events');
const WebSocket = require('ws');
const { withChromium, run } = require('./chromium.cjs');
const { guard, open, accessible, fits, skips, lightAndDark, pictures } = require('./pages.cjs');

const [origin, key, keyless] = process.argv.slice(2);
const EVIL = '<img src=x onerror="document.title=1">';
const NOISE_S = 36;

// A client of the gateway protocol.
class Client {
  static async of(userId, room) {
    const client = new Client();
    client.heard = [];
    client.socket = new WebSocket(`${origin.replace('http', 'ws')}/`);
    client.socket.on('message', (data) => client.heard.push(JSON.parse(data)));
    client.closed = once(client.socket, 'close').then(([code, reason]) => ({ code, reason: reason.toString() }));
    await once(client.socket, 'open');
    client.say({ type: 'register', userId });
    await client.hears('registered');
    client.say({ type: 'join', room, id: 1 });
    await client.hears('ack');
    return client;
  }

  say(message) {
    this.socket.send(JSON.stringify(message));
  }

  // The next message of that type, and nothing before it.
  async hears(type) {
    while (this.heard.length === 0) await once(this.socket, 'message');
    const message = this.heard.shift();
    assert.strictEqual(message.type, type, JSON.stringify(message));
    return message;
  }
}

const figure = (page, title) => page.locator('.plot', { has: page.locator(`h3:text-is("${title}")`) }).locator('strong').first();

async function shows(page, title, value) {
  await figure(page, title).and(page.locator(`:text-is("${value}")`)).waitFor();
}

async function signIn(page, given) {
  await page.fill('#key', given);
  await page.click('#sign-in-button');
}

async function signsIn(context) {
  const without = await open(context, `${keyless}/dashboard`);
  await signIn(without, 'any key will do');
  await without.waitForSelector('#sign-in-problem:has-text("No API key is set on this server")');
  await without.waitForSelector('#sign-in-problem:has-text("Start it with API_KEY=")');
  await without.close();

  const page = await open(context, `${origin}/dashboard`, { width: 1280, height: 900 });
  await accessible(page, 'signing in');
  await signIn(page, 'not the key');
  await page.waitForSelector('#sign-in-problem:has-text("That is not the API key of this server.")');
  assert.strictEqual(await page.isVisible('#board'), false);
  await signIn(page, key);
  await page.waitForSelector('#state:has-text("live")');
  assert.ok(!page.url().includes(encodeURIComponent(key)), 'the key is in no address');
  await page.reload();
  await page.waitForSelector('#state:has-text("live")');
  await page.route('**/api/status', (route) => route.abort());
  await page.reload();
  await page.waitForSelector('#state:has-text("live")');
  await page.unroute('**/api/status');
  const other = await open(context, `${origin}/dashboard`);
  assert.strictEqual(await other.isVisible('#sign-in'), true, 'another tab knows nothing of the key');
  await other.close();
  return page;
}

async function find(page, user) {
  await page.fill('#user', user);
  await page.press('#user', 'Enter');
  await page.waitForFunction((user) => document.querySelector('#found h3')?.textContent === user, user);
}

async function acts(page) {
  await shows(page, 'Connections', '0');
  const client = await Client.of(EVIL, EVIL);
  await shows(page, 'Connections', '1');
  await page.waitForFunction((name) => document.querySelector('#rooms tbody th')?.textContent === name, EVIL);
  await page.waitForFunction((name) => document.querySelector('#users tbody th')?.textContent === name, EVIL);
  await find(page, EVIL);
  assert.strictEqual(await page.locator('#found tbody td').nth(1).textContent(), EVIL, 'its room');
  await page.click('#found button:text-is("Write")');
  await page.fill('#event', 'order');
  await page.fill('#data', '{"id": 7}');
  await page.click('#send-button');
  await page.waitForSelector('#sent:has-text("Handed to 1 connection.")');
  const { event, data } = await client.hears('message');
  assert.deepStrictEqual({ event, data }, { event: 'order', data: { id: 7 } });
  await page.selectOption('#to', 'room');
  await page.fill('#data', 'a text');
  await page.click('#send-button');
  const published = await client.hears('message');
  assert.deepStrictEqual([published.room, published.data], [EVIL, 'a text']);
  await page.selectOption('#to', 'everyone');
  await page.click('#send-button');
  await page.waitForSelector('dialog:has-text("Send to everyone?")');
  await accessible(page, 'asking');
  await page.click('#ask-yes');
  await client.hears('broadcast');
  await page.selectOption('#to', 'user');
  await page.fill('#whom', 'nobody');
  await page.click('#send-button');
  await page.waitForSelector('#sent:has-text("Nobody was there to get it.")');
  await page.fill('#event', '');
  await page.click('#send-button');
  await page.waitForSelector('#sent.bad:has-text("event")');
  return client;
}

async function disconnects(page, client) {
  await find(page, EVIL);
  await page.click('#found button:text-is("Disconnect all")');
  await page.click('dialog button:text-is("Cancel")');
  await page.waitForSelector('dialog', { state: 'hidden' });
  client.say({ type: 'ping' });
  await client.hears('pong');
  await page.click('#found td button.danger');
  await page.click('#ask-yes');
  assert.deepStrictEqual(await client.closed, { code: 1008, reason: 'disconnected by an operator' });
  await page.waitForSelector('#found:has-text("1 connection closed.")');
  await page.waitForSelector('#found:has-text("offline")');
  await shows(page, 'Connections', '0');
  await page.waitForSelector('#closes tbody th:has-text("1008: against a rule of the server")');
}

// Whether the server lets a client in at that address; then it leaves again.
async function isLetIn(path) {
  const socket = new WebSocket(`${origin.replace('http', 'ws')}${path}`);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  const isOpen = await new Promise((resolve) => {
    socket.once('open', () => resolve(true));
    socket.once('error', () => resolve(false));
  });
  if (isOpen) socket.close();
  await closed;
  return isOpen;
}

async function seesTheBackEnd(page) {
  await page.waitForSelector('#backend-state.good:has-text("answers")');
  const row = (what) => page.locator('#backend tbody tr', { has: page.locator(`th:text-is("${what}")`) }).locator('td');
  await row('Users who may have gone').waitFor();
  // Each asks three times, and 20 that fail are enough, also where counting begins anew in the midst of them.
  await Promise.all(Array.from({ length: 16 }, () => isLetIn('/?away')));
  await page.waitForSelector('#backend-state.bad:has-text("away")');
  await page.waitForSelector('#trouble:has-text("The back end is away")');
  assert.notStrictEqual(await row('Events that failed since the start').textContent(), '0');
  await accessible(page, 'the back end is away');
  while (!(await isLetIn('/'))) await new Promise((resolve) => setTimeout(resolve, 50));
  await page.waitForSelector('#backend-state.good:has-text("answers")');
  await shows(page, 'Connections', '0');
}

// Something to look at in the pictures.
async function noise() {
  const rooms = ['harbour', 'mole', 'lock.west', 'ferry', 'pilots'];
  const clients = [];
  const until = Date.now() + NOISE_S * 1_000;
  for (let turn = 0; Date.now() < until; turn += 1) {
    if (clients.length < 24 && turn % 3 === 0) clients.push({ room: rooms[(clients.length * 7) % 5], client: await Client.of(`${['heron', 'tern', 'gull', 'plover'][clients.length % 4]}-${clients.length}`, rooms[(clients.length * 7) % 5]) });
    const lively = 2 + Math.round(6 * (1 + Math.sin(turn / 14)));
    for (let one = 0; one < lively; one += 1) {
      const { client, room } = clients[(turn * 5 + one) % clients.length];
      client.say({ type: 'publish', room, event: 'tide', data: { level: 3.2, turn } });
      if (one === 0) client.say({ type: 'order', item: 'eel' });
    }
    await new Promise((resolve) => setTimeout(resolve, 60 + 30 * Math.sin(turn / 31)));
  }
  return clients;
}

run(
  () =>
    withChromium({}, async (context) => {
      const guarded = await guard(context, [origin, keyless]);
      const page = await signsIn(context);
      await skips(page, 'main');
      const client = await acts(page);
      await accessible(page, 'the board');
      await fits(page, 'the dashboard');
      await disconnects(page, client);
      await seesTheBackEnd(page);
      await page.check('[name="span"][value="3600"]');
      assert.match(await page.getAttribute('.plot svg', 'aria-label'), /^Connections\. open: now 0, between 0 and 1\.$/);
      assert.strictEqual(await page.title(), 'Tidegate: dashboard');
      assert.strictEqual(await page.locator('img').count(), 1, 'but for the mark');
      if (process.env.PICTURES) {
        await page.check('[name="span"][value="300"]');
        const clients = await noise();
        await find(page, 'heron-0');
        await page.click('#found button:text-is("Write")');
        await page.fill('#event', 'notice');
        await page.fill('#data', '{"title": "High water", "at": "12:04"}');
        await page.click('#send-button');
        await page.waitForSelector('#sent.good');
        await page.evaluate(() => {
          document.activeElement.blur();
          scrollTo(0, 0);
        });
        await lightAndDark(page, 'dashboard-backend', page.locator('#backend'));
        await page.evaluate(() => scrollTo(0, 0));
        await pictures(page, 'dashboard', () => page.evaluate(() => scrollTo(0, 0)));
        for (const { client } of clients) client.socket.terminate();
      }
      await page.click('#sign-out');
      await page.waitForSelector('#sign-in');
      assert.strictEqual(await page.evaluate(() => sessionStorage.length), 0);
      guarded.verify();
      return { done: true };
    }),
  process.env.PICTURES ? 110_000 : undefined,
);
