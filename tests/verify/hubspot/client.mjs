// @hubspot/api-client, a client that nobody here wrote, against the stand-in by its v3 and v4 paths.
// Each step says what has to be seen; the first difference ends the script.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { Client, Signature } from "@hubspot/api-client";

const client = new Client({
  accessToken: process.env.HUBSPOT_TOKEN,
  basePath: process.env.HUBSPOT_URL,
  numberOfApiCallRetries: 0,
});
const { deals, companies, contacts } = client.crm;
const base = { pipeline: "default", dealstage: "appointmentscheduled" };

// Records: create, read by id and by unique property, update, history, archive.
const key = randomUUID();
const made = await deals.basicApi.create({
  properties: { ...base, dealname: "By Node", dealreg_id: key }, associations: [],
});
assert.match(made.id, /^\d+$/);
assert.ok(made.createdAt instanceof Date && !Number.isNaN(made.createdAt.getTime()));
const byKey = await deals.basicApi.getById(
  key, ["dealname"], ["dealname"], undefined, false, "dealreg_id",
);
assert.equal(byKey.id, made.id);
assert.equal(byKey.propertiesWithHistory.dealname[0].sourceType, "INTEGRATION");
await deals.basicApi.update(made.id, { properties: { amount: "12.30", dealname: "" } }).then(
  () => assert.fail("a deal without a name was taken"),
  (error) => assert.equal(error.code, 400),
);
const changed = await deals.basicApi.update(made.id, { properties: { amount: "12.30" } });
assert.equal(Number(changed.properties.amount), 12.3);
const doomed = await deals.basicApi.create({ properties: { ...base, dealname: "D" }, associations: [] });
await deals.basicApi.archive(doomed.id);
await deals.basicApi.getById(doomed.id).then(
  () => assert.fail("an archived deal was read"),
  (error) => assert.equal(error.code, 404),
);
const binned = await deals.basicApi.getById(
  doomed.id, [], undefined, undefined, true,
);
assert.ok(binned.archived && binned.archivedAt instanceof Date);

// Batches: partial success, where every row has a trace id.
const [good, bad] = [randomUUID(), randomUUID()];
const partly = await deals.batchApi.create({
  inputs: [
    { objectWriteTraceId: good, properties: { ...base, dealname: "G", dealreg_id: good }, associations: [] },
    { objectWriteTraceId: bad, properties: { ...base, dealname: "B", dealreg_id: key }, associations: [] },
  ],
});
assert.equal(partly.results.length, 1);
assert.equal(partly.numErrors, 1);
assert.deepEqual(partly.errors[0].context.objectWriteTraceId, [bad]);
const read = await deals.batchApi.read({
  inputs: [{ id: key }, { id: good }], properties: ["dealname"], propertiesWithHistory: [],
  idProperty: "dealreg_id",
});
assert.equal(read.results.length, 2);

// Pages and search.
const page = await companies.basicApi.getPage(3);
assert.equal(page.results.length, 3);
const next = await companies.basicApi.getPage(3, page.paging.next.after);
assert.ok(Number(next.results[0].id) > Number(page.results[2].id));
const found = await companies.searchApi.doSearch({
  filterGroups: [{ filters: [{ propertyName: "hs_object_id", operator: "EQ", value: page.results[0].id }] }],
  properties: ["name"], sorts: ["hs_object_id"], limit: 10, after: "0",
});
assert.deepEqual([found.total, found.results[0].id], [1, page.results[0].id]);

// Associations: primary, unlabelled, removed.
const company = page.results[0].id;
await client.crm.associations.v4.batchApi.create("deals", "companies", {
  inputs: [{
    _from: { id: made.id }, to: { id: company },
    types: [{ associationCategory: "HUBSPOT_DEFINED", associationTypeId: 5 }],
  }],
});
const linked = await client.crm.associations.v4.batchApi.getPage("deals", "companies", {
  inputs: [{ id: made.id }],
});
assert.equal(String(linked.results[0].to[0].toObjectId), company);
assert.deepEqual(linked.results[0].to[0].associationTypes.map((t) => t.typeId).sort(), [341, 5]);
const listed = await deals.basicApi.getById(made.id, ["dealname"], undefined, ["companies"]);
assert.deepEqual(
  listed.associations.companies.results.map((r) => r.type).sort(),
  ["deal_to_company", "deal_to_company_unlabeled"],
);
await client.crm.associations.v4.batchApi.archive("deals", "companies", {
  inputs: [{ _from: { id: made.id }, to: [{ id: company }] }],
});
const person = await contacts.basicApi.create({ properties: { firstname: "Ada" }, associations: [] });
assert.match(person.id, /^\d+$/);

// Definitions.
const properties = await client.crm.properties.coreApi.getAll("deals");
assert.ok(properties.results.find((p) => p.name === "dealreg_id").hasUniqueValue);
const pipelines = await client.crm.pipelines.pipelinesApi.getAll("deals");
const won = pipelines.results[0].stages.find((s) => s.id === "closedwon");
assert.equal(won.metadata.probability, "1.0");
const owners = await client.crm.owners.ownersApi.getPage();
assert.ok(owners.results.length >= 2);

// Merge: a new id, to which both old ones lead.
const other = await deals.basicApi.create({ properties: { ...base, dealname: "O" }, associations: [] });
const survivor = await deals.basicApi.merge({ primaryObjectId: made.id, objectIdToMerge: other.id });
assert.ok(![made.id, other.id].includes(survivor.id));
assert.equal((await deals.basicApi.getById(other.id)).id, survivor.id);

// The vendor's own opinion of the signatures that the stand-in sends, and of a changed body.
const sent = JSON.parse(process.env.HUBSPOT_DELIVERY);
const judged = (signatureVersion, signature, requestBody) => Signature.isValid({
  signatureVersion, signature, requestBody, method: "POST", url: sent.url,
  clientSecret: sent.secret, timestamp: Number(sent.headers["X-HubSpot-Request-Timestamp"]),
});
assert.ok(judged("v3", sent.headers["X-HubSpot-Signature-v3"], sent.body));
assert.ok(!judged("v3", sent.headers["X-HubSpot-Signature-v3"], `${sent.body} `));
assert.ok(judged("v1", sent.headers["X-HubSpot-Signature"], sent.body));
