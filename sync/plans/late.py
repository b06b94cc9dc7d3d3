"""Writes of our own that take effect late, told apart from what the CRM's users do.

A process that stood still after it had sent a write cannot be stopped by a lease: its write was
looked up, had not taken effect, was sent again or replaced, and may take effect yet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import product

from sqlalchemy import select
from sqlalchemy.orm import Session

from connectors.port import RemoteRecord
from mapping.schema import ObjectMapping
from mapping.translate import to_store
from reconciler.merge import same
from registration_core.contracts import ConnectionName, Fields, Value
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


def asked(session: Session, links: Iterable[LinkRow]) -> Mapping[str, Sequence[Fields]]:
    """Return by link what its CRM holds in the groups that a person is asked about."""
    ids = [link.id for link in links]
    if not ids:
        return {}
    rows = session.execute(
        select(SyncConflictRow.link_id, SyncConflictRow.remote).where(
            SyncConflictRow.link_id.in_(ids), SyncConflictRow.state == "open"
        )
    )
    found: defaultdict[str, list[Fields]] = defaultdict(list)
    for link_id, remote in rows:
        found[link_id].append(remote)
    return found


@dataclass(frozen=True)
class Late:
    """What a record holds of late writes of ours, in our terms."""

    #: By write, where both sides last agreed on something else.
    arrived: Sequence[Fields] = ()
    #: What was put over the CRM's side of an open conflict, and that side.
    over: Fields = field(default_factory=dict)
    back: Fields = field(default_factory=dict)

    def explained(self, base: Fields | None) -> Fields | None:
        """Return the base, moved back to what has arrived late.

        That is no change of the CRM's users: on this base the store's newer value is pushed again.
        """
        for ours in self.arrived:
            base = {**(base or {}), **ours}
        return base


NOTHING = Late()


def late(
    mapping: ObjectMapping,
    writes: Sequence[Delayed],
    asked_about: Iterable[Fields],
    base: Fields,
    record: RemoteRecord,
) -> Late:
    """Tell what a record holds of writes that took effect late.

    Whoever changed the record last: another field of it may have been changed since. That a user
    typed the very value that a write of ours was held up with, within the same half-hour, is what
    is not believed; the before-image of the write over it names it all the same.
    """
    if not writes:
        return NOTHING
    theirs = to_store(mapping, record.fields).fields
    ours = [(to_store(mapping, write.written).fields, write.base) for write in writes]
    taken_back = base if record.modified_by_us is False else {}
    over, back = over_asked([written for written, _ in ours], asked_about, theirs, taken_back)
    there = {name: value for name, value in theirs.items() if name not in over}
    return Late(arrived(ours, base, there), over, back)


def arrived(
    writes: Iterable[tuple[Fields, Fields]], base: Fields, there: Fields
) -> Sequence[Fields]:
    """Return, of each write with its base, what is there and was not agreed on last.

    What an undo puts back is the CRM's own and no write of ours, until something else is agreed on.
    """
    held = (
        {
            name: value
            for name, value in written.items()
            if name in there
            and same(there[name], value)
            and not same(base.get(name), value)
            and (same(then.get(name), value) or not same(then.get(name), base.get(name)))
        }
        for written, then in writes
    )
    return [each for each in held if each]


def over_asked(
    writes: Iterable[Fields], asked_about: Iterable[Fields], there: Fields, taken_back: Fields
) -> tuple[Fields, Fields]:
    """Return what writes put over the CRM's side of open conflicts, and that side to put back.

    A person is asked about the CRM's own value, which nobody there has given up, unless by going
    back to `taken_back`: to what both sides agreed on last, where a user changed the record last.
    """
    over: dict[str, Value] = {}
    back: dict[str, Value] = {}
    for side, written in product(asked_about, writes):
        names = [name for name in side if name in there]
        differs = any(n in written and not same(side[n], written[n]) for n in names)
        given_up = all(n in taken_back and same(there[n], taken_back[n]) for n in names)
        ours = all(same(there[n], written.get(n, side[n])) for n in names)
        if differs and ours and not given_up:
            over |= {name: there[name] for name in names}
            back |= {name: side[name] for name in names}
    return over, back
