"""Link first, create second (law 5): which CRM record is which registration, as a person says.

A salesperson's own opportunity for the same deal is proposed (`proposing`) and never doubled.
Accepting takes the CRM's values as they are and stamps ours beside them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from connectors.port import RemoteRecord, Written
from registration_core import crm_changes
from registration_core.contracts import ConnectionName, Fields
from registration_core.errors import DomainRefusal, NotFound
from registration_core.model import Actor, Band, Registration
from registration_core.program import Role
from registration_core.store import audit, repository, work
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import OutboxRow, RegistrationRow
from sync.ledger.inbox import Notice, take_note
from sync.ledger.tables import IntentRow, LinkProposalRow, LinkRow
from sync.links import deciding, linkable
from sync.outcomes import settling
from sync.process.runtime import Runtime
from sync.proposals import proposing

#: Most proposals whose records are read with one call.
_AT_ONCE = 200


@dataclass(frozen=True)
class LinkProposal:
    """An existing record that may be the registration's."""

    id: str
    registration_id: str
    connection: ConnectionName
    object: str
    record_id: str
    #: `strong` or `review`.
    band: str
    #: Nothing else is as likely: no other strong proposal is about its registration or its record.
    alone: bool
    evidence: Mapping[str, str]
    state: str
    proposed_at: datetime

    @property
    def surely(self) -> bool:
        """Whether it may be accepted together with others, unseen."""
        return self.alone and self.band == Band.STRONG


@dataclass(frozen=True)
class Link:
    """A registration and the record that mirrors it."""

    id: str
    registration_id: str
    connection: ConnectionName
    object: str
    record_id: str
    role: str
    state: str
    reason: str


def proposals(
    session: Session, connection: str = "", *, everything: bool = False
) -> list[LinkProposal]:
    """Return proposals that wait for a person, oldest first; decided ones too if asked."""
    query = select(LinkProposalRow).order_by(LinkProposalRow.proposed_at, LinkProposalRow.id)
    if connection:
        query = query.where(LinkProposalRow.connection == connection)
    if not everything:
        query = query.where(LinkProposalRow.state == "proposed")
    rows = session.scalars(query).all()
    rivals = Counter(
        about
        for row in rows
        if row.state == "proposed" and row.band == Band.STRONG
        for about in _about(row)
    )
    return [
        LinkProposal(
            row.id, row.registration_id, ConnectionName(row.connection), row.object, row.record_id,
            row.band, all(rivals[about] <= 1 for about in _about(row)), row.evidence, row.state,
            row.proposed_at,
        )
        for row in rows
    ]  # fmt: skip


