"""Upkeep of the match keys: counting the frequent ones, and making all of them anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import delete, func, insert, select, text
from sqlalchemy.orm import Session

from registration_core.matching.blocking import digests_of
from registration_core.matching.organisation import of_account, of_customer
from registration_core.model import Account, Customer, RegistrationState
from registration_core.store import match_index, protection
from registration_core.store.database import Database
from registration_core.store.tables import (
    AccountRow,
    MatchKeyCountRow,
    MatchKeyRow,
    RegistrationKeyRow,
    RegistrationRow,
)

#: Keys of fewer accounts are not counted; they cost nothing to read.
_COUNTED_MIN = 200
#: Accounts made anew in one commit.
_BATCH = 1000
#: The same on both stores; a key that is there already was written by a change in between.
_ADD = text("INSERT INTO match_key (key, account_ref) VALUES (:key, :ref) ON CONFLICT DO NOTHING")


def recount(database: Database) -> int:
    """Count the frequent keys anew; returns how many there are.

    Reads the whole index once, beside everybody else's work, and then writes the counts in one
    short commit.
    """
    accounts = func.count()
    frequent = (
        select(MatchKeyRow.key, accounts).group_by(MatchKeyRow.key).having(accounts >= _COUNTED_MIN)
    )
    with database.read() as session:
        counts = [{"key": key, "accounts": n} for key, n in session.execute(frequent).all()]
        total = _accounts(session)
    with database.begin() as unit:
        # Of what stands beside the keys only the total is counted here.
        unit.session.execute(
            delete(MatchKeyCountRow).where(MatchKeyCountRow.key >= match_index.TOTAL)
        )
        counted = [{"key": match_index.TOTAL, "accounts": total}, *counts]
        unit.session.execute(insert(MatchKeyCountRow), counted)
    return len(counts)


def rebuild(database: Database, told: Callable[[int, int], None]) -> int:
    """Make every match key anew and count them; returns of how many accounts.

    In batches, each a commit, so that others work on; `told` hears accounts done and to do. Until
    the end the index counts as unreliable, and checks wait. Safe to repeat and to run beside
    changes; one that was killed is started again from the beginning.
    """
    with database.begin() as unit:
        if match_index.reliable(unit.session):
            mark = {"key": match_index.UNRELIABLE, "accounts": 0}
            unit.session.execute(insert(MatchKeyCountRow), [mark])
        unit.session.execute(delete(MatchKeyRow))
    _registrations_anew(database)
    with database.read() as session:
        total = _accounts(session)
        names = list(session.scalars(select(AccountRow.connection).distinct()))
    done = 0
    for name in names:
        last = ""
        while batch := _batch_anew(database, name, last):
            last = batch[-1].record_id
            done += len(batch)
            told(done, total)
    recount(database)
    with database.begin() as unit:
        unit.session.execute(
            delete(MatchKeyCountRow).where(MatchKeyCountRow.key == match_index.UNRELIABLE)
        )
    return done


def _batch_anew(database: Database, connection: str, after: str) -> list[Account]:
    with database.begin() as unit:
        unit.hold(f"accounts:{connection}")  # nobody changes them between reading and writing
        refs = unit.session.scalars(
            select(AccountRow.ref)
            .where(AccountRow.connection == connection, AccountRow.record_id > after)
            .order_by(AccountRow.record_id)
            .limit(_BATCH)
        ).all()
        accounts = match_index.accounts_by_ref(unit.session, refs)
        keys = sorted((k, ref) for ref, a in accounts.items() for k in digests_of(of_account(a)))
        _add(unit.session, keys)
    return list(accounts.values())


def _add(session: Session, keys: Iterable[tuple[int, int]]) -> None:
    rows = [{"key": key, "ref": ref} for key, ref in keys]
    if rows:
        session.execute(_ADD, rows)


def _registrations_anew(database: Database) -> None:
    """Make the keys of live registrations anew, in one commit that no decision overlaps."""
    live = [state.value for state in RegistrationState if state.live]
    with database.begin() as unit:
        protection.hold_lock(unit)
        unit.session.execute(delete(RegistrationKeyRow))
        last = 0
        while found := unit.session.execute(
            select(RegistrationRow.receipt_seq, RegistrationRow.customer)
            .where(RegistrationRow.state.in_(live), RegistrationRow.receipt_seq > last)
            .order_by(RegistrationRow.receipt_seq)
            .limit(_BATCH)
        ).all():
            for last, customer in found:
                keys = digests_of(of_customer(Customer(**customer)))
                rows = [{"key": key, "receipt_seq": last} for key in keys]
                unit.session.execute(insert(RegistrationKeyRow), rows)


def _accounts(session: Session) -> int:
    return session.scalar(select(func.count(AccountRow.ref))) or 0
