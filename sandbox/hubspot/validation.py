"""What a portal takes: every property of a write checked against its definition.

One bad property refuses the whole record (HubSpot, "Error handling"); all of them are named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sandbox.hubspot.schema import ObjectType
from sandbox.hubspot.values import BadValue, Fault, HubSpotError, normalised
from sandbox.records import Json, RecordStore, Row


class UniqueValues:
    """Which live record holds which value of a `hasUniqueValue` property."""

    def __init__(self, store: RecordStore, kinds: Iterable[ObjectType]) -> None:
        self._holders: dict[tuple[str, str, str], str] = {}
        for kind in kinds:
            for row in store.rows(kind.name):
                self.hold(kind, row)

    def holder(self, kind: ObjectType, property_name: str, value: str) -> str | None:
        """Return the id of the record that has the value, or None."""
        return self._holders.get((kind.name, property_name, value))

    def hold(self, kind: ObjectType, row: Row) -> None:
        """Note the unique values of a record."""
        for key in self._keys(kind, row):
            self._holders[key] = row.id

    def release(self, kind: ObjectType, row: Row) -> None:
        """Forget the unique values of a record that is about to change or go."""
        for key in self._keys(kind, row):
            self._holders.pop(key, None)

    @staticmethod
    def _keys(kind: ObjectType, row: Row) -> list[tuple[str, str, str]]:
        return [
            (kind.name, prop.name, str(row.fields[prop.name]))
            for prop in kind.properties.values()
            if prop.unique and prop.name in row.fields
        ]


def refuse_taken_email(
    kind: ObjectType, properties: Mapping[str, Json], unique: UniqueValues
) -> None:
    """Refuse a new contact whose address another one has, in words of its own ("Contacts guide")."""
    email = str(properties.get("email") or "").strip()
    holder = unique.holder(kind, "email", email) if kind.name == "contacts" else None
    if holder is not None:
        raise HubSpotError(409, f"Contact already exists. Existing ID: {holder}", "CONFLICT")


def checked(
    kind: ObjectType,
    properties: Mapping[str, Json],
    row: Row | None,
    unique: UniqueValues,
    owner_exists: Callable[[str], bool],
) -> tuple[dict[str, Json], list[Fault]]:
    """Return what to store for a write (`row` None = create), and everything wrong with it."""
    faults: list[Fault] = []
    fields: dict[str, Json] = {}
    for name, raw in properties.items():
        if raw is None:
            continue  # JSON null leaves a property as it is; only empty text clears it
        prop = kind.properties.get(name)
        if prop is None:
            words = f'Property "{name}" does not exist'
            faults.append(Fault("PROPERTY_DOESNT_EXIST", words, name))
            continue
        if prop.read_only:
            words = f'"{name}" is a read only property; its value cannot be set.'
            faults.append(Fault("READ_ONLY_VALUE", words, name))
            continue
        try:
            fields[name] = normalised(prop, raw, owner_exists)
        except BadValue as bad:
            faults.append(Fault(bad.code, str(bad), name))
            continue
        holder = unique.holder(kind, name, str(fields[name])) if prop.unique else None
        if holder is not None and (row is None or row.id != holder):
            words = f"Cannot set {name}={fields[name]}. {holder} already has that value."
            faults.append(Fault("CONFLICTING_UNIQUE_VALUE", words, name))
    whole = {**(row.fields if row else {}), **fields}
    faults += [
        Fault("MISSING_REQUIRED_PROPERTY", f'"{name}" is required', name)
        for name in kind.required
        if not whole.get(name) and not any(fault.property == name for fault in faults)
    ]
    if kind.pipelines and not faults:
        faults += _stage(kind, whole, fields)
    return fields, faults


def _stage(kind: ObjectType, whole: Mapping[str, Json], fields: dict[str, Json]) -> list[Fault]:
    """Check the stage against the pipeline and work out what follows from it."""
    by_pipeline, by_stage = kind.staged_by
    first = kind.pipelines[0]
    pipeline = str(whole.get(by_pipeline) or first.id)
    stage_pipeline, stage = kind.stages[str(whole.get(by_stage) or first.stages[0].id)]
    if stage_pipeline.id != pipeline:
        words = f"{stage.id} is not a stage of pipeline {pipeline}"
        return [Fault("INVALID_OPTION", words, by_stage)]
    if not whole.get(by_stage) or fields.keys() & {by_stage, by_pipeline}:
        fields[by_pipeline], fields[by_stage] = pipeline, stage.id
        if kind.name == "deals":
            fields["hs_is_closed"] = "true" if stage.closed else "false"
            fields["hs_is_closed_won"] = "true" if stage.won else "false"
            fields["hs_deal_stage_probability"] = stage.probability
    return []
