"""The match keys of accounts and live registrations: kept with each, searched by every check.

A key is a digest (`matching.blocking`), an account a digest of its connection and record id, so
that nothing has to be allocated and writing twice is harmless. A registration is known by its
receipt; closed ones have no keys. Keys that more accounts share
than `blocking.CAP` are skipped; `match_upkeep` counts from time to time which they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any

from sqlalchemy import TextClause, bindparam, delete, insert, select, text
from sqlalchemy.orm import Session

from registration_core.matching import FAMILY_MAX, MatchKey, blocking, fold_id, match_organisation
from registration_core.matching.organisation import Organisation, of_customer
from registration_core.model import Account, Customer, ListWords
from registration_core.program import ListKind
from registration_core.store.tables import (
    AccountRow,
    MatchKeyCountRow,
    MatchKeyRow,
    RegistrationKeyRow,
)

#: Most refs put into one `IN`; larger sets are split.
_IN_MAX = 500
#: Most pairs of a key and an account that one statement writes, to bound memory.
_PAIRS_MAX = 50_000
#: Most rows one search reads over all its keys.
_ROWS_MAX = 6000
#: Who has each key, up to a limit, as one text: a row for each would cost most of a search. For
#: PostgreSQL it is one statement for any number of keys, which is then planned once.
_WHO = {
    "sqlite": """SELECT CAST(k.key AS integer) AS place, (
        SELECT group_concat({ref}) FROM (
            SELECT {ref} FROM {table} WHERE key = k.value LIMIT :most)) AS refs
        FROM json_each(:keys) k""",
    "postgresql": """SELECT k.place - 1 AS place, (
        SELECT string_agg(CAST({ref} AS text), ',') FROM (
            SELECT {ref} FROM {table} WHERE key = k.key LIMIT :most) q) AS refs
        FROM unnest(CAST(:keys AS bigint[])) WITH ORDINALITY k(key, place)""",
}
_ACCOUNTS = ("match_key", "account_ref")
_REGISTRATIONS = ("registration_key", "receipt_seq")

#: Accounts by ref, whole and as they are compared; made once, because making them costs time.
_FIELDS = tuple(f.name for f in fields(Account))
_BY_REF = AccountRow.ref.in_(bindparam("refs", expanding=True))
_WHOLE = select(AccountRow.ref, *(getattr(AccountRow, name) for name in _FIELDS)).where(_BY_REF)
_COMPARED_AS = ("id", "name", "website", "country", "city", "postcode", "phone", "tax_id", "duns")
COMPARED = select(
    AccountRow.ref, AccountRow.record_id, AccountRow.name, AccountRow.domain, AccountRow.country,
    AccountRow.city, AccountRow.postcode, AccountRow.phone, AccountRow.tax_id, AccountRow.duns,
    AccountRow.aliases, AccountRow.other_domains,
)  # fmt: skip
_COMPARED_BY_REF = COMPARED.where(_BY_REF)
#: A key that is there already was written by a change in between.
_ADD = {
    "sqlite": "INSERT INTO match_key (key, account_ref) VALUES (?, ?) ON CONFLICT DO NOTHING",
    "postgresql": """INSERT INTO match_key (key, account_ref)
        SELECT * FROM unnest(%s::bigint[], %s::bigint[]) ON CONFLICT DO NOTHING""",
}
_FORGET = {
    "sqlite": "DELETE FROM match_key WHERE key = ? AND account_ref = ?",
    "postgresql": """DELETE FROM match_key m USING unnest(%s::bigint[], %s::bigint[]) g(key, ref)
        WHERE m.key = g.key AND m.account_ref = g.ref""",
}
_COUNTED = select(MatchKeyCountRow.key, MatchKeyCountRow.accounts).where(
    MatchKeyCountRow.key.in_(bindparam("keys", expanding=True))
)
#: A key that more live registrations share than this leads nobody from a change of an account.
SHARED_MAX = 200


def ref_of(connection: str, record_id: str) -> int:
    """Return the number by which the index knows an account; 63 bits, never allocated."""
    name = f"{connection}\n{record_id}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") >> 1


def keep(
    session: Session, changes: Iterable[tuple[int, Organisation | None, Organisation | None]]
) -> None:
    """Keep the keys of accounts that changed from one value to another; None is no account.

    Writes what differs: a new owner or a new read time costs nothing here.
    """
    gone: list[tuple[int, int]] = []
    come: list[tuple[int, int]] = []
    for ref, before, after in changes:
        if before != after:
            old = blocking.digests_of(before) if before else set()
            new = blocking.digests_of(after) if after else set()
            gone += [(key, ref) for key in old - new]
            come += [(key, ref) for key in new - old]
    _each(session, _FORGET, gone)
    add(session, come)


def add(session: Session, keys: Collection[tuple[int, int]]) -> None:
    """Add pairs of a key and an account's ref; those that are there already stay."""
    _each(session, _ADD, keys)


