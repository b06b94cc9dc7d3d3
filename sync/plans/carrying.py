"""Carry the store's half of a plan out, in the caller's transaction: takes, conflicts, base.

Shared by push and pull, so that a change of a CRM is taken in one way only. The CRM's half
(`Plan.write`) is push's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from mapping.schema import ObjectMapping
from mapping.translate import ValueProblem
from reconciler.merge import SyncConflict, Verdict
from registration_core import crm_changes
from registration_core.contracts import ConnectionName, Fields, Value
from registration_core.errors import SyncError
from registration_core.fields import FieldGroup
from registration_core.model import Registration
from registration_core.program import Program
from registration_core.store import audit, protection, repository
from registration_core.store.database import UnitOfWork
from sync.ledger.tables import DeadLetterRow, LinkRow, SyncConflictRow
from sync.plans.jobs import Job
from sync.plans.planning import Plan


class Outdated(SyncError):
    """The registration or the link moved since the plan was made; it is planned again."""

    code = "outdated"


@dataclass(frozen=True)
class Carried:
    """The store after its half of a plan."""

    registration: Registration
    link: LinkRow
    #: What to add to the link's base once `Plan.write` is confirmed.
    base_after: Fields


def carry_out(
    unit: UnitOfWork,
    job: Job,
    planned: Plan,
    program: Program,
    *,
    writing: bool,
    standing: Mapping[FieldGroup, SyncConflictRow],
) -> Carried:
    """Apply takes, keep conflicts, and move the base of every group that needs no write.

    The job has a link, and `standing` are its open conflicts.
    `Outdated` if anything moved since the plan was made. With `writing`, conflicts that a write
    settles are kept too; without, they are left to the push that will settle them.
    """
    if FieldGroup.STAGE in planned.takes:  # closing and reopening move claims
        protection.hold_lock(unit)
    assert job.link is not None
    registration = repository.locked(unit, job.registration.id)
    link = unit.lock(LinkRow, job.link.id)
    seen = (job.registration.version, job.link.version)
    if link is None or (registration.version, link.version) != seen:
        raise Outdated(f"{registration.number} moved since it was read.")
    connection = ConnectionName(link.connection)
    applied = crm_changes.apply(unit, registration, connection, planned.takes, program)
    now: dict[str, Value] = {n: v for n, v in link.base.items() if n not in planned.rebased}
    after: dict[str, Value] = {}
    for group in planned.groups:
        merge, conflict = group.merge, group.merge.conflict
        if group.undoes:
            after |= merge.base  # its conflict stays open
            continue
        if group.group in applied.refused:
            reason = applied.refused[group.group]
            conflict = SyncConflict(link.base, _mine(planned, group.group, job, registration),
                                    merge.store_changes, None, reason)  # fmt: skip
        elif merge.verdict in (Verdict.PUSH, Verdict.RESTORE):
            after |= merge.base
            if not writing:
                continue
        else:
            now |= merge.base
        keep_conflict(unit, link, group.group, conflict, standing.get(group.group))
    if link.restore:
        over = _undone(job.mapping, planned, writing=writing)
        link.restore = {n: v for n, v in link.restore.items() if n not in over} or None
        link.undone = link.undone if link.restore else None
    link.base, link.mapping_version = now, planned.version
    link.version, link.changed_at = link.version + 1, unit.now
    for problem in planned.problems:
        keep_problem(unit, link, problem)
    return Carried(applied.registration, link, after)


def _undone(mapping: ObjectMapping, planned: Plan, *, writing: bool) -> set[str]:
    """Return the fields that an undo has nothing to write back to any more.

    Where nothing is written, what it takes back may still be on its way to the CRM.
    """
    over = (
        g.group for g in planned.groups if not g.undoes or (writing and not g.merge.remote_changes)
    )
    return {row.ours.name for group in over for row in mapping.groups[group.value].rows}


def _mine(planned: Plan, group: FieldGroup, job: Job, registration: Registration) -> Fields:
    ours = crm_changes.canonical(registration, job.connection, job.program)
    names = next(g.merge.store_changes for g in planned.groups if g.group is group)
    return {name: ours.get(name) for name in names}


def open_conflicts(
    unit: UnitOfWork, link_ids: Sequence[str]
) -> dict[str, dict[FieldGroup, SyncConflictRow]]:
    """Return the open conflicts of links by link and group; every link is a key."""
    rows = unit.session.scalars(
        select(SyncConflictRow).where(
            SyncConflictRow.link_id.in_(link_ids), SyncConflictRow.state == "open"
        )
    )
    found: dict[str, dict[FieldGroup, SyncConflictRow]] = {link_id: {} for link_id in link_ids}
    for row in rows:
        found[row.link_id][FieldGroup(row.field_group)] = row
    return found


def keep_conflict(
    unit: UnitOfWork,
    link: LinkRow,
    group: FieldGroup,
    conflict: SyncConflict | None,
    open_row: SyncConflictRow | None,
) -> None:
    """Keep a conflict, refresh the open one of the same link and group, or close it if agreed."""
    if conflict is None:
        if open_row is not None:
            open_row.state, open_row.resolved_at = "resolved", unit.now
            open_row.resolved_by = "both sides came to agree"
        return
    if open_row is not None and conflict.settled is None:
        open_row.store, open_row.remote = conflict.store, conflict.remote
        open_row.reason = conflict.reason
        return
    if open_row is not None:
        open_row.state, open_row.resolved_at = "resolved", unit.now
        open_row.resolved_by = conflict.reason
    if conflict.settled is not None and _kept_already(unit, link, group, conflict):
        return
    state = "open" if conflict.settled is None else "auto_settled"
    row = SyncConflictRow(
        id=unit.ids.new(),
        link_id=link.id,
        registration_id=link.registration_id,
        connection=link.connection,
        field_group=group.value,
        state=state,
        base=conflict.base,
        store=conflict.store,
        remote=conflict.remote,
        settled=conflict.settled,
        reason=conflict.reason,
        opened_at=unit.now,
        resolved_at=unit.now if conflict.settled else None,
        resolved_by="the program's rule" if conflict.settled else "",
        chosen=None,
        base_before=None,
    )
    unit.session.add(row)
    audit.record(
        unit,
        f"registration:{link.registration_id}",
        f"sync conflict {state.replace('_', ' ')}",
        {
            "conflict": row.id,
            "connection": link.connection,
            "group": group.value,
            "store": {n: str(v) for n, v in conflict.store.items()},
            "crm": {n: str(v) for n, v in conflict.remote.items()},
            "reason": conflict.reason,
        },
    )


def _kept_already(
    unit: UnitOfWork, link: LinkRow, group: FieldGroup, conflict: SyncConflict
) -> bool:
    """Whether the same loss was kept by an attempt whose write was not confirmed since."""
    last = unit.session.scalars(
        select(SyncConflictRow)
        .where(
            SyncConflictRow.link_id == link.id,
            SyncConflictRow.field_group == group.value,
            SyncConflictRow.state == "auto_settled",
        )
        .order_by(SyncConflictRow.opened_at.desc())
        .limit(1)
    ).first()
    return (
        last is not None
        and link.changed_at <= last.opened_at
        and last.store == conflict.store
        and last.remote == conflict.remote
    )


def keep_problem(unit: UnitOfWork, link: LinkRow, problem: ValueProblem) -> None:
    """Keep a value that could not be translated as a dead letter, once while it is open."""
    reason = str(problem)
    known = unit.session.scalars(
        select(DeadLetterRow.id).where(
            DeadLetterRow.registration_id == link.registration_id,
            DeadLetterRow.connection == link.connection,
            DeadLetterRow.state == "open",
            DeadLetterRow.reason == reason,
        )
    ).first()
    if known is None:
        unit.session.add(
            dead_letter(
                unit, "mapping", link.connection, link.registration_id, link.object, link.record_id,
                payload={problem.ours: problem.value}, code="untranslatable", reason=reason,
            )
        )  # fmt: skip


def dead_letter(
    unit: UnitOfWork,
    kind: str,
    connection: str,
    registration_id: str | None,
    object_name: str,
    record_id: str | None,
    *,
    payload: Fields,
    code: str,
    reason: str,
    remedy: str = "",
) -> DeadLetterRow:
    """Word a dead letter: what was tried, why it will not work, what to type next."""
    row_id = unit.ids.new()
    return DeadLetterRow(
        id=row_id,
        kind=kind,
        connection=connection,
        registration_id=registration_id,
        object=object_name,
        record_id=record_id,
        payload=payload,
        code=code,
        reason=reason,
        hint=f"{remedy or 'Mend the cause.'} Then type: dealreg deadletter retry {row_id}",
        state="open",
        created_at=unit.now,
        settled_at=None,
    )
