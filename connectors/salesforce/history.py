"""Past values of fields, from what Salesforce keeps about its records.

Stage, amount, probability and close date of an opportunity come from OpportunityHistory, which
every org keeps; every other field from the object's field history, where an admin has switched
tracking on (Object Reference: OpportunityHistory, OpportunityFieldHistory,
StandardObjectNameHistory). Field history of standard lookups goes under the relationship's name
and has a row with names beside the row with ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from connectors.port import FieldChange
from connectors.salesforce.asking import rows_in
from connectors.salesforce.records import floor_second
from connectors.salesforce.schema import STAGE_HISTORY_FIELDS, SalesforceSchema
from connectors.salesforce.transport import Transport
from connectors.salesforce.wire import WireError, from_wire, read_time, to_18, write_time
from registration_core.contracts import FieldSchema, FieldType, Value

_OPERATION = "history"


class HistoryReader:
    """Reads the history of one object; made for each call, keeps nothing."""

    def __init__(self, transport: Transport, schema: SalesforceSchema, our_user: str) -> None:
        self._transport = transport
        self._schema = schema
        self._our_user = our_user

    def changes(
        self, record_ids: Sequence[str], fields: Sequence[str], since: datetime
    ) -> tuple[FieldChange, ...]:
        """Read the changes of those fields that are kept, oldest first."""
        kept = [n for n in fields if self._schema.schema.fields[n].history_kept]
        opportunity = self._schema.name == "Opportunity"
        stage = [n for n in kept if opportunity and n in STAGE_HISTORY_FIELDS]
        tracked = [n for n in kept if n not in stage]
        found: list[tuple[datetime, str, FieldChange]] = []
        if stage:
            found.extend(self._stage_changes(record_ids, stage, since))
        if tracked:
            found.extend(self._field_changes(record_ids, tracked, since))
        return tuple(change for _, _, change in sorted(found, key=lambda f: f[:2]))

    def _stage_changes(
        self, record_ids: Sequence[str], fields: Sequence[str], since: datetime
    ) -> Iterator[tuple[datetime, str, FieldChange]]:
        """Compare each row with the one before it: a row holds all values, not what changed."""
        last: dict[str, Mapping[str, Any]] = {}
        columns = ["Id", "OpportunityId", *fields, "CreatedById", "CreatedDate"]
        for row in self._rows("OpportunityHistory", "OpportunityId", record_ids, columns, None):
            record_id = to_18(str(row["OpportunityId"]))
            before = last.get(record_id)
            last[record_id] = row
            if before is None or read_time(row["CreatedDate"]) < floor_second(since):
                continue
            for name in fields:
                if row.get(name) != before.get(name):
                    yield self._change(row, record_id, name, before.get(name), row.get(name))

    def _field_changes(
        self, record_ids: Sequence[str], fields: Sequence[str], since: datetime
    ) -> Iterator[tuple[datetime, str, FieldChange]]:
        names = {self._schema.history_names[name]: name for name in fields}
        history, parent = history_object(self._schema.name)
        columns = ["Id", parent, "Field", "OldValue", "NewValue", "DataType"]
        columns += ["CreatedById", "CreatedDate"]
        for row in self._rows(history, parent, record_ids, columns, since):
            name = names.get(str(row["Field"]))
            if name is None:
                continue
            is_lookup = self._schema.schema.fields[name].type is FieldType.REFERENCE
            if is_lookup and row["DataType"] != "EntityId":
                continue
            record_id = to_18(str(row[parent]))
            yield self._change(row, record_id, name, row["OldValue"], row["NewValue"])

    def _rows(
        self,
        history: str,
        parent: str,
        record_ids: Sequence[str],
        columns: Sequence[str],
        since: datetime | None,
    ) -> Iterator[Mapping[str, Any]]:
        field = FieldSchema(parent, FieldType.REFERENCE)
        also = f"CreatedDate >= {write_time(floor_second(since))}" if since is not None else ""
        return rows_in(
            self._transport, columns, history, field, record_ids,
            operation=_OPERATION, also=also, tail="ORDER BY CreatedDate, Id",
        )  # fmt: skip

    def _change(
        self, row: Mapping[str, Any], record_id: str, name: str, old: Any, new: Any
    ) -> tuple[datetime, str, FieldChange]:
        at = read_time(row["CreatedDate"])
        change = FieldChange(
            record_id=record_id,
            field=name,
            value=self._value(row, name, new),
            changed_at=at,
            by_us=to_18(str(row["CreatedById"])) == self._our_user,
            old_value=self._value(row, name, old),
        )
        return at, str(row["Id"]), change

    def _value(self, row: Mapping[str, Any], name: str, raw: Any) -> Value:
        try:
            return from_wire(self._schema.schema.fields[name], raw)
        except WireError as wrong:
            what = f"history row {row['Id']} of {self._schema.name} cannot be read: {wrong}"
            raise self._transport.rejected(_OPERATION, what) from wrong


def history_object(object_name: str) -> tuple[str, str]:
    """Name the object that keeps the field history of another, and its field for the record."""
    if object_name.endswith("__c"):
        return object_name.removesuffix("__c") + "__History", "ParentId"
    if object_name == "Opportunity":
        return "OpportunityFieldHistory", "OpportunityId"
    return f"{object_name}History", f"{object_name}Id"
