"""The record engine of the Dynamics 365 stand-in: rules of the tables, tokens, the change feed.

No HTTP, no threads, no clock of its own: the HTTP door (`service.py`, `app.py`) and a simulation
both call it. Writes through the Web API and writes by a person in the screens meet the same rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid5

from sandbox.dynamics365 import qualifying, seeding, webhooks
from sandbox.dynamics365.behaviour import Behaviour
from sandbox.dynamics365.columns import LOOKUPS, Kind, Table
from sandbox.dynamics365.entra import Entra
from sandbox.dynamics365.errors import (
    WebApiError,
    missing,
    not_permitted,
)
from sandbox.dynamics365.keys import AlternateKeys
from sandbox.dynamics365.protection import Limits
from sandbox.dynamics365.schema import CURRENCIES, TABLES
from sandbox.dynamics365.values import GUID, checked, key_values, table_named
from sandbox.org import Delivery
from sandbox.records import Clock, Event, Json, RecordStore, Row

_NAMES = UUID("6d2c1c50-7a5b-4f0e-9f0c-0d365d365d36")
_OPEN, _WON, _QUALIFIED = 0, 1, 1
#: Status reason of an activity that closed an opportunity: table reference, "OpportunityClose".
_COMPLETED = 2


class DynamicsOrg:
    """One Dataverse environment with Dynamics 365 Sales; see `sandbox.org.Org`."""

    crm = "dynamics365"

    def __init__(
        self,
        clock: Clock,
        credentials: Mapping[str, str],
        path: Path | None = None,
        seed: int = 0,
    ) -> None:
        self.clock = clock
        self.credentials = credentials
        self.behaviour = Behaviour()
        self._names = uuid5(_NAMES, f"{credentials['tenant_id']}:{seed}")
        self.org_id = str(uuid5(self._names, "organization"))
        self.business_unit_id = str(uuid5(self._names, "businessunit"))
        self.integration_user_id = str(uuid5(self._names, "systemuser:integration"))
        self.store = RecordStore(clock, self._new_id, path)
        self._keys = AlternateKeys(self.store)
        self.limits = Limits()
        self.entra = Entra(clock, credentials, self.org_id)
        #: Version a write made -> the `tag` it was sent with.
        self._tags: dict[int, str] = {}

    def _new_id(self, object_name: str) -> str:
        # From the version, which never repeats: the same run gives the same ids, restarts included.
        return str(uuid5(self._names, f"{object_name}:{self.store.version}"))

    # Access ------------------------------------------------------------------------------------

    def expire_tokens(self) -> None:
        """Make every access token handed out so far worthless."""
        self.entra.expire_all()

    def caller(self, token: str) -> str:
        """Return the user a token stands for; 401 when it is unknown or expired, 403 without a user."""
        if not self.entra.stands(token):
            raise WebApiError(401, "0x8004a101", "The authentication ticket has expired.")
        user = self.store.get("systemuser", self.integration_user_id)
        if not self.behaviour.application_user or user is None:
            raise WebApiError(403, "0x80072560", "The user is not a member of the organization.")
        if user.fields.get("isdisabled"):
            raise WebApiError(403, "0x8004a112", "The user has been disabled.")
        return user.id

    def tracks(self, table: Table) -> bool:
        """Tell whether change tracking is on for a table."""
        return table.change_tracking and table.name not in self.behaviour.untracked

    def require(self, access: str, table: Table, user_id: str) -> None:
        """Refuse with 403 what the integration user's security role does not allow."""
        if (access, table.name) in self.behaviour.revoked:
            raise not_permitted(user_id, f"prv{access}{table.schema_name}")

    def depth(self, access: str, table: Table) -> str:
        """How far a privilege of the integration user's security role reaches."""
        return self.behaviour.depths.get((access, table.name), "Global")

    def hide_records(self, object_name: str, *record_ids: str) -> None:
        """Narrow what our user reads of a table to its business unit, to which these do not belong."""
        self.behaviour.depths["Read", object_name] = "Local"
        self.behaviour.unseen |= set(record_ids)

    def show_records(self, object_name: str) -> None:
        """Let our user read all of a table again."""
        self.behaviour.depths.pop(("Read", object_name), None)
        self.behaviour.unseen -= {row.id for row in self.store.rows(object_name)}

    # Rows --------------------------------------------------------------------------------------

    def locate(self, table: Table, key: str) -> str | None:
        """Find the id of the row that a record address names; 400 when it is no key of the table."""
        values = key_values(table, key)
        if isinstance(values, str):
            return values if self.store.get(table.name, values) else None
        row = self._keys.find(table, values)
        return row.id if row else None

    def create(
        self, table: Table, values: Mapping[str, Json], by: str, record_id: str | None = None
    ) -> Row:
        """Add a row from stored names and raw values, with the platform's defaults."""
        fields = checked(table, values)
        fields = {name: value for name, value in fields.items() if value is not None}
        if "ownerid" in table.by_name:
            fields.setdefault("ownerid", by)
        if any(column.kind is Kind.MONEY for column in table.columns):
            fields.setdefault("transactioncurrencyid", self._currency_id("USD"))
        if table.default_status:
            state = fields.setdefault("statecode", 0)
            if table.name == "opportunity" and state != _OPEN:
                raise WebApiError(400, "0x80040516", "An opportunity is created open.")
            fields.setdefault("statuscode", table.default_status[int(str(state))])
            self._check_status(table, fields["statecode"], fields["statuscode"])
        with self.store.transaction():
            self._keys.require_free(table, fields, None)
            return self._keys.note(table, self.store.insert(table.name, fields, by, record_id))

    def update(self, table: Table, row: Row, values: Mapping[str, Json], by: str) -> Row:
        """Change a row; closing an opportunity is not an update but an action."""
        fields = checked(table, values)
        with self.store.transaction():
            fields = self._with_state(table, row, fields)
            self._keys.require_free(table, fields, row)
            return self._keys.note(table, self.store.update(row, fields, by))

    def close_opportunity(
        self, row: Row, state: int, close: Mapping[str, Json], status: int | None, by: str
    ) -> None:
        """`WinOpportunity` and `LoseOpportunity`: state, actual revenue and end, and an activity."""
        table = TABLES["opportunity"]
        if row.fields["statecode"] != _OPEN:
            raise WebApiError(400, "0x80040515", "The opportunity has already been closed.")
        status = table.default_status[state] if status in (None, -1) else status
        self._check_status(table, state, status)
        ended = str(close.get("actualend") or self.clock().isoformat())[:10]
        fields: dict[str, Json] = {"actualclosedate": ended}
        revenue = close.get("actualrevenue")
        if revenue is None and state == _WON:
            # Table reference of opportunity: actual revenue defaults to the estimated one when won.
            revenue = row.fields.get("actualvalue", row.fields.get("estimatedvalue"))
        if revenue is not None:
            fields["actualvalue"] = revenue
        fields = {**checked(table, fields), "statecode": state, "statuscode": status}
        activity = {"opportunityid": row.id, "subject": close.get("subject") or "Closed"}
        with self.store.transaction():
            self.store.insert("opportunityclose", {**activity, "statuscode": _COMPLETED}, by)
            self.store.update(row, fields, by)

    def _with_state(self, table: Table, row: Row, fields: dict[str, Json]) -> dict[str, Json]:
        """Complete a change of state, and refuse what the row's present state does not take."""
        before = row.fields.get("statecode")
        state = fields.get("statecode", before)
        if not table.default_status:
            return fields
        if table.name == "opportunity":
            if state not in (before, _OPEN):
                raise WebApiError(
                    400, "0x80040516", "Use WinOpportunity or LoseOpportunity to close it."
                )
            closed = _OPEN not in (before, state)
            if closed and fields and not self.behaviour.closed_takes_changes:
                raise WebApiError(400, "0x80040515", "The opportunity has already been closed.")
        elif before not in (None, _OPEN) and state == before and fields:
            raise WebApiError(
                400, "0x80040203", f"The {table.label} is inactive and cannot be changed."
            )
        elif table.name == "lead" and (before, state) == (_OPEN, _QUALIFIED):
            raise WebApiError(400, "0x80040203", "Use QualifyLead to qualify it.")
        status = fields.get("statuscode")
        if state != before and status is None:
            status = table.default_status[int(str(state))]
        if status is not None:
            self._check_status(table, state, status)
            fields = {**fields, "statecode": state, "statuscode": status}
        return fields

    def _check_status(self, table: Table, state: Json, status: Json) -> None:
        options = table.by_name["statuscode"].options
        if not any(o.value == status and o.state == state for o in options):
            raise WebApiError(
                400,
                "0x80048408",
                f"{status} is not a valid status code for state code {state} on {table.name}.",
            )

    def delete(self, table: Table, row: Row, by: str) -> None:
        """Delete a row; opportunities go with their customer, other lookups are emptied."""
        with self.store.transaction():
            self.store.delete(row, by)
            for other, name in self._pointing_at(table, row.id):
                if other.deleted:
                    continue
                if name.startswith("customerid_"):
                    self.delete(TABLES[other.object], other, by)
                else:
                    self.store.update(other, {name: None}, by)

    def _pointing_at(self, table: Table, record_id: str) -> list[tuple[Row, str]]:
        found = []
        for child in TABLES.values():
            names = [
                name
                for name, column in child.by_stored_name.items()
                if column.kind in LOOKUPS and table.name in column.targets
            ]
            for row in self.store.rows(child.name):
                found += [(row, name) for name in names if row.fields.get(name) == record_id]
        return found

    def _currency_id(self, code: str) -> str:
        return str(uuid5(self._names, f"transactioncurrency:{code}"))

    # A person in the screens -------------------------------------------------------------------

    def _person(self, user: str) -> str:
        for row in self.store.rows("systemuser"):
            if user in (row.id, row.fields.get("fullname")):
                return row.id
        record_id = str(uuid5(self._names, f"systemuser:{user}"))
        return self.store.insert(
            "systemuser", {"fullname": user, "isdisabled": False}, record_id, record_id
        ).id

    def _typed(self, table: Table, fields: Mapping[str, Json]) -> dict[str, Json]:
        """Read what a person typed: currencies by code, related records by id, checked to exist."""
        values = dict(fields)
        code = values.get("transactioncurrencyid")
        if isinstance(code, str) and code in CURRENCIES:
            values["transactioncurrencyid"] = self._currency_id(code)
        for name, value in values.items():
            column = table.by_stored_name.get(name)
            if column is None or column.kind not in LOOKUPS or value is None:
                continue
            known = isinstance(value, str) and GUID.fullmatch(value) is not None
            if not known or not any(self.store.get(t, str(value)) for t in column.targets):
                raise missing(column.label, str(value))
        return values

    def _row(self, table: Table, record_id: str) -> Row:
        row = self.store.get(table.name, record_id)
        if row is None:
            raise missing(table.label, record_id)
        return row

    def add(self, object_name: str, fields: Mapping[str, Json], user: str) -> Row:
        """Create a record as a person would in the screens."""
        table = table_named(object_name)
        with self.store.transaction():
            values = self._typed(table, fields)
            state = values.pop("statecode", _OPEN) if object_name == "opportunity" else _OPEN
            row = self.create(table, values, self._person(user))
            if state != _OPEN:
                self.edit(object_name, row.id, {"statecode": state}, user)
            return row

    def edit(self, object_name: str, record_id: str, fields: Mapping[str, Json], user: str) -> Row:
        """Change a record as a person would; a new state of an opportunity closes or re-opens it."""
        table, by = table_named(object_name), self._person(user)
        row = self._row(table, record_id)
        with self.store.transaction():
            values = self._typed(table, fields)
            state = values.get("statecode", row.fields.get("statecode"))
            if object_name == "lead" and (row.fields["statecode"], state) == (_OPEN, _QUALIFIED):
                return qualifying.qualify(self, row, values, by)
            if object_name != "opportunity" or state in (_OPEN, row.fields.get("statecode")):
                return self.update(table, row, values, by)
            del values["statecode"]
            status = values.pop("statuscode", None)
            if values:
                self.update(table, row, values, by)
            close = {
                "actualrevenue": values.get("actualvalue"),
                "actualend": values.get("actualclosedate"),
                "subject": "Won" if state == _WON else "Lost",
            }
            close_status = None if status is None else int(str(status))
            self.close_opportunity(row, int(str(state)), close, close_status, by)
            return row

    def remove(self, object_name: str, record_id: str, user: str) -> None:
        """Delete a record as a person would."""
        table = table_named(object_name)
        self.delete(table, self._row(table, record_id), self._person(user))

    def merge(self, object_name: str, loser_id: str, winner_id: str, user: str) -> None:
        """Merge two accounts or leads: the loser stays, inactive and pointing at the winner.

        Web API reference, "Merge Action": children are re-parented to the winner.
        """
        table, by = table_named(object_name), self._person(user)
        if "masterid" not in table.by_name:
            raise WebApiError(400, "0x80040315", f"{table.label} records cannot be merged.")
        loser, winner = self._row(table, loser_id), self._row(table, winner_id)
        if loser is winner:
            raise WebApiError(400, "0x80040203", "A record cannot be merged with itself.")
        with self.store.transaction():
            for child, name in self._pointing_at(table, loser.id):
                target = None if child is winner else winner.id
                if name != "masterid":
                    self.store.update(child, {name: target}, by)
            state = max(table.default_status)
            inactive: dict[str, Json] = {
                "statecode": state,
                "statuscode": table.default_status[state],
            }
            self.store.update(loser, {**inactive, "merged": True, "masterid": winner.id}, by)

    # Shared parts ------------------------------------------------------------------------------

    def seed(self) -> None:
        """Fill a new environment; a second call changes nothing."""
        if self.store.fact("seeded") is None:
            with self.store.transaction():
                seeding.seed(self.store, self._names, self.credentials["client_id"])
            self.store.set_fact("seeded", self.clock().isoformat())

    @contextmanager
    def tagging(self, tag: str) -> Iterator[None]:
        """Remember the tag of the writes made inside, for the webhooks that tell of them."""
        before = self.store.version
        yield
        if tag:
            self._tags |= dict.fromkeys(range(before + 1, self.store.version + 1), tag)

    def deliveries(self, events: list[Event], webhook_base: str) -> list[Delivery]:
        """Word events as webhook calls of the registered steps (Create, Update, Delete)."""
        secret = self.credentials["webhook_secret"]
        kinds = [row.fields["authtype"] for row in self.store.rows("serviceendpoint")]
        auth_type = int(str(kinds[0])) if kinds else webhooks.HTTP_HEADER
        environment = webhooks.Sender(
            webhook_base, secret, auth_type, self.org_id, self.business_unit_id
        )
        return [
            webhooks.delivery(event, environment, self._tags.pop(event.version, ""))
            for event in events
            if event.object in webhooks.SUBSCRIBED
        ]
