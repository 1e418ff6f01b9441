// The dashboard of one node of two: it shows both, acts on both, and says when Redis goes.
// usage: CHROMIUM=/path AXE=/path node dashboard_cluster.cjs ORIGIN API_KEY USER_AT_THE_OTHER_NODE
// Says READY once it waits for the loss of Redis. Ends with 0 and one line of JSON, or with 1 and the reason.
'use strict';
const assert = require('node:assert');
const { withChromium, run } = require('./chromium.cjs');
const { guard, open, accessible } = require('./pages.cjs');

const [origin, key, user] = process.argv.slice(2);

run(() =>
  withChromium({}, async (context) => {
    const guarded = await guard(context, [origin]);
    const page = await open(context, `${origin}/dashboard`);
    await page.fill('#key', key);
    await page.click('#sign-in-button');
    await page.waitForSelector('#redis-state:has-text("Redis is connected")');
    assert.strictEqual(await page.isVisible('#backend'), false, 'there is none');
    await page.waitForFunction(() => document.querySelectorAll('#nodes tbody tr').length === 2);
    await page.waitForSelector('#nodes:has-text("(this one)")');
    await page.fill('#user', user);
    await page.press('#user', 'Enter');
    await page.waitForSelector('#found .pill:has-text("online, 1")');
    await page.click('#found button:text-is("Disconnect all")');
    await page.click('#ask-yes');
    await page.waitForSelector('#found:has-text("1 connection closed.")');
    console.log('READY');
    await page.waitForSelector('#redis-state:has-text("degraded: Redis is away")');
    await page.waitForSelector('#trouble:has-text("Redis is away: other nodes are not reached")');
    await accessible(page, 'in trouble');
    guarded.verify();
    return { done: true };
  }),
);