def _about(row: LinkProposalRow) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what a proposal joins, of which each can be linked once."""
    return (row.connection, row.registration_id), (row.connection, row.object, row.record_id)


def proposal(session: Session, proposal_id: str) -> LinkProposal:
    """Return one proposal by its id or an unambiguous part of it."""
    row = deciding.row(session, proposal_id)
    found = proposals(session, row.connection, everything=True)
    return next(each for each in found if each.id == row.id)


def links(session: Session, registration_id: str | None = None) -> list[Link]:
    """Return links, of one registration or all."""
    query = select(LinkRow).order_by(LinkRow.created_at)
    if registration_id is not None:
        query = query.where(LinkRow.registration_id == registration_id)
    return [_value(row) for row in session.scalars(query)]


def _value(row: LinkRow) -> Link:
    return Link(
        row.id, row.registration_id, ConnectionName(row.connection), row.object, row.record_id,
        row.role, row.state, row.reason,
    )  # fmt: skip


def accept(runtime: Runtime, proposal_id: str, actor: Actor) -> Link:
    """Link the existing record; the deal counts as taken over, and ours is stamped beside theirs.

    Nothing was agreed on yet: where the two differ, the mapping's `first_link` says whose stands.
    """
    with runtime.database.read() as session:
        row = deciding.row(session, proposal_id)
    refused = linkable.why_not(runtime, [row])
    if row.id in refused:
        raise refused[row.id]
    return _accept(runtime, row.id, actor)


def accept_all(
    runtime: Runtime,
    proposal_ids: Sequence[str],
    actor: Actor,
    told: Callable[[int, int], None],
    *,
    surely: bool = False,
) -> dict[str, DomainRefusal | None]:
    """Accept many, whose records are read in batches; returns why one was not, by its id.

    Each is a commit of its own, and accepting them again goes on where it was interrupted. With
    `surely`, one that is not sure any more is left to a person. `told` hears done and to do.
    """
    ended: dict[str, DomainRefusal | None] = {}
    for at in range(0, len(proposal_ids), _AT_ONCE):
        few, rows = proposal_ids[at : at + _AT_ONCE], dict[str, LinkProposalRow]()
        with runtime.database.read() as session:
            for each in few:
                try:
                    rows[each] = deciding.row(session, each)
                except NotFound as unknown:
                    ended[each] = unknown
        refused = linkable.why_not(runtime, list(rows.values()), surely=surely)
        for each, row in rows.items():
            ended[each] = refused.get(row.id) or _accepted(runtime, row.id, actor, surely=surely)
        told(at + len(few), len(proposal_ids))
    return ended


def _accepted(
    runtime: Runtime, proposal_id: str, actor: Actor, *, surely: bool
) -> DomainRefusal | None:
    try:
        _accept(runtime, proposal_id, actor, surely=surely)
    except DomainRefusal as refusal:
        return refusal
    return None


def _accept(runtime: Runtime, proposal_id: str, actor: Actor, *, surely: bool = False) -> Link:
    with runtime.database.begin(actor) as unit:
        row = deciding.hold(unit, proposal_id)
        registration = repository.registration(unit.session, row.registration_id, lock=True)
        connection = ConnectionName(row.connection)
        siblings, others = deciding.siblings(unit, row), deciding.of_same_record(unit, row)
        if surely and not _is_sure(row, [*siblings, *others]):
            raise DomainRefusal(
                f"{row.record_id} in {connection} is not surely {registration.number} any more.",
                hint=f"Type: dealreg link show {row.id}",
            )
        if proposing.being_made(unit.session, connection, [registration.id]):
            raise DomainRefusal(
                f"{registration.number} is being made in {connection}, which has not answered yet.",
                hint=f"Type: dealreg sync push {connection}, and look again: dealreg link list",
            )
        link = _link(unit, registration, connection, row.object, row.record_id, base={})
        deciding.decide(unit, row, "accepted")
        for other in siblings:
            deciding.decide(unit, other, "rejected")
        for other in others:
            deciding.decide(unit, other, "rejected")
            if not deciding.siblings(unit, other):
                _reopen_outbox(unit, other.registration_id, other.connection)
        if registration.roles.get(connection) is Role.HOME:
            crm_changes.convert(unit, registration, "an existing opportunity was linked")
        _reopen_outbox(unit, row.registration_id, row.connection)
        # On a rung that does not write yet, the record's values are taken in all the same.
        take_note(unit, connection, [Notice(row.object, row.record_id)], "command")
        return _value(link)


def _is_sure(row: LinkProposalRow, rivals: Sequence[LinkProposalRow]) -> bool:
    """Whether a proposal is strong and none that would join the same is, as `LinkProposal.surely`."""
    return row.band == Band.STRONG and not any(each.band == Band.STRONG for each in rivals)


def reject(runtime: Runtime, proposal_id: str, actor: Actor) -> None:
    """Say that the record is another deal; when none is left to decide, ours is created."""
    with runtime.database.begin(actor) as unit:
        row = deciding.hold(unit, proposal_id)
        deciding.decide(unit, row, "rejected")
        if not deciding.siblings(unit, row):
            _reopen_outbox(unit, row.registration_id, row.connection)


def decline(unit: UnitOfWork, registration: Registration, link: LinkRow) -> None:
    """Say that a record that was linked is another deal; it is not proposed again."""
    row = unit.session.scalars(
        select(LinkProposalRow).where(
            LinkProposalRow.registration_id == registration.id,
            LinkProposalRow.connection == link.connection,
            LinkProposalRow.object == link.object,
            LinkProposalRow.record_id == link.record_id,
        )
    ).first()
    if row is None:
        row = LinkProposalRow(
            id=unit.ids.new(), registration_id=registration.id, connection=link.connection,
            object=link.object, record_id=link.record_id, band=Band.REVIEW.value, evidence={},
            state="proposed", proposed_at=unit.now, decided_at=None, decided_by="",
        )  # fmt: skip
        unit.session.add(row)
    deciding.decide(unit, row, "rejected")
    _reopen_outbox(unit, registration.id, link.connection)


def adopt(
    runtime: Runtime,
    registration: Registration,
    connection: ConnectionName,
    record: RemoteRecord,
) -> None:
    """Link a record that carries our key already; the next plan merges it."""
    with runtime.database.begin() as unit:
        unit.lock(RegistrationRow, registration.id)
        _link(unit, registration, connection, record.object, record.record_id, base={})


def adopt_late(
    runtime: Runtime, registration: Registration, record: RemoteRecord, intent_id: str
) -> None:
    """Settle a create that took effect after it was given up; `DomainRefusal` as for a link."""
    with runtime.database.begin() as unit:
        intent = unit.session.get_one(IntentRow, intent_id, with_for_update=True)
        unit.lock(RegistrationRow, registration.id)
        connection = ConnectionName(intent.connection)
        _require_free(unit, registration, connection, record.object, record.record_id)
        settling.settle_late(unit, intent_id, Written(record.record_id, record.version))


def _link(
    unit: UnitOfWork,
    registration: Registration,
    connection: ConnectionName,
    object_name: str,
    record_id: str,
    base: Fields,
) -> LinkRow:
    _require_free(unit, registration, connection, object_name, record_id)
    row = LinkRow.fresh(unit, registration.id, (connection, object_name, record_id), base)
    unit.session.add(row)
    unit.session.flush()
    audit.record(
        unit,
        f"registration:{registration.id}",
        "link record",
        {"connection": connection, "object": object_name, "record": record_id},
    )
    return row


def _require_free(
    unit: UnitOfWork,
    registration: Registration,
    connection: ConnectionName,
    object_name: str,
    record_id: str,
) -> None:
    """Refuse what is linked already: the record, or the registration on its object."""
    taken = unit.session.scalars(
        select(LinkRow).where(
            LinkRow.connection == connection,
            LinkRow.object == object_name,
            LinkRow.record_id == record_id,
        )
    ).first()
    if taken is not None:
        raise DomainRefusal(
            f"{record_id} in {connection} is linked to another registration already.",
            hint="Type: dealreg link list",
        )
    own = unit.session.scalars(
        select(LinkRow).where(
            LinkRow.registration_id == registration.id,
            LinkRow.connection == connection,
            LinkRow.object == object_name,
            LinkRow.role == "primary",
        )
    ).first()
    if own is not None:
        raise DomainRefusal(
            f"{registration.number} is linked to {own.record_id} in {connection} already.",
            hint=f"Wrongly? Type: dealreg link remove {registration.number} {connection}",
        )


def _reopen_outbox(unit: UnitOfWork, registration_id: str, connection: str) -> None:
    row = unit.session.get(OutboxRow, (registration_id, connection), with_for_update=True)
    if row is not None:
        row.state, row.reason, row.due_at = "open", "", unit.now
    registration = repository.registration(unit.session, registration_id)
    work.request_push(unit, registration, only=ConnectionName(connection))
