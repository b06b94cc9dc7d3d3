"""Where a field's value came from: who set it, what each CRM was told, who won and why.

Reads the store alone: the audit trail, the intents, the links and the conflicts.
"""

from __future__ import annotations

from collections import defaultdict
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
class _Written:
    """A row that a field is written by, in the record's own mapping or in a companion's."""

    mapping: ConnectionMapping
    item: ObjectMapping
    #: Empty for the record's own.
    companion: str
    row: Row


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
    written = [
        _Written(mappings[connection], item, companion, row)
        for connection, item in mapped.items()
        for companion, made in _made(item)
        for row in made.rows
        if row.ours.name == name
    ]
    standings = tuple(_standing(session, registration, each, program, group) for each in written)
    account = registration.home if name in ("owner", "account") else None
    home = account or next(iter(registration.roles), ConnectionName(""))
    values = crm_changes.canonical(registration, home, program, partner)
    return Explanation(
        registration.number, name, values.get(name), registration.phase.value, standings,
        tuple(_steps(session, registration, name, group, written)),
    )  # fmt: skip


def _made(item: ObjectMapping) -> Iterator[tuple[str, ObjectMapping]]:
    """Yield what a registration's record is made by, then each companion, with the latter's name."""
    yield "", item
    yield from ((each.name, each.made) for each in item.companions.values())


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
    written: _Written,
    program: Program,
    group: FieldGroup,
) -> Standing:
    mapping, row = written.mapping, written.row
    link = session.scalars(
        select(LinkRow).where(
            LinkRow.registration_id == registration.id,
            LinkRow.connection == mapping.connection,
            LinkRow.object == written.item.object,
            LinkRow.role == "primary",
        )
    ).first()
    rule = program.authority[group][registration.phase]
    authority = f"{' and '.join(sorted(rule.writers))} may change it, {rule.wins} wins"
    theirs, agreed = row.theirs, link.base.get(row.ours.name) if link else None
    if written.companion:
        shown = written.companion.replace("_", " ")
        theirs = tuple(f"{shown}: {name}" for name in theirs)
        agreed, authority = None, f"written if the {shown} is made, and never changed"
    once = " at create only" if written.companion or (row.creates and not row.pushes) else ""
    return Standing(
        connection=mapping.connection,
        role=registration.roles[mapping.connection].value,
        theirs=theirs,
        direction=f"{row.direction.value}{once}",
        transform=row.transform.name,
        row=row.where,
        mapping_version=mapping.version,
        agreed=agreed,
        authority=authority,
    )


@dataclass(frozen=True)
class _Write:
    """What one intent wrote of the field."""

    fields: Fields
    companion: str
    #: The mapping's version, where it has one.
    number: int | None


def _steps(
    session: Session,
    registration: Registration,
    name: str,
    group: FieldGroup,
    written: Sequence[_Written],
) -> Iterator[Step]:
    intents = session.scalars(select(IntentRow).where(IntentRow.registration_id == registration.id))
    numbers = {
        (row.connection, row.digest): row.number
        for row in session.scalars(select(MappingVersionRow).order_by(MappingVersionRow.number))
    }
    theirs: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for each in written:
        theirs[each.mapping.connection, each.companion].update(each.row.theirs)
    writes = {
        intent.id: _Write(
            {
                name: value
                for name, value in intent.payload.items()
                if name in theirs[intent.connection, intent.companion]
            },
            intent.companion.replace("_", " "),
            numbers.get((intent.connection, intent.mapping_version)),
        )
        for intent in intents
    }
    for event in audit.events(session, subject_of(registration)):
        internal = event["internal"]
        where = str(internal.get("connection", "store"))
        for what, value in _told(event["action"], internal, name, group, writes):
            yield Step(event["at"], event["actor"], where, what, value)


def _told(
    action: str,
    internal: Mapping[str, Any],
    name: str,
    group: FieldGroup,
    writes: Mapping[str, _Write],
) -> Iterator[tuple[str, str]]:
    """What an event says of the field: nothing, or what and which value."""
    changes = internal.get("changes")
    if isinstance(changes, Mapping) and name in changes:
        yield ("taken from the CRM" if "connection" in internal else action), str(changes[name])
    elif action == "submit" and _SUBMITTED.get(name, name) in internal:
        yield "submitted", str(internal[_SUBMITTED.get(name, name)])
    elif (write := writes.get(str(internal.get("intent")))) is not None:
        if write.fields:
            beside = f" with the {write.companion}" if write.companion else ""
            by = f" by version {write.number} of its mapping" if write.number else ""
            wrote = ", ".join(f"{n}={value}" for n, value in sorted(write.fields.items()))
            yield f"written to the CRM{beside}{by}", wrote
    elif internal.get("group") == group.value:
        ours = (internal.get("store") or {}).get(name)
        crm = (internal.get("crm") or {}).get(name)
        yield f"{action}: {internal.get('reason', '')}".rstrip(": "), f"ours {ours}, theirs {crm}"
