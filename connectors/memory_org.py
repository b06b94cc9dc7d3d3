"""The org behind the in-memory twin: records with versions, history and tombstones, and its users.

Knows schemas and values (`registration_core.contracts`), no transport. Two orgs share nothing;
several `MemoryConnector`s may share one org, as several workers share one CRM.
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal

from connectors.port import Absence, FieldChange, Gone, Refused, RemoteRecord
from registration_core.contracts import (
    Condition,
    Fields,
    FieldSchema,
    FieldType,
    ObjectSchema,
    Value,
)

#: Name of a CRM user where a test does not say which.
PERSON = "person"


@dataclass
class Stored:
    """One record; `fields` holds every field of the schema, empty ones as None."""

    record_id: str
    fields: dict[str, Value]
    created_at: datetime
    modified_at: datetime
    modified_by: str
    version: int
    gone: Gone | None = None
    history: list[FieldChange] = field(default_factory=list)


class MemoryOrg:
    """Every record of one pretended CRM org, thread-safe, deterministic for a given clock."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        objects: Iterable[ObjectSchema],
        *,
        org_id: str = "memory-org",
        us: str = "integration",
    ) -> None:
        self.clock = clock
        self.schemas = {schema.name: schema for schema in objects}
        self.org_id = org_id
        #: The user that connectors to this org sign in as.
        self.us = us
        #: E-mail addresses of the active users, by id.
        self.users: dict[str, str] = {}
        self.lock = threading.RLock()
        self._records: dict[str, dict[str, Stored]] = {name: {} for name in self.schemas}
        self._version = 0

    def define(self, object_name: str, fields: Iterable[FieldSchema]) -> None:
        """Add fields to an object; one of a name that is taken is left out."""
        with self.lock:
            schema = self.schemas[object_name]
            more = {field.name: field for field in fields if field.name not in schema.fields}
            self.schemas[object_name] = replace(schema, fields={**schema.fields, **more})

    def add(self, object_name: str, fields: Fields, user: str = PERSON) -> str:
        """Create a record as a CRM user and return its id; `ValueError` if the org refuses it."""
        created = self.insert(object_name, fields, user)
        if isinstance(created, Refused):
            raise ValueError(created.message)  # noqa: TRY004 - the value is at fault, not its type
        return created.record_id

    def edit(self, object_name: str, record_id: str, fields: Fields, user: str = PERSON) -> None:
        """Change a record as a CRM user; `ValueError` if the org refuses it or has it no more."""
        record = self.record(object_name, record_id)
        if record is None or record.gone is not None:
            raise ValueError(f"{object_name} {record_id} does not exist")
        if (refused := self.patch(object_name, record, fields, user)) is not None:
            raise ValueError(refused.message)

    def remove(self, object_name: str, record_id: str, user: str = PERSON) -> None:
        """Delete a record as a CRM user."""
        self._bury(object_name, Gone(record_id, Absence.DELETED), user)

    def merge(self, object_name: str, loser_id: str, winner_id: str, user: str = PERSON) -> None:
        """Merge a record into another as a CRM user: the loser is gone, the winner keeps its values."""
        with self.lock:
            winner = self._records[object_name][winner_id]
            self._bury(object_name, Gone(loser_id, Absence.MERGED, winner_id), user)
            self._stamp(winner, user)

    def convert(self, object_name: str, record_id: str, into: str, record: str) -> None:
        """Say that a record has become one of another object, which is there already."""
        with self.lock:
            gone = Gone(record_id, Absence.CONVERTED, record or None, into)
            self._bury(object_name, gone, PERSON)

    def restore(self, object_name: str, record_id: str, user: str = PERSON) -> None:
        """Take a deleted record out of the bin as a CRM user."""
        with self.lock:
            record = self._records[object_name][record_id]
            record.gone = None
            self._stamp(record, user)

    def value(self, object_name: str, record_id: str, field_name: str) -> Value:
        """Return what a CRM user sees in a field."""
        with self.lock:
            return self._records[object_name][record_id].fields[field_name]

    def record(self, object_name: str, record_id: str) -> Stored | None:
        """Return a record, gone or not, or None if there never was one."""
        return self._records[object_name].get(record_id)

    def records(self, object_name: str, *, gone: bool = False) -> list[Stored]:
        """Return the records of an object in order of id."""
        with self.lock:
            return [r for r in self._records[object_name].values() if gone or r.gone is None]

    def holder(self, object_name: str, unique_field: str, value: Value) -> Stored | None:
        """Return the record that has this value in a unique field."""
        with self.lock:
            holding = (r for r in self.records(object_name) if r.fields[unique_field] == value)
            return next(holding, None)

    def insert(self, object_name: str, fields: Fields, user: str) -> Stored | Refused:
        """Create a record, or say why not."""
        with self.lock:
            schema = self.schemas[object_name]
            clean = self._clean(schema, fields, None)
            if isinstance(clean, Refused):
                return clean
            for name, known in schema.fields.items():
                if known.required and clean.get(name) is None:
                    return Refused("REQUIRED_FIELD_MISSING", f"{name} is required", name)
            kept = self._records[object_name]
            record_id = f"{object_name.lower()}-{len(kept) + 1:06d}"
            now = self.clock()
            values = dict.fromkeys(schema.fields, None) | clean
            self._version += 1
            kept[record_id] = Stored(record_id, values, now, now, user, self._version)
            return kept[record_id]

    def patch(self, object_name: str, record: Stored, fields: Fields, user: str) -> Refused | None:
        """Change a record, or say why not; a patch that changes nothing still stamps it."""
        with self.lock:
            schema = self.schemas[object_name]
            clean = self._clean(schema, fields, record)
            if isinstance(clean, Refused):
                return clean
            self._stamp(record, user)
            for name, value in clean.items():
                before, record.fields[name] = record.fields[name], value
                if before != value and schema.fields[name].history_kept:
                    by_us, at = user == self.us, record.modified_at
                    change = FieldChange(record.record_id, name, value, at, by_us, before)
                    record.history.append(change)
            return None

    def _clean(
        self, schema: ObjectSchema, fields: Fields, record: Stored | None
    ) -> dict[str, Value] | Refused:
        """Check values against the schema and return them as the org keeps them."""
        clean: dict[str, Value] = {}
        for name, value in fields.items():
            known = schema.fields.get(name)
            if known is None:
                return Refused("UNKNOWN_FIELD", f"{schema.name} has no field {name}", name)
            if not (known.createable if record is None else known.updateable):
                return Refused("READ_ONLY", f"{name} cannot be written", name)
            stored = clean[name] = _stored(known, value)
            if problem := _problem(known, stored, creating=record is None):
                return Refused(problem, f"{name} does not take {value!r}", name)
            if known.unique and stored is not None:
                holder = self.holder(schema.name, name, stored)
                if holder is not None and holder is not record:
                    return Refused("DUPLICATE_VALUE", f"{holder.record_id} has this {name}", name)
        return clean

    def _bury(self, object_name: str, gone: Gone, user: str) -> None:
        with self.lock:
            record = self._records[object_name][gone.record_id]
            record.gone = gone
            self._stamp(record, user)

    def _stamp(self, record: Stored, user: str) -> None:
        self._version += 1
        record.version, record.modified_at, record.modified_by = self._version, self.clock(), user

    def as_remote(self, object_name: str, record: Stored, fields: Iterable[str]) -> RemoteRecord:
        """Return a record as a connector hands it out."""
        return RemoteRecord(
            object=object_name,
            record_id=record.record_id,
            fields={name: record.fields[name] for name in fields},
            version=str(record.version),
            created_at=record.created_at,
            modified_at=record.modified_at,
            modified_by_us=record.modified_by == self.us,
        )


