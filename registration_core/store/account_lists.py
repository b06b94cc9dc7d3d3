"""Account lists that come from files: their entries, and their place in the account directory.

A file is the whole list: what it does not name any more is ended, what it says differently is
ended and added anew, what it repeats stays. Nothing is deleted, so that a list can be read as it
stood on any day. Entries stand in the account directory beside the CRMs' accounts and are found
and judged by the same evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from registration_core.errors import CheckNotUsable
from registration_core.matching import domain_of, of_customer
from registration_core.model import LIST_FILE, Account, ConflictCheck, Customer, ListEntry
from registration_core.program import PROHIBITIONS, ListKind
from registration_core.store import audit, protection, rechecks, repository, work
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import ListCountRow, ListEntryRow

#: For how long after its first day a prohibition is looked for that no check has seen.
_LOOKED_BACK = timedelta(days=30)


@dataclass(frozen=True)
class Brought:
    """What a file changed of a list."""

    added: tuple[ListEntry, ...]
    ended: tuple[ListEntry, ...]
    kept: int
    #: Ids of the protected registrations that are checked again because of it.
    concerned: frozenset[str]


def bring(unit: UnitOfWork, kind: ListKind, wanted: Sequence[ListEntry], source: str) -> Brought:
    """Make a list what a file says, and have the claims that it touches checked again.

    The same file again changes nothing.
    The ids of `wanted` do not count: an entry that is there already keeps its own.
    """
    protection.hold_lock(unit)  # nobody is protected while a list is half there
    unit.hold(f"accounts:{LIST_FILE}")
    known = {_content(entry): (row, entry) for row, entry in _current(unit.session, kind)}
    named = {_content(entry): entry for entry in wanted}
    ended = [pair for content, pair in known.items() if content not in named]
    added = [
        replace(entry, id=unit.ids.new())
        for content, entry in named.items()
        if content not in known
    ]
    for row, _ in ended:
        row.ended_at, row.ended_by = unit.now, str(unit.actor)
        repository.drop_account(unit.session, LIST_FILE, row.id)
    unit.session.add_all(_row(unit, entry, source) for entry in added)
    unit.session.flush()
    repository.put_accounts(unit.session, [account_of(entry, unit) for entry in added])
    if added or ended:
        audit.record(
            unit, f"account-list:{kind.value}", "bring list up to date",
            {"source": source, "added": [e.customer.name for e in added],
             "ended": [e.customer.name for _, e in ended], "entries": len(named)},
        )  # fmt: skip
    touched = [of_customer(e.customer) for e in (*added, *(e for _, e in ended))]
    concerned = rechecks.concerned(unit.session, touched, ())
    work.request_checks(unit, dict.fromkeys(concerned, f"the {kind.value} list changed"))
    return Brought(
        tuple(added), tuple(e for _, e in ended), len(named) - len(added), frozenset(concerned)
    )


def account_of(entry: ListEntry, unit: UnitOfWork) -> Account:
    """Return an entry as the account directory keeps it."""
    c = entry.customer
    return Account(
        connection=LIST_FILE, object=entry.kind.value, record_id=entry.id, name=c.name,
        country=c.country, city=c.city, domain=domain_of(c.website), tax_id=c.tax_id, duns=c.duns,
        owner=entry.owner, lists=frozenset({entry.kind}), read_at=unit.now,
    )  # fmt: skip


def entries(session: Session, ids: Iterable[str]) -> dict[str, ListEntry]:
    """Return entries that stand on their list now, by id."""
    rows = session.scalars(
        select(ListEntryRow).where(ListEntryRow.id.in_(list(ids)), ListEntryRow.ended_at.is_(None))
    )
    return {row.id: _entry(row) for row in rows}


def check_what_begins(unit: UnitOfWork) -> int:
    """Have the claims checked again that a prohibition has begun to hold for; returns how many.

    It was noted ahead, and no check has been made since its first day. Idempotent once they are.
    """
    today = unit.now.date()
    begun = unit.session.scalars(
        select(ListEntryRow).where(
            ListEntryRow.kind.in_([kind.value for kind in PROHIBITIONS]),
            ListEntryRow.ended_at.is_(None),
            ListEntryRow.valid_from > today - _LOOKED_BACK,
            ListEntryRow.valid_from <= today,
        )
    )
    reasons: dict[str, str] = {}
    for entry in map(_entry, begun):
        for key in rechecks.concerned(unit.session, [of_customer(entry.customer)], ()):
            last = repository.last_check(unit.session, key)
            if last is None or last.began_at.date() < entry.valid_from:
                reasons[key] = f"an entry of the {entry.kind.value} list begins to hold"
    work.request_checks(unit, reasons)
    return len(reasons)


def state(session: Session) -> int:
    """Return a number that grows with every entry that comes onto a list or leaves it."""
    seen = select(func.count() + func.count(ListEntryRow.ended_at)).select_from(ListEntryRow)
    return session.scalar(seen) or 0


def require_unchanged(session: Session, check: ConflictCheck, number: str) -> None:
    """Raise `CheckNotUsable` if a list changed after a check looked them through.

    Under the lock of protections nobody can bring one meanwhile.
    """
    if check.lists_seen != state(session):
        raise CheckNotUsable(
            f"An account list was brought up to date after the check of {number} began.",
            hint=f"Type: dealreg registration check {number}",
        )


def counts(session: Session) -> dict[ListKind, int]:
    """Return how many entries each list has now."""
    kinds = session.scalars(select(ListEntryRow.kind).where(ListEntryRow.ended_at.is_(None)))
    found: dict[ListKind, int] = {}
    for kind in kinds:
        found[ListKind(kind)] = found.get(ListKind(kind), 0) + 1
    return found


def crm_counts(session: Session) -> list[ListCountRow]:
    """Return the last complete count of every list of every connection."""
    return list(
        session.scalars(select(ListCountRow).order_by(ListCountRow.kind, ListCountRow.connection))
    )


def history(session: Session, kind: ListKind, *, ended: bool) -> list[dict[str, object]]:
    """Return the entries of a list for people to read, newest first; with `ended` those that went."""
    query = select(ListEntryRow).where(ListEntryRow.kind == kind.value)
    if not ended:
        query = query.where(ListEntryRow.ended_at.is_(None))
    newest_first = query.order_by(ListEntryRow.added_at.desc(), ListEntryRow.id.desc())
    return [
        {name: value for name, value in asdict(_entry(row)).items() if name != "customer"}
        | row.customer
        | {
            "source": row.source, "added_at": row.added_at, "added_by": row.added_by,
            "ended_at": row.ended_at, "ended_by": row.ended_by,
        }
        for row in session.scalars(newest_first)
    ]  # fmt: skip


def _current(session: Session, kind: ListKind) -> list[tuple[ListEntryRow, ListEntry]]:
    rows = session.scalars(
        select(ListEntryRow).where(ListEntryRow.kind == kind.value, ListEntryRow.ended_at.is_(None))
    )
    return [(row, _entry(row)) for row in rows]


def _content(entry: ListEntry) -> tuple[object, ...]:
    """Return all that an entry says, so that equal lines of two files are one entry."""
    return tuple(str(value) for value in asdict(replace(entry, id="")).values())


def _entry(row: ListEntryRow) -> ListEntry:
    return ListEntry(
        id=row.id, kind=ListKind(row.kind), customer=Customer(**row.customer), owner=row.owner,
        reason=row.reason, valid_from=row.valid_from, valid_until=row.valid_until,
        notice_days=row.notice_days,
    )  # fmt: skip


def _row(unit: UnitOfWork, entry: ListEntry, source: str) -> ListEntryRow:
    values = asdict(entry) | {"kind": entry.kind.value, "customer": asdict(entry.customer)}
    return ListEntryRow(
        **values, source=source, added_at=unit.now, added_by=str(unit.actor), ended_at=None,
        ended_by="",
    )  # fmt: skip
