"""Proposes existing CRM records to a person who decides whether one of them is the registration's.

Asked before a create, with open opportunities that fit, and after one that the CRM refused for
being a duplicate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from connectors.port import CrmConnector, Refused, RemoteRecord
from mapping.schema import OpportunityMapping
from registration_core import finding_claims
from registration_core.contracts import Condition, ConnectionName
from registration_core.model import Band, Registration
from registration_core.program import Role
from registration_core.store import audit, repository, work
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import OutboxRow, RegistrationRow
from sync.ledger.tables import IntentRow, LinkProposalRow, LinkRow
from sync.plans.jobs import Job, Planned
from sync.process.runtime import Runtime
from sync.proposals.fitting import Candidate, compare

#: Most open opportunities of one account that are proposed for one registration.
PROPOSALS_MAX = 20
#: How long a create waits before it looks again whether its registration was checked.
CHECK_SECONDS = 2


def propose_fitting(runtime: Runtime, crm: CrmConnector, jobs: Sequence[Job]) -> frozenset[str]:
    """Look for open opportunities that fit before creates, in one query for many registrations.

    Returns the ids of those about which a person has to decide first.
    """
    waiting = set()
    for job, records in fitting_records(runtime, crm, jobs):
        registration = job.registration
        with runtime.database.begin() as unit:
            name = registration.accounts[crm.name]
            account = repository.account(unit.session, crm.name, name)
            shown = account.name if account else name
            found = [compare(registration, r, job.mapping, shown, Band.STRONG) for r in records]
            if propose(unit, registration.id, crm.name, found):
                let_wait(unit, registration.id, crm.name)
                waiting.add(registration.id)
    return frozenset(waiting)


def fitting_records(
    runtime: Runtime, crm: CrmConnector, jobs: Sequence[Job]
) -> list[tuple[Job, list[RemoteRecord]]]:
    """Read the open opportunities that may be these deals. Writes nothing.

    Registrations that no existing record could be linked to are missing from the answer.
    """
    mapping = runtime.mappings[crm.name].opportunities
    asked = [
        job
        for job in jobs
        if job.role is Role.HOME
        and crm.name in job.registration.accounts
        and job.mapping.object == mapping.object
    ]
    accounts = sorted({job.registration.accounts[crm.name] for job in asked})
    reads = sorted({*mapping.reads(), *(name for job in asked for name in job.mapping.reads())})
    opened: dict[object, list[RemoteRecord]] = defaultdict(list)
    for record in _open(crm, mapping, accounts, reads) if accounts else ():
        if not record.fields.get(mapping.key):
            opened[record.fields.get(mapping.account)].append(record)
    return [(job, opened[job.registration.accounts[crm.name]]) for job in asked]


def _open(
    crm: CrmConnector, mapping: OpportunityMapping, accounts: Sequence[str], reads: Sequence[str]
) -> list[RemoteRecord]:
    """Read the open opportunities of accounts; where there are very many, of fewer at a time."""
    where = (Condition(mapping.account, tuple(accounts)), *mapping.open)
    found = crm.select(mapping.object, where, reads, PROPOSALS_MAX * len(accounts))
    if found.complete or len(accounts) == 1:
        return list(found.records)
    half = len(accounts) // 2
    few, others = accounts[:half], accounts[half:]
    return [*_open(crm, mapping, few, reads), *_open(crm, mapping, others, reads)]


def asks_a_person(
    session: Session, registration: Registration, crm: CrmConnector, fitting: list[RemoteRecord]
) -> bool:
    """Whether a person would be asked, given what fits. Writes nothing."""
    ids = [record.record_id for record in fitting]
    known, linked = seen(session, registration.id, crm.name, ids)
    fresh = any(r.record_id not in known and r.record_id not in linked for r in fitting)
    return fresh or "proposed" in known.values()


def propose(
    unit: UnitOfWork,
    registration_id: str,
    connection: ConnectionName,
    candidates: Sequence[Candidate],
) -> bool:
    """Propose those that nobody has decided on yet; True while a person has to decide."""
    ids = [candidate.record_id for candidate in candidates]
    known, linked = seen(unit.session, registration_id, connection, ids)
    for candidate in candidates:
        record_id, evidence = candidate.record_id, dict(candidate.evidence)
        if record_id in known or record_id in linked:
            continue
        unit.session.add(
            LinkProposalRow(
                id=unit.ids.new(),
                registration_id=registration_id,
                connection=connection,
                object=candidate.object,
                record_id=record_id,
                band=candidate.band.value,
                evidence=evidence,
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
            {"connection": connection, "record": record_id, "band": candidate.band.value,
             "evidence": evidence},
        )  # fmt: skip
    return "proposed" in known.values()


def let_wait(unit: UnitOfWork, registration_id: str, connection: ConnectionName) -> None:
    """Let a registration wait for a person instead of being made in the CRM."""
    row = unit.session.get(OutboxRow, (registration_id, connection), with_for_update=True)
    if row is not None:
        row.state, row.reason = "waiting", "an existing record may be this deal"


def wait_for_checks(
    runtime: Runtime, connection: ConnectionName, jobs: Sequence[Job]
) -> frozenset[str]:
    """Let creates without an account wait for a check that is due; returns their registrations.

    The customer's account may have been heard of since the last one, and a rep's own opportunity
    may stand there.
    """
    homeless = [j.registration.id for j in jobs if connection not in j.registration.accounts]
    if not homeless:
        return frozenset()
    with runtime.database.begin() as unit:
        unchecked = _unchecked(unit, connection, homeless)
        for registration_id in sorted(unchecked):
            _let_wait_until(unit, registration_id, connection, unchecked[registration_id])
    return frozenset(unchecked)


def _unchecked(
    unit: UnitOfWork, connection: ConnectionName, registration_ids: Sequence[str]
) -> dict[str, datetime]:
    """Return until when registrations wait for their check, or for one that reads the connection."""
    wait = timedelta(seconds=CHECK_SECONDS)
    return {
        registration_id: max(due_at, unit.now) + wait
        for registration_id, due_at in work.to_be_checked(unit, registration_ids).items()
        if due_at <= unit.now or _is_blind(unit.session, registration_id, connection)
    }


def _is_blind(session: Session, registration_id: str, connection: ConnectionName) -> bool:
    """Whether the last check could not read a connection, or found an account that is not taken yet."""
    check = repository.last_check(session, registration_id)
    if check is None or connection in check.accounts:
        return True
    return not any(r.connection == connection and r.complete for r in check.readings)


def _let_wait_until(
    unit: UnitOfWork, registration_id: str, connection: ConnectionName, until: datetime
) -> None:
    row = unit.session.get(OutboxRow, (registration_id, connection), with_for_update=True)
    if row is not None:
        row.due_at, row.reason = until, "it is checked again before it is made"


def without_asked(
    unit: UnitOfWork, connection: ConnectionName, creates: Sequence[Planned]
) -> list[Planned]:
    """Leave out creates that something came in between since they were planned.

    Their registration was linked or a person asked, its account was found, or a check is due by
    now. Holds the registrations until the commit that the intents are part of: whoever proposes or
    links one of them was there before and is seen here, or comes after it and sees the intent.
    """
    own = {p.job.registration.id: p.job.mapping.object for p in creates if p.companion is None}
    unit.lock_all(RegistrationRow, {p.job.registration.id for p in creates})
    linked = unit.session.execute(
        select(LinkRow.registration_id, LinkRow.object).where(
            LinkRow.connection == connection,
            LinkRow.registration_id.in_(own),
            LinkRow.role == "primary",
        )
    )
    there = {registration_id for registration_id, name in linked if own[registration_id] == name}
    asked = set(
        unit.session.scalars(
            select(LinkProposalRow.registration_id).where(
                LinkProposalRow.connection == connection,
                LinkProposalRow.registration_id.in_(own),
                LinkProposalRow.state == "proposed",
            )
        )
    )
    jobs = (p.job.registration for p in creates)
    homeless = {registration.id for registration in jobs if connection not in registration.accounts}
    now = repository.registrations_by_id(unit.session, sorted(homeless))
    housed = {i for i, registration in now.items() if connection in registration.accounts}
    unchecked = _unchecked(unit, connection, sorted(homeless - housed - asked - there))
    for registration_id in sorted(asked | unchecked.keys()):
        if registration_id in asked:
            let_wait(unit, registration_id, connection)
        else:
            _let_wait_until(unit, registration_id, connection, unchecked[registration_id])
    left = there | asked
    return [
        p
        for p in creates
        if p.job.registration.id not in housed | unchecked.keys()
        and (p.companion is not None or p.job.registration.id not in left)
    ]


def being_made(
    session: Session, connection: ConnectionName, registration_ids: Collection[str]
) -> set[str]:
    """Return the registrations whose create has no answer yet: it may be there, or come to be."""
    return set(
        session.scalars(
            select(IntentRow.registration_id).where(
                IntentRow.connection == connection,
                IntentRow.registration_id.in_(registration_ids),
                IntentRow.operation == "create",
                IntentRow.companion == "",
                IntentRow.state == "pending",
            )
        )
    )


def proposes_duplicates(unit: UnitOfWork, intent: IntentRow, refused: Refused) -> bool:
    """Propose what the CRM takes for the record it would not make; True if a person has to decide.

    A rule of the CRM stands in the way of the create, and nothing here gets around it. When a
    person has said no to all of them, the refusal is what is left.
    """
    if intent.operation != "create" or not refused.duplicates:
        return False
    connection = ConnectionName(intent.connection)
    evidence = {"refused": f"{refused.code}: {refused.message}"}
    candidates = [Candidate(intent.object, each, evidence) for each in refused.duplicates]
    return propose(unit, intent.registration_id, connection, candidates)


def without_own(
    session: Session, registration_id: str, found: Sequence[finding_claims.Candidate]
) -> list[finding_claims.Candidate]:
    """Leave out of accounts' opportunities those that are linked, or surely the registration's.

    Who has no field of ours filled yet is still no claim of somebody else.
    """
    ids = {each.record_id for one in found for each in one.opportunities}
    if not ids:
        return list(found)
    linked = session.execute(
        select(LinkRow.connection, LinkRow.record_id).where(LinkRow.record_id.in_(ids))
    )
    surely = session.execute(
        select(LinkProposalRow.connection, LinkProposalRow.record_id).where(
            LinkProposalRow.registration_id == registration_id,
            LinkProposalRow.state != "rejected",
            LinkProposalRow.band == Band.STRONG.value,
        )
    )
    own = {tuple(row) for row in (*linked, *surely)}
    return [
        replace(
            one,
            opportunities=tuple(
                each for each in one.opportunities if (each.connection, each.record_id) not in own
            ),
        )
        for one in found
    ]


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
