"""What became of a write: intents, links, companions, outbox rows.

Every function is one row's end: applied, to be planned again, waiting, orphaned, or dead with
its payload and reason. Nothing here calls a CRM.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from sqlalchemy import select, tuple_

from connectors.port import (
    AlreadyExists,
    Deferred,
    Gone,
    Outcome,
    Refused,
    Stale,
    Written,
)
from mapping.schema import ACCOUNT
from reconciler.merge import same
from registration_core.contracts import ConnectionName, Fields
from registration_core.store import audit, match_decisions, repository
from registration_core.store.database import Database, UnitOfWork
from registration_core.store.tables import OutboxRow, RegistrationRow
from sync.accounts import directory
from sync.ledger.tables import CompanionRow, IntentRow, LinkRow
from sync.outcomes import stamps
from sync.plans import breaker
from sync.plans.carrying import dead_letter
from sync.plans.jobs import Job, Planned
from sync.process.apart import together_or_apart
from sync.process.runtime import Runtime
from sync.proposals import proposing

#: After so many attempts a row that is refused again and again becomes a dead letter.
ATTEMPTS_MAX = 8
#: So many attempts that only met another writer follow each other at once.
AT_ONCE_MAX = 2


@dataclass(frozen=True)
class PartlyThere(Stale):
    """A write whose answer was lost was looked up: its record holds these values, others differ."""

    #: In our terms.
    agreed: Fields


def intend(
    unit: UnitOfWork,
    connection: ConnectionName,
    planned: Planned,
    link: LinkRow | None,
    base: Fields,
    run_id: str | None = None,
) -> IntentRow:
    """Write the durable intent of one write, before the call."""
    row = IntentRow(
        id=unit.ids.new(),
        registration_id=planned.job.registration.id,
        connection=connection,
        object=planned.job.mapping.object,
        operation="create" if link is None else "update",
        record_id=None if link is None else link.record_id,
        payload=planned.plan.write,
        before=planned.plan.before,
        base=base,
        mapping_version=planned.plan.version,
        companion=planned.companion.name if planned.companion else "",
        key=planned.key,
        owes=[[each.name, each.made.object] for each in planned.owes],
        wanted=planned.job.wanted,
        link_version=None if link is None else link.version,
        state="pending",
        outcome="",
        created_at=unit.now,
        settled_at=None,
        audit_since=None,
        run_id=run_id,
    )
    unit.session.add(row)
    return row


def settle_batch(database: Database, outcomes: Mapping[str, Outcome]) -> None:
    """Settle a batch in one commit; an answer that cannot be kept becomes a dead letter alone."""

    def settle(unit: UnitOfWork, some: Sequence[tuple[str, Outcome]]) -> list[None]:
        settle_all(unit, dict(some))
        return []

    def give_up(unit: UnitOfWork, one: tuple[str, Outcome], reason: str) -> None:
        settle_all(unit, {one[0]: Refused("store_refused", f"{reason}: {one[1]}")})

    together_or_apart(database, list(outcomes.items()), settle, give_up)


def settle_late(unit: UnitOfWork, intent_id: str, outcome: Written) -> None:
    """Settle a create anew that took effect after it was given up, with all that it owes."""
    intent = unit.lock(IntentRow, intent_id)
    if intent is not None and intent.state in ("not_done", "set_aside"):
        intent.state = "pending"
        unit.session.flush()
        settle_all(unit, {intent_id: outcome})


def settle_all(unit: UnitOfWork, outcomes: Mapping[str, Outcome]) -> None:
    """Carry outcomes to their ends, by intent; intents that are settled already are left alone.

    Everything is held with one query per table, in the order directory, registration, link, chain,
    outbox, so that two batches never wait for each other in a circle.
    """
    unit.lock_all(IntentRow, outcomes)
    intents = [intent for i in outcomes if (intent := unit.lock(IntentRow, i)) is not None]
    for intent in intents:
        if intent.state == "set_aside" and isinstance(outcomes[intent.id], Written):
            intent.state = "not_done"  # it took effect after all: what it replaced is audited again
    due = sorted((i for i in intents if i.state == "pending"), key=lambda i: i.registration_id)
    accounts = [i for i in due if i.companion == ACCOUNT]
    for connection in sorted({ConnectionName(i.connection) for i in accounts}):
        directory.hold(unit, connection)
    _keep_registrations(unit, [i for i in due if not _updated(i, outcomes[i.id])])
    links = _links_of(unit, due)
    audit.hold(unit, [f"registration:{i.registration_id}" for i in due])
    unit.lock_all(OutboxRow, [(i.registration_id, i.connection) for i in due])
    for intent in due:
        _settle(unit, intent, links.get(_record_of(intent)), outcomes[intent.id])


def _updated(intent: IntentRow, outcome: Outcome) -> bool:
    return intent.operation == "update" and isinstance(outcome, Written)


def _keep_registrations(unit: UnitOfWork, intents: Sequence[IntentRow]) -> None:
    """Hold what new links and dead letters will refer to; inserting them would do it too late."""
    ids = [intent.registration_id for intent in intents]
    unit.session.execute(
        select(RegistrationRow.id)
        .where(RegistrationRow.id.in_(ids))
        .order_by(RegistrationRow.id)
        .with_for_update(read=True, key_share=True)
    ).all()


def _record_of(row: IntentRow | LinkRow) -> tuple[str, str, str | None]:
    return row.connection, row.object, row.record_id


def _links_of(
    unit: UnitOfWork, intents: Sequence[IntentRow]
) -> dict[tuple[str, str, str | None], LinkRow]:
    """Hold the links of the records that intents are about; returns them by record."""
    records = [_record_of(intent) for intent in intents if intent.record_id]
    found = unit.session.scalars(
        select(LinkRow)
        .where(tuple_(LinkRow.connection, LinkRow.object, LinkRow.record_id).in_(records))
        .order_by(LinkRow.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {_record_of(link): link for link in found}


def _settle(unit: UnitOfWork, intent: IntentRow, link: LinkRow | None, outcome: Outcome) -> None:
    intent.state = _state_after(intent, outcome)
    intent.outcome, intent.settled_at = repr(outcome)[:2000], unit.now
    if intent.state == "refused" or isinstance(outcome, Refused | Deferred):
        intent.audit_since = None  # nothing was written, so nothing was overwritten
    if intent.operation == stamps.STAMP:
        stamps.settle(unit, intent, outcome)
        return
    match outcome:
        case Written():
            _written(unit, intent, link, outcome)
        case AlreadyExists():
            _retry(unit, intent, "a record that we cannot read has this registration's key")
        case Stale():
            if isinstance(outcome, PartlyThere) and outcome.agreed and link is not None:
                link.base = {**link.base, **_agreed(intent, link, outcome.agreed)}
                link.version, link.changed_at = link.version + 1, unit.now
            _retry(unit, intent, "the record was changed each time before we could write")
        case Gone() if intent.operation == "create":
            # It was made, its answer was lost, and it is gone by now: never make it again.
            _made(unit, intent, outcome.record_id)
            _retry(unit, intent, "the record is gone; it is read first")
        case Gone():
            if link is not None:
                _retry(unit, intent, "the record is gone; it is read first")
        case Refused():
            _refused(unit, intent, outcome)
        case Deferred():
            wait, counted = outcome.retry_after_seconds, outcome.tried
            postpone(unit, intent, outcome.reason, wait, counted=counted)
        case _:
            assert_never(outcome)


def _state_after(intent: IntentRow, outcome: Outcome) -> str:
    if isinstance(outcome, PartlyThere):
        # A write arrives whole: what is partly there was there, and somebody changed the rest since.
        return "done" if outcome.agreed else "not_done"
    if intent.operation == "update" and isinstance(outcome, Stale | Refused):
        return "refused"
    return "done" if isinstance(outcome, Written) else "not_done"


def _written(unit: UnitOfWork, intent: IntentRow, link: LinkRow | None, outcome: Written) -> None:
    connection = ConnectionName(intent.connection)
    if intent.companion:
        _companion_made(unit, intent, outcome.record_id)
    elif intent.operation == "create":
        _made(unit, intent, outcome.record_id)
    elif link is not None:
        undoing = link.restore or {}
        if link.version == intent.link_version:
            link.restore, link.undone = None, None
        # Only what was written is added: a pull may have moved the rest meanwhile.
        link.base = {**link.base, **_agreed(intent, link, intent.base)}
        link.mapping_version = intent.mapping_version or link.mapping_version
        mine = {name: value for name, value in intent.base.items() if name not in undoing}
        link.repeats = breaker.noted(link.repeats, mine)
        link.version, link.changed_at = link.version + 1, unit.now
    audit.record(
        unit,
        f"registration:{intent.registration_id}",
        f"{intent.operation} {intent.companion.replace('_', ' ')} in CRM".replace("  ", " "),
        {
            "connection": intent.connection,
            "object": intent.object,
            "record": outcome.record_id,
            "fields": sorted(intent.payload),
            "intent": intent.id,
        },
    )
    more = link is not None and link.restore
    if not intent.companion and not intent.owes and not more:  # else there is more to do at once
        outbox_done(unit, intent.registration_id, connection, intent.wanted)


def _agreed(intent: IntentRow, link: LinkRow, there: Fields) -> Fields:
    """What both sides agree on once a write is there.

    Nobody has agreed on what an undo puts back, nor on what one that came since will.
    """
    return {
        name: value
        for name, value in there.items()
        if name not in (link.restore or {})
        and name in intent.base
        and same(intent.base[name], value)
    }


def _made(unit: UnitOfWork, intent: IntentRow, record_id: str) -> None:
    add_link(unit, intent, record_id, intent.base)
    for name, object_name in intent.owes:
        connection = ConnectionName(intent.connection)
        keep_companion(unit, intent.registration_id, connection, name, object_name, None)


def _companion_made(unit: UnitOfWork, intent: IntentRow, record_id: str) -> None:
    """Keep a companion; an account is found by its key and chosen before anything else goes on."""
    connection = ConnectionName(intent.connection)
    if intent.companion == ACCOUNT:
        customer = repository.registration(unit.session, intent.registration_id).customer
        match_decisions.made_for(unit, intent.key, connection, record_id)
        directory.keep_made(unit, connection, intent.object, {record_id: customer})
        return
    keep_companion(
        unit, intent.registration_id, connection, intent.companion, intent.object, record_id
    )


def keep_companion(
    unit: UnitOfWork,
    registration_id: str,
    connection: ConnectionName,
    name: str,
    object_name: str,
    record_id: str | None,
) -> None:
    """Keep which record is a registration's companion; None while it is owed."""
    row = CompanionRow(
        registration_id=registration_id, connection=connection, name=name, object=object_name,
        record_id=record_id, changed_at=unit.now,
    )  # fmt: skip
    unit.session.merge(row)


