// Takes one delivery with the official CloudEvents SDK, and holds its body to the SDK's compilation of the JSON schema of CloudEvents
// 1.0: JSON with headers and body on standard input.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// Where scripts/test has put the SDK.
const require = createRequire(`${process.argv[2]}/`);
const { HTTP, ValidationError } = require("cloudevents");
const { validateCloudEvent } = require("cloudevents/dist/event/spec.js");

const given = JSON.parse(readFileSync(0, "utf8"));
try {
  // The body as it is: reading an event fills in what it lacks.
  if (!validateCloudEvent(JSON.parse(given.body))) throw new ValidationError("not of version 1.0");
  const event = HTTP.toEvent({ headers: given.headers, body: given.body });
  event.validate();
  console.log(event.id);
} catch (error) {
  if (!(error instanceof ValidationError)) throw error;
  console.error(`refused: ${error.message}`);
  process.exit(1);
}
