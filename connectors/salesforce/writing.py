"""Creates and updates records, each with its own outcome: 200 in a call, or thousands in a job.

REST API Developer Guide, "sObject Collections": HTTP 200 says nothing about a row; only its
`success` does. More rows than that go as one job of the Bulk API (`bulk.py`), where it is on.
Neither takes a precondition; updates that are to have one go 25 in a call (`guarded.py`). Duplicate rules are never bypassed: rows that one refuses are sent once more by themselves, because only then does
Salesforce say which records it takes for the same ("Duplicate Rule Header", `duplicateResult`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from connectors.errors import ConnectorError, CrmUnavailable, RateLimited
from connectors.port import (
    Absence,
    AlreadyExists,
    CreateItem,
    Deferred,
    Gone,
    Outcome,
    Refused,
    Stale,
    UpdateItem,
    Written,
)
from connectors.salesforce import guarded
from connectors.salesforce.bulk import BulkWriter, require_cells
from connectors.salesforce.errors import DUPLICATES_DETECTED, Failure, row_outcome
from connectors.salesforce.guarded import REQUESTS_MAX
from connectors.salesforce.records import RecordReader
from connectors.salesforce.schema import RECORD_TYPE, RECORD_TYPE_ID, SalesforceSchema
from connectors.salesforce.transport import Transport
from connectors.salesforce.wire import Json, WireError, is_id, to_18, to_wire
from registration_core.contracts import Fields

#: Most records that one sObject Collections call takes.
WRITE_MAX = 200
#: Most refused rows of one call that are asked about; the others are refused without a name.
DUPLICATES_ASKED_MAX = 10
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
        bulk = len(items) > WRITE_MAX
        for index, item in enumerate(items):
            first = sent.setdefault(item.key.casefold(), index)
            if first != index:
                repeats[index] = first
                continue
            try:
                rows.append(self._row({**item.fields, key_field: item.key}, bulk=bulk))
            except WireError as wrong:
                outcomes[index] = _refused(wrong)
        places = [index for index in sent.values() if index not in outcomes]
        results = self._send("POST", rows, "create", key_field)
        for index, result in zip(places, results, strict=True):
            outcomes[index] = _outcome(result, record_id="", key_field=key_field)
        self._explain_duplicates(outcomes, dict(zip(places, rows, strict=True)), key_field)
        for index, first in repeats.items():
            known = outcomes[first]
            there = isinstance(known, Written | AlreadyExists)
            outcomes[index] = AlreadyExists(known.record_id) if there else known  # type: ignore[union-attr]
        return tuple(outcomes[index] for index in range(len(items)))

    def update(self, reader: RecordReader, items: Sequence[UpdateItem]) -> tuple[Outcome, ...]:
        """Patch records by id; several patches of one record become one, the later value wins."""
        patches: dict[str, dict[str, Any]] = {}
        outcomes: dict[str, Outcome] = {}
        since: dict[str, datetime] = {}
        for item in items:
            record_id = _full_id(item.record_id)
            if not is_id(record_id):
                outcomes[record_id] = Gone(record_id, Absence.NOT_FOUND)
                continue
            try:
                row = self._row(item.fields, bulk=len(items) > WRITE_MAX)
            except WireError as wrong:
                outcomes[record_id] = _refused(wrong)
                continue
            patches.setdefault(record_id, {}).update(row | {"id": record_id})
            if item.unmodified_since is not None:
                since[record_id] = item.unmodified_since
        patches = {i: patch for i, patch in patches.items() if i not in outcomes}
        results = self._patched(patches, since, outcomes)
        for record_id, result in results.items():
            outcomes[record_id] = _outcome(result, record_id=record_id, key_field="")
        self._explain_absences(reader, outcomes, results)
        return tuple(outcomes[_full_id(item.record_id)] for item in items)

    def _patched(
        self,
        patches: Mapping[str, dict[str, Any]],
        since: Mapping[str, datetime],
        outcomes: dict[str, Outcome],
    ) -> dict[str, Mapping[str, Any]]:
        """Send patches, first those with a precondition; stale and unsent ones become outcomes."""
        together = len(patches) > WRITE_MAX  # a bulk job takes no precondition
        contended = [] if together else [i for i in patches if i in since]
        calls = [contended[n : n + REQUESTS_MAX] for n in range(0, len(contended), REQUESTS_MAX)]
        rest = [i for i in patches if i not in contended]
        results: dict[str, Mapping[str, Any]] = {}
        answered: set[str] = set()
        for ids in filter(None, (*calls, rest)):
            rows = {i: patches[i] for i in ids}
            try:
                told = self._patch(rows, since if ids is not rest else {})
            except ConnectorError as error:
                # What may have been done makes all of it a lost answer, to be looked up; after
                # a call that was answered, what was not sent waits, and nothing more is sent.
                if not answered or getattr(error, "may_have_happened", False):
                    raise
                outcomes |= {i: _unsent(error) for i in patches if i not in answered}
                break
            answered.update(ids)
            results |= {i: result for i, result in told.items() if result is not None}
            outcomes |= {i: Stale(i) for i, result in told.items() if result is None}
        return results

    def _patch(
        self, rows: Mapping[str, dict[str, Any]], since: Mapping[str, datetime]
    ) -> Mapping[str, Mapping[str, Any] | None]:
        """Send one call; None stands for a row whose precondition failed."""
        if since:
            name = self._schema.name
            return guarded.patch(self._transport, name, rows, since, self._connection)
        results = self._send("PATCH", list(rows.values()), "update", "id")
        return dict(zip(rows, results, strict=True))

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

    def _explain_duplicates(
        self, outcomes: dict[int, Outcome], rows: Mapping[int, Mapping[str, Any]], key_field: str
    ) -> None:
        """Send rows that a duplicate rule refused once more, singly: that answer names the others.

        Should the rule let one pass now, it is created, which is what was asked for.
        """
        refused = [
            index
            for index, outcome in outcomes.items()
            if isinstance(outcome, Refused) and outcome.code == DUPLICATES_DETECTED
        ]
        asked = refused[:DUPLICATES_ASKED_MAX]
        for place, index in enumerate(asked):
            fields = {name: value for name, value in rows[index].items() if name != "attributes"}
            try:
                answer = self._transport.attempt(
                    "POST",
                    f"sobjects/{self._schema.name}",
                    operation=f"create {self._schema.name}",
                    payload=fields,
                )
            except ConnectorError as lost:
                # It may be there now: whoever tries again looks its key up first.
                outcomes |= {unasked: _unsent(lost) for unasked in asked[place:]}
                return
            if isinstance(answer, Failure):
                outcomes[index] = row_outcome(
                    answer.entries, record_id="", key_field=key_field, object_name=self._schema.name
                )
            else:
                outcomes[index] = Written(to_18(str(answer.data["id"])))

    def _row(self, fields: Fields, *, bulk: bool) -> dict[str, Any]:
        values = self._values(fields)
        if bulk:
            require_cells(values)
        return {"attributes": {"type": self._schema.name}, **values}

    def _values(self, fields: Fields) -> dict[str, Json]:
        schemas = self._schema.schema.fields
        values: dict[str, Json] = {}
        for name, value in fields.items():
            if name == RECORD_TYPE and isinstance(value, str):
                values[RECORD_TYPE_ID] = self._schema.record_type_id(value)
            else:
                values[name] = to_wire(schemas[name], value)
        return values

    def _send(
        self, method: str, rows: list[dict[str, Any]], operation: str, identity: str
    ) -> Sequence[Mapping[str, Any]]:
        if not rows:
            return []
        if len(rows) > WRITE_MAX:
            bulk = BulkWriter(self._transport, self._schema, self._connection)
            return bulk.write("insert" if method == "POST" else "update", rows, identity)
        payload = {"allOrNone": False, "records": rows}
        what = f"{operation} {self._schema.name}"
        answer = self._transport.write(method, _PATH, operation=what, payload=payload)
        results: list[Mapping[str, Any]] = answer.data
        if not isinstance(answer.data, list) or len(results) != len(rows):
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


def _unsent(error: ConnectorError) -> Deferred:
    """Put a row off for as long as the failure that stopped us asks for; a throttle was no try."""
    if isinstance(error, RateLimited):
        return Deferred(error.message, error.retry_after_seconds, tried=False, throttled=True)
    return Deferred(error.message)


def _refused(wrong: WireError) -> Refused:
    return Refused("INVALID_TYPE_ON_FIELD_IN_RECORD", wrong.message, wrong.field)
