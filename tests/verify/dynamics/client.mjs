// DynamicsWebApi, a client that nobody here wrote, against the stand-in: what the Python SDK does
// not do. Each step says what has to be seen; the first difference ends the script.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { DynamicsWebApi } from "dynamics-web-api";

const api = new DynamicsWebApi({
  serverUrl: process.env.DYNAMICS_URL,
  dataApi: { version: "9.2" },
  onTokenRefresh: async () => process.env.DYNAMICS_TOKEN,
});
const collection = "opportunities";

// Functions and metadata.
const me = await api.callFunction("WhoAmI");
assert.match(me.UserId, /^[0-9a-f-]{36}$/);
assert.match(await api.retrieveCsdlMetadata(), /<edmx:Edmx/);
const tables = await api.retrieveEntities({ select: ["LogicalName", "EntitySetName"] });
assert.ok(tables.value.some((t) => t.LogicalName === "opportunity" && t.EntitySetName === collection));

// Versions: a read of what is known already, and writes on an old version.
const id = await api.create({ collection, data: { name: "By DynamicsWebApi" } });
const first = await api.retrieve({ collection, key: id, select: ["name"] });
const tag = first["@odata.etag"];
assert.equal(first.name, "By DynamicsWebApi");
assert.equal(await api.retrieve({ collection, key: id, select: ["name"], ifnonematch: tag }), undefined);
assert.equal(await api.update({ collection, key: id, data: { name: "Again" }, ifmatch: tag }), true);
assert.equal(await api.update({ collection, key: id, data: { name: "Late" }, ifmatch: tag }), false);
assert.equal(await api.deleteRecord({ collection, key: id, ifmatch: tag }), false);

// Upserts by alternate key.
const key = `dr_dealregid='${randomUUID()}'`;
const made = await api.upsert({
  collection, key, data: { name: "Upserted" }, returnRepresentation: true, select: ["name"],
});
assert.equal(made.name, "Upserted");
// A create-only write on a record that is there is refused, which the client words as null.
assert.equal(await api.upsert({ collection, key, data: { name: "Twice" }, ifnonematch: "*" }), null);
const kept = await api.retrieve({ collection, key, select: ["name"] });
assert.equal(kept.name, "Upserted");
const page = await api.retrieveMultiple({
  collection, select: ["name"], filter: "name eq 'Upserted'", count: true,
});
assert.ok(page["@odata.count"] >= 1);

// Pages and the tracked feed.
const marked = `Node ${randomUUID()}`;
for (let n = 0; n < 5; n += 1) await api.create({ collection, data: { name: `${marked} ${n}` } });
const all = await api.retrieveAll({
  collection, select: ["name"], filter: `startswith(name,'${marked}')`, maxPageSize: 2,
});
assert.equal(all.value.length, 5);
let feed = await api.retrieveMultiple({ collection, select: ["name"], trackChanges: true, maxPageSize: 4 });
while (feed["@odata.nextLink"]) {
  feed = await api.retrieveMultiple({ collection, maxPageSize: 4 }, feed["@odata.nextLink"]);
}
assert.ok(feed["@odata.deltaLink"]);
await api.update({ collection, key: id, data: { name: "News" } });
await api.deleteRecord({ collection, key: all.value[0].opportunityid });
const news = await api.retrieveMultiple({ collection }, feed["@odata.deltaLink"]);
assert.ok(news.value.some((row) => row.opportunityid === id && row.name === "News"));
assert.ok(news.value.some((row) => row.reason === "deleted" && row.id === all.value[0].opportunityid));

// Batches with bare line feeds: a change set that refers to its own record.
api.startBatch();
api.create({ collection: "accounts", data: { name: "Batched Ltd" }, contentId: "1" });
api.create({ collection, data: { name: "Batched", "parentaccountid@odata.bind": "$1" } });
const [account, deal] = await api.executeBatch();
const linked = await api.retrieve({ collection, key: deal, select: ["_parentaccountid_value"] });
assert.equal(linked._parentaccountid_value, account);
api.startBatch();
api.retrieve({ collection, key: deal, select: ["name"] });
api.retrieve({ collection: "accounts", key: account, select: ["name"] });
const [read, readAccount] = await api.executeBatch();
assert.deepEqual([read.name, readAccount.name], ["Batched", "Batched Ltd"]);

// Closing by action; a second time is refused with the documented code.
const close = {
  Status: 3,
  OpportunityClose: { subject: "Won", "opportunityid@odata.bind": `/opportunities(${deal})`, actualrevenue: 70 },
};
const win = { actionName: "WinOpportunity", action: close };
await api.callAction(win);
const won = await api.retrieve({ collection, key: deal, select: ["statecode", "statuscode", "actualvalue"] });
assert.deepEqual([won.statecode, won.statuscode, won.actualvalue], [1, 3, 70]);
await assert.rejects(api.callAction(win), (error) => error.code === "0x80040515");

// Refusals: a wrong column, a missing record, and too many requests with the time to wait.
await assert.rejects(api.create({ collection, data: { nmae: "x" } }), (error) => error.status === 400);
await assert.rejects(
  api.retrieve({ collection, key: randomUUID() }),
  (error) => error.status === 404 && error.code === "0x80040217",
);
await assert.rejects(
  api.retrieveMultiple({ collection: "contacts" }),
  (error) => error.status === 429 && String(error.headers["retry-after"]) === "11",
);
