"""Writes of our own that take effect late, told apart from what the CRM's users do.

A process that stood still after it had sent a write cannot be stopped by a lease: its write was
looked up, had not taken effect, was sent again or replaced, and may take effect yet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from mapping.schema import ObjectMapping
from mapping.translate import canonical, to_store
from reconciler.merge import same
from registration_core.contracts import ConnectionName, Fields
from sync.ledger.tables import IntentRow, LinkRow, SyncConflictRow

#: How long after its look-up a write of a process that stood still may yet take effect.
DELAY_MAX = timedelta(minutes=30)


@dataclass(frozen=True)
class Delayed:
    """A write of ours that had not taken effect when it was looked up, and may do so yet."""

    #: In the CRM's own names.
    written: Fields
    #: What both sides would have agreed on with it.
    base: Fields


def delayed(
    session: Session, connection: ConnectionName, registration_ids: Iterable[str], now: datetime
) -> Mapping[str, Sequence[Delayed]]:
    """Return by registration the updates that may take effect yet."""
    rows = session.execute(
        select(IntentRow.registration_id, IntentRow.payload, IntentRow.base).where(
            IntentRow.registration_id.in_(list(registration_ids)),
            IntentRow.connection == connection,
            IntentRow.operation == "update",
            IntentRow.state.in_(("not_done", "set_aside")),
            IntentRow.settled_at > now - DELAY_MAX,
        )
    )
    found: defaultdict[str, list[Delayed]] = defaultdict(list)
    for registration_id, written, base in rows:
        found[registration_id].append(Delayed(written, base))
    return found


def asked(session: Session, links: Iterable[LinkRow]) -> Mapping[str, frozenset[str]]:
    """Return by link the fields that a person is asked about."""
    ids = [link.id for link in links]
    if not ids:
        return {}
    rows = session.execute(
        select(SyncConflictRow.link_id, SyncConflictRow.remote).where(
            SyncConflictRow.link_id.in_(ids), SyncConflictRow.state == "open"
        )
    )
    found: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
    for link_id, remote in rows:
        found[link_id] |= remote.keys()
    return found


def late(
    mapping: ObjectMapping,
    writes: Sequence[Delayed],
    asked_about: Collection[str],
    link: LinkRow,
    remote: Fields,
) -> Sequence[Fields]:
    """Return what a record, in the CRM's own names, holds of writes that took effect late.

    In our terms, by write. Whoever changed the record last: another field of it may have been
    changed since. That a user typed the very value that a write of ours was held up with, within
    the same half-hour, is what is not believed; the before-image of the write over it names it.
    """
    if not writes:
        return []
    theirs = to_store(mapping, remote).fields
    undone, back = canonical(mapping, link.undone or {}).fields, link.restore or {}
    undoing = {
        name
        for name in back
        if name in theirs and any(same(theirs[name], each.get(name)) for each in (undone, back))
    }
    there = {name: value for name, value in theirs.items() if name not in undoing}
    ours = [(to_store(mapping, write.written).fields, write.base) for write in writes]
    return arrived(ours, asked_about, link.base, there)


def arrived(
    writes: Iterable[tuple[Fields, Fields]],
    asked_about: Collection[str],
    base: Fields,
    there: Fields,
) -> Sequence[Fields]:
    """Return, of each write with its base, what is there and was not agreed on last.

    What an undo puts back is the CRM's own and no write of ours while a person is asked about it.
    """
    held = (
        {
            name: value
            for name, value in written.items()
            if name in there
            and same(there[name], value)
            and not same(base.get(name), value)
            and (name not in asked_about or same(then.get(name), value))
        }
        for written, then in writes
    )
    return [each for each in held if each]


def explained(base: Fields, late_writes: Iterable[Fields]) -> Fields:
    """Return the base, moved back to what has arrived late.

    That is no change of the CRM's users: on this base the store's newer value is pushed again.
    """
    for ours in late_writes:
        base = {**base, **ours}
    return base
