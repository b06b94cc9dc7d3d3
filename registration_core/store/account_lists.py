"""Account lists: their entries, and the place in the account directory of those from files.

A file is the whole list, and so is what a CRM's predicate finds: what is not on it any more is
ended, what it says differently is ended and added anew, what it repeats stays. Nothing is deleted,
so that a list can be read as it stood on any day. Entries from files stand in the account directory
beside the CRMs' accounts and are found and judged by the same evidence.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from itertools import islice

from sqlalchemy import ColumnElement, Index, String, Text, func, select, tuple_
from sqlalchemy.orm import Mapped, Session, mapped_column

from registration_core.contracts import ConnectionName
from registration_core.errors import CheckNotUsable
from registration_core.matching import account_of_customer, of_customer
from registration_core.model import LIST_FILE, Account, ConflictCheck, Customer, ListEntry
from registration_core.program import PROHIBITIONS, ListKind
from registration_core.store import audit, merges, protection, rechecks, repository, work
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import Base, ListCountRow

#: For how long after its first day a prohibition is looked for that no check has seen.
_LOOKED_BACK = timedelta(days=30)
#: Within this time a CRM tells of a merge and of the account that is left.
_TOLD_TOGETHER = timedelta(hours=1)
#: Most values put into one `IN`; larger sets are split.
_IN_MAX = 500

#: What is known of accounts on lists, by connection and record id.
Entries = Mapping[tuple[str, str], Mapping[ListKind, ListEntry]]


class ListEntryRow(Base):
    """One account on a list, from a file or a CRM; one that changed or went is ended and kept."""

    __tablename__ = "account_list_entry"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    kind: Mapped[str] = mapped_column(String(24), index=True)
    customer: Mapped[Customer]
    owner: Mapped[str] = mapped_column(String(255))
    reason: Mapped[str] = mapped_column(Text)
    #: None: it was on the list already when that was first read.
    valid_from: Mapped[date | None]
    valid_until: Mapped[date | None]
    #: None: what the program says of the list.
    notice_days: Mapped[int | None]
    #: Where it stands in the account directory.
    connection: Mapped[str] = mapped_column(String(64))
    record_id: Mapped[str] = mapped_column(String(64))
    #: Name of the file; empty for what a CRM says.
    source: Mapped[str] = mapped_column(String(255))
    added_at: Mapped[datetime]
    added_by: Mapped[str] = mapped_column(String(255))
    ended_at: Mapped[datetime | None] = mapped_column(index=True)
    ended_by: Mapped[str] = mapped_column(String(255))
    __table_args__ = (Index("ix_account_list_entry_place", "connection", "record_id"),)


_STANDING = ListEntryRow.ended_at.is_(None)


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
    current = _current(
        unit.session, ListEntryRow.kind == kind.value, ListEntryRow.connection == LIST_FILE
    )
    known = {_content(entry): (row, entry) for row, entry in current}
    named = {_content(entry): entry for entry in wanted}
    ended = [pair for content, pair in known.items() if content not in named]
    for row, _ in ended:
        _end(unit, row)
        repository.drop_account(unit.session, LIST_FILE, row.id)
    added = [_add(unit, entry, source) for content, entry in named.items() if content not in known]
    unit.session.flush()
    repository.put_accounts(unit.session, [_account(entry, unit) for entry in added])
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


def entries(session: Session, accounts: Iterable[Account]) -> Entries:
    """Return what is known of these accounts on the lists that they are on now."""
    places = [(account.connection, account.record_id) for account in accounts]
    found: dict[tuple[str, str], dict[ListKind, ListEntry]] = {}
    for at in range(0, len(places), _IN_MAX):
        here = tuple_(ListEntryRow.connection, ListEntryRow.record_id).in_(
            places[at : at + _IN_MAX]
        )
        for _, entry in _current(session, here):
            found.setdefault((entry.connection, entry.record_id), {})[entry.kind] = entry
    return found


def follow(
    unit: UnitOfWork,
    connection: ConnectionName,
    accounts: Sequence[Account],
    gone: Collection[str],
    read: Container[ListKind],
) -> None:
    """Make the entries of a CRM's accounts what was just read of them; those that are gone end.

    Accounts come onto a list today, but for those that others on it were merged into, and those
    of lists that are not among the `read` ones, of which nobody knows since when. The caller holds
    the accounts of the connection, and has noted who was merged.
    """
    wanted = {
        (account.record_id, kind): account.entry(kind, unit.now.date() if kind in read else None)
        for account in accounts
        for kind in account.lists
    }
    asked = {*gone, *(account.record_id for account in accounts)}
    standing = {(e.record_id, e.kind): (row, e) for row, e in _of(unit.session, connection, asked)}
    for place, (row, known) in standing.items():
        entry = wanted.get(place)
        if entry is not None and _says(entry) == _says(known):
            del wanted[place]
            continue
        _end(unit, row)
        if entry is not None:
            wanted[place] = replace(entry, valid_from=known.valid_from)
    for entry in wanted.values():
        _add(unit, entry)
    unit.session.flush()
    survivors = set(merges.survivors(unit.session, connection, gone).values())
    _inherit(unit, connection, survivors | {record_id for record_id, _ in wanted})


def _inherit(unit: UnitOfWork, connection: ConnectionName, survivors: Collection[str]) -> None:
    """Let who others were merged into be on a list since the first of them was.

    That it is on the list may be told before the merge or after it, in another page of the feed.
    """
    losers = merges.losers_of(unit.session, connection, survivors)
    since: dict[tuple[str, ListKind], date] = {}
    just_ended = ListEntryRow.ended_at > unit.now - _TOLD_TOGETHER
    for _, entry in _of(unit.session, connection, losers, just_ended):
        place = losers[entry.record_id], entry.kind
        since[place] = min(since.get(place, date.max), entry.valid_from or date.min)
    for row, entry in _of(unit.session, connection, {survivor for survivor, _ in since}):
        first = since.get((entry.record_id, entry.kind))
        if first is None or first >= (entry.valid_from or date.min):
            continue
        valid_from = None if first == date.min else first
        if row.added_at == unit.now:
            row.valid_from = valid_from
        else:
            _end(unit, row)
            _add(unit, replace(entry, valid_from=valid_from))


def end_all(unit: UnitOfWork, connection: ConnectionName) -> None:
    """End every entry of a connection, whose accounts are another org's now."""
    for row, _ in _current(unit.session, ListEntryRow.connection == connection):
        _end(unit, row)


