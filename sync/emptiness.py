"""The emptiness guard: many linked records that vanish at once are not believed.

A refreshed sandbox, a permission that was taken away or a data loader looks just like people
deleting deals. Below the limit a vanished record orphans its link; above it nothing is orphaned,
the notices wait, and a person is asked.
"""

from __future__ import annotations

from datetime import timedelta

import structlog
from sqlalchemy import func, select

from registration_core.contracts import ConnectionName
from registration_core.model import Actor
from registration_core.store import audit
from sync import connection_state
from sync.ledger.tables import ConnectionStateRow, LinkRow
from sync.runtime import Runtime

log = structlog.get_logger()

#: So many records may vanish within `WINDOW` whatever the number of links is.
ALWAYS_PLAUSIBLE = 10
#: Beyond that, this share of a connection's links.
SHARE_MAX = 0.1
WINDOW = timedelta(hours=1)
#: How long a person's word holds that records really were deleted.
ACCEPTED_FOR = timedelta(hours=1)


def plausible(runtime: Runtime, connection: ConnectionName, gone: int) -> bool:
    """Whether `gone` more vanished records are believed now; says so in the log if not."""
    now = runtime.database.clock()
    with runtime.database.read() as session:
        state = session.get(ConnectionStateRow, connection)
        if (
            state is not None
            and state.deletes_accepted_until
            and state.deletes_accepted_until > now
        ):
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
    believed = vanished <= max(ALWAYS_PLAUSIBLE, total * SHARE_MAX)
    if not believed:
        log.error(
            "mass disappearance: nothing is orphaned",
            connection=connection,
            vanished=vanished,
            links=total,
            hint=f"if they really were deleted: dealreg connection accept-deletes {connection}",
        )
    return believed


def accept_deletes(runtime: Runtime, connection: ConnectionName, actor: Actor) -> None:
    """Say, as a person, that the records of the next hour really were deleted."""
    runtime.connector(connection)  # tells if there is no such connection
    with runtime.database.begin(actor) as unit:
        state = connection_state.held(unit, connection)
        state.deletes_accepted_until = unit.now + ACCEPTED_FOR
        audit.record(
            unit, f"connection:{connection}", "accept deletes",
            {"until": state.deletes_accepted_until.isoformat()},
        )  # fmt: skip
        unit.nudges.add(f"pull:{connection}")
