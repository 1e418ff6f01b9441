// What the scripts with Chromium share: a browser with a page to be on, and a script's beginning and end.
'use strict';
const http = require('node:http');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { chromium } = require('playwright-core');

const TIME_LIMIT_MS = 45_000;
const PAGE = `<!doctype html><meta charset="utf-8"><title>A page with a socket</title><p>Talking</p>`;

// Starts Chromium, and gives what `use(context, url)` gives; at the URL is a page that does nothing by itself.
// options: {ignoreCertificate}
async function withChromium(options, use) {
  const server = http.createServer((_, response) => response.setHeader('Content-Type', 'text/html').end(PAGE));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'tidegate-browser-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM,
    headless: true,
    chromiumSandbox: false,
    ignoreHTTPSErrors: Boolean(options.ignoreCertificate),
    args: [
      '--disable-gpu',
      '--disable-quic',
      '--disable-dev-shm-usage',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  try {
    return await use(context, `http://127.0.0.1:${server.address().port}/`);
  } finally {
    await context.close();
    server.close();
    fs.rmSync(profile, { recursive: true, force: true });
  }
}

// Ends with 0 and what `main` gives as one line of JSON, or with 1 and the reason.
function run(main, limitMs = TIME_LIMIT_MS) {
  setTimeout(() => {
    console.error(`nothing within ${limitMs} ms`);
    process.exit(1);
  }, limitMs);
  main().then(
    (facts) => {
      console.log(JSON.stringify(facts));
      process.exit(0);
    },
    (error) => {
      console.error(error.stack);
      process.exit(1);
    },
  );
}

module.exports = { withChromium, run };
