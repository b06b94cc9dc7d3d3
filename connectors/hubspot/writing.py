"""Writing to HubSpot in batches, with one outcome per row.

A batch is judged by its body, not by 200 against 207: by its `errors`, and by the rows that were
sent and are in neither list. Sources: HubSpot developer documentation, "Using object APIs"
(batch), "Error handling" (multi-status errors, `objectWriteTraceId`), "Associations v4".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import Any

from connectors.errors import ConnectorError, CrmUnavailable
from connectors.hubspot import wire
from connectors.hubspot.errors import (
    CallRefused,
    describe,
    is_missing,
    is_unique_conflict,
    row_outcome,
)
from connectors.hubspot.gateway import Gateway
from connectors.hubspot.reading import PRIMARY_TYPE, Reader
from connectors.port import (
    AlreadyExists,
    CreateItem,
    Deferred,
    Gone,
    Outcome,
    Refused,
    UpdateItem,
    Written,
)
from registration_core.contracts import Fields, ObjectSchema

_PRIMARY = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": PRIMARY_TYPE}]

_Row = Mapping[str, Any]


class Writer:
    """All that is written to one account."""

    def __init__(
        self, gateway: Gateway, reader: Reader, schema: Callable[[str], ObjectSchema]
    ) -> None:
        self._gateway = gateway
        self._reader = reader
        self._schema = schema

    def create(
        self, object_name: str, key_field: str, items: Sequence[CreateItem]
    ) -> tuple[Outcome, ...]:
        """Create rows; a key that is taken refuses its row, which is looked up and told."""
        schema = self._schema(object_name)
        api = self._gateway.client.crm.objects.batch_api
        inputs = {item.key: self._create_input(schema, item) for item in items}
        results, errors = self._send(
            f"create {object_name}", api.create, object_name, list(inputs.values())
        )
        outcomes: dict[str, Outcome] = {}
        for row in results:
            key = _key_of(row, key_field)
            if key in inputs:
                outcomes[key] = _written(row)
        taken = set()
        for error in errors:
            for key in _named(error, "objectWriteTraceId"):
                if is_unique_conflict(error):
                    taken.add(key)
                outcomes[key] = row_outcome(error)
        unclear = [key for key in inputs if key in taken or key not in outcomes]
        if unclear:
            with _already_sent():
                there = self._reader.find(object_name, key_field, unclear, [key_field])
            for key in unclear:
                if key in there:
                    outcomes[key] = AlreadyExists(there[key].record_id)
                elif key not in outcomes:
                    outcomes[key] = _unanswered(errors)
        return self._in_order(items, outcomes)

    def update(self, object_name: str, items: Sequence[UpdateItem]) -> tuple[Outcome, ...]:
        """Patch rows by id, then set the companies of deals whose row was written."""
        schema = self._schema(object_name)
        patches = [item for item in items if item.fields.keys() - {wire.COMPANY_FIELD}]
        outcomes = self._patch(schema, patches) if patches else {}
        companies = {
            item.record_id: item.fields[wire.COMPANY_FIELD]
            for item in items
            if wire.COMPANY_FIELD in item.fields
        }
        with _already_sent() if patches else nullcontext():
            bare = [deal_id for deal_id in companies if deal_id not in outcomes]
            for deal_id, found in self._reader.read(object_name, bare, ()).items():
                if isinstance(found, Gone):
                    outcomes[deal_id] = found
                else:
                    outcomes[deal_id] = Written(deal_id, found.version, found.modified_at)
            ready = {d: c for d, c in companies.items() if isinstance(outcomes[d], Written)}
            outcomes |= self._move({deal_id: _text(company) for deal_id, company in ready.items()})
        return tuple(outcomes[item.record_id] for item in items)

    # --- within

    def _patch(self, schema: ObjectSchema, items: Sequence[UpdateItem]) -> dict[str, Outcome]:
        api = self._gateway.client.crm.objects.batch_api
        asked = {item.record_id: item for item in items if item.record_id.isdigit()}
        inputs = [
            {
                "id": record_id,
                "properties": _properties(schema, item.fields),
                "objectWriteTraceId": record_id,
            }
            for record_id, item in asked.items()
        ]
        results, errors = self._send(f"update {schema.name}", api.update, schema.name, inputs)
        outcomes: dict[str, Outcome] = {
            str(row["id"]): _written(row) for row in results if str(row["id"]) in asked
        }
        for error in errors:
            if not is_missing(error):
                for record_id in _named(error, "objectWriteTraceId") or _named(error, "ids"):
                    outcomes[record_id] = row_outcome(error)
        unclear = [item.record_id for item in items if item.record_id not in outcomes]
        with _already_sent():
            present = self._reader.read(schema.name, unclear, ())
        for record_id, found in present.items():
            outcomes[record_id] = found if isinstance(found, Gone) else _unanswered(errors)
        return outcomes

    def _move(self, companies: Mapping[str, str]) -> dict[str, Outcome]:
        """Set or take away primary companies; returns the rows for which that was refused."""
        api = self._gateway.client.crm.associations.v4.batch_api
        pair = (wire.DEALS, wire.COMPANIES)
        cleared = [deal_id for deal_id, company in companies.items() if not company]
        held = self._reader.companies(cleared)
        if held:
            removals = [{"from": {"id": d}, "to": [{"id": c}]} for d, c in held.items()]
            self._gateway.write("remove associations", api.archive, *pair, {"inputs": removals})
        wanted = {deal_id: company for deal_id, company in companies.items() if company}
        inputs = [
            {"from": {"id": deal_id}, "to": {"id": company}, "types": _PRIMARY}
            for deal_id, company in wanted.items()
        ]
        with _already_sent() if held else nullcontext():
            _, errors = self._send("set associations", api.create, *pair, inputs)
        if not errors:
            return {}
        # The entries need not say which pair they mean: what stands now does.
        with _already_sent():
            now = self._reader.companies(list(wanted))
        words = describe(errors[0])
        return {
            deal_id: Refused("COMPANY_NOT_ASSOCIATED", words, wire.COMPANY_FIELD)
            for deal_id, company in wanted.items()
            if now.get(deal_id) != company
        }

    def _send(
        self, operation: str, call: Callable[..., Any], *args: Any
    ) -> tuple[list[_Row], list[_Row]]:
        """Send a batch; return its result rows and error entries.

        Where HubSpot refuses a batch whole, nothing of it was written: its rows are then sent
        one by one, so that a bad one does not stand in the way of the others.
        """
        *head, inputs = args
        if not inputs:
            return [], []
        try:
            body = self._gateway.write(operation, call, *head, {"inputs": inputs}).body
        except CallRefused as refusal:
            if len(inputs) == 1:
                return [], [_attributed(refusal.body, inputs[0])]
            with _already_sent():
                parts = [self._send(operation, call, *head, [each]) for each in inputs]
            return [r for part in parts for r in part[0]], [e for part in parts for e in part[1]]
        return list(body.get("results") or ()), list(body.get("errors") or ())

    def _create_input(self, schema: ObjectSchema, item: CreateItem) -> dict[str, Any]:
        company = item.fields.get(wire.COMPANY_FIELD)
        found: dict[str, Any] = {
            "properties": {
                name: value
                for name, value in _properties(schema, item.fields).items()
                if value != ""
            },
            "associations": [],
            "objectWriteTraceId": item.key,
        }
        if company is not None:
            found["associations"] = [{"to": {"id": _text(company)}, "types": _PRIMARY}]
        return found

    @staticmethod
    def _in_order(
        items: Iterable[CreateItem], outcomes: Mapping[str, Outcome]
    ) -> tuple[Outcome, ...]:
        """One outcome per item; a key that comes twice in a batch was sent once."""
        ordered: list[Outcome] = []
        seen = set[str]()
        for item in items:
            outcome = outcomes[item.key]
            if item.key in seen and isinstance(outcome, Written):
                outcome = AlreadyExists(outcome.record_id)
            seen.add(item.key)
            ordered.append(outcome)
        return tuple(ordered)


@contextmanager
def _already_sent() -> Iterator[None]:
    """Word a failure after a write as what it is: something may have been written."""
    try:
        yield
    except ConnectorError as error:
        raise CrmUnavailable(
            f"HubSpot took a batch, but what became of it could not be read. {error.message}",
            may_have_happened=True,
            connection=error.connection,
            operation=error.operation,
            request_id=error.request_id,
            hint=error.hint,
        ) from error


def _properties(schema: ObjectSchema, fields: Fields) -> dict[str, str]:
    return {
        name: wire.to_wire(value, schema.fields.get(name))
        for name, value in fields.items()
        if name != wire.COMPANY_FIELD
    }


def _written(row: _Row) -> Written:
    updated_at = row.get("updatedAt")
    modified_at: datetime | None = wire.moment(str(updated_at)) if updated_at else None
    return Written(str(row["id"]), str(updated_at) if updated_at else None, modified_at)


def _key_of(row: _Row, key_field: str) -> str:
    """Whose row this is: our own property says it, or the trace id where it is echoed."""
    properties = row.get("properties") or {}
    return str(properties.get(key_field) or row.get("objectWriteTraceId") or "")


def _named(error: _Row, kind: str) -> list[str]:
    context = error.get("context")
    named = context.get(kind) if isinstance(context, dict) else None
    return [str(each) for each in named] if isinstance(named, list) else []


def _attributed(body: _Row, row: _Row) -> _Row:
    """Pin the refusal of a call of one row on that row."""
    named = (
        {"objectWriteTraceId": [row["objectWriteTraceId"]]} if "objectWriteTraceId" in row else {}
    )
    return {**body, "context": named}


def _unanswered(errors: Sequence[_Row]) -> Deferred:
    said = f" It said: {describe(errors[0])}" if errors else ""
    return Deferred(f"HubSpot answered the batch without this row.{said}", retry_after_seconds=1.0)


def _text(value: object) -> str:
    return "" if value is None else str(value)