def check_what_begins(unit: UnitOfWork) -> int:
    """Have the claims checked again that a prohibition has begun to hold for; returns how many.

    It was noted ahead, and no check has been made since its first day. Idempotent once they are.
    """
    today = unit.now.date()
    begun = _current(
        unit.session,
        ListEntryRow.connection == LIST_FILE,
        ListEntryRow.kind.in_([kind.value for kind in PROHIBITIONS]),
        ListEntryRow.valid_from > today - _LOOKED_BACK,
        ListEntryRow.valid_from <= today,
    )
    reasons: dict[str, str] = {}
    for _, entry in begun:
        for key in rechecks.concerned(unit.session, [of_customer(entry.customer)], ()):
            last = repository.last_check(unit.session, key)
            if last is None or last.began_at.date() < entry.counts_from:
                reasons[key] = f"an entry of the {entry.kind.value} list begins to hold"
    work.request_checks(unit, reasons)
    return len(reasons)


def state(session: Session) -> int:
    """Return a number that grows with every entry that a file puts onto a list or takes off it.

    What a CRM changes is brought up to date before every check, and asks for those it concerns.
    """
    seen = select(func.count() + func.count(ListEntryRow.ended_at)).where(
        ListEntryRow.connection == LIST_FILE
    )
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


def counts(session: Session) -> dict[tuple[ListKind, ConnectionName], int]:
    """Return how many entries each list has now, from files and from each connection."""
    rows = session.execute(
        select(ListEntryRow.kind, ListEntryRow.connection, func.count())
        .where(ListEntryRow.ended_at.is_(None))
        .group_by(ListEntryRow.kind, ListEntryRow.connection)
    )
    return {(ListKind(kind), ConnectionName(name)): count for kind, name, count in rows}


def crm_counts(session: Session) -> dict[tuple[ListKind, ConnectionName], ListCountRow]:
    """Return the last complete count of every list of every connection."""
    rows = session.scalars(select(ListCountRow))
    return {(ListKind(row.kind), ConnectionName(row.connection)): row for row in rows}


