"""Reads rows of one object: by id, by query, and why a row that was asked for is not there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from connectors.port import Absence, Gone, RemoteRecord
from connectors.salesforce.asking import rows_in
from connectors.salesforce.schema import RECORD_TYPE, RECORD_TYPE_ID, SalesforceSchema
from connectors.salesforce.soql import COLUMNS_MAX, length
from connectors.salesforce.transport import Transport
from connectors.salesforce.wire import WireError, from_wire, is_id, read_time, to_18
from registration_core.contracts import FieldSchema

#: Most ids that one sObject Collections retrieve takes (REST API Developer Guide).
RETRIEVE_MAX = 2000
#: Winners of merges can be merged again; nobody merges this often.
_MERGES_MAX = 10
#: A converted lead is read-only and stands for nothing any more (Object Reference, "Lead").
_CONVERTED, _CONVERTED_TO = "IsConverted", "ConvertedOpportunityId"
_STAMPS = (
    *("Id", "CreatedDate", "SystemModstamp", "LastModifiedById"),
    *(_CONVERTED, _CONVERTED_TO),
)
#: No update changes this one, and not every object has it.
_MERGED = "MasterRecordId"
_DELETED = "IsDeleted"


class RecordReader:
    """Reads records of one object as one user sees them; made for each call, keeps nothing."""

    def __init__(
        self, transport: Transport, schema: SalesforceSchema, our_user: str, operation: str
    ) -> None:
        self._transport = transport
        self._schema = schema
        self._our_user = our_user
        self._operation = operation

    def columns(self, fields: Iterable[str], *extra: str) -> list[str]:
        """Name what to fetch: the fields asked for, stamps, and those of `extra` that exist."""
        wanted = (*_STAMPS, *extra)
        own = [self._schema.column(name) for name in fields]
        return list(dict.fromkeys([*(n for n in wanted if self._schema.has(n)), *own]))

    def queried(self, fields: Sequence[str], *extra: str) -> list[str]:
        """Name what a query fetches: of more fields than it takes none, but stamps and `extra`."""
        return self.columns(() if self._too_many(fields) else fields, *extra)

    def records(
        self, rows: Iterable[Mapping[str, Any]], fields: Sequence[str]
    ) -> dict[str, RemoteRecord]:
        """Turn rows of a query into records by id, with the fields it could not take read by id.

        What is gone by then is left out.
        """
        by_id = {to_18(str(row["Id"])): row for row in rows}
        if not self._too_many(fields):
            return {record_id: self.record(row, fields) for record_id, row in by_id.items()}
        read = self._retrieve(list(by_id), fields)
        return {i: record for i, record in read.items() if isinstance(record, RemoteRecord)}

    def _too_many(self, fields: Sequence[str]) -> bool:
        return length(", ".join(self.columns(fields))) > COLUMNS_MAX

    def record(self, row: Mapping[str, Any], fields: Iterable[str]) -> RemoteRecord:
        """Turn a row of the API into a record."""
        schemas = self._schema.schema.fields
        try:
            values = {
                name: self._schema.record_type_name(row.get(RECORD_TYPE_ID))
                if name == RECORD_TYPE
                else from_wire(schemas[name], row.get(name))
                for name in fields
            }
            created = row.get("CreatedDate")
            stamp = row.get("SystemModstamp") or created
            modified_at = read_time(str(stamp))
            created_at = read_time(str(created)) if created else None
        except (WireError, ValueError) as wrong:
            what = f"{self._schema.name} {row.get('Id')} cannot be read: {wrong}"
            raise self._transport.rejected(self._operation, what) from wrong
        writer = row.get("LastModifiedById")
        ours = None if writer is None else to_18(str(writer)) == self._our_user
        return RemoteRecord(
            object=self._schema.name,
            record_id=to_18(str(row["Id"])),
            fields=values,
            version=None,
            created_at=created_at,
            modified_at=modified_at,
            modified_by_us=ours,
        )

    def gone(self, row: Mapping[str, Any]) -> Gone | None:
        """Read from a row that its record is deleted, merged away or converted; None if it lives."""
        record_id, winner = to_18(str(row["Id"])), row.get(_MERGED)
        if not row.get(_DELETED):
            if not row.get(_CONVERTED):
                return None
            deal = row.get(_CONVERTED_TO)
            into = to_18(str(deal)) if deal else None
            return Gone(record_id, Absence.CONVERTED, into, "Opportunity" if into else "")
        if winner:
            return Gone(record_id, Absence.MERGED, to_18(str(winner)))
        return Gone(record_id, Absence.DELETED)

    def by_id(
        self, record_ids: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord | Gone]:
        """Read records by id; every id is a key of the answer, spelled as it was asked."""
        asked = {record_id: to_18(record_id) for record_id in record_ids if is_id(record_id)}
        found: dict[str, RemoteRecord | Gone] = {}
        found.update(self._retrieve(sorted(set(asked.values())), fields))
        missing = [record_id for record_id in asked.values() if record_id not in found]
        absences = self.absences(missing)
        # A record that lives after all was restored in between: look once more.
        found.update(self._retrieve([i for i in missing if absences[i] is None], fields))
        answer: dict[str, RemoteRecord | Gone] = {}
        for record_id in record_ids:
            known = found.get(asked.get(record_id, "")) or absences.get(asked.get(record_id, ""))
            answer[record_id] = known or Gone(record_id, Absence.NOT_FOUND)
        return answer

    def absences(self, record_ids: Sequence[str]) -> dict[str, Gone | None]:
        """Tell why records (18-character ids) are not there; None for one that lives.

        A winner that was merged in turn is followed to the last one.
        """
        told: dict[str, Gone | None] = {}
        for row in self.rows_by_id(record_ids):
            told[to_18(str(row["Id"]))] = self.gone(row)
        for record_id in record_ids:
            told.setdefault(record_id, Gone(record_id, Absence.NOT_FOUND))
        return {record_id: self._follow(gone) for record_id, gone in told.items()}

    def gone_with(self, field: FieldSchema, values: Sequence[str]) -> dict[str, Gone]:
        """Tell of records that had one of these values (compared without case) and are gone."""
        asked = {value.casefold(): value for value in values}
        columns = [field.name, *self._absence_columns()]
        told: dict[str, Gone] = {}
        for row in self.rows_in(field, values, columns, deleted=True):
            gone = self._follow(self.gone(row))
            if gone is not None:
                told[asked[str(row[field.name]).casefold()]] = gone
        return told

    def _follow(self, gone: Gone | None) -> Gone | None:
        if gone is None or gone.merged_into is None or gone.object:
            return gone
        winner = gone.merged_into
        for _ in range(_MERGES_MAX):
            row = next(iter(self.rows_by_id([winner])), None)
            later = self.gone(row) if row else None
            if later is None or later.merged_into is None:
                break
            winner = later.merged_into
        return Gone(gone.record_id, Absence.MERGED, winner)

    def rows_by_id(self, record_ids: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """Read id, deletion and merge of records, deleted ones too."""
        wanted = self._schema.schema.fields["Id"]
        yield from self.rows_in(wanted, record_ids, self._absence_columns(), deleted=True)

    def _absence_columns(self) -> list[str]:
        named = ("Id", _DELETED, _MERGED, _CONVERTED, _CONVERTED_TO)
        return [name for name in named if self._schema.has(name)]

    def rows_in(
        self,
        field: FieldSchema,
        values: Sequence[str],
        columns: Sequence[str],
        *,
        deleted: bool = False,
    ) -> Iterator[Mapping[str, Any]]:
        """Read the rows whose field is one of values, in as many queries as it takes."""
        yield from rows_in(
            self._transport, columns, self._schema.name, field, values,
            operation=self._operation, deleted=deleted,
        )  # fmt: skip

    def _retrieve(
        self, record_ids: Sequence[str], fields: Sequence[str]
    ) -> dict[str, RemoteRecord | Gone]:
        columns = self.columns(fields)
        found: dict[str, RemoteRecord | Gone] = {}
        for start in range(0, len(record_ids), RETRIEVE_MAX):
            part = list(record_ids[start : start + RETRIEVE_MAX])
            answer = self._transport.read(
                f"composite/sobjects/{self._schema.name}",
                operation=self._operation,
                payload={"ids": part, "fields": columns},
            )
            for row in answer.data or ():
                if row is not None:
                    found[to_18(str(row["Id"]))] = self.gone(row) or self.record(row, fields)
        return found


def floor_second(moment: datetime) -> datetime:
    """Salesforce stamps in whole seconds: compare with the beginning of a moment's second."""
    return moment.replace(microsecond=0)