def _each(
    session: Session, statement: Mapping[str, str], keys: Collection[tuple[int, int]]
) -> None:
    """Run a statement for each pair, past SQLAlchemy, which would cost more than the rest.

    In the order of the index, so that a batch of many touches each of its pages once.
    """
    if not keys:
        return
    connection, pairs = session.connection(), sorted(keys)
    for at in range(0, len(pairs), _PAIRS_MAX):
        some = pairs[at : at + _PAIRS_MAX]
        if connection.dialect.name == "postgresql":
            arrays = tuple(map(list, zip(*some, strict=True)))
            connection.exec_driver_sql(statement["postgresql"], arrays)
        else:
            connection.exec_driver_sql(statement["sqlite"], some)


def keep_registration(
    session: Session, receipt_seq: int, before: Customer | None, after: Customer | None
) -> None:
    """Keep the keys of a live registration's customer; None is a registration that is not live."""
    if before == after:
        return
    gone = blocking.digests_of(of_customer(before)) if before else set()
    come = blocking.digests_of(of_customer(after)) if after else set()
    if gone - come:
        session.connection().execute(
            delete(RegistrationKeyRow).where(
                RegistrationKeyRow.key.in_(gone - come),
                RegistrationKeyRow.receipt_seq == receipt_seq,
            )
        )
    if come - gone:
        rows = [{"key": key, "receipt_seq": receipt_seq} for key in come - gone]
        session.execute(insert(RegistrationKeyRow), rows)


def search(session: Session, organisation: Organisation) -> list[int]:
    """Return the refs of the accounts worth comparing, likeliest first."""
    keys = blocking.sought_by(organisation)
    counts = _counts(session, [TOTAL, *map(blocking.digest, keys)])
    total = counts.get(TOTAL) or 100_000  # nobody has counted yet, or there was nothing to count
    return _ranked(session, _ACCOUNTS, _affordable(keys, counts), total)


def search_registrations(
    session: Session,
    organisation: Organisation,
    known: Iterable[MatchKey] = (),
    most: int = blocking.CANDIDATES_MAX,
) -> list[int]:
    """Return the receipts of the live registrations worth comparing, likeliest first."""
    learned = (blocking.identifier_key(key.kind, key.value) for key in known)
    keys = dict.fromkeys((*blocking.sought_by(organisation), *filter(None, learned)))
    # How many are live matters little for the order, and counting them would cost a scan.
    return _ranked(session, _REGISTRATIONS, list(keys), blocking.CAP, most)


def search_registrations_of_all(
    session: Session,
    organisations: Sequence[Organisation],
    shared_max: int = SHARED_MAX,
    most: int = blocking.CANDIDATES_MAX,
) -> list[list[int]]:
    """Return for each organisation the receipts of live registrations worth comparing, in bulk.

    Keys of more than `shared_max` registrations find nobody, so that the work is bounded.
    """
    named = [{blocking.digest(key): key for key in blocking.sought_by(o)} for o in organisations]
    wanted = sorted({key for keys in named for key in keys})
    owners = {
        wanted[place]: [int(receipt) for receipt in receipts]
        for place, receipts in _owners(session, _REGISTRATIONS, wanted, shared_max).items()
    }
    counts = {key: len(receipts) for key, receipts in owners.items()}
    ranked = []
    for keys in named:
        hits = {text: owners[key] for key, text in keys.items() if key in counts}
        few = {text: counts[key] for key, text in keys.items() if key in counts}
        ranked.append(blocking.rank(hits, few, blocking.CAP, most))
    return ranked


def _affordable(keys: Sequence[str], counts: Mapping[int, int]) -> list[str]:
    """Leave out keys of too many accounts, and the most frequent of those that read too much."""
    digests = {key: blocking.digest(key) for key in keys}
    wanted: list[str] = []
    rows = 0
    for key in sorted(keys, key=lambda key: (counts.get(digests[key], 0), digests[key])):
        count = counts.get(digests[key], 0)
        rows += count
        if count <= blocking.CAP and rows <= _ROWS_MAX:
            wanted.append(key)
    return wanted


def _ranked(
    session: Session,
    source: tuple[str, str],
    keys: Sequence[str],
    total: int,
    most: int = blocking.CANDIDATES_MAX,
) -> list[int]:
    """Return who has most of these keys, rare ones counting more; frequent keys are left out."""
    if not keys:
        return []
    owners = _owners(session, source, [blocking.digest(key) for key in keys], blocking.CAP)
    hits = {keys[place]: refs for place, refs in owners.items()}
    counts = {key: len(refs) for key, refs in hits.items()}
    return [int(ref) for ref in blocking.rank(hits, counts, total, most)]


def _owners(
    session: Session, source: tuple[str, str], digests: Sequence[int], most: int
) -> dict[int, list[str]]:
    """Return who has each key, by its place among them; keys that more than `most` have are left out."""
    dialect = session.get_bind().dialect.name
    asked = {"keys": json.dumps(digests) if dialect == "sqlite" else digests, "most": most + 1}
    rows = session.execute(_who(dialect, *source), asked)
    found = {place: refs.split(",") for place, refs in rows if refs}
    return {place: refs for place, refs in found.items() if len(refs) <= most}


