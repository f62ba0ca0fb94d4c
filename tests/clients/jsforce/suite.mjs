// jsforce against the emulated Salesforce. See tests/clients/README.md.
import assert from "node:assert/strict";
import { createSign, generateKeyPairSync } from "node:crypto";
import { createRequire } from "node:module";
import { before, test } from "node:test";

const require = createRequire(`${process.env.CLIENT}/`);
const jsforce = require("jsforce");
const emulators = JSON.parse(process.env.EMULATORS);
const loginUrl = emulators.salesforce;
const oauth2 = { loginUrl, clientId: emulators.salesforce_client_id, clientSecret: emulators.salesforce_client_secret };
const version = "59.0";

/** Acts as a person in the org, or as its administrator. */
async function control(method, path, body) {
  const answer = await fetch(emulators.control + path, {
    method,
    headers: { "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  assert.ok(answer.ok, `${method} ${path} gave ${answer.status}`);
  return answer.json();
}

async function connect() {
  const connection = new jsforce.Connection({ loginUrl, version, oauth2 });
  await connection.authorize({ grant_type: "client_credentials" });
  return connection;
}

function byPassword() {
  return new jsforce.Connection({ loginUrl, version });
}

async function refused(call, code) {
  await assert.rejects(call, (error) => {
    assert.equal(error.errorCode ?? error.name, code, error.message);
    return true;
  });
}

const password = emulators.salesforce_password + emulators.salesforce_security_token;
let connection;
before(async () => {
  connection = await connect();
});

test("logs in with client credentials, and is told when they are wrong", async () => {
  const identity = await connection.identity();
  assert.equal(identity.organization_id, emulators.salesforce_org_id);
  assert.equal(identity.user_id, connection.userInfo.id);
  const wrong = new jsforce.Connection({ loginUrl, version, oauth2: { ...oauth2, clientSecret: "wrong" } });
  await refused(() => wrong.authorize({ grant_type: "client_credentials" }), "invalid_client");
});

test("logs in by SOAP with a password and its security token, and out again", async () => {
  const connection = byPassword();
  const user = await connection.login(emulators.salesforce_username, password);
  assert.equal(user.organizationId, emulators.salesforce_org_id);
  assert.equal((await connection.query("SELECT COUNT() FROM Account")).totalSize, 0);
  const session = connection.accessToken;
  await connection.logout();
  const late = new jsforce.Connection({ instanceUrl: loginUrl, accessToken: session, version });
  await refused(() => late.query("SELECT Id FROM Lead"), "INVALID_SESSION_ID");
  await assert.rejects(byPassword().login(emulators.salesforce_username, "wrong"), /INVALID_LOGIN/);
});

test("logs in with the password of a connected app", async () => {
  const connection = new jsforce.Connection({ loginUrl, version, oauth2 });
  const user = await connection.login(emulators.salesforce_username, password);
  assert.equal(user.organizationId, emulators.salesforce_org_id);
});

test("logs in with a signed assertion", async () => {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  await control("PATCH", "/salesforce/options", { jwt_public_key_pem: publicKey.export({ type: "spki", format: "pem" }) });
  const { now } = await control("GET", "/clock");
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { iss: oauth2.clientId, sub: emulators.salesforce_username, aud: "https://login.salesforce.com" };
  const signed = `${part({ alg: "RS256" })}.${part({ ...claims, exp: Math.floor(Date.parse(now) / 1000) + 180 })}`;
  const assertion = `${signed}.${createSign("RSA-SHA256").update(signed).sign(privateKey).toString("base64url")}`;
  const grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer";
  const connection = new jsforce.Connection({ loginUrl, version, oauth2: { loginUrl } });
  const user = await connection.authorize({ grant_type, assertion });
  assert.equal(user.organizationId, emulators.salesforce_org_id);
  await refused(() => connection.authorize({ grant_type, assertion: `${assertion.slice(0, -4)}AAAA` }), "invalid_grant");
});

test("refreshes a session that has died, and revokes it", async () => {
  const { refresh_token: refreshToken } = await control("POST", "/salesforce/tokens/refresh");
  const connection = new jsforce.Connection({ instanceUrl: loginUrl, accessToken: "dead", refreshToken, version, oauth2 });
  const refreshes = [];
  connection.on("refresh", (token) => refreshes.push(token));
  assert.equal((await connection.query("SELECT IsSandbox FROM Organization")).records[0].IsSandbox, false);
  assert.equal(refreshes.length, 1);
  await control("POST", "/salesforce/tokens/expire");
  await connection.query("SELECT Id FROM Organization");
  assert.equal(refreshes.length, 2);
  await connection.logout(true);
  const again = new jsforce.Connection({ instanceUrl: loginUrl, accessToken: "dead", refreshToken, version, oauth2 });
  await assert.rejects(again.query("SELECT Id FROM Organization"), /expired access\/refresh token/);
});

test("finds versions, objects, fields and limits", async () => {
  connection = await connect();
  const versions = await connection.request("/services/data");
  assert.ok(versions.some((found) => found.version === version));
  assert.ok((await connection.describeGlobal()).sobjects.some((found) => found.name === "CampaignMember"));
  const campaign = await connection.sobject("Campaign").describe();
  const cost = campaign.fields.find((field) => field.name === "ActualCost");
  assert.deepEqual([campaign.keyPrefix, cost.type, cost.updateable], ["701", "currency", true]);
  assert.ok(campaign.childRelationships.some((child) => child.relationshipName === "CampaignMembers" && child.cascadeDelete));
  const { DailyApiRequests } = await connection.limits();
  assert.equal(connection.limitInfo.apiUsage.limit, DailyApiRequests.Max);
  assert.equal(DailyApiRequests.Remaining, DailyApiRequests.Max - connection.limitInfo.apiUsage.used);
});

test("writes, reads and removes one record", async () => {
  const leads = connection.sobject("Lead");
  const { id, success } = await leads.create({ LastName: "Lovelace", Company: "Engines", Email: "ada@engines.example" });
  assert.equal(success, true);
  assert.equal((await leads.retrieve(id)).LastName, "Lovelace");
  assert.deepEqual(await leads.update({ Id: id, Title: "Countess" }), { id, success: true, errors: [] });
  assert.equal((await leads.findOne({ Email: "ada@engines.example" }, ["Id", "Title"])).Title, "Countess");
  assert.deepEqual(await leads.destroy(id), { id, success: true, errors: [] });
  await refused(() => leads.retrieve(id), "NOT_FOUND");
  await refused(() => leads.destroy(id), "ENTITY_IS_DELETED");
});

test("is refused with the codes of Salesforce", async () => {
  const leads = connection.sobject("Lead");
  await refused(() => leads.create({ LastName: "X" }), "REQUIRED_FIELD_MISSING");
  await refused(() => leads.create({ LastName: "X", Company: "Y", Nope__c: 1 }), "INVALID_FIELD");
  await refused(() => leads.retrieve("00Q000000000000XXX"), "MALFORMED_ID");
  await refused(() => connection.query("SELECT Bacon__c FROM Lead"), "INVALID_FIELD");
  await refused(() => connection.query("SELEKT Id FROM Lead"), "MALFORMED_QUERY");
  await refused(() => connection.sobject("Bacon").describe(), "NOT_FOUND");
  const twin = { LastName: "Twin", Company: "Y", Email: "jstwin@y.example" };
  await leads.create(twin);
  await refused(() => leads.create(twin), "DUPLICATES_DETECTED");
  await control("PUT", "/salesforce/quota", { left: 0 });
  await refused(() => leads.retrieve("00Q4S0000000000"), "REQUEST_LIMIT_EXCEEDED");
  await control("PUT", "/salesforce/quota", { left: 50000 });
});

test("writes many records in a call, each with its own answer", async () => {
  const leads = connection.sobject("Lead");
  const made = await leads.create([{ LastName: "A", Company: "Many" }, { LastName: "B" }, { LastName: "C", Company: "Many" }]);
  assert.deepEqual(made.map((result) => result.success), [true, false, true]);
  assert.equal(made[1].errors[0].statusCode, "REQUIRED_FIELD_MISSING");
  const ids = [made[0].id, made[2].id];
  const updated = await leads.update(ids.map((Id) => ({ Id, Title: "T" })));
  assert.deepEqual(updated, ids.map((id) => ({ id, success: true, errors: [] })));
  assert.deepEqual((await leads.retrieve(ids)).map((lead) => lead.Title), ["T", "T"]);
  const all = await leads.create([{ LastName: "D", Company: "Many" }, { LastName: "E" }], { allOrNone: true });
  assert.equal(all[0].errors[0].statusCode, "ALL_OR_NONE_OPERATION_ROLLED_BACK");
  assert.equal((await connection.query("SELECT COUNT() FROM Lead WHERE Company = 'Many'")).totalSize, 2);
  assert.ok((await leads.destroy(ids)).every((result) => result.success));
  assert.equal((await leads.destroy(ids))[0].errors[0].statusCode, "ENTITY_IS_DELETED");
});

test("upserts by an external id", async () => {
  await control("PATCH", "/salesforce/options", { person_external_id_field: "Marketo_Id__c" });
  const leads = connection.sobject("Lead");
  const lead = { LastName: "Upsert", Company: "U", Marketo_Id__c: "1" };
  const first = await leads.upsert(lead, "Marketo_Id__c");
  assert.equal(first.success, true);
  const [same, other] = await leads.upsert([lead, { ...lead, Marketo_Id__c: "2" }], "Marketo_Id__c");
  assert.deepEqual([same.id, same.created, other.created], [first.id, false, true]);
});

test("reads results page by page, and the recycle bin", async () => {
  const leads = connection.sobject("Lead");
  const records = Array.from({ length: 450 }, (_, n) => ({ LastName: `P${n}`, Company: "Pages" }));
  const made = await leads.create(records, { allowRecursive: true });
  assert.ok(made.every((result) => result.success));
  const soql = "SELECT Id FROM Lead WHERE Company = 'Pages'";
  const small = { headers: { "Sforce-Query-Options": "batchSize=200" } };
  const first = await connection.query(soql, small);
  assert.deepEqual([first.totalSize, first.done, first.records.length], [450, false, 200]);
  const second = await connection.queryMore(first.nextRecordsUrl);
  const third = await connection.queryMore(second.nextRecordsUrl);
  assert.deepEqual([third.done, third.records.length], [true, 50]);
  const all = await connection.query(soql, { ...small, autoFetch: true, maxFetch: 1000 });
  assert.equal(new Set(all.records.map((record) => record.Id)).size, 450);
  await leads.destroy(made.slice(0, 200).map((result) => result.id));
  assert.equal((await connection.query(`${soql} AND IsDeleted = true`)).totalSize, 0);
  assert.equal((await connection.query(`${soql} AND IsDeleted = true`, { scanAll: true })).totalSize, 200);
  await control("POST", "/salesforce/locators/expire");
  await refused(() => connection.queryMore(first.nextRecordsUrl), "INVALID_QUERY_LOCATOR");
});

test("tells what changed and what is gone", async () => {
  const leads = connection.sobject("Lead");
  const [kept, gone] = await leads.create([{ LastName: "K", Company: "W" }, { LastName: "G", Company: "W" }]);
  await leads.destroy(gone.id);
  await control("POST", "/clock", { advance_seconds: 180 });
  const end = new Date((await control("GET", "/clock")).now);
  const start = new Date(end - 30 * 60000);
  assert.ok((await leads.updated(start, end)).ids.includes(kept.id));
  const { deletedRecords } = await leads.deleted(start, end);
  assert.ok(deletedRecords.some((record) => record.id === gone.id));
  await refused(() => leads.updated(new Date(end - 60 * 86400000), end), "INVALID_REPLICATION_DATE");
});

test("converts and merges leads by SOAP", async () => {
  const leads = connection.sobject("Lead");
  const campaign = await connection.sobject("Campaign").create({ Name: "SOAP" });
  const lead = await leads.create({ LastName: "Convert", Company: "Acme & Sons" });
  const member = await connection.sobject("CampaignMember").create({ CampaignId: campaign.id, LeadId: lead.id });
  const convert = { leadId: lead.id, convertedStatus: "Closed - Converted", doNotCreateOpportunity: true };
  const result = await connection.soap.convertLead(convert);
  assert.deepEqual([result.success, result.leadId, result.opportunityId], [true, lead.id, null]);
  const row = await connection.sobject("CampaignMember").retrieve(member.id);
  assert.deepEqual([row.LeadId, row.ContactId], [lead.id, result.contactId]);
  assert.equal((await connection.sobject("Account").retrieve(result.accountId)).Name, "Acme & Sons");
  await refused(() => leads.update({ Id: lead.id, Title: "T" }), "CANNOT_UPDATE_CONVERTED_LEAD");
  const again = await connection.soap.convertLead([convert]);
  assert.deepEqual([again[0].success, again[0].errors[0].statusCode], [false, "CANNOT_UPDATE_CONVERTED_LEAD"]);
  const [winner, loser] = await leads.create([{ LastName: "W", Company: "M" }, { LastName: "L", Company: "M" }]);
  const merged = await connection.soap.merge({ masterRecord: { type: "Lead", Id: winner.id }, recordToMergeIds: [loser.id] });
  assert.deepEqual([merged.success, merged.mergedRecordIds], [true, [loser.id]]);
  const found = await connection.query(`SELECT MasterRecordId FROM Lead WHERE Id = '${loser.id}'`, { scanAll: true });
  assert.equal(found.records[0].MasterRecordId, winner.id);
});

test("gets through a bad gateway", async () => {
  const bad = { answer: { status: 502, content_type: "text/html", body: "<html>bad gateway</html>" } };
  await control("POST", "/faults", { vendor: "salesforce", method: "GET", path_contains: "/limits", times: 2, action: bad });
  assert.ok((await connection.limits()).DailyApiRequests);
});
