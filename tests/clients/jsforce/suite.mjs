// jsforce against the emulated Salesforce. See tests/clients/README.md.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

const require = createRequire(`${process.env.CLIENT}/`);
const jsforce = require("jsforce");
const emulators = JSON.parse(process.env.EMULATORS);

test("logs in with client credentials", async () => {
  const connection = new jsforce.Connection({
    loginUrl: emulators.salesforce,
    oauth2: { clientId: emulators.salesforce_client_id, clientSecret: emulators.salesforce_client_secret, loginUrl: emulators.salesforce },
  });
  const user = await connection.authorize({ grant_type: "client_credentials" });
  assert.equal(user.organizationId, emulators.salesforce_org_id);
});
