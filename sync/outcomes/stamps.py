"""Stamps: the registered partner's name on somebody else's opportunity with a protected customer.

Asked for by the re-check that found the opportunity, if the mapping says what to write; written
by `sync/stamping.py` like everything else. A stamp fills what is empty and is written once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, exists, false, select, true, update

from connectors.port import Deferred, Gone, Outcome, Refused, Written
from mapping.schema import ObjectMapping
from registration_core.contracts import ConnectionName, Fields, Mode
from registration_core.findings import FindingKind
from registration_core.model import Band, Finding, ProtectionState, Registration
from registration_core.program import Role
from registration_core.store import audit
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import OutboxRow, RegistrationRow
from sync.gates.ladder import Rung
from sync.ledger.stamps import StampRow
from sync.ledger.tables import DeadLetterRow, IntentRow
from sync.plans.carrying import dead_letter
from sync.process.runtime import Runtime

#: What an intent that writes a stamp has for its operation.
STAMP = "stamp"
#: After so many attempts a stamp that is not taken becomes a dead letter.
ATTEMPTS_MAX = 8
_OPPORTUNITIES = (FindingKind.OPEN_OPPORTUNITY, FindingKind.STALE_OPPORTUNITY)


def request(
    unit: UnitOfWork, runtime: Runtime, registration: Registration, findings: Iterable[Finding]
) -> None:
    """Ask for a stamp on every opportunity that was surely found with the customer; once each.

    What came to nothing, or waits for a claim that is over, is asked for anew. Where the
    registration is only checked, or the mapping has no stamp, nothing is asked for.
    """
    # In the order that a drain holds stamps in, so that the two never wait in a ring.
    for finding in sorted(findings, key=lambda f: (f.connection or "", f.record_id or "")):
        connection, record_id = finding.connection, finding.record_id
        if connection is None or record_id is None or finding.band is not Band.STRONG:
            continue
        mapped = mapping_in(runtime, connection)
        role = registration.roles.get(connection, Role.CHECK_ONLY)
        if finding.kind not in _OPPORTUNITIES or mapped is None or role is Role.CHECK_ONLY:
            continue
        key = (connection, mapped.object, record_id)
        if _ask(unit, key, registration.id) or _ask_anew(unit, key, registration.id):
            unit.nudges.add(f"push:{connection}")


def _ask(unit: UnitOfWork, key: tuple[str, str, str], registration_id: str) -> bool:
    """Ask for a stamp on an opportunity, unless there is one: whoever is faster has it."""
    connection, object_name, record_id = key
    row = {
        "connection": connection, "object": object_name, "record_id": record_id,
        **_asked(unit, registration_id),
    }  # fmt: skip
    return unit.insert_new(StampRow, [row]) > 0


def _ask_anew(unit: UnitOfWork, key: tuple[str, str, str], registration_id: str) -> bool:
    """Ask for a stamp again that came to nothing, or that waits for a claim that is over."""
    connection, object_name, record_id = key
    over = select(RegistrationRow.id).where(
        RegistrationRow.protection_state.not_in([s.value for s in ProtectionState if s.standing])
    )
    vain = (StampRow.state == "due") & StampRow.registration_id.in_(over)
    taken = unit.session.scalars(
        update(StampRow)
        .where(
            StampRow.connection == connection,
            StampRow.object == object_name,
            StampRow.record_id == record_id,
            (StampRow.state == "void") | vain,
        )
        .values(_asked(unit, registration_id))
        .returning(StampRow.record_id)
    )
    return taken.first() is not None


def _asked(unit: UnitOfWork, registration_id: str) -> dict[str, object]:
    """Return the columns of a stamp that a registration asks for at this moment."""
    return {
        "registration_id": registration_id, "state": "due", "reason": "", "attempts": 0,
        "due_at": unit.now, "changed_at": unit.now,
    }  # fmt: skip


def mapping_in(runtime: Runtime, connection: ConnectionName) -> ObjectMapping | None:
    """Return what a stamp writes in a connection; None where nothing is mapped."""
    mapping = runtime.mappings.get(connection)
    return mapping.opportunities.stamp if mapping is not None else None


def mapping_of(
    runtime: Runtime, intent: IntentRow, registration: Registration
) -> ObjectMapping | None:
    """Return what an intent was translated by: a stamp's mapping or the registration's own."""
    connection = ConnectionName(intent.connection)
    if intent.operation == STAMP:
        return mapping_in(runtime, connection)
    return runtime.mapping_of(registration, connection, intent.object)


def due(stands: Rung, now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Return what makes a stamp due where a connection stands.

    Its time has come, the rung lets it be written, and nothing of its registration is held.
    """
    going = exists().where(
        OutboxRow.registration_id == StampRow.registration_id,
        OutboxRow.connection == StampRow.connection,
        OutboxRow.state == "open",
    )
    rung: ColumnElement[bool] = true() if stands.mode is Mode.PUSH else false()
    if stands.mode is Mode.CANARY:
        rung = StampRow.registration_id.in_(stands.canary)
    mine = StampRow.connection == stands.connection
    let = StampRow.object.not_in(list(stands.held_back))
    return mine, StampRow.state == "due", StampRow.due_at <= now, going, rung, let


