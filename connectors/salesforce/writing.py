"""Creates and updates records with sObject Collections, 200 in a call, each with its own outcome.

REST API Developer Guide, "sObject Collections": HTTP 200 says nothing about a row; only its
`success` does. Collections take no precondition, so `expected_version` is not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.errors import ConnectorError, CrmUnavailable
from connectors.port import (
    Absence,
    AlreadyExists,
    CreateItem,
    Gone,
    Outcome,
    Refused,
    UpdateItem,
    Written,
)
from connectors.salesforce.errors import row_outcome
from connectors.salesforce.records import RecordReader
from connectors.salesforce.schema import SalesforceSchema
from connectors.salesforce.transport import Transport
from connectors.salesforce.wire import Json, WireError, is_id, to_18, to_wire
from registration_core.contracts import Fields

#: Most records that one sObject Collections call takes.
WRITE_MAX = 200
_PATH = "composite/sobjects"


class RecordWriter:
    """Writes records of one object; made for each call, keeps nothing."""

    def __init__(self, transport: Transport, schema: SalesforceSchema, connection: str) -> None:
        self._transport = transport
        self._schema = schema
        self._connection = connection

    def create(self, key_field: str, items: Sequence[CreateItem]) -> tuple[Outcome, ...]:
        """Insert records; the unique field refuses a second one. A key twice is sent once."""
        outcomes: dict[int, Outcome] = {}
        sent: dict[str, int] = {}
        repeats: dict[int, int] = {}
        rows: list[dict[str, Any]] = []
        for index, item in enumerate(items):
            first = sent.setdefault(item.key.casefold(), index)
            if first != index:
                repeats[index] = first
                continue
            try:
                rows.append(self._row({**item.fields, key_field: item.key}))
            except WireError as wrong:
                outcomes[index] = _refused(wrong)
        places = [index for index in sent.values() if index not in outcomes]
        results = self._send("POST", rows, "create")
        for index, result in zip(places, results, strict=True):
            outcomes[index] = _outcome(result, record_id="", key_field=key_field)
        for index, first in repeats.items():
            known = outcomes[first]
            there = isinstance(known, Written | AlreadyExists)
            outcomes[index] = AlreadyExists(known.record_id) if there else known  # type: ignore[union-attr]
        return tuple(outcomes[index] for index in range(len(items)))

    def update(self, reader: RecordReader, items: Sequence[UpdateItem]) -> tuple[Outcome, ...]:
        """Patch records by id; several patches of one record become one, the later value wins."""
        patches: dict[str, dict[str, Any]] = {}
        outcomes: dict[str, Outcome] = {}
        for item in items:
            record_id = _full_id(item.record_id)
            if not is_id(record_id):
                outcomes[record_id] = Gone(record_id, Absence.NOT_FOUND)
                continue
            try:
                row = self._row(item.fields)
            except WireError as wrong:
                outcomes[record_id] = _refused(wrong)
                continue
            patches.setdefault(record_id, {}).update(row | {"id": record_id})
        patches = {i: patch for i, patch in patches.items() if i not in outcomes}
        results = self._send("PATCH", list(patches.values()), "update")
        for record_id, result in zip(patches, results, strict=True):
            outcomes[record_id] = _outcome(result, record_id=record_id, key_field="")
        self._explain_absences(reader, outcomes, dict(zip(patches, results, strict=True)))
        return tuple(outcomes[_full_id(item.record_id)] for item in items)

    def _explain_absences(
        self,
        reader: RecordReader,
        outcomes: dict[str, Outcome],
        results: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Look up what the refusals could not say: deleted, merged into which, or a bad lookup."""
        doubtful = [
            i for i, outcome in outcomes.items() if isinstance(outcome, Gone) and i in results
        ]
        if not doubtful:
            return
        try:
            absences = reader.absences(doubtful)
        except ConnectorError:
            # The writes were answered; that answer must not be lost for want of an explanation.
            return
        for record_id in doubtful:
            absence = absences[record_id]
            if absence is not None:
                outcomes[record_id] = absence
            else:
                errors = results[record_id].get("errors") or ()
                outcomes[record_id] = row_outcome(errors, record_id="", key_field="")

    def _row(self, fields: Fields) -> dict[str, Any]:
        schemas = self._schema.schema.fields
        values: dict[str, Json] = {n: to_wire(schemas[n], v) for n, v in fields.items()}
        return {"attributes": {"type": self._schema.name}, **values}

    def _send(
        self, method: str, rows: list[dict[str, Any]], operation: str
    ) -> list[Mapping[str, Any]]:
        if not rows:
            return []
        payload = {"allOrNone": False, "records": rows}
        what = f"{operation} {self._schema.name}"
        answer = self._transport.write(method, _PATH, operation=what, payload=payload)
        results = answer.data
        if not isinstance(results, list) or len(results) != len(rows):
            raise CrmUnavailable(
                f"{self._connection}: Salesforce did not answer {operation} row by row "
                f"({len(rows)} sent).",
                may_have_happened=True,
                connection=self._connection,
                operation=operation,
            )
        return results


def _full_id(record_id: str) -> str:
    return to_18(record_id) if is_id(record_id) else record_id


def _outcome(result: Mapping[str, Any], *, record_id: str, key_field: str) -> Outcome:
    if result.get("success") is True:
        return Written(to_18(str(result.get("id") or record_id)))
    return row_outcome(result.get("errors") or (), record_id=record_id, key_field=key_field)


def _refused(wrong: WireError) -> Refused:
    return Refused("INVALID_TYPE_ON_FIELD_IN_RECORD", wrong.message, wrong.field)
