"""What differs between a link's two sides, field by field: why, and what a repair would do.

The judge is the plan that every push and pull makes, so that a repair does what is said here, or
less: it reads and plans again, and a change that somebody makes meanwhile is merged like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from connectors.port import Gone, RemoteRecord
from mapping.schema import ObjectMapping
from mapping.translate import canonical, computed, to_crm
from reconciler.merge import same
from registration_core.contracts import Fields, Value
from registration_core.store.tables import OutboxRow
from sync.plans.jobs import Job, Planned, plan_job
from sync.previews.previewing import Does, FieldPreview, previewed
from sync.process.runtime import Runtime


class Cause(StrEnum):
    """Why two sides differ. A record that is not there has its `Absence` as its cause."""

    #: Somebody changed it in the CRM, and it was not taken yet.
    REMOTE_EDIT = "remote edit not taken"
    #: Somebody changed in the CRM what may not be changed there.
    NOT_ALLOWED = "changed where it may not be"
    #: Of these two: what stands there is what our last write replaced. Somebody put it back, or the
    #: CRM lost the write; nobody can tell, so that a repair does as for any other edit.
    UNDONE = "our write undone"
    #: A person has to decide, and was asked or will be by a repair.
    CONFLICT = "sync conflict"
    #: We hold another value, and nothing is on its way.
    NOT_LANDED = "our write not landed"
    #: The same, and it is due to be written.
    ON_ITS_WAY = "on its way"
    #: The same, and a person, a mode or another connection has to let it go on.
    WAITING = "waiting"
    #: The row of the mapping means something else than when both sides agreed.
    MAPPING = "mapping changed"
    UNTRANSLATABLE = "no counterpart"
    #: Both sides hold the same value, and what was last agreed on is another one.
    UNNOTED = "agreed and not noted"
    #: The same in our terms, though we would write it in another form.
    FORM = "canonical form"
    #: The object stands still, so nothing can be said.
    STANDS_STILL = "object stands still"


@dataclass(frozen=True)
class Finding:
    """One field of one link that differs."""

    registration_id: str
    object: str
    record_id: str
    #: Our name; empty where it is about the whole record.
    field: str
    #: A `Cause`, or the `Absence` of the record.
    cause: str
    #: What a repair would do now: `wait` and `agree` do nothing.
    repair: Does
    #: Our value by our name, theirs in the CRM's own names.
    ours: Fields
    theirs: Fields


#: What a preview says of a field → why it differs.
_CAUSES = {
    Does.PULL: Cause.REMOTE_EDIT,
    Does.REFUSED: Cause.REMOTE_EDIT,
    Does.RESTORE: Cause.NOT_ALLOWED,
    Does.CONFLICT: Cause.CONFLICT,
    Does.PUSH: Cause.NOT_LANDED,
}


@dataclass(frozen=True)
class Pending:
    """What is under way about one link already, so that a repair has nothing to add."""

    #: Its outbox row, if there is one.
    owed: OutboxRow | None = None
    #: Field groups of which a conflict is open.
    contested: frozenset[str] = frozenset()
    #: A value without counterpart is a dead letter already.
    untranslatable: bool = False


class Write(NamedTuple):
    """A write of ours in the CRM's own names, and what it replaced."""

    payload: Fields
    before: Fields


def differences(
    runtime: Runtime, job: Job, record: RemoteRecord | Gone, pending: Pending
) -> list[Finding]:
    """Return what differs on an active link, one finding a field at most.

    Reads nothing of the CRM and keeps nothing.
    """
    link = job.link
    assert link is not None
    if isinstance(record, Gone):
        cause = record.absence.value
        return [
            Finding(job.registration.id, link.object, link.record_id, "", cause, Does.PULL, {}, {})
        ]
    planned = Planned(job, record, plan_job(runtime, job, record))
    found: dict[str, Finding] = {}
    for each in (*_fields(runtime, planned, pending), *_forms(planned)):
        found.setdefault(each.field, each)
    return list(found.values())


def told_undone(found: Finding, last: Write | None) -> Finding:
    """Return a finding with its cause, knowing the last write to its record that was confirmed."""
    edited = found.cause in (Cause.REMOTE_EDIT, Cause.NOT_ALLOWED)
    if last is None or not edited or not found.theirs:
        return found
    put_back = all(
        name in last.payload
        and same(last.before.get(name), value)
        and not same(last.payload[name], value)
        for name, value in found.theirs.items()
    )
    return replace(found, cause=Cause.UNDONE.value) if put_back else found


def _fields(runtime: Runtime, planned: Planned, pending: Pending) -> Iterator[Finding]:
    job, plan = planned.job, planned.plan
    assert job.link is not None
    if plan.is_empty:
        for name, value in plan.base.items():
            if not same(job.link.base.get(name), value):
                yield _finding(planned, name, Cause.UNNOTED, Does.PULL, value, {})
        return
    unreadable = {problem.ours for problem in plan.problems}
    for each in previewed(runtime, planned).fields:
        if each.ours in unreadable:
            repair = Does.WAIT if pending.untranslatable else each.does
            cause = Cause.UNTRANSLATABLE
        else:
            cause, repair = _cause(each, pending, mapping_changed=each.ours in job.rebased)
        yield _finding(planned, each.ours, cause, repair, each.our_value, each.their_values)


def _cause(told: FieldPreview, pending: Pending, *, mapping_changed: bool) -> tuple[Cause, Does]:
    cause, owed = Cause.MAPPING if mapping_changed else _CAUSES[told.does], pending.owed
    if told.group in pending.contested:
        return cause, Does.WAIT
    if owed is not None and owed.state == "held":
        return Cause.WAITING, Does.WAIT
    if told.does is not Does.PUSH or owed is None or owed.done >= owed.wanted:
        return cause, told.does
    return (Cause.ON_ITS_WAY if owed.state == "open" else Cause.WAITING), Does.WAIT


def _forms(planned: Planned) -> Iterator[Finding]:
    """Yield the fields that are the same in our terms and that we would write in another form."""
    job, record = planned.job, planned.record
    assert record is not None
    ours = _ours(job.mapping, job)
    written = to_crm(job.mapping, ours, creating=False).fields
    for row in job.mapping.rows:
        differing = [
            name
            for name in row.theirs
            if row.pushes and name in written and name in record.fields
            and not same(written[name], record.fields[name])
        ]  # fmt: skip
        if differing:
            theirs = {name: record.fields[name] for name in differing}
            value = ours.get(row.ours.name)
            yield _finding(planned, row.ours.name, Cause.FORM, Does.AGREE, value, theirs)


def _ours(mapping: ObjectMapping, job: Job) -> Fields:
    whole = computed(mapping, job.store)
    return canonical(mapping, whole.fields).fields


def _finding(
    planned: Planned,
    name: str,
    cause: Cause,
    repair: Does,
    ours: Value,
    theirs: Mapping[str, Value],
) -> Finding:
    link = planned.job.link
    assert link is not None
    return Finding(
        planned.job.registration.id, link.object, link.record_id, name, cause.value, repair,
        {name: ours}, theirs,
    )  # fmt: skip
