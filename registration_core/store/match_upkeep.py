"""Upkeep of the match keys: counting the frequent ones, and making all of them anew."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select
from sqlalchemy.orm import Session

from registration_core.matching.blocking import digests_of
from registration_core.matching.organisation import of_customer
from registration_core.model import RegistrationState
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
#: Registrations that are read at once.
_BATCH = 1000
#: Accounts whose keys are written in one commit. Each commit writes most pages of a large index, so
#: there should be few; a commit takes seconds, and some 100 MB of memory.
RUN = 30_000
_OF_ONE = match_index.COMPARED.where(
    AccountRow.connection == bindparam("connection"), AccountRow.record_id > bindparam("after")
).order_by(AccountRow.record_id)
_AFTER = _OF_ONE.limit(bindparam("most"))
_BETWEEN = _OF_ONE.where(AccountRow.record_id <= bindparam("last"))


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

    In runs, each a short commit, so that others work on; `told` hears accounts done and to do. Until
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
        while run := _run_anew(database, name, last):
            last, accounts = run
            done += accounts
            told(done, total)
    recount(database)
    with database.begin() as unit:
        unit.session.execute(
            delete(MatchKeyCountRow).where(MatchKeyCountRow.key == match_index.UNRELIABLE)
        )
    return done


def _run_anew(database: Database, connection: str, after: str) -> tuple[str, int] | None:
    """Make the keys of the next accounts beside everybody else's work; returns the last and how many.

    Then they are written in one commit, in the order of the index: what changed meanwhile is made
    again, under the lock that keeps an account from changing.
    """
    with database.read() as session:
        accounts = session.execute(
            _AFTER, {"connection": connection, "after": after, "most": RUN}
        ).all()
    if not accounts:
        return None
    made = {tuple(account): _keys_of(account) for account in accounts}
    through = {"connection": connection, "after": after, "last": accounts[-1].record_id}
    with database.begin() as unit:
        unit.hold(f"accounts:{connection}")
        now = unit.session.execute(_BETWEEN, through)
        keys = [
            (key, account.ref)
            for account in now
            for key in made.get(tuple(account)) or _keys_of(account)
        ]
        match_index.add(unit.session, keys)
    return accounts[-1].record_id, len(accounts)


def _keys_of(account: Sequence[Any]) -> array[int]:
    """Return the keys of an account, kept small: a run of them is held at once."""
    return array("q", digests_of(match_index.compared(account)))


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
                keys = digests_of(of_customer(customer))
                rows = [{"key": key, "receipt_seq": last} for key in keys]
                unit.session.execute(insert(RegistrationKeyRow), rows)


def _accounts(session: Session) -> int:
    return session.scalar(select(func.count(AccountRow.ref))) or 0
