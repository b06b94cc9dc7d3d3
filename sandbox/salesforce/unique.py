"""Which live record holds which value of the unique fields, so that a second one is refused."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.records import Json, RecordStore, Row
from sandbox.salesforce.errors import SalesforceError
from sandbox.salesforce.objects import OBJECTS
from sandbox.salesforce.schema import SalesforceField, SalesforceObject


class UniqueIndex:
    """Kept beside the store; the engine calls it under the store's lock."""

    def __init__(self, store: RecordStore) -> None:
        self._holders: dict[tuple[str, str, str], str] = {}
        for thing in OBJECTS.values():
            for row in store.rows(thing.name):
                self.learn(thing, row)

    def check(
        self, thing: SalesforceObject, values: Mapping[str, Json], record_id: str | None
    ) -> None:
        """Refuse values that another live record holds, with DUPLICATE_VALUE."""
        for field in _unique_fields(thing):
            holder = self._holders.get(_key(thing, field, values.get(field.name)))
            if holder is not None and holder != record_id:
                raise SalesforceError(
                    "DUPLICATE_VALUE",
                    f"duplicate value found: {field.name} duplicates value on record with id: "
                    f"{holder[:15]}",
                )

    def learn(self, thing: SalesforceObject, row: Row) -> None:
        """Note the values of a live record."""
        for field in _unique_fields(thing):
            if row.fields.get(field.name) is not None:
                self._holders[_key(thing, field, row.fields[field.name])] = row.id

    def forget(self, thing: SalesforceObject, row: Row) -> None:
        """Drop the values of a record that changes or goes to the bin."""
        for field in _unique_fields(thing):
            self._holders.pop(_key(thing, field, row.fields.get(field.name)), None)


def _unique_fields(thing: SalesforceObject) -> list[SalesforceField]:
    return [field for field in OBJECTS[thing.name].fields.values() if field.unique]


def _key(thing: SalesforceObject, field: SalesforceField, value: Json) -> tuple[str, str, str]:
    text = "" if value is None else str(value)
    return (thing.name, field.name, text if field.case_sensitive else text.casefold())