def add_link(unit: UnitOfWork, intent: IntentRow, record_id: str, base: Fields) -> LinkRow:
    """Link a registration to the record that a create made."""
    place = (intent.connection, intent.object, record_id)
    link = LinkRow.fresh(unit, intent.registration_id, place, base, intent.mapping_version)
    unit.session.add(link)
    return link


def _refused(unit: UnitOfWork, intent: IntentRow, outcome: Refused) -> None:
    row = unit.lock(OutboxRow, (intent.registration_id, intent.connection))
    if row is not None and row.wanted > intent.wanted:
        return  # what changed meanwhile may be the very thing that was refused
    if intent.companion:
        _refuse(unit, intent, outcome)
        return
    if row is not None and proposing.proposes_duplicates(unit, intent, outcome):
        row.state, row.reason = "waiting", f"{outcome.code}: an existing record may be this deal"
        return
    if row is not None:
        row.state, row.reason = "dead", outcome.message
    _refuse(unit, intent, outcome)


def _refuse(unit: UnitOfWork, intent: IntentRow, outcome: Refused) -> None:
    where = f" (field {outcome.field})" if outcome.field else ""
    taken = f"; taken for {intent.object} {', '.join(outcome.duplicates)}"
    where += taken if outcome.duplicates else ""
    unit.session.add(
        dead_letter(
            unit, "push", intent.connection, intent.registration_id, intent.object, intent.record_id,
            payload=intent.payload, code=outcome.code, reason=f"{outcome.message}{where}",
            remedy=outcome.remedy,
        )
    )  # fmt: skip


