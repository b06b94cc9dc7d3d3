"""What a person can list of the store at the end of a story."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from sqlalchemy import select

from reconciler.merge import same
from registration_core.contracts import Fields
from registration_core.model import Registration
from registration_core.store import audit, repository
from registration_core.store.tables import AuditEventRow, ClaimRow, ConflictCheckRow, OutboxRow
from sync.ledger.gates import HeldChangeRow, HeldRow
from sync.ledger.tables import DeadLetterRow, IntentRow, LinkRow, SyncConflictRow
from tests.simulation.play import Play
from tests.simulation.truth import Token, token

#: Fields that carry users' unique values, and the groups they are merged in.
GROUP_OF = {"deal_name": "name", "amount": "amount", "expected_close_on": "close"}


@dataclass
class Evidence:
    """What a person can list of the store at the end."""

    registrations: dict[str, Registration]
    links: list[LinkRow]
    conflicts: list[SyncConflictRow]
    letters: list[DeadLetterRow]
    outbox: list[OutboxRow]
    claims: list[ClaimRow]
    checks: dict[str, ConflictCheckRow]
    pending: list[IntentRow]
    #: Changes that undone runs name, with what is done of each: it is declined, or put back.
    undone: list[tuple[HeldChangeRow, str]]
    events: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


def gather(play: Play) -> Evidence:
    """Read the evidence."""
    with play.database.read() as session:

        def rows(table: type) -> list:  # type: ignore[type-arg]
            return list(session.scalars(select(table)))

        registrations = {r.id: r for r in repository.registrations(session)}
        events = {}
        for key in registrations:
            events[key] = [
                json.loads(row.body)
                for row in session.scalars(
                    select(AuditEventRow)
                    .where(AuditEventRow.subject == f"registration:{key}")
                    .order_by(AuditEventRow.seq)
                )
            ]
        return Evidence(
            registrations=registrations,
            links=rows(LinkRow),
            conflicts=rows(SyncConflictRow),
            letters=rows(DeadLetterRow),
            outbox=rows(OutboxRow),
            claims=rows(ClaimRow),
            checks={row.id: row for row in rows(ConflictCheckRow)},
            pending=[row for row in rows(IntentRow) if row.state == "pending"],
            undone=[
                (change, state)
                for change, state in session.execute(
                    select(HeldChangeRow, HeldRow.state)
                    .join(HeldRow, HeldRow.id == HeldChangeRow.held_id)
                    .where(HeldRow.cap == "undo")
                )
            ],
            events=events,
            broken=[f"{b.subject} {b.seq}: {b.what}" for b in audit.verify(session)[1]],
        )


def kept(seen: Evidence) -> set[Token]:
    """Every value that a conflict names, whoever won, or the undo of a run."""
    found = set()
    for change, _ in seen.undone:
        found |= {token(name, value) for name, value in change.values.items() if name in GROUP_OF}
    for row in seen.conflicts:
        for side in (row.store, row.remote, row.chosen or {}):
            found |= {token(name, value) for name, value in side.items() if name in GROUP_OF}
    return found


def declined(seen: Evidence, link: LinkRow, ours: Fields) -> bool:
    """Whether the undo of a run keeps what stands here from going there."""
    return any(
        state == "discarded"
        and (change.registration_id, change.connection) == (link.registration_id, link.connection)
        and all(n in change.values and same(change.values[n], v) for n, v in ours.items())
        for change, state in seen.undone
    )
