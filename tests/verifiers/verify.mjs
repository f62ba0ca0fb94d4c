// Verifies one delivery with the official Standard Webhooks library: JSON with secret, headers and body on standard input.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// Where scripts/test has put the library.
const require = createRequire(`${process.argv[2]}/`);
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

const given = JSON.parse(readFileSync(0, "utf8"));
try {
  const event = new Webhook(given.secret).verify(given.body, given.headers);
  console.log(event.id);
} catch (error) {
  if (!(error instanceof WebhookVerificationError)) throw error;
  console.error(`refused: ${error.message}`);
  process.exit(1);
}
