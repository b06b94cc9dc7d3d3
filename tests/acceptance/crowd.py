"""Very many deals in a stand-in and in the store: alike, linked, and agreed on both sides."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from sqlalchemy import ColumnElement, insert, select
from sqlalchemy.orm import Session

from config.settings import load_settings
from registration_core.contracts import ConnectionName
from registration_core.store import repository
from registration_core.store.tables import Base, OutboxRow, RegistrationRow
from sandbox.salesforce.engine import SalesforceOrg
from sync import wiring
from sync.ledger.tables import LinkRow

CONNECTION = ConnectionName("salesforce")
Row = dict[str, Any]


def copy(environ: Mapping[str, str], org: SalesforceOrg, number: str, count: int) -> None:
    """Copy a pushed registration and its opportunity so many times.

    Only Salesforce has the copies; to the other connections they owe nothing.
    """
    with closing(wiring.build(load_settings(environ))) as runtime, runtime.database.begin() as unit:
        made = repository.registration(unit.session, number).id
        (deal,) = _rows(unit.session, RegistrationRow, RegistrationRow.id == made)
        (link,) = _rows(
            unit.session, LinkRow, LinkRow.registration_id == made, LinkRow.connection == CONNECTION
        )
        owed = _rows(unit.session, OutboxRow, OutboxRow.registration_id == made)
        theirs = org.store.get("Opportunity", link["record_id"])
        assert theirs is not None
        fields = {
            n: theirs.fields.get(n) for n in runtime.mappings[CONNECTION].objects["home"].reads()
        }
        rows: dict[type[Base], list[Row]] = {RegistrationRow: [], LinkRow: [], OutboxRow: []}
        for each in range(count):
            key, name = unit.ids.new(), f"DR-{each:08d}"
            ours = {"Dealreg_Id__c": key, "Dealreg_Number__c": name}
            record = org.insert("Opportunity", fields | ours, org.integration_user_id)
            base = link["base"] | {"registration_id": key, "registration_number": name}
            rows[RegistrationRow].append(
                deal | {"id": key, "number": name, "token": key, "receipt_seq": 10**6 + each}
            )
            rows[LinkRow].append(
                link | {"id": unit.ids.new(), "registration_id": key, "record_id": record.id,
                        "base": base}
            )  # fmt: skip
            rows[OutboxRow] += [row | {"registration_id": key} for row in owed]
        for table, several in rows.items():
            unit.session.execute(insert(table), several)


def _rows(session: Session, table: type[Base], *where: ColumnElement[bool]) -> list[Row]:
    names = [column.key for column in table.__mapper__.column_attrs]
    return [
        {name: getattr(row, name) for name in names}
        for row in session.scalars(select(table).where(*where))
    ]
