// Drives the Salesforce stand-in with jsforce, as a client of a real org would. Prints what differs.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import jsforce from "jsforce";

const url = process.env.SALESFORCE_URL;
const oauth2 = {
  clientId: process.env.SALESFORCE_CLIENT_ID,
  clientSecret: process.env.SALESFORCE_CLIENT_SECRET,
  loginUrl: url,
};

// Client credentials, then a refresh token that takes over when the session is dead.
const conn = new jsforce.Connection({ oauth2, instanceUrl: url, version: "67.0" });
await conn.authorize({ grant_type: "client_credentials" });
assert.match(conn.userInfo.organizationId, /^00D.{15}$/);
assert.match(conn.userInfo.id, /^005.{15}$/);

const refreshed = new jsforce.Connection({
  oauth2,
  instanceUrl: url,
  version: "67.0",
  accessToken: "00D000000000001!dead",
  refreshToken: process.env.SALESFORCE_REFRESH_TOKEN,
});
let renewed = 0;
refreshed.on("refresh", () => (renewed += 1));
assert.equal((await refreshed.query("SELECT Id FROM Organization")).totalSize, 1);
assert.equal(renewed, 1);

// Discovery
const listed = await conn.describeGlobal();
assert.ok(listed.sobjects.some((o) => o.name === "Opportunity" && o.keyPrefix === "006"));
const described = await conn.sobject("Opportunity").describe();
const key = described.fields.find((f) => f.name === "Dealreg_Id__c");
assert.ok(key.externalId && key.unique && key.idLookup);
assert.ok(described.recordTypeInfos.some((t) => t.developerName === "Partner_Deal" && t.available));
const limits = await conn.limits();
assert.ok(limits.DailyApiRequests.Remaining > 0);
assert.ok(conn.limitInfo.apiUsage.used > 0);

// One record
const account = await conn.sobject("Account").create({ Name: "O'Neill & Söhne" });
assert.ok(account.success);
assert.match(account.id, /^001.{15}$/);
const found = await conn.sobject("Account").findOne({ Name: "O'Neill & Söhne" }, ["Id", "Name"]);
assert.equal(found.Id, account.id);
assert.ok((await conn.sobject("Account").update({ Id: account.id, Phone: "1" })).success);
assert.equal((await conn.sobject("Account").retrieve(account.id)).Phone, "1");
await assert.rejects(
  () => conn.sobject("Account").update({ Id: account.id, Nonsense__c: "1" }),
  (e) => e.errorCode === "INVALID_FIELD",
);
await assert.rejects(
  () => conn.sobject("Nonsense__c").create({ Name: "x" }),
  (e) => e.errorCode === "NOT_FOUND",
);
await assert.rejects(
  () => conn.sobject("Account").create({ Phone: "1" }),
  (e) => e.errorCode === "REQUIRED_FIELD_MISSING",
);

// Words, in several objects at once
const named = await conn.search("FIND {neill söh*} IN NAME FIELDS RETURNING Account(Id, Name), Lead");
assert.deepEqual(
  named.searchRecords.map((r) => [r.attributes.type, r.Id, r.Name]),
  [["Account", account.id, "O'Neill & Söhne"]],
);
await assert.rejects(() => conn.search("FIND neill"), (e) => e.errorCode === "MALFORMED_SEARCH");

// Upsert by external id: created, then updated
const deal = {
  Dealreg_Id__c: randomUUID(), Name: "A deal", StageName: "Prospecting", CloseDate: "2027-06-30",
};
const made = await conn.sobject("Opportunity").upsert({ ...deal }, "Dealreg_Id__c");
assert.ok(made.success && made.created);
const again = await conn.sobject("Opportunity").upsert({ ...deal, Amount: 12.5 }, "Dealreg_Id__c");
assert.ok(again.success && !again.created);
assert.equal(again.id, made.id);
const read = await conn.sobject("Opportunity").retrieve(made.id);
assert.equal(read.Amount, 12.5);
assert.equal(read.CloseDate, "2027-06-30");
assert.match(read.SystemModstamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000$/);

// Many records, each with its own answer
const many = await conn.sobject("Opportunity").create(
  [1, 2, 3].map((n) => ({ ...deal, Dealreg_Id__c: n === 3 ? deal.Dealreg_Id__c : randomUUID() })),
);
assert.deepEqual(many.map((r) => r.success), [true, true, false]);
assert.equal(many[2].errors[0].statusCode, "DUPLICATE_VALUE");
const ids = many.slice(0, 2).map((r) => r.id);
const changed = await conn.sobject("Opportunity").update(ids.map((Id) => ({ Id, NextStep: "call" })));
assert.ok(changed.every((r) => r.success));
const both = await conn.sobject("Opportunity").retrieve(ids);
assert.deepEqual(both.map((r) => r.NextStep), ["call", "call"]);
const upserted = await conn.sobject("Opportunity").upsert(
  [{ ...deal }, { ...deal, Dealreg_Id__c: randomUUID() }],
  "Dealreg_Id__c",
);
assert.deepEqual(upserted.map((r) => [r.success, r.created]), [[true, false], [true, true]]);

// Deletion, and what is told of it
assert.ok((await conn.sobject("Opportunity").destroy(ids[0])).success);
assert.ok((await conn.sobject("Opportunity").destroy([ids[1]]))[0].success);
await assert.rejects(
  () => conn.sobject("Opportunity").retrieve(ids[0]),
  (e) => e.errorCode === "ENTITY_IS_DELETED",
);
const all = await conn.query(`SELECT Id, IsDeleted FROM Opportunity WHERE Id = '${ids[0]}'`, {
  scanAll: true,
});
assert.equal(all.records[0].IsDeleted, true);
const [start, end] = [new Date(Date.now() - 3600_000), new Date(Date.now() + 120_000)];
const deleted = await conn.sobject("Opportunity").deleted(start, end);
assert.ok(deleted.deletedRecords.some((r) => r.id === ids[0]));
const updated = await conn.sobject("Opportunity").updated(start, end);
assert.ok(updated.ids.includes(made.id));
assert.ok(updated.latestDateCovered);

// Pages
const numbers = Array.from({ length: 450 }, (_, n) => ({ Name: `Paged ${n}` }));
const paged = await conn.sobject("Account").create(numbers, { allowRecursive: true });
assert.ok(paged.every((r) => r.success));
const first = await conn.query("SELECT Id FROM Account WHERE Name LIKE 'Paged %'", {
  headers: { "Sforce-Query-Options": "batchSize=200" },
});
assert.equal(first.totalSize, 450);
let rows = first.records.length;
for (let page = first; !page.done; rows += page.records.length) {
  page = await conn.queryMore(page.nextRecordsUrl);
}
assert.equal(rows, 450);

// Bulk API 2.0
conn.bulk2.pollInterval = 50;
conn.bulk2.pollTimeout = 30_000;
const load = [
  { ...deal, Dealreg_Id__c: randomUUID(), Name: 'Bulk "one", two' },
  { ...deal },
];
const loaded = await conn.bulk2.loadAndWaitForResults({
  object: "Opportunity", operation: "insert", input: load,
});
assert.equal(loaded.successfulResults.length, 1);
assert.equal(loaded.successfulResults[0].Name, 'Bulk "one", two');
assert.match(loaded.failedResults[0].sf__Error, /^DUPLICATE_VALUE:/);
const stream = await conn.bulk2.query("SELECT Id, Name FROM Account WHERE Name LIKE 'Paged %'");
assert.equal((await stream.toArray()).length, 450);