def refs_with(session: Session, key: str) -> list[int]:
    """Return the refs of the accounts that have one key, at most `blocking.CAP`."""
    query = select(MatchKeyRow.account_ref).where(MatchKeyRow.key == blocking.digest(key))
    return list(session.scalars(query.limit(blocking.CAP)))


def accounts_by_ref(session: Session, refs: Sequence[int]) -> dict[int, Account]:
    """Return the accounts behind the refs of the match index, in the order asked for."""
    found: dict[int, Account] = {}
    for at in range(0, len(refs), _IN_MAX):
        for ref, *values in session.execute(_WHOLE, {"refs": refs[at : at + _IN_MAX]}).all():
            kept = dict(zip(_FIELDS, values, strict=True))
            kept["lists"] = frozenset(ListKind(kind) for kind in kept["lists"])
            kept["list_words"] = tuple(
                ListWords(ListKind(kind), *said) for kind, *said in kept["list_words"]
            )
            found[ref] = Account(**kept)
    return {ref: found[ref] for ref in refs if ref in found}


def likely_accounts(
    session: Session, customer: Organisation, known: frozenset[MatchKey] = frozenset()
) -> list[Account]:
    """Return the accounts of every connection that may be the customer or of its family.

    Likeliest first; `known` are exact keys learned from its accounts, which count like typed ones.
    """
    refs = search(session, customer)
    for key in sorted(known, key=lambda key: (key.kind, key.value)):
        identifier = blocking.identifier_key(key.kind, key.value)
        refs += refs_with(session, identifier) if identifier else []
    compared = _organisations(session, list(dict.fromkeys(refs)))
    alike = [ref for ref, other in compared.items() if match_organisation(customer, known, other)]
    return list(accounts_by_ref(session, alike).values())


def _organisations(session: Session, refs: Sequence[int]) -> dict[int, Organisation]:
    """Return what is compared of the accounts, in the order asked for; half the cost of all."""
    found: dict[int, Organisation] = {}
    for at in range(0, len(refs), _IN_MAX):
        few = {"refs": refs[at : at + _IN_MAX]}
        found |= {row.ref: compared(row) for row in session.execute(_COMPARED_BY_REF, few)}
    return {ref: found[ref] for ref in refs if ref in found}


def compared(row: Sequence[Any]) -> Organisation:
    """Return a row of `COMPARED` as the matcher takes it."""
    *plain, aliases, other_domains = row[1:]
    return Organisation(
        **dict(zip(_COMPARED_AS, plain, strict=True)),
        aliases=tuple(aliases.splitlines()),
        email_domains=tuple(other_domains.splitlines()),
    )


def accounts_known_by(session: Session, key: str) -> list[Account]:
    """Return the accounts of every connection that have one match key."""
    return list(accounts_by_ref(session, refs_with(session, key)).values())


def accounts_with_tax_id(session: Session, connection: str, tax_id: str) -> list[Account]:
    """Return the accounts of a connection that have a tax id."""
    return [
        account
        for account in accounts_known_by(session, f"tax:{fold_id(tax_id)}")
        if account.connection == connection and fold_id(account.tax_id) == fold_id(tax_id)
    ]


def relatives(session: Session, account: Account) -> list[Account]:
    """Return an account's parent, siblings and children in its CRM, at most `FAMILY_MAX`."""
    of_one_crm = AccountRow.connection == account.connection
    parents = [account.record_id, account.parent] if account.parent else [account.record_id]
    # Plain look-ups, unordered: with an OR or an order SQLite reads the whole connection.
    found = list(
        session.scalars(
            select(AccountRow.ref)
            .where(of_one_crm, AccountRow.parent.in_(parents))
            .limit(FAMILY_MAX)
        )
    )
    if account.parent:
        found.insert(0, ref_of(account.connection, account.parent))
    own = ref_of(account.connection, account.record_id)
    return [kept for ref, kept in accounts_by_ref(session, found).items() if ref != own]


#: Key digests have 48 bits and no sign, so numbers about the whole index can stand beside them:
#: how many accounts it has, and that it is not to be relied on until it was made anew.
TOTAL = -1
UNRELIABLE = -2


def reliable(session: Session) -> bool:
    """Whether the match keys are complete: not while they are made anew, nor when they have to be."""
    return session.get(MatchKeyCountRow, UNRELIABLE) is None


def _counts(session: Session, keys: Sequence[int]) -> dict[int, int]:
    rows = session.execute(_COUNTED, {"keys": keys})
    return {row.key: row.accounts for row in rows}


@lru_cache
def _who(dialect: str, table: str, ref: str) -> TextClause:
    return text(_WHO[dialect].format(table=table, ref=ref))
