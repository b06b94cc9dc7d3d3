"""Link first, create second (law 5): existing CRM records that may be a registration's.

A salesperson's own opportunity for the same deal is proposed to a person and never doubled.
Accepting takes the CRM's values as they are and stamps ours beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from connectors.port import CrmConnector, Gone, RemoteRecord
from mapping.translate import read_fields
from registration_core import crm_changes
from registration_core.contracts import Condition, ConnectionName, Fields
from registration_core.errors import DomainRefusal, NotFound
from registration_core.model import Actor, Registration
from registration_core.program import Role
from registration_core.store import audit, repository, work
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import OutboxRow
from sync import proposing
from sync.ids import by_id
from sync.ledger.tables import LinkProposalRow, LinkRow
from sync.runtime import Runtime

#: Most open opportunities of one account that are proposed for one registration.
PROPOSALS_MAX = 20


@dataclass(frozen=True)
class LinkProposal:
    """An existing record that may be the registration's."""

    id: str
    registration_id: str
    connection: ConnectionName
    object: str
    record_id: str
    evidence: Mapping[str, str]
    state: str
    proposed_at: datetime


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


def proposals(session: Session, *, everything: bool = False) -> list[LinkProposal]:
    """Return proposals that wait for a person, oldest first; decided ones too if asked."""
    query = select(LinkProposalRow).order_by(LinkProposalRow.proposed_at)
    if not everything:
        query = query.where(LinkProposalRow.state == "proposed")
    return [_proposal(row) for row in session.scalars(query)]


def links(session: Session, registration_id: str | None = None) -> list[Link]:
    """Return links, of one registration or all."""
    query = select(LinkRow).order_by(LinkRow.created_at)
    if registration_id is not None:
        query = query.where(LinkRow.registration_id == registration_id)
    return [
        Link(
            row.id, row.registration_id, ConnectionName(row.connection), row.object, row.record_id,
            row.role, row.state, row.reason,
        )
        for row in session.scalars(query)
    ]  # fmt: skip


def proposes(runtime: Runtime, crm: CrmConnector, registration: Registration, role: Role) -> bool:
    """Look for open opportunities that fit before a create; True if a person has to decide."""
    fitting = fitting_records(runtime, crm, registration, role)
    if fitting is None:
        return False
    fields = runtime.mappings[crm.name].opportunities.fields
    with runtime.database.begin() as unit:
        found = [(r.object, r.record_id, _evidence(r, fields)) for r in fitting]
        waiting = proposing.propose(unit, registration.id, crm.name, found)
        row = unit.session.get(OutboxRow, (registration.id, crm.name), with_for_update=True)
        if waiting and row is not None:
            row.state, row.reason = "waiting", "an existing opportunity may be this deal"
    return waiting


def fitting_records(
    runtime: Runtime, crm: CrmConnector, registration: Registration, role: Role
) -> list[RemoteRecord] | None:
    """Read the open opportunities that may be this deal; None where none could be. Writes nothing."""
    mapping = runtime.mappings[crm.name]
    target = runtime.mapping_of(registration, crm.name)
    account = registration.accounts.get(crm.name)
    if role is not Role.HOME or account is None or target is None:
        return None
    if target.object != mapping.opportunities.object:
        return None
    found = crm.select(
        mapping.opportunities.object,
        (Condition(mapping.opportunities.account, (account,)), *mapping.opportunities.open),
        mapping.opportunities.reads(),
        PROPOSALS_MAX,
    )
    return [r for r in found.records if not r.fields.get(mapping.opportunities.key)]


def _evidence(record: RemoteRecord, fields: Mapping[str, str]) -> dict[str, str]:
    evidence = {name: str(value) for name, value in read_fields(fields, record.fields).items()}
    if record.created_at is not None:
        evidence["created"] = f"{record.created_at:%Y-%m-%d}"
    return evidence


def asks_a_person(
    session: Session, registration: Registration, crm: CrmConnector, fitting: list[RemoteRecord]
) -> bool:
    """Whether `proposes` would wait for a person, given what fits. Writes nothing."""
    ids = [record.record_id for record in fitting]
    known, linked = proposing.seen(session, registration.id, crm.name, ids)
    fresh = any(r.record_id not in known and r.record_id not in linked for r in fitting)
    return fresh or "proposed" in known.values()


