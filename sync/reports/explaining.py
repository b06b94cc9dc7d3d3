"""Where a field's value came from: who set it, what each CRM was told, who won and why.

Reads the store alone: the audit trail, the intents, the links and the conflicts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mapping.schema import ConnectionMapping, ObjectMapping, Row
from registration_core import crm_changes
from registration_core.contracts import ConnectionName, Fields, Value
from registration_core.errors import NotFound
from registration_core.fields import FIELDS, FieldGroup, group_of
from registration_core.model import Registration
from registration_core.program import Program
from registration_core.recording import subject_of
from registration_core.store import audit, repository
from sync.ledger.mappings import MappingVersionRow
from sync.ledger.tables import IntentRow, LinkRow

#: Names by which a submission's event calls a field.
_SUBMITTED = {
    "partner_name": "partner",
    "customer_name": "customer",
    "registration_number": "number",
}


@dataclass(frozen=True)
class Step:
    """One thing that happened to the field, oldest first."""

    at: str
    who: str
    #: `store`, or the connection it happened in.
    where: str
    what: str
    value: str


@dataclass(frozen=True)
class Standing:
    """How the field stands on one connection, by the mapping as it is now."""

    connection: ConnectionName
    role: str
    theirs: tuple[str, ...]
    direction: str
    transform: str
    #: `file:line` of the row, and the version of the file.
    row: str
    mapping_version: str
    #: What both sides last agreed on; None where nothing was yet.
    agreed: Value
    #: Who may change it and who wins, in the present phase.
    authority: str


@dataclass(frozen=True)
class Explanation:
    """Everything known of one field of one registration."""

    number: str
    field: str
    value: Value
    phase: str
    standings: tuple[Standing, ...]
    steps: tuple[Step, ...]


def explain(
    session: Session,
    mappings: Mapping[ConnectionName, ConnectionMapping],
    programs: Mapping[str, Program],
    number: str,
    name: str,
) -> Explanation:
    """Explain a field of ours; `NotFound` names the nearest where there is no such field."""
    registration = repository.registration(session, number)
    partner = repository.partner_by_id(session, registration.partner_id)
    program = programs[registration.program]
    group = _group_of(program, name)
    fields = crm_changes.canonical(registration, registration.home, program)
    converted = {
        ConnectionName(link.connection): link.object
        for link in session.scalars(
            select(LinkRow).where(
                LinkRow.registration_id == registration.id, LinkRow.converted_at.is_not(None)
            )
        )
    }
    mapped = {
        connection: item
        for connection, role in registration.roles.items()
        if (mapping := mappings.get(connection)) is not None
        and (item := mapping.object_for(role.value, fields, converted.get(connection, "")))
        is not None
    }
    rows = {
        connection: [row for row in item.rows if row.ours.name == name]
        for connection, item in mapped.items()
    }
    standings = tuple(
        _standing(session, registration, mappings[connection], item, row, program, group)
        for connection, item in mapped.items()
        for row in rows[connection]
    )
    account = registration.home if name in ("owner", "account") else None
    home = account or next(iter(registration.roles), ConnectionName(""))
    values = crm_changes.canonical(registration, home, program, partner)
    return Explanation(
        registration.number, name, values.get(name), registration.phase.value, standings,
        tuple(_steps(session, registration, name, group, rows)),
    )  # fmt: skip


def _group_of(program: Program, name: str) -> FieldGroup:
    known = [*FIELDS, *program.custom_fields]
    if name in known:
        return group_of(name)
    near = get_close_matches(name, known, n=1)
    raise NotFound(
        f"We have no field {name}.",
        hint=f"Did you mean {near[0]}?" if near else f"One of: {', '.join(known)}.",
    )


def _standing(
    session: Session,
    registration: Registration,
    mapping: ConnectionMapping,
    item: ObjectMapping,
    row: Row,
    program: Program,
    group: FieldGroup,
) -> Standing:
    link = session.scalars(
        select(LinkRow).where(
            LinkRow.registration_id == registration.id,
            LinkRow.connection == mapping.connection,
            LinkRow.object == item.object,
            LinkRow.role == "primary",
        )
    ).first()
    rule = program.authority[group][registration.phase]
    once = " at create only" if row.creates and not row.pushes else ""
    return Standing(
        connection=mapping.connection,
        role=registration.roles[mapping.connection].value,
        theirs=row.theirs,
        direction=f"{row.direction.value}{once}",
        transform=row.transform.name,
        row=row.where,
        mapping_version=mapping.version,
        agreed=link.base.get(row.ours.name) if link else None,
        authority=f"{' and '.join(sorted(rule.writers))} may change it, {rule.wins} wins",
    )


def _steps(
    session: Session,
    registration: Registration,
    name: str,
    group: FieldGroup,
    rows: Mapping[ConnectionName, Sequence[Row]],
) -> Iterator[Step]:
    intents = session.scalars(select(IntentRow).where(IntentRow.registration_id == registration.id))
    numbers = {
        (row.connection, row.digest): row.number
        for row in session.scalars(select(MappingVersionRow).order_by(MappingVersionRow.number))
    }
    writes = {
        intent.id: (intent.payload, numbers.get((intent.connection, intent.mapping_version)))
        for intent in intents
    }
    theirs = {
        str(connection): {their for row in of for their in row.theirs}
        for connection, of in rows.items()
    }
    for event in audit.events(session, subject_of(registration)):
        internal = event["internal"]
        where = str(internal.get("connection", "store"))
        for what, value in _told(event["action"], internal, name, group, theirs, writes):
            yield Step(event["at"], event["actor"], where, what, value)


def _told(
    action: str,
    internal: Mapping[str, Any],
    name: str,
    group: FieldGroup,
    theirs: Mapping[str, set[str]],
    writes: Mapping[str, tuple[Fields, int | None]],
) -> Iterator[tuple[str, str]]:
    """What an event says of the field: nothing, or what and which value."""
    changes = internal.get("changes")
    if isinstance(changes, Mapping) and name in changes:
        yield ("taken from the CRM" if "connection" in internal else action), str(changes[name])
    elif action == "submit" and _SUBMITTED.get(name, name) in internal:
        yield "submitted", str(internal[_SUBMITTED.get(name, name)])
    elif action in ("create in CRM", "update in CRM"):
        payload, number = writes.get(str(internal.get("intent")), ({}, None))
        wrote = sorted(theirs.get(str(internal.get("connection")), set()) & payload.keys())
        if wrote:
            by = f" by version {number} of its mapping" if number else ""
            yield f"written to the CRM{by}", ", ".join(f"{n}={payload[n]}" for n in wrote)
    elif internal.get("group") == group.value:
        ours = (internal.get("store") or {}).get(name)
        crm = (internal.get("crm") or {}).get(name)
        yield f"{action}: {internal.get('reason', '')}".rstrip(": "), f"ours {ours}, theirs {crm}"
