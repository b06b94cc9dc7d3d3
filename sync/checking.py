"""The live conflict check: bring directories up to date, read candidates' evidence, decide.

Takes no lease: checks never queue behind bulk work, nor behind each other. A connection that cannot be read makes the
check incomplete with that reason; the registration waits and is checked again by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from connectors.errors import ConnectorError
from registration_core import disputing, legacy, protecting, recording, use_cases
from registration_core.conflict_check import (
    disputing_findings,
    holding,
    is_low_risk,
    new_findings,
    rejecting,
    require_usable,
)
from registration_core.contracts import ConnectionName
from registration_core.errors import AlreadyProtected, CheckNotUsable, ConfigurationError, SyncError
from registration_core.finding_claims import Candidate, find_claims
from registration_core.findings import ReasonCode
from registration_core.matching import (
    MATCHER_VERSION,
)
from registration_core.model import (
    SYSTEM,
    Actor,
    Band,
    ConflictCheck,
    Reading,
    Registration,
    RegistrationState,
)
from registration_core.overriding import PEOPLE
from registration_core.program import Program
from registration_core.store import (
    account_lists,
    audit,
    overrides,
    protection,
    repository,
    work,
)
from registration_core.store.database import UnitOfWork
from registration_core.store.rivals import rivals_for
from registration_core.store.tables import CheckRequestRow
from sync.accounts import candidates, completeness, directory
from sync.creates import finding_accounts
from sync.outcomes import stamps
from sync.process import check_claims
from sync.process.runtime import Runtime
from sync.proposals import proposing
from sync.traffic import guard

log = structlog.get_logger()

#: An incomplete check is repeated after 1, 2, 4, … seconds, at most this long.
REPEAT_SECONDS_MAX = 60


def drain(runtime: Runtime) -> int:
    """Check every registration that is due; returns how many were checked. Any number may run."""
    checked = 0
    while True:
        with check_claims.claimed(runtime) as due:
            if not due:
                return checked
            _check_batch(runtime, due)
            checked += len(due)


def check_now(runtime: Runtime, number: str, actor: Actor = SYSTEM) -> ConflictCheck:
    """Check one registration live, now, and decide what follows; returns the check.

    `actor` is who asked for it: the check is audited as theirs, what follows as the program's.
    """
    with runtime.database.begin(actor) as unit:
        registration = repository.registration(unit.session, number)
        runtime.program(registration.program)  # tells if it is not configured any more
        work.request_check(unit, registration.id, "asked for by command")
        request = unit.session.get_one(CheckRequestRow, registration.id)
        version = request.version
    _check_batch(runtime, [(registration.id, version)], actor)
    with runtime.database.read() as session:
        check = repository.last_check(session, registration.id)
    if check is None:
        raise SyncError(f"The check of {registration.number} was not kept.")
    return check


def try_check(runtime: Runtime, registration: Registration) -> ConflictCheck:
    """Check a registration that is not in the store, as if it were; keeps and decides nothing."""
    program = runtime.program(registration.program)
    began_at = runtime.database.clock()
    with guard.lane(guard.Lane.CHECK):
        readings = tuple(
            _reading(runtime, program, name, _refresh(runtime, name))
            for name in program.connections
        )
        return _make(runtime, registration, program, began_at, readings)


def approve(
    runtime: Runtime, number: str, actor: Actor, expected_version: int | None = None
) -> Registration:
    """Approve as a person: on the last check where it still counts, else on a fresh one."""
    check, program = _usable_check(runtime, number, actor)
    with runtime.database.begin(actor) as unit:
        return use_cases.approve(unit, number, check, program, expected_version)


def reinstate(runtime: Runtime, number: str, actor: Actor, reason: str) -> Registration:
    """Approve an expired registration again as a person, on a check as for an approval."""
    check, program = _usable_check(runtime, number, actor)
    with runtime.database.begin(actor) as unit:
        return protecting.reinstate(unit, number, check, reason, program)


def _usable_check(runtime: Runtime, number: str, actor: Actor) -> tuple[ConflictCheck, Program]:
    """Return the last check of a registration where it still counts, else a fresh one.

    `CheckNotUsable` where the fresh one holds it for what nobody can have seen yet: it is kept, and
    counts when the person decides again.
    """
    with runtime.database.read() as session:
        registration = repository.registration(session, number)
        check = repository.last_check(session, registration.id)
        program = runtime.program(registration.program)
        now = runtime.database.clock()
        if check is not None and _counts(session, check, registration, program, now):
            return check, program
    fresh = check_now(runtime, number, actor)
    unseen = holding(new_findings(fresh, check))
    if unseen:
        raise CheckNotUsable(
            f"{number} was checked again just now, and this was found that you have not seen: "
            + "; ".join(finding.summary for finding in unseen),
            hint=f"Look at it, then decide: dealreg registration show {number}",
        )
    return fresh, program


def _counts(
    session: Session,
    check: ConflictCheck,
    registration: Registration,
    program: Program,
    now: datetime,
) -> bool:
    people = overrides.count(session, check.id)
    try:
        require_usable(check, registration, program, now, overridden=people >= PEOPLE)
        account_lists.require_unchanged(session, check, registration.number)
    except CheckNotUsable:
        return False
    return True


def _check_batch(runtime: Runtime, due: Sequence[tuple[str, int]], actor: Actor = SYSTEM) -> None:
    """Check several registrations on one reading of the connections, oldest receipt first."""
    with guard.lane(guard.Lane.CHECK):
        _check_all(runtime, due, actor)


def _check_all(runtime: Runtime, due: Sequence[tuple[str, int]], actor: Actor) -> None:
    began_at = runtime.database.clock()
    with runtime.database.read() as session:
        registrations = [(repository.registration(session, key), version) for key, version in due]
    for registration, _ in registrations:
        if registration.program not in runtime.programs:
            _set_aside(runtime, registration)
    registrations = [pair for pair in registrations if pair[0].program in runtime.programs]
    registrations.sort(key=lambda pair: pair[0].receipt_seq)
    names = {
        name
        for registration, _ in registrations
        for name in runtime.program(registration.program).connections
    }
    refreshed = {name: _refresh(runtime, name) for name in sorted(names)}
    readings: dict[str, tuple[Reading, ...]] = {}
    seen: dict[str, set[ConnectionName]] = defaultdict(set)
    for registration, version in registrations:
        program = runtime.program(registration.program)
        if program.name not in readings:  # lists are read once for all
            readings[program.name] = tuple(
                _reading(runtime, program, name, refreshed[name]) for name in program.connections
            )
        check = _make(
            runtime, registration, program, began_at, readings[program.name], seen[program.name]
        )
        seen[program.name] |= {r.connection for r in check.readings if r.complete}
        _record(runtime, check, registration.number, version, program, actor)


def _was_decided_on(registration: Registration, check: ConflictCheck) -> bool:
    """Whether a decision may rest on a check, which is kept for it then."""
    return registration.decided_at is not None and check.finished_at <= registration.decided_at


def _set_aside(runtime: Runtime, registration: Registration) -> None:
    """Look again in a minute at a registration whose program is not configured any more."""
    log.error("not checked", registration=registration.number, missing=registration.program)
    with runtime.database.begin() as unit:
        request = unit.session.get(CheckRequestRow, registration.id, with_for_update=True)
        if request is not None:
            request.reason = f"there is no program {registration.program}"
            request.due_at = unit.now + timedelta(seconds=REPEAT_SECONDS_MAX)


def _refresh(runtime: Runtime, connection: ConnectionName) -> directory.Refresh | str:
    try:
        return directory.refresh(runtime, connection)
    except (ConnectorError, SyncError, ConfigurationError) as error:
        return error.message


def _reading(
    runtime: Runtime, program: Program, name: ConnectionName, fresh: directory.Refresh | str
) -> Reading:
    required = name in program.required_connections
    if isinstance(fresh, str):
        return Reading(name, False, None, fresh, required=required)
    try:
        answered = completeness.reading(runtime, program, runtime.connector(name), fresh)
    except ConnectorError as error:
        return Reading(name, False, None, error.message, required=required)
    return replace(answered, required=required)


def _make(
    runtime: Runtime,
    registration: Registration,
    program: Program,
    began_at: datetime,
    readings: tuple[Reading, ...],
    seen: Collection[ConnectionName] = (),
) -> ConflictCheck:
    """Find the claims on a registration's customer, read live; keeps nothing.

    The canaries of what could be read are read with them, but where they were `seen` just now.
    """
    with runtime.database.read() as session:
        lists = account_lists.state(session)  # first: whatever comes meanwhile makes it outdated
        wanted = candidates.wanted_of(session, registration)
        accounts = candidates.likely(session, wanted)
        entries = account_lists.entries(session, accounts)
    canaries = {
        r.connection: completeness.canaries(runtime, program, r.connection)
        for r in readings
        if r.complete and r.connection not in seen
    }
    found, failed = candidates.read(runtime, accounts, wanted, entries, canaries)
    with runtime.database.read() as session:
        found = proposing.without_own(session, registration.id, found)
        rivals = rivals_for(session, registration, wanted.keys, candidates.may_be_customer(found))
    readings = tuple(
        replace(r, complete=False, reason=failed[r.connection], overridable=False)
        if r.connection in failed
        else r
        for r in readings
    )
    return ConflictCheck(
        id=runtime.database.ids.new(),
        registration_id=registration.id,
        began_at=began_at,
        finished_at=runtime.database.clock(),
        policy_version=program.version,
        matcher_version=MATCHER_VERSION,
        lists_seen=lists,
        readings=readings,
        findings=find_claims(registration, program, found, rivals, began_at),
        accounts=_chosen(found),
        customer=registration.customer,
        keys=tuple(sorted(wanted.keys, key=lambda key: (key.kind, key.value))),
    )


def _chosen(found: Sequence[Candidate]) -> dict[ConnectionName, str]:
    """Return the one strongly matched account of each connection; several choose nothing."""
    strong: dict[ConnectionName, list[str]] = defaultdict(list)
    for candidate in found:
        if candidate.match.band is Band.STRONG and not candidate.from_file:
            strong[candidate.account.connection].append(candidate.account.record_id)
    return {name: ids[0] for name, ids in strong.items() if len(ids) == 1}


def _record(
    runtime: Runtime,
    check: ConflictCheck,
    number: str,
    version: int,
    program: Program,
    actor: Actor,
) -> None:
    """Keep the check and do what follows from it, in one commit."""
    with runtime.database.begin(actor) as unit:
        protection.hold_lock(unit)
        registration = repository.registration(unit.session, number, lock=True)
        last = repository.last_check(unit.session, registration.id)
        before = repository.last_counting_check(unit.session, registration.id)
        repository.add_check(unit.session, check)
        request = unit.session.get(CheckRequestRow, registration.id, with_for_update=True)
        if last is not None and _repeats(check, last):
            if not _was_decided_on(registration, last):
                repository.drop_check(unit.session, last.id)
                overrides.carry_over(unit.session, last.id, check.id)
            _again(unit, request, check)
            return
        audit.record(
            unit,
            recording.subject_of(registration),
            "check",
            {
                "check": check.id,
                "complete": not check.incomplete,
                "incomplete": {r.connection: r.reason for r in check.incomplete},
                "findings": [f.summary for f in check.findings],
            },
        )
        registration = finding_accounts.take(unit, registration, check)
        outdated = check.customer != registration.customer
        early = finding_accounts.too_early(unit, registration, check)
        unsure = check.incomplete or outdated or early
        if unsure or check.lists_seen != account_lists.state(unit.session):
            _again(unit, request, check)
            return
        if request is not None and request.version == version:
            unit.session.delete(request)
            unit.session.flush()
        unit.actor = SYSTEM  # whoever asked for the check, the program's rules decide
        _follow(unit, registration, check, before, program)
        # Of what was taken over, an opportunity that the first check finds may be its own.
        if registration.protection_state.standing and before is not None:
            stamps.request(unit, runtime, registration, new_findings(check, before))


def _repeats(check: ConflictCheck, last: ConflictCheck) -> bool:
    """Whether an incomplete check asked, lacks and found just what the one before did.

    It takes that one's place: an outage of days would leave a check and an event every minute.
    """
    asked = (check.customer, check.keys) == (last.customer, last.keys)
    answered = _lacks(check) == _lacks(last) and check.findings == last.findings
    answered = answered and check.accounts == last.accounts
    return bool(check.incomplete) and asked and answered


def _lacks(check: ConflictCheck) -> set[tuple[ConnectionName, bool]]:
    return {(r.connection, r.overridable) for r in check.incomplete}


def _again(unit: UnitOfWork, request: CheckRequestRow | None, check: ConflictCheck) -> None:
    if request is None:
        return
    request.attempts += 1
    why = "; ".join(f"{r.connection}: {r.reason}" for r in check.incomplete)
    request.reason = (why or "the customer or a list was changed meanwhile")[:255]
    seconds = min(2 ** min(request.attempts - 1, 10), REPEAT_SECONDS_MAX)
    request.due_at = unit.now + timedelta(seconds=seconds)


def _follow(
    unit: UnitOfWork,
    registration: Registration,
    check: ConflictCheck,
    before: ConflictCheck | None,
    program: Program,
) -> None:
    if registration.state is RegistrationState.SUBMITTED:
        partner = repository.partner_by_id(unit.session, registration.partner_id)
        if is_low_risk(registration, partner, program, check):
            try:
                with unit.session.begin_nested():
                    use_cases.approve(unit, registration.id, check, program)
            except (AlreadyProtected, CheckNotUsable) as refusal:
                use_cases.review(unit, registration, refusal.message)
            return
        barred = rejecting(check.findings)
        if barred is not None:
            use_cases.reject(unit, registration.id, ReasonCode(barred.reason), barred.summary)
            return
        because = "; ".join(f.summary for f in check.findings) or "not a low-risk registration"
        use_cases.review(unit, registration, because)
    elif registration.state is RegistrationState.APPROVED:
        use_cases.request_recheck(unit, registration)
        fresh = disputing_findings(check, before)
        if before is None:  # it was taken over from another system
            registration = legacy.first_checked(unit, registration, check)
            fresh = legacy.to_dispute(fresh)
        if fresh:
            disputing.open_dispute(unit, registration, "; ".join(f.summary for f in fresh))
