"""Proposals to link, held for the one decision that each of them gets."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from registration_core.errors import DomainRefusal, NotFound
from registration_core.store import audit
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import RegistrationRow
from sync.ledger.ids import by_id
from sync.ledger.tables import LinkProposalRow


class DecidedAlready(DomainRefusal):
    """Somebody has decided on the proposal before."""

    code = "decided_already"

    def __init__(self, row: LinkProposalRow) -> None:
        super().__init__(f"The proposal {row.id} was {row.state} by {row.decided_by}.")
        #: How: `accepted` or `rejected`.
        self.state = row.state


def row(session: Session, proposal_id: str) -> LinkProposalRow:
    """Return one by its id or an unambiguous part of it; raises `NotFound`."""
    found = by_id(session, LinkProposalRow, proposal_id)
    if found is None:
        raise NotFound(f"There is no link proposal {proposal_id}.", hint="Type: dealreg link list")
    return found


def hold(unit: UnitOfWork, proposal_id: str) -> LinkProposalRow:
    """Return a proposal that nobody has decided on, held with all that its decision is about."""
    held = row(unit.session, proposal_id)
    # Whoever decides on one of these registrations' proposals at the same moment comes after us.
    others = [other.registration_id for other in of_same_record(unit, held)]
    unit.lock_all(RegistrationRow, {held.registration_id, *others})
    unit.session.refresh(held, with_for_update=True)
    if held.state != "proposed":
        raise DecidedAlready(held)
    return held


def of_same_record(unit: UnitOfWork, decided: LinkProposalRow) -> list[LinkProposalRow]:
    """Return what proposes the same record to other registrations."""
    return list(
        unit.session.scalars(
            select(LinkProposalRow)
            .where(
                LinkProposalRow.connection == decided.connection,
                LinkProposalRow.object == decided.object,
                LinkProposalRow.record_id == decided.record_id,
                LinkProposalRow.state == "proposed",
                LinkProposalRow.registration_id != decided.registration_id,
            )
            .order_by(LinkProposalRow.registration_id)
        )
    )


def siblings(unit: UnitOfWork, decided: LinkProposalRow) -> list[LinkProposalRow]:
    """Return what else is proposed to the same registration there."""
    return list(
        unit.session.scalars(
            select(LinkProposalRow).where(
                LinkProposalRow.registration_id == decided.registration_id,
                LinkProposalRow.connection == decided.connection,
                LinkProposalRow.state == "proposed",
                LinkProposalRow.id != decided.id,
            )
        )
    )


def decide(unit: UnitOfWork, decided: LinkProposalRow, state: str) -> None:
    """Note who accepted or rejected a held proposal."""
    decided.state, decided.decided_at, decided.decided_by = state, unit.now, str(unit.actor)
    audit.record(
        unit,
        f"registration:{decided.registration_id}",
        f"{state} link",
        {"connection": decided.connection, "record": decided.record_id},
    )
