"""Associations between records: both directions, labels, one primary one for each record.

Kept apart from the records on purpose: an association that changes does not move the modified
date of either record (HubSpot, "Associations v4").
"""

from __future__ import annotations

from collections.abc import Iterable

from sandbox.hubspot.association_types import ASSOCIATION_TYPES, UNLABELED, turned
from sandbox.records import RecordStore, Row

#: Name under which the record store keeps associations.
LINKS = "associations"


class Links:
    """All associations of one portal; validates nothing, the engine does."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        self._touching: dict[tuple[str, str], set[str]] = {}
        for row in store.rows(LINKS):
            self._index(row)

    def put(
        self, from_: tuple[str, str], to: tuple[str, str], type_ids: Iterable[int], by: str
    ) -> None:
        """Set the whole label set of a pair; a label implies the unlabeled association too."""
        types = {*type_ids, UNLABELED[from_[0], to[0]]}
        from_, to, types = _canonical(from_, to, types)
        for primary in [t for t in types if ASSOCIATION_TYPES[t].primary]:
            for row in self._rows(from_, to[0]):
                if row.fields["to_id"] != to[1]:
                    self._set_types(row, _types(row) - {primary}, by)
        key = _key(from_, to)
        existing = self._store.get(LINKS, key, deleted=True)
        if existing is not None and existing.deleted:
            self._store.restore(existing, by)
        if existing is not None:
            self._set_types(existing, types, by)
        else:
            fields = {
                "from_type": from_[0],
                "from_id": from_[1],
                "to_type": to[0],
                "to_id": to[1],
                "types": _joined(types),
            }
            existing = self._store.insert(LINKS, fields, by, record_id=key)
        self._index(existing)

    def remove(self, from_: tuple[str, str], to: tuple[str, str], by: str) -> None:
        """Take away every association of a pair; nothing happens when there is none."""
        from_, to, _ = _canonical(from_, to, set())
        row = self._store.get(LINKS, _key(from_, to))
        if row is not None:
            self._drop(row, by)

    def of(self, record: tuple[str, str], to_type: str) -> list[tuple[str, list[int]]]:
        """Return the associated records of one type with the type ids seen from `record`."""
        found = []
        for row in self._rows(record, to_type):
            types = sorted(_types(row))
            if (row.fields["from_type"], row.fields["from_id"]) == record:
                found.append((str(row.fields["to_id"]), types))
            else:
                inverse = sorted(ASSOCIATION_TYPES[t].inverse_id for t in types)
                found.append((str(row.fields["from_id"]), inverse))
        return sorted(found, key=lambda pair: int(pair[0]))

    def move(self, old: tuple[str, str], new: tuple[str, str], by: str) -> None:
        """Hang everything that touches `old` onto `new`, as a merge does."""
        for to_type in {pair[1] for pair in UNLABELED if pair[0] == old[0]}:
            for other_id, types in self.of(old, to_type):
                self.remove(old, (to_type, other_id), by)
                if (to_type, other_id) != new:
                    held = dict(self.of(new, to_type)).get(other_id, [])
                    self.put(new, (to_type, other_id), {*types, *held}, by)

    def _rows(self, record: tuple[str, str], to_type: str) -> list[Row]:
        keys = self._touching.get(record, set())
        rows = [self._store.get(LINKS, key) for key in keys]
        return [row for row in rows if row is not None and _other_type(row, record) == to_type]

    def _index(self, row: Row) -> None:
        for side in ("from", "to"):
            record = (str(row.fields[f"{side}_type"]), str(row.fields[f"{side}_id"]))
            self._touching.setdefault(record, set()).add(row.id)

    def _set_types(self, row: Row, types: set[int], by: str) -> None:
        if types != _types(row):
            self._store.update(row, {"types": _joined(types)}, by)

    def _drop(self, row: Row, by: str) -> None:
        self._store.delete(row, by)
        for keys in self._touching.values():
            keys.discard(row.id)


def _canonical(
    from_: tuple[str, str], to: tuple[str, str], types: set[int]
) -> tuple[tuple[str, str], tuple[str, str], set[int]]:
    alike = from_[0] == to[0]
    other_way = int(from_[1]) > int(to[1]) if alike else turned(from_[0], to[0])
    if not other_way:
        return from_, to, types
    return to, from_, {ASSOCIATION_TYPES[t].inverse_id for t in types}


def _key(from_: tuple[str, str], to: tuple[str, str]) -> str:
    return "/".join((*from_, *to))


def _types(row: Row) -> set[int]:
    return {int(t) for t in str(row.fields["types"]).split(";")}


def _joined(types: set[int]) -> str:
    return ";".join(str(t) for t in sorted(types))


def _other_type(row: Row, record: tuple[str, str]) -> str:
    here = (row.fields["from_type"], row.fields["from_id"]) == record
    return str(row.fields["to_type" if here else "from_type"])
