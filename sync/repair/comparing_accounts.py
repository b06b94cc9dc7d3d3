"""Compare the account directory with every account that the CRM holds, and mend it on the way.

Two walks, each gone on with from where it stopped: through everything the CRM hands out, which
finds accounts that are missing here or hold other values, and through the directory, which finds
those that the CRM has deleted, and alone drops them: below a limit over all of its pages. Accounts
are only ever taken from a CRM, so a difference is taken at once. One that we cannot see any more may
still be there: it is told of and kept, until a person says that what vanished was deleted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields

from sqlalchemy import select
from sqlalchemy.orm import Session

from connectors.errors import FeedExpired
from connectors.port import Absence, ChangePage, CrmConnector, Gone, RemoteRecord
from registration_core.model import Account
from registration_core.store import match_index
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import AccountRow
from sync.accounts import directory, emptiness
from sync.ledger.drift import DriftRunRow
from sync.previews.previewing import Does
from sync.process.runtime import Runtime
from sync.repair.drift import DriftRun, run_of
from sync.traffic import connection_state

#: Accounts of the directory that are looked up in one go.
PAGE = 500
#: What a cursor begins with, by walk.
FEED, DIRECTORY = "feed:", "directory:"
#: How accounts that vanished and are kept are told of.
_HELD_BACK = f"|many vanished at once|{Does.WAIT}"
_COMPARED = tuple(f.name for f in fields(Account) if f.name not in {"connection", "read_at"})


def page(runtime: Runtime, crm: CrmConnector, run: DriftRunRow) -> DriftRun:
    """Compare one page, take what differs, and move on; one commit. Raises `ConnectorError`."""
    if run.cursor.startswith(DIRECTORY):
        return _directory_page(runtime, crm, run)
    return _feed_page(runtime, crm, run)


def _feed_page(runtime: Runtime, crm: CrmConnector, run: DriftRunRow) -> DriftRun:
    asked = directory.account_reads(runtime, crm.name)
    object_name = runtime.mappings[crm.name].accounts.object
    cursor = run.cursor.removeprefix(FEED) or None
    try:
        told = crm.changes(object_name, asked, cursor)
    except FeedExpired:  # the pause was too long: from the start
        told = crm.changes(object_name, asked, None)
    accounts = [directory.account_of(runtime, crm.name, record) for record in told.records]
    with runtime.database.begin() as unit:
        known = _known(unit.session, accounts)
        tally = Counter(_differing(accounts, known))
        directory.take(unit, crm.name, accounts, [])
        return _moved(unit, run, _after(told), len(accounts), tally)


def _after(told: ChangePage) -> str:
    return FEED + told.cursor if told.more else DIRECTORY


def _known(session: Session, accounts: Sequence[Account]) -> Mapping[str, Account]:
    refs = [match_index.ref_of(account.connection, account.record_id) for account in accounts]
    found = match_index.accounts_by_ref(session, refs)
    return {account.record_id: account for account in found.values()}


def _differing(accounts: Iterable[Account], known: Mapping[str, Account]) -> Iterator[str]:
    for account in accounts:
        before = known.get(account.record_id)
        if before is None:
            yield f"|missing here|{Does.PULL}"
        elif before.read_at <= account.read_at:
            names = [n for n in _COMPARED if getattr(before, n) != getattr(account, n)]
            yield from (f"{name}|remote edit not taken|{Does.PULL}" for name in names)


def _directory_page(runtime: Runtime, crm: CrmConnector, run: DriftRunRow) -> DriftRun:
    mapping = runtime.mappings[crm.name].accounts
    after = run.cursor.removeprefix(DIRECTORY)
    with runtime.database.read() as session:
        here = AccountRow.connection == crm.name
        ids = session.scalars(
            select(AccountRow.record_id)
            .where(here, AccountRow.record_id > after)
            .order_by(AccountRow.record_id)
            .limit(PAGE)
        ).all()
        total = emptiness.directory_size(session, crm.name)
        vouched = emptiness.vouched(session, crm.name, runtime.database.clock())
    records = crm.read(mapping.object, ids, mapping.reads()) if ids else {}
    gone = _gone(records, vouched=vouched)
    tally = Counter(f"|{each.absence}|{Does.PULL}" for each in gone.values())
    vanished = sum(n for key, n in (Counter(run.tally) + tally).items() if _is_gone(key))
    if emptiness.too_many(vanished, total) and not vouched:
        # A sandbox or a permission that was taken away looks just like this: nothing is dropped.
        tally, gone = Counter({_HELD_BACK: len(gone)}), {}
    unseen = [i for i, r in records.items() if _is_unseen(r) and i not in gone]
    tally += Counter({f"|{Absence.NOT_FOUND}|{Does.WAIT}": len(unseen)})
    with runtime.database.begin() as unit:
        directory.take(unit, crm.name, [], list(gone.values()))
        following = DIRECTORY + ids[-1] if len(ids) == PAGE else ""
        if vouched and not following:  # what had vanished at once is forgotten now
            connection_state.held(unit, crm.name).accounts_gone_since = None
        return _moved(unit, run, following, 0, tally)


def _gone(records: Mapping[str, RemoteRecord | Gone], *, vouched: bool) -> dict[str, Gone]:
    """Return the accounts that are not there; those that we only cannot see if somebody vouches."""
    absent = {i: r for i, r in records.items() if isinstance(r, Gone)}
    return {i: gone for i, gone in absent.items() if vouched or not _is_unseen(gone)}


def _is_unseen(record: RemoteRecord | Gone) -> bool:
    return isinstance(record, Gone) and record.absence is Absence.NOT_FOUND


def _is_gone(key: str) -> bool:
    """Whether it tells of vanished accounts: dropped, or held back since too many had vanished."""
    _, cause, repair = key.split("|")
    return key == _HELD_BACK or (repair == Does.PULL and cause in set(Absence))


def _moved(
    unit: UnitOfWork, run: DriftRunRow, cursor: str, compared: int, tally: Mapping[str, int]
) -> DriftRun:
    """Move the comparison on, in the caller's transaction; without a cursor it is done."""
    row = unit.session.get_one(DriftRunRow, run.id, with_for_update=True)
    if row.cursor == run.cursor:  # else whoever took the lease over was faster
        row.tally = dict(Counter(row.tally) + Counter(tally))
        row.compared, row.cursor = row.compared + compared, cursor
        if not cursor:
            row.state, row.finished_at = "done", unit.now
    return run_of(row)
