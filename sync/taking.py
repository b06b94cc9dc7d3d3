"""Changes of linked CRM records into the store: a batch in one commit, with one query per table.

Each record was read and planned after our own side of it was; what moved since is left due and
planned again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from connectors.port import CrmConnector
from registration_core.fields import FieldGroup
from registration_core.program import Role
from registration_core.store import audit, protection, work
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import OutboxRow, RegistrationRow
from sync.ledger import inbox
from sync.ledger.tables import InboxRow, IntentRow, LinkRow, SyncConflictRow
from sync.outcomes import dead_letters
from sync.plans import contention, seen
from sync.plans.carrying import Outdated, carry_out, dead_letter, open_conflicts
from sync.plans.jobs import Planned
from sync.process.apart import together_or_apart
from sync.process.runtime import Runtime


@dataclass(frozen=True)
class Taking:
    """A plan for a linked record, and the notice that had it read."""

    row: InboxRow
    planned: Planned


def take_all(runtime: Runtime, crm: CrmConnector, takings: Sequence[Taking]) -> list[InboxRow]:
    """Carry plans out; returns the notices that wait, because a write of ours has no answer yet.

    That answer moves the link's base. A change that was merged before it would be forgotten by
    the base, and the next change of a person be taken for our own value and written over.
    """
    if not takings:
        return []
    with runtime.database.read() as session:
        in_flight = set(
            session.scalars(
                select(IntentRow.record_id).where(
                    IntentRow.connection == crm.name, IntentRow.state == "pending"
                )
            )
        )
    ready = [taking for taking in takings if taking.row.record_id not in in_flight]

    def commit(unit: UnitOfWork, some: Sequence[Taking]) -> list[None]:
        _commit(unit, runtime, crm, some)
        return []

    together_or_apart(runtime.database, ready, commit, _give_up)
    return [taking.row for taking in takings if taking.row.record_id in in_flight]


def _commit(
    unit: UnitOfWork, runtime: Runtime, crm: CrmConnector, takings: Sequence[Taking]
) -> None:
    """Hold everything in the order registration, link, chain, outbox, inbox; then carry out."""
    planned = [taking.planned for taking in takings]
    links = {p.job.registration.id: p.job.link.id for p in planned if p.job.link is not None}
    if any(FieldGroup.STAGE in p.plan.takes for p in planned):
        protection.hold_lock(unit)  # closing and reopening move claims
    unit.lock_all(RegistrationRow, links)
    unit.lock_all(LinkRow, links.values())
    telling = [p.job.registration.id for p in planned if p.plan.takes or p.plan.conflicts]
    audit.hold(unit, [f"registration:{each}" for each in telling])
    unit.lock_all(OutboxRow, _outbox_rows(planned))
    standing = open_conflicts(unit, list(links.values()))
    done: list[InboxRow] = []
    for taking in sorted(takings, key=lambda taking: taking.planned.job.registration.id):
        try:
            _take(unit, runtime, crm, taking.planned, standing)
        except Outdated:  # raised before anything is changed; still due
            continue
        done.append(taking.row)
    inbox.note_read(unit, done)


def _outbox_rows(planned: Sequence[Planned]) -> list[tuple[str, str]]:
    return [
        (p.job.registration.id, connection)
        for p in planned
        if p.plan.takes or p.plan.write
        for connection, role in p.job.registration.roles.items()
        if role is not Role.CHECK_ONLY
    ]


def _take(
    unit: UnitOfWork,
    runtime: Runtime,
    crm: CrmConnector,
    planned: Planned,
    standing: Mapping[str, Mapping[FieldGroup, SyncConflictRow]],
) -> None:
    job, record = planned.job, planned.record
    assert job.link is not None
    program = runtime.program(job.registration.program)
    carried = carry_out(
        unit, job, planned.plan, program, writing=False, standing=standing[job.link.id]
    )
    seen.remember(carried.link, record, crm)
    contention.note(carried.link, record)
    if planned.plan.write and not dead_letters.was_refused(
        unit.session, job.registration.id, crm.name, planned.plan.write
    ):
        work.request_push(unit, carried.registration, only=crm.name)


def _give_up(unit: UnitOfWork, taking: Taking, reason: str) -> None:
    """End a change that the store cannot keep as a dead letter; it holds nobody up."""
    job, row = taking.planned.job, taking.row
    values = {n: v for fields in taking.planned.plan.takes.values() for n, v in fields.items()}
    unit.session.add(
        dead_letter(
            unit, "pull", job.connection, job.registration.id, row.object, row.record_id,
            payload=values, code="store_refused", reason=reason,
        )
    )  # fmt: skip
    inbox.note_read(unit, [row])
