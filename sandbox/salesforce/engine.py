"""The record engine of the Salesforce stand-in: schema, writes, sign-in, and people's edits.

HTTP-free and clock-injected, so that both the HTTP app and a simulation drive the same rules.
Order of checks: field exists, field is writable, type and length, picklist, lookups, required,
unique. Each refusal carries the vendor's own code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from sandbox.org import Delivery, SandboxError
from sandbox.records import Clock, Event, Json, RecordStore, Row
from sandbox.salesforce import checks, effects
from sandbox.salesforce.errors import SalesforceError
from sandbox.salesforce.ids import is_id, make_id, pod, to_18
from sandbox.salesforce.objects import DEFAULT_CURRENCY, OBJECTS, STAGES
from sandbox.salesforce.outbound import outbound_messages
from sandbox.salesforce.reading import Reader
from sandbox.salesforce.rules import Rules
from sandbox.salesforce.schema import SalesforceObject
from sandbox.salesforce.seed import INTEGRATION_USER, seed_org, user_address
from sandbox.salesforce.sessions import Sessions
from sandbox.salesforce.unique import UniqueIndex
from sandbox.salesforce.values import to_store

#: What only a person (here: adding products to a deal) can set.
_PERSON_FIELDS = frozenset({"HasOpportunityLineItem"})
#: Lookups that follow the winner when accounts are merged.
_CHILD_LOOKUPS = (
    ("Opportunity", "AccountId"),
    ("Deal_Registration__c", "Account__c"),
    ("Account", "ParentId"),
    ("Contact", "AccountId"),
)


class SalesforceOrg:
    """One Salesforce org; satisfies `sandbox.org.Org`."""

    crm = "salesforce"

    def __init__(
        self, clock: Clock, credentials: Mapping[str, str], path: Path | None = None, seed: int = 0
    ) -> None:
        self.credentials = dict(credentials)
        self._pod = pod(seed)
        self.org_id = make_id("00D", self._pod, 1)
        self.store = RecordStore(clock, self._new_id, path)
        self.sessions = Sessions(self.org_id, self.credentials, user_address(INTEGRATION_USER))
        self._hidden: set[tuple[str, str]] = set()
        self._locks: Counter[str] = Counter()
        self._unique = UniqueIndex(self.store)
        self.rules = Rules(self.store, self._pod)
        self.reader = Reader(self.store, self.object_named, self._pod)
        #: Calls allowed in a day, and calls counted, for `Sforce-Limit-Info`.
        self.calls_max = 100_000
        self._calls: Counter[str] = Counter()

    # The schema as the integration user sees it

    def object_named(self, name: str) -> SalesforceObject | None:
        """Find an object by its name in any case, without the fields hidden from our user."""
        thing = OBJECTS.get(name) or next(
            (o for n, o in OBJECTS.items() if n.lower() == name.lower()), None
        )
        if thing is None or not any(thing.name == hidden for hidden, _ in self._hidden):
            return thing
        visible = {n: f for n, f in thing.fields.items() if (thing.name, n) not in self._hidden}
        return replace(thing, fields=visible)

    def hide_field(self, object_name: str, field: str) -> None:
        """Take a field from the integration user, as field-level security does."""
        self._hidden.add((object_name, field))

    def show_field(self, object_name: str, field: str) -> None:
        """Give a hidden field back."""
        self._hidden.discard((object_name, field))

    def hide_records(self, *record_ids: str) -> None:
        """Take records out of the integration user's sight, as sharing by territory does."""
        self.reader.unseen.update(record_ids)

    # Sign-in, quota, locks

    @property
    def integration_user_id(self) -> str:
        """The user that the API writes as."""
        return self.user_named(INTEGRATION_USER)

    def expire_tokens(self) -> None:
        """Make every token invalid from now on."""
        self.sessions.expire_all()

    def count_call(self) -> int:
        """Count one API call against today's quota; REQUEST_LIMIT_EXCEEDED beyond it."""
        with self.store.exclusive():
            if self.calls_today >= self.calls_max:
                raise SalesforceError(
                    "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", status=403
                )
            self._calls[self.store.clock().date().isoformat()] += 1
            return self.calls_today

    @property
    def calls_today(self) -> int:
        """API calls counted today."""
        return self._calls[self.store.clock().date().isoformat()]

    def lock_row(self, record_id: str, times: int = 1) -> None:
        """Refuse the next writes to a record with UNABLE_TO_LOCK_ROW."""
        self._locks[record_id] = times

    # API writes

    def insert(self, object_name: str, fields: Mapping[str, Json], by: str) -> Row:
        """Create a record; `SalesforceError` if refused."""
        thing = self._writable(object_name)
        with self.store.exclusive():
            values = self._clean(thing, fields, creating=True)
            for name in ("OwnerId", "CurrencyIsoCode"):
                if name in thing.fields and values.get(name) is None:
                    values[name] = by if name == "OwnerId" else DEFAULT_CURRENCY
            values |= effects.of_stage(thing, values)
            self.rules.check_record_type(thing, values)
            checks.lookups(self.store, thing, values)
            checks.required(thing, values, creating=True)
            self._unique.check(thing, values, record_id=None)
            self.rules.check(thing, values, record_id=None)
            row = self.store.insert(thing.name, values, by)
            self._unique.learn(thing, row)
            effects.add_product(self.store, row, by)
            return row

    def patch(
        self,
        object_name: str,
        record_id: str,
        fields: Mapping[str, Json],
        by: str,
        *,
        person: bool = False,
    ) -> Row:
        """Change fields of a record; `SalesforceError` if refused."""
        thing = self._writable(object_name)
        with self.store.exclusive():
            row = self.live(thing, record_id)
            if row.fields.get("IsConverted"):
                raise SalesforceError(
                    "CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead"
                )
            if self._locks[row.id] > 0:
                self._locks[row.id] -= 1
                raise SalesforceError(
                    "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record"
                )
            values = self._clean(thing, fields, creating=False, person=person)
            if row.fields.get("HasOpportunityLineItem"):
                values.pop("Amount", None)
            values |= effects.of_stage(thing, values)
            self.rules.check_record_type(thing, values)
            checks.lookups(self.store, thing, values)
            checks.required(thing, values, creating=False)
            self._unique.check(thing, values, record_id=row.id)
            self.rules.check(thing, values, record_id=row.id)
            self._unique.forget(thing, row)
            row = self.store.update(row, values, by)
            self._unique.learn(thing, row)
            return row

    def check_shape(self, object_name: str, fields: Mapping[str, Json]) -> None:
        """Refuse what makes Salesforce reject a whole request: unknown fields, unreadable values."""
        self._clean(self._writable(object_name), fields, creating=False, shape_only=True)

    # The control door: what a person does in the screens

    def add(self, object_name: str, fields: Mapping[str, Json], user: str) -> Row:
        """Create a record as a person would."""
        return self.insert(object_name, fields, self.user_named(user))

    def edit(self, object_name: str, record_id: str, fields: Mapping[str, Json], user: str) -> Row:
        """Change a record as a person would."""
        by = self.user_named(user)
        return self.patch(object_name, record_id, fields, by, person=True)

    def remove(self, object_name: str, record_id: str, user: str) -> None:
        """Put a record in the recycle bin."""
        self.discard(object_name, record_id, self.user_named(user))

    def discard(self, object_name: str, record_id: str, by: str) -> Row:
        """Put a record in the recycle bin, over the API."""
        thing = self._writable(object_name)
        with self.store.exclusive():
            row = self.live(thing, record_id)
            self._unique.forget(thing, row)
            self.store.delete(row, by)
            return row

    def restore(self, object_name: str, record_id: str, user: str) -> Row:
        """Take a record out of the recycle bin as a person would, the loser of a merge too.

        It has its id and values again, a new stamp, and none of the children that a merge moved.
        """
        thing, by = self._writable(object_name), self.user_named(user)
        with self.store.exclusive():
            row = self.store.get(thing.name, record_id, deleted=True)
            if row is None or not row.deleted:
                raise SalesforceError("UNDELETE_FAILED", "Entity is not in the recycle bin")
            self._unique.check(thing, row.fields, record_id=row.id)
            self.store.restore(row, by)
            self._unique.learn(thing, row)
            return row

    def purge(self, object_name: str, record_id: str) -> None:
        """Empty the recycle bin of a record: nothing tells of it any more."""
        thing = self._writable(object_name)
        with self.store.exclusive():
            row = self.store.get(thing.name, record_id, deleted=True)
            if row is None or not row.deleted:
                raise SandboxError(f"no {thing.name} record {record_id!r} in the recycle bin")
            self.store.purge(row)

    def merge(self, object_name: str, loser_id: str, winner_id: str, user: str) -> None:
        """Merge two accounts: the loser goes to the bin, its children move to the winner."""
        thing = self._writable(object_name)
        if not thing.mergeable:
            raise SalesforceError("INVALID_TYPE", f"entity type cannot be merged: {thing.name}")
        by = self.user_named(user)
        with self.store.exclusive():
            loser, winner = self.live(thing, loser_id), self.live(thing, winner_id)
            if loser.id == winner.id:
                raise SalesforceError("INVALID_FIELD", "cannot merge a record with itself")
            for child_object, lookup in _CHILD_LOOKUPS:
                for child in self.store.rows(child_object):
                    if child.fields.get(lookup) == loser.id and child.id != winner.id:
                        self.store.update(child, {lookup: winner.id}, by)
            if winner.fields.get("ParentId") == loser.id:
                self.store.update(winner, {"ParentId": None}, by)
            self._unique.forget(thing, loser)
            self.store.delete(loser, by, merged_into=winner.id)

    def convert(self, lead_id: str, account_id: str, user: str) -> Row:
        """Convert a lead as a person would: a contact and an opportunity at an account.

        Of our own fields those with a lead field mapping go over to the opportunity, which are
        all of them here; the lead gives its key up and is read-only from now on.
        """
        lead_object, by = OBJECTS["Lead"], self.user_named(user)
        with self.store.transaction():
            lead = self.live(lead_object, lead_id)
            account = self.live(OBJECTS["Account"], account_id)
            named = {n: lead.fields.get(n) for n in ("LastName", "FirstName", "Email")}
            contact = self.insert("Contact", {**named, "AccountId": account.id}, by)
            carried = {n: v for n, v in lead.fields.items() if n.startswith("Dealreg_")}
            self._unique.forget(lead_object, lead)
            deal: dict[str, Json] = {
                **carried,
                "Name": lead.fields["Company"],
                "AccountId": account.id,
                "StageName": STAGES[0].name,
                "CloseDate": (self.store.clock() + timedelta(days=90)).date().isoformat(),
            }
            opportunity = self.insert("Opportunity", deal, by)
            self.store.update(
                lead,
                {
                    "IsConverted": True,
                    "Status": "Closed - Converted",
                    "ConvertedDate": self.store.clock().date().isoformat(),
                    "ConvertedAccountId": account.id,
                    "ConvertedContactId": contact.id,
                    "ConvertedOpportunityId": opportunity.id,
                },
                by,
            )
            return opportunity

    @contextmanager
    def committing_late(self, started_at: datetime) -> Iterator[None]:
        """Stamp the writes inside with an earlier time: a long transaction that commits only now."""
        with self.store.exclusive():
            clock = self.store.clock
            self.store.clock = lambda: started_at
            try:
                yield
            finally:
                self.store.clock = clock

    def seed(self) -> None:
        """Fill a new org with users, stages, currencies and the shared accounts; idempotent."""
        seed_org(self)

    def deliveries(self, events: list[Event], webhook_base: str) -> list[Delivery]:
        """Word these events as Outbound Messages."""
        secret = self.credentials["webhook_secret"]
        url = f"{webhook_base.rstrip('/')}/webhooks/salesforce/{secret}"
        return outbound_messages(self.store, self.org_id, self._pod, events, url)

    def user_named(self, name: str) -> str:
        """Find a user's id by id, name, username or alias; `SandboxError` lists who there is."""
        users = self.store.rows("User")
        for row in users:
            known = {row.id, *(row.fields.get(f) for f in ("Name", "Username", "Alias"))}
            if name in known:
                return row.id
        names = ", ".join(sorted(str(row.fields["Name"]) for row in users)) or "nobody: seed first"
        raise SandboxError(f"no user {name!r} in the Salesforce org; there is {names}")

    # Rules

    def _new_id(self, object_name: str) -> str:
        number = self.store.size(object_name) + 1
        return make_id(OBJECTS[object_name].prefix, self._pod, number)

    def _writable(self, object_name: str) -> SalesforceObject:
        thing = self.object_named(object_name)
        if thing is None:
            raise SalesforceError(
                "INVALID_TYPE", f"sObject type '{object_name}' is not supported.", status=404
            )
        if not thing.writable:
            raise SalesforceError(
                "INVALID_TYPE_FOR_OPERATION", f"entity type {thing.name} does not support this"
            )
        return thing

    def live(
        self, thing: SalesforceObject, record_id: str, missing: SalesforceError | None = None
    ) -> Row:
        """Return a record that is not deleted; `missing` says how to word that there is none."""
        if not is_id(record_id):
            raise SalesforceError("MALFORMED_ID", f"malformed id {record_id}", ("Id",))
        row = self.store.get(thing.name, to_18(record_id), deleted=True)
        if row is None:
            raise missing or SalesforceError(
                "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"
            )
        if row.deleted:
            raise SalesforceError("ENTITY_IS_DELETED", "entity is deleted", status=404)
        return row

    def _clean(
        self,
        thing: SalesforceObject,
        fields: Mapping[str, Json],
        *,
        creating: bool,
        person: bool = False,
        shape_only: bool = False,
    ) -> dict[str, Json]:
        by_name = {name.lower(): field for name, field in thing.fields.items()}
        values: dict[str, Json] = {}
        for name, value in fields.items():
            field = by_name.get(name.lower())
            if field is None:
                raise SalesforceError(
                    "INVALID_FIELD", f"No such column '{name}' on sobject of type {thing.name}"
                )
            allowed = field.createable if creating else field.updateable
            if not allowed and not shape_only and not (person and field.name in _PERSON_FIELDS):
                raise SalesforceError(
                    "INVALID_FIELD_FOR_INSERT_UPDATE",
                    f"Unable to create/update fields: {field.name}. Please check the security "
                    "settings of this field and verify that it is read/write for your profile or "
                    "permission set.",
                    (field.name,),
                )
            try:
                values[field.name] = to_store(field, value)
            except SalesforceError as refusal:
                if not shape_only or refusal.code == "JSON_PARSER_ERROR":
                    raise
        return values