def give_up_plan(unit: UnitOfWork, planned: Planned, reason: str) -> None:
    """End a plan that the store cannot keep as a dead letter; nothing was written to the CRM."""
    job = planned.job
    row = unit.lock(OutboxRow, (job.registration.id, job.connection))
    if row is not None:
        row.state, row.reason = "dead", reason
    unit.session.add(
        dead_letter(
            unit, "push", job.connection, job.registration.id, job.mapping.object,
            job.link.record_id if job.link else None,
            payload=planned.plan.write, code="store_refused", reason=reason,
        )
    )  # fmt: skip


def _retry(unit: UnitOfWork, intent: IntentRow, reason: str) -> None:
    """Let the next round read, adopt or plan again; at once at first, then ever more slowly."""
    row = unit.lock(OutboxRow, (intent.registration_id, intent.connection))
    if row is not None and row.attempts < AT_ONCE_MAX:
        row.attempts += 1
    else:
        postpone(unit, intent, reason, 0)


def postpone(
    unit: UnitOfWork, intent: IntentRow, reason: str, least_seconds: float, *, counted: bool = True
) -> None:
    """Try a row again later: 1, 2, 4, … seconds, at least what the CRM asks, then never."""
    row = unit.session.get(OutboxRow, (intent.registration_id, intent.connection))
    if row is None:
        return
    row.attempts += counted
    if row.attempts >= ATTEMPTS_MAX:
        _refused(
            unit, intent, Refused("gave_up", f"{reason}; gave up after {row.attempts} attempts")
        )
        return
    row.reason = reason
    row.due_at = unit.now + timedelta(seconds=max(2.0 ** (row.attempts - 1), least_seconds))


def outbox_done(
    unit: UnitOfWork, registration_id: str, connection: ConnectionName, wanted: int
) -> None:
    """Note that a connection holds everything up to `wanted`; never moves back."""
    row = unit.lock(OutboxRow, (registration_id, connection))
    if row is not None:
        row.done = max(row.done, wanted)
        row.attempts, row.reason = 0, ""


def hold(runtime: Runtime, registration_id: str, connection: ConnectionName, reason: str) -> None:
    """Look at a due row again in five minutes, without counting an attempt."""
    with runtime.database.begin() as unit:
        row = unit.lock(OutboxRow, (registration_id, connection))
        if row is not None:
            row.reason, row.due_at = reason, unit.now + timedelta(minutes=5)


def close(runtime: Runtime, jobs: Sequence[Job], reason: str) -> None:
    """End outbox rows without a write, up to the change that was looked at."""
    if not jobs:
        return
    with runtime.database.begin() as unit:
        for job in sorted(jobs, key=lambda job: job.registration.id):
            outbox_done(unit, job.registration.id, job.connection, job.wanted)
            unit.session.get_one(OutboxRow, (job.registration.id, job.connection)).reason = reason
