"""The records of one org: versions, stamps, history and tombstones, kept across restarts.

Holds values as the CRM would store them (JSON scalars) and knows no schema: each CRM's engine
validates before it writes. Every write is one commit: it is in the file before it returns.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path

Json = str | int | float | bool | None
Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Change:
    """One past change of one field."""

    field: str
    old: Json
    new: Json
    at: datetime
    by: str


@dataclass
class Row:
    """One record. `fields` misses what was never set; `version` rises with every write in the org."""

    object: str
    id: str
    fields: dict[str, Json]
    created_at: datetime
    modified_at: datetime
    created_by: str
    modified_by: str
    version: int
    deleted: bool = False
    deleted_at: datetime | None = None
    merged_into: str | None = None
    #: The bin was emptied of it: kept only so that no other record gets its id.
    purged: bool = False
    history: list[Change] = field(default_factory=list)


@dataclass(frozen=True)
class Event:
    """Something that happened to a record, for webhooks: created, updated, deleted, merged, restored."""

    kind: str
    object: str
    record_id: str
    #: Fields that changed, with their new values.
    changed: Mapping[str, Json]
    at: datetime
    by: str
    version: int


class RecordStore:
    """All records of one org, thread-safe; `path` None keeps them in memory only."""

    def __init__(
        self, clock: Clock, new_id: Callable[[str], str], path: Path | None = None
    ) -> None:
        self.clock = clock
        self._new_id = new_id
        self._lock = threading.RLock()
        self._rows: dict[str, dict[str, Row]] = {}
        self._version = 0
        self._listeners: list[Callable[[Event], None]] = []
        self._undo: list[tuple[Row, Row | None]] | None = None
        self._pending: list[tuple[Row, Event]] = []
        self._file = sqlite3.connect(path or ":memory:", check_same_thread=False)
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS rows (object TEXT, id TEXT, body TEXT, PRIMARY KEY (object, id))"
        )
        self._file.execute("CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, body TEXT)")
        self._load()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the org still for several steps (a batch, a check and a write)."""
        with self._lock:
            yield

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the org still for several writes that are kept and told about together or not at all.

        Versions that an undone write took are not given out again. A transaction inside another
        is part of it.
        """
        with self._lock:
            if self._undo is not None:
                yield
                return
            undo: list[tuple[Row, Row | None]] = []
            self._undo, self._pending = undo, []
            try:
                yield
            except BaseException:
                for row, before in reversed(undo):
                    if before is None:
                        del self._rows[row.object][row.id]
                    else:
                        vars(row).update(vars(before))
                raise
            finally:
                self._undo = None
            self._write(self._pending)

    def on_event(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` after each commit, under the lock: it must only take note."""
        self._listeners.append(listener)

    @property
    def version(self) -> int:
        """The newest version in the org."""
        return self._version

    def get(self, object_name: str, record_id: str, *, deleted: bool = False) -> Row | None:
        """Return a record, or None; deleted ones only when asked for."""
        with self._lock:
            row = self._rows.get(object_name, {}).get(record_id)
            return row if row is not None and _shown(row, deleted=deleted) else None

    def objects(self) -> list[str]:
        """Return the names of all objects that have, or ever had, a record."""
        with self._lock:
            return sorted(self._rows)

    def rows(self, object_name: str, *, deleted: bool = False) -> list[Row]:
        """Return all records of an object, oldest first."""
        with self._lock:
            rows = self._rows.get(object_name, {}).values()
            return [row for row in rows if _shown(row, deleted=deleted)]

    def size(self, object_name: str) -> int:
        """Count all records that an object ever had."""
        with self._lock:
            return len(self._rows.get(object_name, {}))

    def insert(
        self, object_name: str, fields: Mapping[str, Json], by: str, record_id: str | None = None
    ) -> Row:
        """Add a record and return it."""
        with self._lock:
            now = self.clock()
            self._version += 1
            row = Row(
                object=object_name,
                id=record_id or self._new_id(object_name),
                fields={name: value for name, value in fields.items() if value is not None},
                created_at=now,
                modified_at=now,
                created_by=by,
                modified_by=by,
                version=self._version,
            )
            row.history = [Change(n, None, v, now, by) for n, v in row.fields.items()]
            self._rows.setdefault(object_name, {})[row.id] = row
            if self._undo is not None:
                self._undo.append((row, None))
            self._commit(
                row, Event("created", object_name, row.id, dict(row.fields), now, by, row.version)
            )
            return row

    def update(self, row: Row, fields: Mapping[str, Json], by: str) -> Row:
        """Set fields (None clears); a write that changes nothing still stamps the record."""
        with self._lock:
            self._remember(row)
            now = self.clock()
            changed = {n: v for n, v in fields.items() if row.fields.get(n) != v}
            row.history.extend(Change(n, row.fields.get(n), v, now, by) for n, v in changed.items())
            for name, value in fields.items():
                if value is None:
                    row.fields.pop(name, None)
                else:
                    row.fields[name] = value
            self._stamp(row, now, by)
            self._commit(row, Event("updated", row.object, row.id, changed, now, by, row.version))
            return row

    def delete(self, row: Row, by: str, *, merged_into: str | None = None) -> None:
        """Put a record in the bin, as deleted or as the loser of a merge."""
        with self._lock:
            self._remember(row)
            now = self.clock()
            row.deleted, row.deleted_at, row.merged_into = True, now, merged_into
            self._stamp(row, now, by)
            kind = "merged" if merged_into else "deleted"
            self._commit(row, Event(kind, row.object, row.id, {}, now, by, row.version))

    def restore(self, row: Row, by: str) -> None:
        """Take a record out of the bin."""
        with self._lock:
            self._remember(row)
            now = self.clock()
            row.deleted, row.deleted_at, row.merged_into = False, None, None
            self._stamp(row, now, by)
            self._commit(row, Event("restored", row.object, row.id, {}, now, by, row.version))

    def purge(self, row: Row) -> None:
        """Empty the bin of a record: nobody sees it again, and nothing tells of it."""
        with self._lock:
            self._remember(row)
            row.purged = True
            self._write([(row, None)])

    def fact(self, name: str) -> str | None:
        """Read a small fact that is kept with the records (org id, seeded)."""
        with self._lock:
            found = self._file.execute("SELECT body FROM facts WHERE name = ?", (name,)).fetchone()
            return str(found[0]) if found else None

    def set_fact(self, name: str, body: str) -> None:
        """Keep a small fact with the records."""
        with self._lock, self._file:
            self._file.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, body))

    def close(self) -> None:
        """Close the file; nothing is lost, every write was committed."""
        with self._lock:
            self._file.close()

    def _stamp(self, row: Row, now: datetime, by: str) -> None:
        self._version += 1
        row.modified_at, row.modified_by, row.version = now, by, self._version

    def _remember(self, row: Row) -> None:
        if self._undo is not None:
            before = replace(row, fields=dict(row.fields), history=list(row.history))
            self._undo.append((row, before))

    def _commit(self, row: Row, event: Event) -> None:
        if self._undo is None:
            self._write([(row, event)])
        else:
            self._pending.append((row, event))

    def _write(self, done: Sequence[tuple[Row, Event | None]]) -> None:
        with self._file:
            for row, _ in done:
                body = json.dumps(asdict(row), default=datetime.isoformat)
                self._file.execute(
                    "INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", (row.object, row.id, body)
                )
        for event in filter(None, (event for _, event in done)):
            for listener in self._listeners:
                listener(event)

    def _load(self) -> None:
        loaded = [_row(json.loads(body)) for (body,) in self._file.execute("SELECT body FROM rows")]
        for row in sorted(loaded, key=lambda r: (r.created_at, r.version)):
            self._rows.setdefault(row.object, {})[row.id] = row
            self._version = max(self._version, row.version)


def _shown(row: Row, *, deleted: bool) -> bool:
    return not row.purged and (deleted or not row.deleted)


def _row(body: dict[str, object]) -> Row:
    history = [
        Change(**{**c, "at": datetime.fromisoformat(c["at"])})
        for c in body.pop("history")  # type: ignore[attr-defined]
    ]
    stamps = {
        name: datetime.fromisoformat(str(body[name])) if body[name] else None
        for name in ("created_at", "modified_at", "deleted_at")
    }
    return Row(**{**body, **stamps, "history": history})  # type: ignore[arg-type]
