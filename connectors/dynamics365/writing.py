"""Creates and updates as operations of one `$batch`, and its answers as outcomes.

A create is a PATCH by alternate key with `If-None-Match: *`; an update a PATCH by id with
`If-Match`. Closing an opportunity is an action and re-opening comes before other changes, so both
travel with the patch in a change set: the precondition of the patch then guards the whole. Sources:
Dataverse developer guide, "Perform conditional operations", "Execute batch operations"; Web API
reference, "WinOpportunity Action", "LoseOpportunity Action".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote

from connectors.dynamics365 import batch, duplicates, wire
from connectors.dynamics365.errors import (
    CallTooLarge,
    create_outcome,
    stops_the_call,
    update_outcome,
)
from connectors.dynamics365.pacing import OPERATIONS_MAX, Pace
from connectors.dynamics365.tables import Table
from connectors.dynamics365.transport import Reply, Transport
from connectors.errors import CrmUnavailable
from connectors.port import CreateItem, Deferred, Gone, Outcome, Refused, UpdateItem, Written
from registration_core.contracts import Fields

#: Longest body of one batch, in bytes: an eighth of the message that Dataverse passes on to
#: plug-ins (116.85 MB). Source: Dataverse developer guide, "Use bulk operation messages".
BYTES_MAX = 14_000_000
#: What the head of a request adds to a batch, and a character that has to be escaped, in bytes.
_FRAME_BYTES, _ESCAPED_BYTES = 2_000, 6

_OPEN, _WON, _LOST = "0", "1", "2"
_ACTIONS = {_WON: ("WinOpportunity", "Won"), _LOST: ("LoseOpportunity", "Lost")}
_STATE_FIELDS = ("statecode", "statuscode")


@dataclass(frozen=True)
class RowWrite:
    """One row's part of a batch, and how to read its answers."""

    operations: tuple[batch.Part | batch.ChangeSet, ...]
    fields: Collection[str]
    #: Id of the record to update; None for a create.
    record_id: str | None
    table: str
    primary_id: str

    @property
    def sent(self) -> Mapping[str, Any]:
        """The values that are written, as the Web API words them."""
        first = self.operations[0]
        part = first.parts[0] if isinstance(first, batch.ChangeSet) else first
        return part.body or {}

    @property
    def size(self) -> int:
        """How many of a batch's requests it takes."""
        return sum(len(o.parts) if isinstance(o, batch.ChangeSet) else 1 for o in self.operations)

    @property
    def bytes_at_most(self) -> int:
        """What it may add to a batch's length: its texts with every character escaped."""
        texts = sum(len(value) for value in self.sent.values() if isinstance(value, str))
        return self.size * _FRAME_BYTES + texts * _ESCAPED_BYTES


_Row = RowWrite | Refused | Gone | Deferred


