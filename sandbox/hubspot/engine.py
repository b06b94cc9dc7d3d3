"""The record engine of the HubSpot stand-in: no HTTP, no threads, no clock of its own.

Sources: HubSpot developer documentation, "Using object APIs", "Deals", "Error handling",
"Pipelines"; HubSpot Knowledge Base, "Merge records".
"""

from __future__ import annotations

import itertools
import json
import random
import zlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sandbox.hubspot import webhooks
from sandbox.hubspot.access import Access
from sandbox.hubspot.association_types import ASSOCIATION_TYPES
from sandbox.hubspot.defined import Definitions
from sandbox.hubspot.limits import RateLimits
from sandbox.hubspot.links import Links
from sandbox.hubspot.schema import OBJECT_TYPES, ObjectType, object_type
from sandbox.hubspot.validation import UniqueValues, checked, refuse_taken_email
from sandbox.hubspot.values import HubSpotError, invalid_properties
from sandbox.org import Delivery
from sandbox.records import Event, Json, RecordStore, Row

#: What a person writes to set a deal's primary company; not a property of HubSpot.
PRIMARY_COMPANY = "associations.companies"

_ACCOUNTS = Path(__file__).parent.parent / "data" / "accounts.json"
_OWNERS = (
    ("Integration", "User", "integration@dealreg.example"),
    ("Sales Rep", "East", "rep.east@dealreg.example"),
    ("Sales Rep", "West", "rep.west@dealreg.example"),
)
_OWNER_ID_FIRST = 701_100
#: User id of the person who made the app; the first of the owners.
INTEGRATION_USER_ID = 58_200_100