def settle(unit: UnitOfWork, intent: IntentRow, outcome: Outcome) -> None:
    """Note what became of the write of a stamp."""
    row = unit.lock(StampRow, (intent.connection, intent.object, intent.record_id))
    if row is None:
        return
    match outcome:
        case Written():
            end(unit, row, "done", "")
            audit.record(
                unit, f"registration:{intent.registration_id}", "stamp in CRM",
                {
                    "connection": intent.connection, "object": intent.object,
                    "record": outcome.record_id, "fields": sorted(intent.payload),
                    "intent": intent.id,
                },
            )  # fmt: skip
        case Gone():
            lose(unit, row, outcome)
        case Refused():
            give_up(unit, row, intent.payload, outcome)
        case Deferred() if not outcome.tried:
            wait(unit, row, outcome.reason, outcome.retry_after_seconds)
        case Deferred():
            postpone(unit, row, outcome.reason, intent.payload, outcome.retry_after_seconds)
        case _:
            postpone(unit, row, "the record was changed before we could write", intent.payload)


def end(unit: UnitOfWork, row: StampRow, state: str, reason: str) -> None:
    """Let a stamp rest, with why."""
    row.state, row.reason, row.changed_at = state, reason, unit.now


def lose(unit: UnitOfWork, row: StampRow, gone: Gone) -> None:
    """Follow a merge to a record that has no stamp yet; else there is nothing left to stamp."""
    end(unit, row, "void", f"the record is {gone.absence.value}")
    if gone.merged_into and not gone.object:
        _ask(unit, (row.connection, row.object, gone.merged_into), row.registration_id)


def wait(unit: UnitOfWork, row: StampRow, reason: str, seconds: float) -> None:
    """Look at a stamp again later, without counting an attempt."""
    row.reason, row.due_at = reason, unit.now + timedelta(seconds=seconds)


def postpone(
    unit: UnitOfWork, row: StampRow, reason: str, payload: Fields, least_seconds: float = 0.0
) -> None:
    """Try again after 1, 2, 4, … seconds, at least what the CRM asks; then never."""
    row.attempts += 1
    if row.attempts >= ATTEMPTS_MAX:
        give_up(unit, row, payload, Refused("gave_up", reason))
        return
    wait(unit, row, reason, max(2.0 ** (row.attempts - 1), least_seconds))


def give_up(unit: UnitOfWork, row: StampRow, payload: Fields, refused: Refused) -> None:
    """Make a dead letter of a stamp that the CRM will not take."""
    end(unit, row, "dead", refused.message)
    unit.session.add(
        dead_letter(
            unit, STAMP, row.connection, row.registration_id, row.object, row.record_id,
            payload=payload, code=refused.code, reason=refused.message, remedy=refused.remedy,
        )
    )  # fmt: skip


def retry(unit: UnitOfWork, letter: DeadLetterRow) -> None:
    """Make the stamp of a dead letter due again; nothing where the letter is of another kind."""
    row = unit.session.scalars(
        select(StampRow).where(
            StampRow.connection == letter.connection,
            StampRow.object == letter.object,
            StampRow.record_id == letter.record_id,
            StampRow.state == "dead",
        )
    ).first()
    if row is not None:
        row.state, row.attempts, row.due_at = "due", 0, unit.now
        unit.nudges.add(f"push:{letter.connection}")


def keep_overwritten(unit: UnitOfWork, intent: IntentRow, name: str, value: object) -> None:
    """Keep a value that a stamp replaced unread, for a person to put back."""
    reason = f"The stamp replaced what {name} was given after we had read it: {value}"
    unit.session.add(
        dead_letter(
            unit, STAMP, intent.connection, intent.registration_id, intent.object, intent.record_id,
            payload=intent.payload, code="overwritten", reason=reason,
            remedy="Put the value back in the CRM, or discard this.",
        )
    )  # fmt: skip
