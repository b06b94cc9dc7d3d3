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
    is_outdated,
    is_unique_conflict,
    row_outcome,
)
from connectors.hubspot.gateway import Gateway
from connectors.hubspot.links import is_link, links_of
from connectors.hubspot.reading import Reader
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

_Row = Mapping[str, Any]


class Writer:
    """All that is written to one account."""

    def __init__(
        self,
        gateway: Gateway,
        reader: Reader,
        schema: Callable[[str], ObjectSchema],
        forget: Callable[[str], None],
    ) -> None:
        self._gateway = gateway
        self._reader = reader
        self._schema = schema
        #: Has the definitions of an object read anew before they are used again.
        self._forget = forget

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
        self._learn(object_name, outcomes)
        return self._in_order(items, outcomes)

    def update(self, object_name: str, items: Sequence[UpdateItem]) -> tuple[Outcome, ...]:
        """Patch rows by id, then set the associations of those whose row was written."""
        schema = self._schema(object_name)
        patches = [item for item in items if not all(map(is_link, item.fields))]
        outcomes = self._patch(schema, patches) if patches else {}
        wanted: dict[str, dict[str, str]] = {}
        for item in items:
            for field in filter(is_link, item.fields):
                wanted.setdefault(field, {})[item.record_id] = _text(item.fields[field])
        written = bool(patches)
        with _already_sent() if written else nullcontext():
            bare = [item.record_id for item in items if item.record_id not in outcomes]
            for record_id, found in self._reader.read(object_name, bare, ()).items():
                if isinstance(found, Gone):
                    outcomes[record_id] = found
                else:
                    outcomes[record_id] = Written(record_id, found.version, found.modified_at)
        for field, far_ids in wanted.items():
            ready = {i: far for i, far in far_ids.items() if isinstance(outcomes[i], Written)}
            with _already_sent() if written else nullcontext():
                outcomes |= self._move(object_name, field, ready)
            written = True
        self._learn(object_name, outcomes)
        return tuple(outcomes[item.record_id] for item in items)

    # --- within

    def _learn(self, object_name: str, outcomes: Mapping[str, Outcome]) -> None:
        if any(map(is_outdated, outcomes.values())):
            self._forget(object_name)

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

    def _move(self, object_name: str, field: str, wanted: Mapping[str, str]) -> dict[str, Outcome]:
        """Set or take away associations; returns the rows for which that was refused."""
        links, api = self._reader.associations, self._gateway.client.crm.associations.v4.batch_api
        far = links_of(object_name)[field].far
        cleared = links.clear(object_name, field, wanted)
        inputs = links.inputs(object_name, field, wanted)
        with _already_sent() if cleared else nullcontext():
            _, errors = self._send("set associations", api.create, object_name, far, inputs)
        if not errors:
            return {}
        # The entries need not say which pair they mean: what stands now does.
        with _already_sent():
            now = links.read(
                object_name, field, [near for near, far_id in wanted.items() if far_id]
            )
        words = describe(errors[0])
        return {
            near: Refused("NOT_ASSOCIATED", words, field)
            for near, far_id in wanted.items()
            if far_id and now.get(near) != far_id
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
        properties = _properties(schema, item.fields)
        links = self._reader.associations
        return {
            "properties": {name: value for name, value in properties.items() if value != ""},
            "associations": [
                links.entry(schema.name, field, _text(value))
                for field, value in item.fields.items()
                if is_link(field) and value is not None
            ],
            "objectWriteTraceId": item.key,
        }

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
        if not is_link(name)
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