class Writer:
    """Words the writes of one environment."""

    def __init__(self, transport: Transport, connection: str, pace: Pace) -> None:
        self._transport = transport
        self._connection = connection
        self._pace = pace

    # Wording -----------------------------------------------------------------------------------

    def create(
        self, table: Table, key_field: str, item: CreateItem, ids: Mapping[str, str], today: date
    ) -> RowWrite | Refused:
        """Word a create-only write; a value that cannot be sent refuses the row."""
        # Key columns belong in the address only.
        fields = {name: value for name, value in item.fields.items() if name != key_field}
        try:
            address = wire.address_by_key(table, key_field, item.key)
            # Rules against duplicates are left out unless asked for, and are never got around.
            guard = {"If-None-Match": "*", "MSCRM.SuppressDuplicateDetection": "false"}
            if _closes(table, fields):
                parts = [
                    self._patch(table, address, _without_state(fields), ids, guard),
                    self._action(table, address, fields, today),
                ]
            else:
                parts = [self._patch(table, address, fields, ids, guard)]
        except wire.UnfitValueError as error:
            return Refused("unfit_value", f"{error.field}: {error}", error.field)
        return self._row(table, address, parts, fields, None)

    def update(
        self, table: Table, item: UpdateItem, ids: Mapping[str, str], today: date
    ) -> RowWrite | Refused:
        """Word a patch by id; it never creates."""
        address = f"{table.set_name}({item.record_id})"
        guard = {"If-Match": item.expected_version or "*"}
        fields = item.fields
        try:
            if _closes(table, fields):
                # The close date is set by the action too; here it makes a patch that carries the
                # precondition where nothing else changes.
                rest: Fields = {"actualclosedate": today, **_without_state(fields)}
                patch = self._patch(table, address, rest, ids, guard)
                parts = [patch, self._action(table, address, fields, today)]
            elif _opens(table, fields) and _without_state(fields):
                # A closed row may take other changes only once it is open.
                rest = _without_state(fields)
                parts = [
                    self._patch(table, address, _state(fields), ids, guard),
                    self._patch(table, address, rest, ids, {"If-Match": "*"}),
                ]
            else:
                parts = [self._patch(table, address, fields, ids, guard)]
        except wire.UnfitValueError as error:
            return Refused("unfit_value", f"{error.field}: {error}", error.field)
        return self._row(table, address, parts, fields, item.record_id)

    def _row(
        self,
        table: Table,
        address: str,
        parts: Sequence[batch.Part],
        fields: Fields,
        record_id: str | None,
    ) -> RowWrite:
        operations: tuple[batch.Part | batch.ChangeSet, ...] = (parts[0],)
        if len(parts) > 1:
            # The first patch's answer is older than the last part: read what stands after all.
            read = batch.Part("GET", self._path(table, address))
            operations = (batch.ChangeSet(tuple(parts)), read)
        return RowWrite(operations, fields.keys(), record_id, table.schema.name, table.primary_id)

    def _path(self, table: Table, address: str) -> str:
        return f"{self._transport.api_path}{address}?$select={table.primary_id},modifiedon"

    @cached_property
    def _tag(self) -> str:
        return f"tag={quote(self._transport.tag, safe='')}"

    def _patch(
        self,
        table: Table,
        address: str,
        fields: Fields,
        ids: Mapping[str, str],
        guard: Mapping[str, str],
    ) -> batch.Part:
        body: dict[str, Any] = {}
        for name, value in fields.items():
            body.update(wire.to_wire(table, name, value, ids))
        headers = {**guard, "Prefer": "return=representation"}
        path = f"{self._path(table, address)}&{self._tag}"
        return batch.Part("PATCH", path, headers, body)

    def _action(self, table: Table, address: str, fields: Fields, today: date) -> batch.Part:
        state = str(fields["statecode"])
        action, subject = _ACTIONS[state]
        ended = fields.get("actualclosedate") or today
        close: dict[str, Any] = {
            "subject": subject,
            "opportunityid@odata.bind": f"/{unquote(address)}",
            # Noon is the same day in nearly every time zone the user may be set to.
            "actualend": f"{ended}T12:00:00Z",
        }
        if fields.get("actualvalue") is not None:
            close["actualrevenue"] = wire.to_wire(table, "actualvalue", fields["actualvalue"], {})[
                "actualvalue"
            ]
        given = fields.get("statuscode")
        status = int(str(given)) if given is not None else table.default_status[int(state)]
        body = {"Status": status, "OpportunityClose": close}
        return batch.Part("POST", f"{self._transport.api_path}{action}?{self._tag}", {}, body)

    # Sending -----------------------------------------------------------------------------------

    def send(self, rows: Sequence[_Row], operation: str) -> tuple[Outcome, ...]:
        """Send rows in one batch, once; rows that are settled already are not sent.

        What takes several operations a row may be more than fits; the rest is written later.
        """
        rows = _fitting(rows)
        written = [row for row in rows if isinstance(row, RowWrite)]
        operations = [each for row in written for each in row.operations]
        if not operations:
            return self._outcomes(rows, [], operation)
        headers = {"Content-Type": batch.content_type(), "Prefer": "odata.continue-on-error"}
        try:
            reply = self._transport.write_batch(batch.compose(operations), operation, headers)
        except CrmUnavailable:
            self._pace.note_no_answer()
            raise
        except CallTooLarge:  # the caller sends it in halves
            self._pace.note_too_large(len(written))
            raise
        self._pace.note(len(written), reply.took)
        try:
            outcomes = self._outcomes(rows, batch.parse(reply), operation)
        except (ValueError, KeyError, IndexError) as error:
            raise CrmUnavailable(
                f"Dynamics 365 gave an incomplete answer to {operation}.",
                may_have_happened=True,
                connection=self._connection,
                operation=operation,
            ) from error
        return self._with_duplicates(rows, outcomes)

    def _with_duplicates(
        self, rows: Sequence[_Row], outcomes: Sequence[Outcome]
    ) -> tuple[Outcome, ...]:
        """Say of rows that a duplicate rule refused what it found."""
        told = list(outcomes)
        found = [place for place, outcome in enumerate(told) if duplicates.is_duplicate(outcome)]
        for place in found[: duplicates.ASKED_MAX]:
            row, refused = rows[place], told[place]
            if isinstance(row, RowWrite) and isinstance(refused, Refused):
                told[place] = duplicates.named(
                    self._transport, refused, row.table, row.primary_id, row.sent
                )
        return tuple(told)

    def _outcomes(
        self, rows: Sequence[_Row], replies: list[Reply], operation: str
    ) -> tuple[Outcome, ...]:
        waiting = list(replies)
        outcomes: list[Outcome] = []
        for row in rows:
            if isinstance(row, Refused | Gone | Deferred):
                outcomes.append(row)
                continue
            answers = [waiting.pop(0)]
            if isinstance(row.operations[0], batch.ChangeSet):
                # A change set that fails gives one answer, else one for each of its parts.
                if answers[0].status < 300:
                    answers += [waiting.pop(0) for _ in row.operations[0].parts[1:]]
                answers.append(waiting.pop(0))
            outcomes.append(self._outcome(row, answers, operation))
        if waiting:
            raise ValueError("more answers than operations")
        return tuple(outcomes)

    def _outcome(self, row: RowWrite, answers: Sequence[Reply], operation: str) -> Outcome:
        first, last = answers[0], answers[-1]
        if first.status >= 300:
            stopped = stops_the_call(first, self._connection, operation)
            if stopped is not None:
                raise stopped
            if row.record_id is None:
                return create_outcome(first, row.fields)
            return update_outcome(first, row.record_id, row.fields)
        body = first.json()
        record_id = str(body[row.primary_id]).lower()
        if last.status >= 300:  # written, but not read back: the caller will read it
            return Written(record_id)
        body = last.json()
        return Written(record_id, body.get("@odata.etag"), wire.moment(body["modifiedon"]))


def _fitting(rows: Sequence[_Row]) -> list[_Row]:
    """Put off the rows behind those that fill a batch."""
    fitting: list[_Row] = []
    room, room_bytes, first = OPERATIONS_MAX, BYTES_MAX, True
    for row in rows:
        if not isinstance(row, RowWrite):
            fitting.append(row)
            continue
        room, room_bytes = room - row.size, room_bytes - row.bytes_at_most
        # One row by itself goes however long it is: Dataverse says what it thinks of it.
        fits = first or (room >= 0 and room_bytes >= 0)
        fitting.append(row if fits else Deferred("the batch was full", tried=False))
        first = False
    return fitting


def _closes(table: Table, fields: Fields) -> bool:
    return table.schema.name == "opportunity" and fields.get("statecode") in _ACTIONS


def _opens(table: Table, fields: Fields) -> bool:
    return table.schema.name == "opportunity" and fields.get("statecode") == _OPEN


def _state(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name in _STATE_FIELDS}


def _without_state(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name not in _STATE_FIELDS}
