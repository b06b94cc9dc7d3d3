"""The emptiness guard: many linked records that vanish at once are not believed.

A refreshed sandbox, a permission that was taken away or a data loader looks just like people
deleting deals. Below the limit a vanished record orphans its link; above it nothing is orphaned,
the notices wait, and a person is asked. Nor does the account directory forget a mass of accounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from connectors.port import Gone
from registration_core.contracts import ConnectionName
from registration_core.model import Actor
from registration_core.store import audit, match_index
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import AccountRow
from sync.ledger.tables import ConnectionStateRow, LinkRow
from sync.process.runtime import Runtime
from sync.traffic import connection_state

log = structlog.get_logger()

#: So many records may vanish within `WINDOW` whatever the number of links is.
ALWAYS_PLAUSIBLE = 10
#: Beyond that, this share of a connection's links.
SHARE_MAX = 0.1
WINDOW = timedelta(hours=1)
#: How long a person's word holds that records really were deleted.
ACCEPTED_FOR = timedelta(hours=1)
#: Linked records that vanished are looked at again every five minutes, and told of as long.
TOLD_FOR = timedelta(minutes=15)
#: Accounts that are kept although the CRM says that they are gone.
TOLD_OF_ACCOUNTS_FOR = timedelta(days=1)


def plausible(runtime: Runtime, connection: ConnectionName, gone: int) -> bool:
    """Whether `gone` more vanished records are believed now; says so in the log if not."""
    now = runtime.database.clock()
    with runtime.database.read() as session:
        if vouched(session, connection, now):
            return True
        here = LinkRow.connection == connection
        active = session.scalar(
            select(func.count()).select_from(LinkRow).where(here, LinkRow.state == "active")
        )
        lately = session.scalar(
            select(func.count())
            .select_from(LinkRow)
            .where(here, LinkRow.state == "orphaned", LinkRow.changed_at > now - WINDOW)
        )
    total, vanished = (active or 0) + (lately or 0), (lately or 0) + gone
    believed = not too_many(vanished, total)
    if not believed:
        log.error(
            "mass disappearance: nothing is orphaned",
            connection=connection,
            vanished=vanished,
            links=total,
            hint=f"if they really were deleted: dealreg connection accept-deletes {connection}",
        )
        with runtime.database.begin() as unit:
            state = connection_state.held(unit, connection)
            state.links_gone = max(vanished, links_gone(state, unit.now))
            state.links_gone_at = unit.now
    return believed


def links_gone(state: ConnectionStateRow, now: datetime) -> int:
    """Return how many linked records at least are gone now and not believed to be."""
    at = state.links_gone_at
    return state.links_gone if at is not None and at > now - TOLD_FOR else 0


def accounts_gone(session: Session, state: ConnectionStateRow, now: datetime) -> int:
    """Return how many accounts vanished within a day and are kept all the same."""
    since = state.accounts_gone_since
    lately = since is not None and since > now - TOLD_OF_ACCOUNTS_FOR
    known = directory_size(session, ConnectionName(state.connection)) if lately else 0
    return state.accounts_gone if lately and too_many(state.accounts_gone, known) else 0


def accounts_to_forget(
    unit: UnitOfWork, connection: ConnectionName, gone: Sequence[Gone]
) -> list[Gone]:
    """Return those of the accounts that a CRM says are gone which the directory may forget.

    All of them, or only those that were merged and so live on in another: where too many vanished
    within `WINDOW`, unless a person vouches for them. Counts them, in the caller's transaction.
    """
    refs = [match_index.ref_of(connection, g.record_id) for g in gone if not g.merged_into]
    vanished = len(match_index.accounts_by_ref(unit.session, refs))
    if not vanished or vouched(unit.session, connection, unit.now):
        return list(gone)
    state = connection_state.held(unit, connection)
    since = state.accounts_gone_since
    if since is None or since <= unit.now - WINDOW:
        state.accounts_gone_since, state.accounts_gone = unit.now, 0
    state.accounts_gone += vanished
    if not too_many(state.accounts_gone, directory_size(unit.session, connection)):
        return list(gone)
    log.error(
        "mass disappearance: no account is forgotten",
        connection=connection,
        vanished=state.accounts_gone,
        hint=f"if they really were deleted: dealreg connection accept-deletes {connection}, "
        f"and then: dealreg drift {connection} --accounts",
    )
    return [absent for absent in gone if absent.merged_into]


def too_many(vanished: int, total: int) -> bool:
    """Whether so many of so many do not vanish by people's doing."""
    return vanished > max(ALWAYS_PLAUSIBLE, total * SHARE_MAX)


def vouched(session: Session, connection: ConnectionName, now: datetime) -> bool:
    """Whether a person's word holds now that what vanished was deleted on purpose."""
    state = session.get(ConnectionStateRow, connection)
    until = state.deletes_accepted_until if state is not None else None
    return until is not None and until > now


def directory_size(session: Session, connection: ConnectionName) -> int:
    """Return how many accounts of a connection are known."""
    known = select(func.count()).select_from(AccountRow).where(AccountRow.connection == connection)
    return session.scalar(known) or 0


def accept_deletes(runtime: Runtime, connection: ConnectionName, actor: Actor) -> None:
    """Say, as a person, that the records of the next hour really were deleted."""
    runtime.connector(connection)  # tells if there is no such connection
    with runtime.database.begin(actor) as unit:
        state = connection_state.held(unit, connection)
        state.deletes_accepted_until = unit.now + ACCEPTED_FOR
        state.links_gone_at = None
        audit.record(
            unit, f"connection:{connection}", "accept deletes",
            {"until": state.deletes_accepted_until.isoformat()},
        )  # fmt: skip
        unit.nudges.add(f"pull:{connection}")
