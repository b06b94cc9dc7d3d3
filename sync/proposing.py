"""Proposes existing CRM records to a person who decides whether one of them is the registration's.

Asked before a create, with open opportunities that fit, and after one that the CRM refused for
being a duplicate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from connectors.port import Refused
from registration_core.contracts import ConnectionName
from registration_core.store import audit
from registration_core.store.database import UnitOfWork
from sync.ledger.tables import IntentRow, LinkProposalRow, LinkRow

#: An existing record: its object, its id, and what speaks for it.
Candidate = tuple[str, str, Mapping[str, str]]


def propose(
    unit: UnitOfWork,
    registration_id: str,
    connection: ConnectionName,
    candidates: Sequence[Candidate],
) -> bool:
    """Propose those that nobody has decided on yet; True while a person has to decide."""
    ids = [record_id for _, record_id, _ in candidates]
    known, linked = seen(unit.session, registration_id, connection, ids)
    for object_name, record_id, evidence in candidates:
        if record_id in known or record_id in linked:
            continue
        unit.session.add(
            LinkProposalRow(
                id=unit.ids.new(),
                registration_id=registration_id,
                connection=connection,
                object=object_name,
                record_id=record_id,
                evidence=dict(evidence),
                state="proposed",
                proposed_at=unit.now,
                decided_at=None,
                decided_by="",
            )
        )
        known[record_id] = "proposed"
        audit.record(
            unit,
            f"registration:{registration_id}",
            "propose link",
            {"connection": connection, "record": record_id, "evidence": dict(evidence)},
        )
    return "proposed" in known.values()


def proposes_duplicates(unit: UnitOfWork, intent: IntentRow, refused: Refused) -> bool:
    """Propose what the CRM takes for the record it would not make; True if a person has to decide.

    A rule of the CRM stands in the way of the create, and nothing here gets around it. When a
    person has said no to all of them, the refusal is what is left.
    """
    if intent.operation != "create" or not refused.duplicates:
        return False
    connection = ConnectionName(intent.connection)
    evidence = {"refused": f"{refused.code}: {refused.message}"}
    candidates = [(intent.object, record_id, evidence) for record_id in refused.duplicates]
    return propose(unit, intent.registration_id, connection, candidates)


def seen(
    session: Session,
    registration_id: str,
    connection: ConnectionName,
    record_ids: Sequence[str],
) -> tuple[dict[str, str], set[str]]:
    """Return the records proposed for a registration, with their state, and those linked to any."""
    known = {
        row.record_id: row.state
        for row in session.scalars(
            select(LinkProposalRow).where(
                LinkProposalRow.registration_id == registration_id,
                LinkProposalRow.connection == connection,
            )
        )
    }
    linked = set(
        session.scalars(
            select(LinkRow.record_id).where(
                LinkRow.connection == connection, LinkRow.record_id.in_(record_ids)
            )
        )
    )
    return known, linked
