"""The account directory: every CRM's accounts with their marks, kept up to date by its feed.

A check brings it up to date first; the scheduled poll and webhooks keep it near. Whether it may be
believed: `sync/accounts/completeness.py`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from connectors.errors import FeedExpired
from connectors.port import ChangePage, Gone, RemoteRecord
from mapping.schema import AccountMapping
from mapping.translate import read_fields
from registration_core import crm_changes
from registration_core.contracts import Condition, ConnectionName, Fields, Value
from registration_core.matching import (
    MatchKey,
    account_keys,
    account_of_customer,
    domain_of,
    of_account,
)
from registration_core.model import Account, Customer, ListWords
from registration_core.program import AccountList, ListKind
from registration_core.store import account_lists, match_index, merges, rechecks, repository, work
from registration_core.store.database import UnitOfWork
from registration_core.store.rivals import protected_kin, protected_of
from registration_core.store.tables import ListCountRow
from sync.accounts import emptiness
from sync.ledger.tables import CursorRow
from sync.process.runtime import Runtime

#: Most pages one refresh reads; a larger backlog goes on in the next one and is not complete.
PAGES_MAX = 2000
_CHANGED = "an account of the customer changed"
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
#: What stands between several values of a text, and most that are kept of them.
_BETWEEN = re.compile(r"[;\r\n]")
_SEVERAL_MAX = 20


@dataclass(frozen=True)
class Refresh:
    """How far the directory of one connection is up to date."""

    as_of: datetime
    complete: bool
    changed: tuple[str, ...]


def account_reads(runtime: Runtime, connection: ConnectionName) -> tuple[str, ...]:
    """Return the CRM fields that the directory needs: mapped ones and those of predicates."""
    lists = {name for rule in lists_of(runtime, connection) for name in rule.reads}
    return tuple(sorted({*runtime.mappings[connection].accounts.reads(), *lists}))


def lists_of(runtime: Runtime, connection: ConnectionName) -> tuple[AccountList, ...]:
    """Return the lists that any program reads in a connection, once each."""
    rules = {
        replace(rule, canary_tax_ids=()): rule
        for program in runtime.programs.values()
        for rule in program.lists
        if rule.connection == connection
    }
    return tuple(rules.values())


def account_of(runtime: Runtime, connection: ConnectionName, record: RemoteRecord) -> Account:
    """Turn a CRM's account into the directory's."""
    mapping = runtime.mappings[connection].accounts
    fields = read_fields(mapping.fields, record.fields)
    on = [rule for rule in lists_of(runtime, connection) if fits(record.fields, rule.where)]
    return Account(
        connection=connection,
        object=mapping.object,
        record_id=record.record_id,
        # A CRM may keep longer texts than the directory: the beginning is enough to match on.
        name=_text(fields, "name")[:255],
        country=_text(fields, "country").upper()[:64],
        city=_text(fields, "city")[:255],
        domain=domain_of(_text(fields, "website"))[:255],
        tax_id=_text(fields, "tax_id")[:64],
        duns=_text(fields, "duns")[:32],
        owner=_text(fields, "owner")[:64],
        lists=frozenset(rule.kind for rule in on),
        read_at=record.modified_at,
        postcode=_text(fields, "postcode")[:32],
        phone=_text(fields, "phone")[:64],
        parent=_text(fields, "parent")[:64],
        aliases=_lines(fields, "aliases"),
        other_domains="\n".join(map(domain_of, _lines(fields, "other_domains").splitlines())),
        list_words=tuple(sorted(_words(record.fields, on), key=lambda said: said.kind)),
    )


def _words(fields: Fields, on: Sequence[AccountList]) -> Iterator[ListWords]:
    """Return what the CRM says of the lists that an account is on."""
    for rule in on:
        owner, reason = (
            _text(fields, rule.owner_field)[:255],
            _text(fields, rule.reason_field)[:1000],
        )
        if owner or reason:
            yield ListWords(rule.kind, owner, reason)


def refresh(runtime: Runtime, connection: ConnectionName) -> Refresh:
    """Read every account change of a connection; each page and its cursor are one commit.

    Where accounts were read in another way than today, what is new is read first, which tells of
    merges too, and then everything. Safe to run anywhere at any time. Raises `ConnectorError`
    when the CRM cannot be read.
    """
    crm = runtime.connector(connection)
    mapping = runtime.mappings[connection].accounts
    fields, read_as = account_reads(runtime, connection), _read_as(runtime, connection)
    changed: list[str] = []
    pages = 0
    while True:
        at = _place(runtime, connection, mapping.object)
        try:
            page = crm.changes(mapping.object, fields, at.cursor)
        except FeedExpired:
            at = replace(at, cursor=None)
            page = crm.changes(mapping.object, fields, None)
        if at.cursor is None:  # from the beginning, so all of it as today
            at = replace(at, read_as=read_as)
        elif at.read_as != read_as and not page.more:
            at, page = replace(at, read_as=read_as), replace(page, cursor="", more=True)
        accounts = [account_of(runtime, connection, record) for record in page.records]
        kept = _keep(runtime, connection, mapping, accounts, page, at)
        changed += kept or ()
        pages += 1
        # A page that another reader was faster with is read again from where that one came to.
        more = page.more or kept is None
        if not more or pages >= PAGES_MAX:
            return Refresh(page.as_of, not more, tuple(changed))


@dataclass(frozen=True)
class _Place:
    """Where the feed of accounts stands: None is the beginning; and as what they were read."""

    cursor: str | None = None
    version: int = 0
    read_as: str | None = None


def _place(runtime: Runtime, connection: ConnectionName, object_name: str) -> _Place:
    with runtime.database.read() as session:
        row = session.get(CursorRow, (connection, object_name))
        return _Place(row.cursor or None, row.version, row.read_as) if row else _Place()


def _read_as(runtime: Runtime, connection: ConnectionName) -> str:
    """Return a digest of how accounts are read: which field is which, and who is on a list."""
    fields = sorted(runtime.mappings[connection].accounts.fields.items())
    lists = sorted((r.kind, repr(r.where), *_says_by(r)) for r in lists_of(runtime, connection))
    return hashlib.sha256(json.dumps([fields, lists]).encode()).hexdigest()


def _says_by(rule: AccountList) -> list[str]:
    """Return by which fields a list says who decides and why, if by any."""
    named = {"owner": rule.owner_field, "reason": rule.reason_field}
    return [f"{what}: {field}" for what, field in named.items() if field]


def _keep(
    runtime: Runtime,
    connection: ConnectionName,
    mapping: AccountMapping,
    accounts: Sequence[Account],
    page: ChangePage,
    at: _Place,
) -> list[str] | None:
    """Keep one page; None if another reader has moved the cursor since it was asked for."""
    with runtime.database.begin() as unit:
        hold(unit, connection)
        row = unit.session.get(CursorRow, (connection, mapping.object))
        if at.version != (row.version if row else 0):
            return None
        gone = emptiness.accounts_to_forget(unit, connection, page.gone)
        changed = take(unit, connection, accounts, gone)
        lists = () if page.more else [rule.kind for rule in lists_of(runtime, connection)]
        move_cursor(unit, connection, mapping.object, page, at.version, at.read_as, lists)
    return changed


def take(
    unit: UnitOfWork, connection: ConnectionName, accounts: Sequence[Account], gone: Sequence[Gone]
) -> list[str]:
    """Keep what is news about accounts, follow merges, and ask for the checks that it may concern.

    In the same commit, whoever reads it: the change is told once only. Returns the ids of
    changed accounts; one that was read before what is known of it changes nothing.
    """
    hold(unit, connection)
    refs = [match_index.ref_of(connection, a.record_id) for a in accounts]
    held = match_index.accounts_by_ref(unit.session, refs).values()
    known = {account.record_id: account for account in held}
    news = [account for account in accounts if _is_news(account, known.get(account.record_id))]
    left = [_left(known.get(account.record_id), account.lists) for account in news]
    repository.put_accounts(unit.session, news)
    merges.forget(unit.session, connection, [account.record_id for account in news])
    for absent in gone:
        left.append(_left(repository.account(unit.session, connection, absent.record_id)))
        repository.drop_account(unit.session, connection, absent.record_id)
    _count_again(unit, connection, frozenset[ListKind]().union(*left))
    merged = {each.record_id: each.merged_into for each in gone if each.merged_into}
    survivors = merges.note(unit.session, connection, merged)
    gone_ids = [absent.record_id for absent in gone]
    account_lists.follow(unit, connection, news, gone_ids, _lists_read(unit.session, connection))
    moved = crm_changes.follow_merged_accounts(unit, connection, survivors)
    matter = [account for account in news if _matters(account, known.get(account.record_id))]
    reasons = dict.fromkeys(_concerned_by(unit.session, news, matter), _CHANGED)
    reasons |= dict.fromkeys(moved, f"its account was merged in {connection}")
    work.request_checks(unit, reasons)
    return [account.record_id for account in news]


def _lists_read(session: Session, connection: ConnectionName) -> set[ListKind]:
    """Return the lists that every account of a connection was read for at least once."""
    kept = session.scalars(select(CursorRow.lists_read).where(CursorRow.connection == connection))
    return {ListKind(kind) for kinds in kept for kind in kinds}


def keep_made(
    unit: UnitOfWork, connection: ConnectionName, object_name: str, made: Mapping[str, Customer]
) -> None:
    """Keep accounts that we made, by record id, as the customers they were made for.

    In the commit that settles their creates: a feed that lags would let them be made again.
    Whatever is read of them counts as newer.
    """
    accounts = [
        account_of_customer(
            customer,
            connection=connection,
            object_name=object_name,
            record_id=record_id,
            read_at=_NEVER,
        )
        for record_id, customer in made.items()
    ]
    take(unit, connection, accounts, [])


def hold(unit: UnitOfWork, connection: ConnectionName) -> None:
    """Be the only writer of a connection's accounts until the commit."""
    unit.hold(f"accounts:{connection}")