class HubSpotOrg:
    """One portal; satisfies `sandbox.org.Org`.

    `index_lag` delays what search sees (the vendor's index lags by moments up to some 30 s);
    `errors_under_200` makes batch calls report failed rows under 200 instead of 207;
    `webhooks_unruly` sends events out of order and some of them twice; `keeps_primary_id` merges
    into the primary record instead of a new one, as portals in a beta of HubSpot's do.
    """

    crm = "hubspot"

    def __init__(
        self,
        clock: Callable[[], datetime],
        credentials: Mapping[str, str],
        path: Path | None = None,
        seed: int = 0,
    ) -> None:
        self.clock = clock
        self.index_lag = timedelta(0)
        self.errors_under_200 = False
        self.webhooks_unruly = False
        self.keeps_primary_id = False
        self.access = Access(
            clock,
            credentials.get("access_token", ""),
            credentials.get("app_id", ""),
            credentials.get("webhook_secret", ""),
        )
        self.limits = RateLimits(clock)
        self.webhook_secret = credentials.get("webhook_secret", "")
        self.app_user = f"app:{credentials.get('app_id', '0')}"
        self._random = random.Random(seed)
        self._next_ids: dict[str, int] = {}
        self.store = RecordStore(clock, self._new_id, path)
        self.links = Links(self.store)
        self.definitions = Definitions(self.store)
        self._unique = UniqueValues(self.store, self.definitions.kinds.values())
        if self.store.fact("org_id") is None:
            self.store.set_fact("org_id", str(46_000_000 + self._random.randrange(900_000)))
        self.org_id = self.store.fact("org_id") or ""

    def expire_tokens(self) -> None:
        """Refuse the token from now on, until `access.reissue` (static tokens do not renew)."""
        self.access.expire()

    # --- records, as the API does

    def kind(self, name: str) -> ObjectType:
        """Find an object type by any of its names; 400 when there is none."""
        found = object_type(name.replace(f"p{self.org_id}_", "p_"))
        if found is None:
            raise HubSpotError(400, f"Unable to infer object type from: {name}", "VALIDATION_ERROR")
        return self.definitions.kinds[found.name]

    def resolve(self, kind: ObjectType, record_id: str) -> Row | None:
        """Return the live record of an id, or the survivor it was merged into; None if binned."""
        row = self.store.get(kind.name, record_id, deleted=True)
        while row is not None and row.merged_into:
            row = self.store.get(kind.name, row.merged_into, deleted=True)
        return None if row is None or row.deleted else row

    def by_unique(self, kind: ObjectType, property_name: str, value: str) -> Row | None:
        """Look a record up by a unique property; 400 when the property is not unique."""
        prop = kind.properties.get(property_name)
        if prop is None or not prop.unique:
            raise HubSpotError(
                400,
                f"Unable to perform read/update/upsert by non-unique {kind.type_id} property"
                f" {property_name} in portal ID {self.org_id}",
                "VALIDATION_ERROR",
            )
        record_id = self._unique.holder(kind, property_name, value.strip())
        return self.store.get(kind.name, record_id) if record_id else None

    def create(
        self, kind: ObjectType, properties: Mapping[str, Json], targets: Iterable[Any], by: str
    ) -> Row:
        """Create a record with its associations, all or nothing; 400 names every bad property."""
        with self.store.transaction():
            links, fields = self._fit(kind, properties, targets)
            row = self.store.insert(kind.name, fields, by)
            self._unique.hold(kind, row)
            for to, types in links:
                self.links.put((kind.name, row.id), to, types, by)
            return row

    def check(
        self, kind: ObjectType, properties: Mapping[str, Json], targets: Iterable[Any]
    ) -> None:
        """Refuse what `create` would refuse, and write nothing."""
        self._fit(kind, properties, targets)

    def update(self, kind: ObjectType, row: Row, properties: Mapping[str, Json], by: str) -> Row:
        """Patch a record, all or nothing; 400 names every bad property."""
        with self.store.transaction():
            fields = self._checked(kind, properties, row)
            self._unique.release(kind, row)
            self.store.update(row, fields, by)
            self._unique.hold(kind, row)
            return row

    def archive(self, kind: ObjectType, record_id: str, by: str) -> bool:
        """Put a record in the bin; False when there is none."""
        with self.store.transaction():
            row = self.store.get(kind.name, record_id)
            if row is None:
                return False
            self._unique.release(kind, row)
            self.store.delete(row, by)
            return True

    def associate(
        self, from_: tuple[str, str], to: tuple[str, str], type_ids: Iterable[int], by: str
    ) -> None:
        """Set the labels of a pair of live records; 400 `INVALID_OBJECT_IDS` when one is not."""
        types = list(type_ids)
        for kind_name, record_id in (from_, to):
            if self.store.get(kind_name, record_id) is None:
                raise HubSpotError(
                    400,
                    "One or more associations are invalid",
                    "VALIDATION_ERROR",
                    "INVALID_OBJECT_IDS",
                    context={"ids": [record_id]},
                )
        for type_id in types:
            kind = ASSOCIATION_TYPES.get(type_id)
            if kind is None or (kind.from_type, kind.to_type) != (from_[0], to[0]):
                raise HubSpotError(
                    400, f"Association type {type_id} does not exist here", "VALIDATION_ERROR"
                )
        with self.store.transaction():
            self.links.put(from_, to, types, by)

    def merge_records(self, kind: ObjectType, primary_id: str, loser_id: str, by: str) -> Row:
        """Merge two records; the primary's values win, and the survivor has a new id, mostly."""
        with self.store.transaction():
            primary, loser = self.resolve(kind, primary_id), self.resolve(kind, loser_id)
            if primary is None or loser is None or primary.id == loser.id:
                raise HubSpotError(
                    400, f"Cannot merge {loser_id} into {primary_id}", "VALIDATION_ERROR"
                )
            olds = [loser] if self.keeps_primary_id else [primary, loser]
            merged = [str(old.fields.get("hs_merged_object_ids") or "") for old in (primary, loser)]
            fields = {**loser.fields, **primary.fields}
            fields["hs_merged_object_ids"] = ";".join(
                filter(None, [*merged, *(o.id for o in olds)])
            )
            for old in (primary, loser):
                self._unique.release(kind, old)
            survivor = primary
            if self.keeps_primary_id:
                self.store.update(primary, fields, by)
            else:
                survivor = self.store.insert(kind.name, fields, by)
            # "Property values from both objects will still be merged onto the new object."
            pasts = [each.history for each in (*olds, survivor)]
            survivor.history[:] = sorted(itertools.chain(*pasts), key=lambda change: change.at)
            for old in olds:
                self.links.move((kind.name, old.id), (kind.name, survivor.id), by)
                self.store.delete(old, by, merged_into=survivor.id)
            self._unique.hold(kind, survivor)
            return survivor

    # --- records, as a person does (`sandbox.org.Org`)

    def add(self, object_name: str, fields: Mapping[str, Json], user: str) -> Row:
        """Create a record as a person would; `associations.companies` sets the company."""
        kind, by = self.kind(object_name), self._person(user)
        properties, company = _split(fields)
        self._check_company(kind, company)
        with self.store.transaction():
            row = self.create(kind, properties, (), by)
            self._set_company(kind, row, company, by)
            return row

    def edit(self, object_name: str, record_id: str, fields: Mapping[str, Json], user: str) -> Row:
        """Change a record as a person would; None or empty text clears."""
        kind, by = self.kind(object_name), self._person(user)
        properties, company = _split(fields)
        self._check_company(kind, company)
        with self.store.transaction():
            row = self._live(kind, record_id)
            if properties:
                self.update(kind, row, properties, by)
            self._set_company(kind, row, company, by)
            return row

    def remove(self, object_name: str, record_id: str, user: str) -> None:
        """Put a record in the bin as a person would."""
        kind = self.kind(object_name)
        self.archive(kind, self._live(kind, record_id).id, self._person(user))

    def restore(self, object_name: str, record_id: str, user: str) -> None:
        """Take a record out of the bin; only possible in HubSpot's screens."""
        kind = self.kind(object_name)
        row = self.store.get(kind.name, record_id, deleted=True)
        if row is None or not row.deleted or row.merged_into:
            raise HubSpotError(404, f"No archived {kind.singular} {record_id}", "OBJECT_NOT_FOUND")
        self.store.restore(row, self._person(user))
        self._unique.hold(kind, row)

    def merge(self, object_name: str, loser_id: str, winner_id: str, user: str) -> None:
        """Merge as a person would; both ids lead to a new one afterwards."""
        self.merge_records(self.kind(object_name), winner_id, loser_id, self._person(user))

    def seed(self) -> None:
        """Fill a new portal: owners and companies; does nothing the second time."""
        with self.store.transaction():
            if self.store.fact("seeded"):
                return
            for number, (first, last, email) in enumerate(_OWNERS):
                owner = {
                    "firstName": first,
                    "lastName": last,
                    "email": email,
                    "userId": str(INTEGRATION_USER_ID + number),
                }
                self.store.insert("owners", owner, "system", str(_OWNER_ID_FIRST + number))
            self._seed_companies(json.loads(_ACCOUNTS.read_text("utf-8")))
            self.store.set_fact("seeded", "yes")

    def deliveries(self, events: list[Event], webhook_base: str) -> list[Delivery]:
        """Word these events as signed webhook deliveries of at most 100 events each."""
        return webhooks.deliveries(self, events, webhook_base)

    def disordered(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Shuffle events and say some of them again, which HubSpot does not promise not to do."""
        again = self._random.sample(events, len(events) // 2)
        return self._random.sample([*events, *again], len(events) + len(again))

    # --- within

    def _seed_companies(self, accounts: list[dict[str, Any]]) -> None:
        kind, ids = self.definitions.kinds["companies"], dict[str, str]()
        for account in accounts:
            if self.crm not in account["crms"]:
                continue
            class_ = account["class"]
            properties = {
                "name": account["name"],
                "domain": account["domain"],
                "country": account["country"],
                "city": account["city"],
                "zip": account["postcode"],
                "phone": account["phone"],
                "tax_id": account["tax_id"],
                "duns": account["duns"],
                "account_class": "direct" if class_ == "direct" else "prospect",
                "house_account": class_ == "house",
                "do_not_call": class_ == "do_not_call",
                "hubspot_owner_id": str(_OWNER_ID_FIRST + 1 + len(ids) % 2),
            }
            ids[account["key"]] = self.create(kind, properties, (), "system").id
        for account in accounts:
            parent = ids.get(account.get("parent") or "")
            if parent and account["key"] in ids:
                child = (kind.name, ids[account["key"]])
                self.associate(child, (kind.name, parent), (14,), "system")

    def _fit(
        self, kind: ObjectType, properties: Mapping[str, Json], targets: Iterable[Any]
    ) -> tuple[list[tuple[tuple[str, str], list[int]]], dict[str, Json]]:
        """Read what a record is to be made of; raises unless all of it is taken."""
        links = [self._link_target(kind, target) for target in targets]
        self._require_link(kind, [type_id for _, types in links for type_id in types])
        refuse_taken_email(kind, properties, self._unique)
        return links, self._checked(kind, properties, None)

    def _checked(
        self, kind: ObjectType, properties: Mapping[str, Json], row: Row | None
    ) -> dict[str, Json]:
        fields, faults = checked(kind, properties, row, self._unique, self._owner_exists)
        if faults:
            raise invalid_properties(faults, self.org_id)
        return fields

    def _link_target(
        self, kind: ObjectType, target: Mapping[str, Any]
    ) -> tuple[tuple[str, str], list[int]]:
        """Read one `associations[]` entry of a create; 400 when the far record is not there."""
        types = [int(entry["associationTypeId"]) for entry in target["types"]]
        far = ASSOCIATION_TYPES.get(types[0]) if types else None
        to_id = str(target["to"]["id"])
        if far is None or far.from_type != kind.name or not self.store.get(far.to_type, to_id):
            raise HubSpotError(
                400,
                "One or more associations are invalid",
                "VALIDATION_ERROR",
                "INVALID_OBJECT_IDS",
                context={"ids": [to_id]},
            )
        return (far.to_type, to_id), types

    @staticmethod
    def _require_link(kind: ObjectType, type_ids: list[int]) -> None:
        """Refuse a lead without a primary contact ("Leads guide")."""
        if kind.needs_link is not None and kind.needs_link not in type_ids:
            words = f"{kind.name} need an association of type {kind.needs_link}"
            raise HubSpotError(400, words, "VALIDATION_ERROR", "MISSING_REQUIRED_ASSOCIATION")

    def _check_company(self, kind: ObjectType, company: Json) -> None:
        if company is not None and kind.name != "deals":
            raise HubSpotError(400, f"{PRIMARY_COMPANY} is for deals only", "VALIDATION_ERROR")
        if company and self.store.get("companies", str(company)) is None:
            raise HubSpotError(400, f"No company {company}", "VALIDATION_ERROR")

    def _set_company(self, kind: ObjectType, row: Row, company: Json, by: str) -> None:
        """Set a deal's primary company; empty text takes it away, None leaves it."""
        if company is None:
            return
        here = (kind.name, row.id)
        if company:
            self.associate(here, ("companies", str(company)), (5,), by)
            return
        for company_id, types in self.links.of(here, "companies"):
            if 5 in types:
                self.links.remove(here, ("companies", company_id), by)

    def _live(self, kind: ObjectType, record_id: str) -> Row:
        row = self.resolve(kind, record_id)
        if row is None:
            raise HubSpotError(404, f"No {kind.singular} {record_id}", "OBJECT_NOT_FOUND")
        return row

    def _owner_exists(self, owner_id: str) -> bool:
        return self.store.get("owners", owner_id, deleted=True) is not None

    def _person(self, user: str) -> str:
        """Who a person at the control door is: an owner by name, email or id, or a stranger."""
        for row in self.store.rows("owners"):
            full = f"{row.fields['firstName']} {row.fields['lastName']}"
            if user in (row.id, row.fields["userId"], row.fields["email"], full):
                return f"user:{row.fields['userId']}"
        return f"user:{90_000_000 + zlib.crc32(user.encode()) % 1_000_000}"

    def _new_id(self, object_name: str) -> str:
        if object_name not in self._next_ids:
            kept = [int(row.id) for row in self.store.rows(object_name, deleted=True)]
            self._next_ids[object_name] = max([OBJECT_TYPES[object_name].first_id, *kept])
        self._next_ids[object_name] += self._random.randrange(1, 90)
        return str(self._next_ids[object_name])


def _split(fields: Mapping[str, Json]) -> tuple[dict[str, Json], Json]:
    """Part a person's fields into properties ("" clears) and the company (None = not named)."""
    properties: dict[str, Json] = {
        name: "" if value is None else value
        for name, value in fields.items()
        if name != PRIMARY_COMPANY
    }
    company = fields.get(PRIMARY_COMPANY)
    return properties, "" if PRIMARY_COMPANY in fields and company is None else company
