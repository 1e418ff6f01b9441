// Requests as the packages `standardwebhooks` and `cloudevents` see them.
// usage: node verify.cjs <LINES
// Reads lines of JSON, each {"secret","headers","body"} with the body in base64, and ends with one line: an array with, for each,
// {"signature":"good" or what is wrong with it,"event":what the request says, or why it says nothing}.
'use strict';
const readline = require('node:readline');
const { Webhook } = require('standardwebhooks');
const { HTTP } = require('cloudevents');

function signature({ secret, headers, body }) {
  try {
    new Webhook(secret).verify(Buffer.from(body, 'base64'), headers);
    return 'good';
  } catch (error) {
    return error.message;
  }
}

function event({ headers, body }) {
  try {
    return HTTP.toEvent({ headers, body: Buffer.from(body, 'base64').toString() }).toJSON();
  } catch (error) {
    return error.message;
  }
}

async function main() {
  const verdicts = [];
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    verdicts.push({ signature: signature(request), event: event(request) });
  }
  console.log(JSON.stringify(verdicts));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