def history(
    session: Session,
    kind: ListKind,
    *,
    ended: bool,
    connection: str = "",
    about: str = "",
    limit: int | None = None,
) -> list[dict[str, object]]:
    """Return the entries of a list for people to read, newest first; with `ended` those that went.

    Where it is given: only of a connection, and only those that say this text of who it is.
    """
    query = select(ListEntryRow).where(ListEntryRow.kind == kind.value)
    if not ended:
        query = query.where(ListEntryRow.ended_at.is_(None))
    if connection:
        query = query.where(ListEntryRow.connection == connection)
    newest_first = query.order_by(ListEntryRow.added_at.desc(), ListEntryRow.id.desc())
    rows = session.scalars(newest_first.execution_options(yield_per=_IN_MAX))
    fitting = (row for row in rows if about.casefold() in str(asdict(row.customer)).casefold())
    return [
        {name: value for name, value in asdict(_entry(row)).items() if name != "customer"}
        | asdict(row.customer)
        | {
            "source": row.source, "added_at": row.added_at, "added_by": row.added_by,
            "ended_at": row.ended_at, "ended_by": row.ended_by,
        }
        for row in islice(fitting, limit)
    ]  # fmt: skip


def _account(entry: ListEntry, unit: UnitOfWork) -> Account:
    """Return an entry as the account directory keeps it."""
    return account_of_customer(
        entry.customer, connection=LIST_FILE, object_name=entry.kind.value, record_id=entry.id,
        owner=entry.owner, lists=frozenset({entry.kind}), read_at=unit.now,
    )  # fmt: skip


def _of(
    session: Session,
    connection: ConnectionName,
    record_ids: Iterable[str],
    where: ColumnElement[bool] = _STANDING,
) -> Iterator[tuple[ListEntryRow, ListEntry]]:
    """Return the entries of accounts of a connection, those that stand if nothing else is said."""
    ordered = sorted(record_ids)
    for at in range(0, len(ordered), _IN_MAX):
        here = ListEntryRow.record_id.in_(ordered[at : at + _IN_MAX])
        yield from _found(session, ListEntryRow.connection == connection, here, where)


def _says(entry: ListEntry) -> tuple[str, str]:
    """Return what a CRM may come to say otherwise of an account that stays on a list."""
    return entry.owner, entry.reason


def _current(session: Session, *where: ColumnElement[bool]) -> list[tuple[ListEntryRow, ListEntry]]:
    """Return the entries that fit and stand on their list now."""
    return _found(session, _STANDING, *where)


def _found(session: Session, *where: ColumnElement[bool]) -> list[tuple[ListEntryRow, ListEntry]]:
    return [(row, _entry(row)) for row in session.scalars(select(ListEntryRow).where(*where))]


def _content(entry: ListEntry) -> tuple[object, ...]:
    """Return all that an entry says, so that equal lines of two files are one entry."""
    return tuple(str(value) for value in asdict(replace(entry, id="", record_id="")).values())


def _entry(row: ListEntryRow) -> ListEntry:
    return ListEntry(
        id=row.id, kind=ListKind(row.kind), customer=row.customer, owner=row.owner,
        reason=row.reason, valid_from=row.valid_from, valid_until=row.valid_until,
        notice_days=row.notice_days, connection=ConnectionName(row.connection),
        record_id=row.record_id,
    )  # fmt: skip


def _add(unit: UnitOfWork, entry: ListEntry, source: str = "") -> ListEntry:
    """Add an entry, with an id; one from a file stands in the account directory by that."""
    made = replace(entry, id=unit.ids.new())
    if made.connection == LIST_FILE:
        made = replace(made, record_id=made.id)
    values = asdict(made) | {"kind": made.kind.value, "customer": made.customer}
    unit.session.add(
        ListEntryRow(
            **values, source=source, added_at=unit.now, added_by=str(unit.actor), ended_at=None,
            ended_by="",
        )
    )  # fmt: skip
    return made


def _end(unit: UnitOfWork, row: ListEntryRow) -> None:
    row.ended_at, row.ended_by = unit.now, str(unit.actor)