def accept(runtime: Runtime, proposal_id: str, actor: Actor) -> Link:
    """Link the existing record; the deal counts as taken over, and ours is stamped beside theirs.

    Nothing was agreed on yet: where the two differ, the mapping's `first_link` says whose stands.
    """
    _require_there(runtime, proposal_id)
    with runtime.database.begin(actor) as unit:
        row = _open_proposal(unit, proposal_id)
        registration = repository.registration(unit.session, row.registration_id, lock=True)
        connection = ConnectionName(row.connection)
        link = _link(unit, registration, connection, row.object, row.record_id, base={})
        _decide(unit, row, "accepted")
        for other in _siblings(unit, row):
            _decide(unit, other, "rejected")
        crm_changes.convert(unit, registration, "an existing opportunity was linked")
        _reopen_outbox(unit, row.registration_id, row.connection)
    return Link(
        link.id, link.registration_id, ConnectionName(link.connection), link.object, link.record_id,
        link.role, link.state, link.reason,
    )  # fmt: skip


def reject(runtime: Runtime, proposal_id: str, actor: Actor) -> None:
    """Say that the record is another deal; when none is left to decide, ours is created."""
    with runtime.database.begin(actor) as unit:
        row = _open_proposal(unit, proposal_id)
        _decide(unit, row, "rejected")
        if not _siblings(unit, row):
            _reopen_outbox(unit, row.registration_id, row.connection)


def adopt(
    runtime: Runtime,
    registration: Registration,
    connection: ConnectionName,
    record: RemoteRecord,
    base: Fields | None,
) -> None:
    """Link a record that carries our key already; the next plan merges it."""
    with runtime.database.begin() as unit:
        _link(unit, registration, connection, record.object, record.record_id, base=base or {})


def _link(
    unit: UnitOfWork,
    registration: Registration,
    connection: ConnectionName,
    object_name: str,
    record_id: str,
    base: Fields,
) -> LinkRow:
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
    row = LinkRow(
        id=unit.ids.new(),
        registration_id=registration.id,
        connection=connection,
        object=object_name,
        record_id=record_id,
        role="primary",
        state="active",
        base=base,
        mapping_version="",
        remote=None,
        remote_version=None,
        restore=None,
        repeats={},
        version=1,
        created_at=unit.now,
        changed_at=unit.now,
        converted_at=None,
        reason="",
    )
    unit.session.add(row)
    unit.session.flush()
    audit.record(
        unit,
        f"registration:{registration.id}",
        "link record",
        {"connection": connection, "object": object_name, "record": record_id},
    )
    return row


def _proposal(row: LinkProposalRow) -> LinkProposal:
    return LinkProposal(
        row.id, row.registration_id, ConnectionName(row.connection), row.object, row.record_id,
        row.evidence, row.state, row.proposed_at,
    )  # fmt: skip


def _require_there(runtime: Runtime, proposal_id: str) -> None:
    """Refuse to link a record that the CRM has lost since it was proposed."""
    with runtime.database.read() as session:
        row = by_id(session, LinkProposalRow, proposal_id)
    if row is None:
        return
    key = runtime.mappings[ConnectionName(row.connection)].opportunities.key
    crm = runtime.connector(row.connection)
    record = crm.read(row.object, [row.record_id], [key])[row.record_id]
    if isinstance(record, Gone):
        raise DomainRefusal(
            f"The record {row.record_id} in {row.connection} is {record.absence.value}.",
            hint=f"Type: dealreg link reject {row.id}",
        )


def _open_proposal(unit: UnitOfWork, proposal_id: str) -> LinkProposalRow:
    row = by_id(unit.session, LinkProposalRow, proposal_id)
    if row is None:
        raise NotFound(f"There is no link proposal {proposal_id}.", hint="Type: dealreg link list")
    # Whoever decides on this registration's proposals at the same moment comes after us.
    repository.registration(unit.session, row.registration_id, lock=True)
    unit.session.refresh(row, with_for_update=True)
    if row.state != "proposed":
        raise DomainRefusal(f"The proposal {proposal_id} was {row.state} by {row.decided_by}.")
    return row


def _siblings(unit: UnitOfWork, row: LinkProposalRow) -> list[LinkProposalRow]:
    return list(
        unit.session.scalars(
            select(LinkProposalRow).where(
                LinkProposalRow.registration_id == row.registration_id,
                LinkProposalRow.connection == row.connection,
                LinkProposalRow.state == "proposed",
                LinkProposalRow.id != row.id,
            )
        )
    )


def _decide(unit: UnitOfWork, row: LinkProposalRow, state: str) -> None:
    row.state, row.decided_at, row.decided_by = state, unit.now, str(unit.actor)
    audit.record(
        unit,
        f"registration:{row.registration_id}",
        f"{state} link",
        {"connection": row.connection, "record": row.record_id},
    )


def _reopen_outbox(unit: UnitOfWork, registration_id: str, connection: str) -> None:
    row = unit.session.get(OutboxRow, (registration_id, connection), with_for_update=True)
    if row is not None:
        row.state, row.reason, row.due_at = "open", "", unit.now
    registration = repository.registration(unit.session, registration_id)
    work.request_push(unit, registration, only=ConnectionName(connection))