def _is_news(account: Account, known: Account | None) -> bool:
    return known is None or (known != account and known.read_at <= account.read_at)


def _matters(account: Account, known: Account | None) -> bool:
    """Whether an account looks like somebody else now, or came onto a list or off one."""
    if known is None:
        return True
    return of_account(account) != of_account(known) or account.lists != known.lists


def _left(known: Account | None, lists: frozenset[ListKind] = frozenset()) -> frozenset[ListKind]:
    """Return the lists that an account is not on any more."""
    return (known.lists if known else frozenset()) - lists


def _count_again(unit: UnitOfWork, connection: ConnectionName, lists: frozenset[ListKind]) -> None:
    """Have the next check count lists that accounts left, however lately they were counted."""
    if lists:
        unit.session.execute(
            update(ListCountRow)
            .where(ListCountRow.connection == connection, ListCountRow.kind.in_(lists))
            .values(counted_at=_NEVER)
        )


def concerned(session: Session, connection: ConnectionName, account_ids: set[str]) -> set[str]:
    """Return which of these accounts are customers that somebody is protected for."""
    refs = [match_index.ref_of(connection, record_id) for record_id in account_ids]
    accounts = list(match_index.accounts_by_ref(session, refs).values())
    kin = protected_kin(session, [of_account(account) for account in accounts])
    return _with_keys_of_protected(session, accounts) | {
        account.record_id for account, found in zip(accounts, kin, strict=True) if found
    }