def fits(record: Stored, where: Iterable[Condition]) -> bool:
    """Tell whether a record fits every condition, compared exactly."""
    return all(record.fields[condition.field] in condition.values for condition in where)


def _stored(known: FieldSchema, value: Value) -> Value:
    """Keep a value as CRMs do: text trimmed and in NFC, empty as None, numbers at their scale."""
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value).strip() or None
    if isinstance(value, tuple):
        return tuple(sorted(value)) or None
    if isinstance(value, Decimal) and known.scale is not None:
        return value.quantize(Decimal(1).scaleb(-known.scale))
    return value


_PYTHON_TYPES: dict[FieldType, type] = {
    FieldType.TEXT: str,
    FieldType.NUMBER: Decimal,
    FieldType.DATE: date,
    FieldType.DATETIME: datetime,
    FieldType.BOOLEAN: bool,
    FieldType.PICKLIST: str,
    FieldType.MULTI_PICKLIST: tuple,
    FieldType.REFERENCE: str,
}


def _problem(known: FieldSchema, value: Value, *, creating: bool) -> str:
    """Return the code of what is wrong with a value, or nothing."""
    if value is None:
        return "REQUIRED_FIELD_MISSING" if known.required and not creating else ""
    right_type = isinstance(value, _PYTHON_TYPES[known.type])
    if not right_type or (known.type is FieldType.DATE and isinstance(value, datetime)):
        return "INVALID_TYPE"
    if isinstance(value, str) and known.length is not None and len(value) > known.length:
        return "STRING_TOO_LONG"
    chosen = value if isinstance(value, tuple) else (value,)
    if known.options is not None and not set(chosen) <= set(known.options):
        return "INVALID_OPTION"
    return ""
