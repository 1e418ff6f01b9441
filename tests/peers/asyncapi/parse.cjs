// The official parser of AsyncAPI over a document.
// usage: node parse.cjs FILE
// Ends with 0 and one line of JSON with what it finds in the document and what it has against it, or with 1 and the reason.
'use strict';
const fs = require('node:fs');
const { Parser } = require('@asyncapi/parser');

const TIME_LIMIT_MS = 30_000;
const [file] = process.argv.slice(2);

async function main() {
  const { document, diagnostics } = await new Parser().parse(fs.readFileSync(file, 'utf8'));
  const names = (collection) => collection?.all().map((item) => item.id()) ?? [];
  return {
    version: document?.version(),
    operations: names(document?.operations()),
    messages: names(document?.messages()),
    securitySchemes: names(document?.components().securitySchemes()),
    diagnostics: diagnostics.map(({ code, severity, message, path }) => ({ code, severity, message, path: path.join('/') })),
  };
}

setTimeout(() => {
  console.error(`nothing within ${TIME_LIMIT_MS} ms`);
  process.exit(1);
}, TIME_LIMIT_MS);

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
