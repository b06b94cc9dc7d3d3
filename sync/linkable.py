"""Whether records can be linked to registrations by what their CRMs say now. Only reads."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.port import CrmConnector, Gone, RemoteRecord
from registration_core.contracts import ConnectionName
from registration_core.errors import DomainRefusal
from sync import ladder, lost_answers
from sync.ledger.tables import LinkProposalRow
from sync.runtime import Runtime


def why_not(runtime: Runtime, rows: Sequence[LinkProposalRow]) -> dict[str, DomainRefusal]:
    """Say which proposals cannot be accepted by what their CRMs say now, by id of the proposal."""
    refused: dict[str, DomainRefusal] = {}
    for place in sorted({(row.connection, row.object) for row in rows}):
        connection, object_name = ConnectionName(place[0]), place[1]
        of_place = [row for row in rows if (row.connection, row.object) == place]
        stands, crm = ladder.rung(runtime, connection), runtime.connector(connection)
        if not stands.links:
            wrong = DomainRefusal(
                f"{connection} is at {stands.mode}, where nothing is linked.",
                hint=f"Type: dealreg connection promote {connection} --to link",
            )
            refused |= {row.id: wrong for row in of_place}
            continue
        key = runtime.mappings[connection].key_of(object_name)
        records = crm.read(object_name, [row.record_id for row in of_place], [key])
        made = _made_late(runtime, crm, object_name, [row.registration_id for row in of_place])
        for row in of_place:
            ours = made.get(row.registration_id, row.record_id)
            why = _taken_or_gone(records[row.record_id], key, row.registration_id)
            if why or ours != row.record_id:
                refused[row.id] = DomainRefusal(
                    f"The record {row.record_id} in {connection} "
                    f"{why or f'is one too many: ours was made after all, {ours}'}.",
                    hint=f"Type: dealreg link reject {row.id}",
                )
    return refused


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
