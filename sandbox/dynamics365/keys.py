"""Alternate keys: which row has which values, found without reading every row.

Dataverse developer guide, "Work with alternate keys": values compare without regard to case, and a
row without a value in one of a key's columns is outside the key.
"""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.dynamics365.columns import Table
from sandbox.dynamics365.errors import duplicate_key
from sandbox.records import Json, RecordStore, Row

_Index = dict[tuple[str, ...], set[str]]


class AlternateKeys:
    """Finds rows by key; what it remembers is where to look, and the row itself decides."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        #: Table and columns of a key -> ids of rows that have, or once had, these values.
        self._seen: dict[tuple[str, tuple[str, ...]], _Index] = {}

    def find(self, table: Table, values: Mapping[str, Json]) -> Row | None:
        """Return the row with these values in the columns of a key."""
        columns = next(c for c in table.keys.values() if set(c) == set(values))
        wanted = _folded(values, columns)
        for record_id in self._index(table, columns).get(wanted, ()):
            row = self._store.get(table.name, record_id)
            if row is not None and _folded(row.fields, columns) == wanted:
                return row
        return None

    def require_free(self, table: Table, fields: Mapping[str, Json], row: Row | None) -> None:
        """Refuse with 412 what would give a row the key of another; `row` is the one to change."""
        for name, columns in table.keys.items():
            kept = row.fields if row is not None else {}
            values = {column: fields.get(column, kept.get(column)) for column in columns}
            if any(value is None for value in values.values()):
                continue
            if self.find(table, values) not in (None, row):
                raise duplicate_key(name)

    def note(self, table: Table, row: Row) -> Row:
        """Remember the values a row has now; returns the row."""
        for columns in table.keys.values():
            if all(row.fields.get(column) is not None for column in columns):
                index = self._index(table, columns)
                index.setdefault(_folded(row.fields, columns), set()).add(row.id)
        return row

    def _index(self, table: Table, columns: tuple[str, ...]) -> _Index:
        found = self._seen.get((table.name, columns))
        if found is None:
            found = self._seen[table.name, columns] = {}
            for row in self._store.rows(table.name):
                self.note(table, row)
        return found


def _folded(values: Mapping[str, Json], columns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(values.get(column, "")).casefold() for column in columns)
