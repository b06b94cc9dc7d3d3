"""Whether records can be linked to registrations by what their CRMs say now. Only reads."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.port import CrmConnector, Gone, RemoteRecord
from registration_core.contracts import ConnectionName
from registration_core.errors import DomainRefusal
from registration_core.program import Role
from registration_core.store import repository
from sync.accounts.directory import fits
from sync.gates import ladder
from sync.ledger.tables import LinkProposalRow
from sync.outcomes import lost_answers
from sync.process.runtime import Runtime
from sync.proposals.fitting import compared, lost, reads_of


def why_not(
    runtime: Runtime, rows: Sequence[LinkProposalRow], *, surely: bool = False
) -> dict[str, DomainRefusal]:
    """Say which proposals cannot be accepted by what their CRMs say now, by id of the proposal.

    With `surely`, neither can one whose record is not any more what made it sure.
    """
    refused: dict[str, DomainRefusal] = {}
    for place in sorted({(row.connection, row.object) for row in rows}):
        connection, object_name = ConnectionName(place[0]), place[1]
        of_place = [row for row in rows if (row.connection, row.object) == place]
        stands, crm = ladder.rung(runtime, connection), runtime.connector(connection)
        if not stands.links_on(object_name):
            mode = stands.at(object_name)
            wrong = DomainRefusal(
                f"{object_name} of {connection} is at {mode}, where nothing is linked.",
                hint=f"Type: dealreg connection promote {connection} --to link",
            )
            refused |= {row.id: wrong for row in of_place}
            continue
        key = runtime.mappings[connection].key_of(object_name)
        reads = {key} | (_judged_by(runtime, connection, object_name) if surely else set())
        records = crm.read(object_name, [row.record_id for row in of_place], sorted(reads))
        made = _made_late(runtime, crm, object_name, [row.registration_id for row in of_place])
        for row in of_place:
            ours, record = made.get(row.registration_id, row.record_id), records[row.record_id]
            why, then = _taken_or_gone(record, key, row.registration_id), "reject"
            if not why and ours != row.record_id:
                why = f"is one too many: ours was made after all, {ours}"
            if surely and not why and isinstance(record, RemoteRecord):
                why, then = _moved(runtime, row, record), "show"
            if why:
                refused[row.id] = DomainRefusal(
                    f"The record {row.record_id} in {connection} {why}.",
                    hint=f"Type: dealreg link {then} {row.id}",
                )
    return refused


def _judged_by(runtime: Runtime, connection: ConnectionName, object_name: str) -> set[str]:
    """Return the fields by which records of an object were found to be a registration's."""
    mapping = runtime.mappings[connection]
    alike = [each for each in mapping.of_role(Role.HOME) if each.object == object_name]
    open_ = mapping.opportunities.open if mapping.opportunities.object == object_name else ()
    return {name for each in alike for name in reads_of(each)} | {each.field for each in open_}


def _moved(runtime: Runtime, row: LinkProposalRow, record: RemoteRecord) -> str:
    """Say what made a proposal sure and is not so any more; empty where all of it is."""
    connection = ConnectionName(row.connection)
    with runtime.database.read() as session:
        registration = repository.registration(session, row.registration_id)
    mapping = runtime.mapping_of(registration, connection, row.object)
    if mapping is None or not compared(row.evidence):
        return ""
    opportunities = runtime.mappings[connection].opportunities
    if opportunities.object == row.object and not fits(record.fields, opportunities.open):
        return f"is not open any more, so it is not surely {registration.number}"
    gone = ", ".join(lost(row.evidence, registration, record, mapping))
    return f"does not agree with {registration.number} in its {gone} any more" if gone else ""


def _made_late(
    runtime: Runtime, crm: CrmConnector, object_name: str, registration_ids: Sequence[str]
) -> dict[str, str]:
    """Return the records of creates that took effect after they were given up, by registration."""
    with runtime.database.read() as session:
        given_up = lost_answers.given_up(session, crm.name, registration_ids)
    if not given_up:
        return {}
    key = runtime.mappings[crm.name].key_of(object_name)
    found = crm.find(object_name, key, sorted({each.registration_id for each in given_up}), [key])
    return {registration_id: record.record_id for registration_id, record in found.items()}


def _taken_or_gone(record: RemoteRecord | Gone, key: str, registration_id: str) -> str:
    if isinstance(record, Gone):
        return f"is {record.absence.value}"
    theirs = record.fields.get(key)
    return "" if theirs in (None, "", registration_id) else "carries another registration's id"
