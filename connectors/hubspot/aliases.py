"""What merged ids became: the old id of a record and its present one, as this process learnt it.

A merge makes a new record, and HubSpot answers a read by an old id with it for ever: that is the
table that lasts. This one saves the call and lets a batch, which drops old ids without a word, be
asked by present ones. Source: HubSpot Knowledge Base, "Merge records".
"""

from __future__ import annotations

import threading

#: Old ids that are remembered; of more, those that were learnt first are asked for again.
KEPT = 10_000


class Aliases:
    """The aliases of one account. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._present: dict[tuple[str, str], str] = {}

    def learn(self, object_name: str, old: str, present: str) -> None:
        """Note that a record goes by another id now."""
        if old == present:
            return
        with self._lock:
            self._present.pop((object_name, old), None)
            self._present[object_name, old] = present
            while len(self._present) > KEPT:
                del self._present[next(iter(self._present))]

    def present(self, object_name: str, record_id: str) -> str:
        """Return the id that a record goes by now, as far as is known, over any number of merges."""
        seen = set[str]()
        with self._lock:
            while record_id not in seen and (object_name, record_id) in self._present:
                seen.add(record_id)
                record_id = self._present[object_name, record_id]
        return record_id