def _with_keys_of_protected(session: Session, accounts: Sequence[Account]) -> set[str]:
    keys = {account.record_id: account_keys(account) for account in accounts}
    owners = repository.customers_with(session, frozenset[MatchKey]().union(*keys.values()))
    protected = {customer for _, customer in protected_of(session, list(owners))}
    theirs = frozenset[MatchKey]().union(*(owners[customer] for customer in protected))
    return {record_id for record_id, held in keys.items() if held & theirs}


def recheck_protected(
    unit: UnitOfWork, accounts: Sequence[Account], by_evidence: Sequence[Account] = ()
) -> None:
    """Ask for a check of every protected registration that these accounts may concern."""
    concerned_by = _concerned_by(unit.session, accounts, by_evidence)
    work.request_checks(unit, dict.fromkeys(concerned_by, _CHANGED))


def _concerned_by(
    session: Session, accounts: Sequence[Account], by_evidence: Sequence[Account]
) -> set[str]:
    """Return whom these accounts may concern of those who are protected: the registrations' ids.

    By the exact keys of all and, which costs more, by the whole evidence of those that need it.
    """
    keys = frozenset[MatchKey]().union(*map(account_keys, accounts))
    return rechecks.concerned(session, [of_account(account) for account in by_evidence], keys)


def move_cursor(
    unit: UnitOfWork,
    connection: ConnectionName,
    object_name: str,
    page: ChangePage,
    version: int,
    read_as: str | None = None,
    lists_read: Iterable[ListKind] = (),
) -> None:
    """Move a cursor in the commit that keeps its rows; a reader that was slower changes nothing.

    `lists_read` are those that every account up to here was read for.
    """
    lists = sorted(kind.value for kind in lists_read)
    row = unit.session.get(CursorRow, (connection, object_name), with_for_update=True)
    if row is None:
        unit.session.add(
            CursorRow(
                connection=connection, object=object_name, cursor=page.cursor, as_of=page.as_of,
                version=1, read_as=read_as, lists_read=lists,
            )
        )  # fmt: skip
    elif row.version == version:
        row.cursor, row.as_of, row.version = page.cursor, page.as_of, version + 1
        row.read_as = read_as
        row.lists_read = sorted({*row.lists_read, *lists})


def fits(fields: Fields, where: Sequence[Condition]) -> bool:
    """Whether what was read of a record fits every condition; text without regard to case."""
    return all(
        any(_equal(fields.get(condition.field), value) for value in condition.values)
        for condition in where
    )


def _equal(held: Value, wanted: Value) -> bool:
    if isinstance(held, str) and isinstance(wanted, str):
        return held.casefold() == wanted.casefold()
    return held == wanted and isinstance(held, bool) is isinstance(wanted, bool)


def _lines(fields: Fields, name: str) -> str:
    """Return a choice of several, or a text with semicolons or lines, as lines; at most twenty."""
    value = fields.get(name)
    several = value if isinstance(value, tuple) else _BETWEEN.split(_text(fields, name))
    return "\n".join([each.strip()[:255] for each in several if each.strip()][:_SEVERAL_MAX])


def _text(fields: Fields, name: str) -> str:
    value = fields.get(name)
    return "" if value is None else str(value)
