"""Batch calls: many rows, each with its own outcome, and HubSpot's peculiar ways to tell them.

Sources: HubSpot developer documentation, "Using object APIs" (batch), "Error handling"
(multi-status errors, `objectWriteTraceId`), "Associations v4".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sandbox.hubspot import shapes
from sandbox.hubspot.association_types import ASSOCIATION_TYPES, UNLABELED
from sandbox.hubspot.engine import HubSpotOrg
from sandbox.hubspot.schema import ObjectType
from sandbox.hubspot.values import HubSpotError
from sandbox.records import Row

INPUTS_MAX = 100
HISTORY_INPUTS_MAX = 50
ASSOCIATION_INPUTS_MAX = 1_000

Answer = tuple[int, dict[str, Any]]
_Body = Mapping[str, Any]


def read(org: HubSpotOrg, kind: ObjectType, body: _Body, *, archived: bool) -> Answer:
    """Read by id or unique property; ids that were merged away are dropped without a word."""
    histories = body.get("propertiesWithHistory") or ()
    inputs = _inputs(body, HISTORY_INPUTS_MAX if histories else INPUTS_MAX)
    started = org.clock()
    results, missing = [], []
    with org.store.exclusive():
        for entry in inputs:
            asked = str(entry["id"])
            row = _wanted(org, kind, body.get("idProperty"), asked, archived=archived)
            if row is not None:
                names = body.get("properties") or ()
                results.append(shapes.record(org, kind, row, names, histories))
            elif not _merged_away(org, kind, asked):
                missing.append(asked)
    errors = [_not_found(kind, missing)] if missing else []
    return _answer(org, started, results, errors, success=200)


def create(org: HubSpotOrg, kind: ObjectType, body: _Body, by: str) -> Answer:
    """Create rows; only with a distinct trace id on every row does one bad row not sink all.

    A body without the wrapper `inputs` creates nothing, and is told by 200 that all is well.
    """
    inputs = _inputs(body, INPUTS_MAX)
    success = 201 if "inputs" in body else 200

    def write(entry: _Body) -> Row | None:
        return org.create(kind, entry.get("properties") or {}, entry.get("associations") or (), by)

    with org.store.exclusive():
        if not _forgiving(inputs):
            _rehearse(org, kind, inputs)
        return _write_each(org, kind, inputs, write, success=success)


def update(org: HubSpotOrg, kind: ObjectType, body: _Body, by: str) -> Answer:
    """Patch rows by id or unique property; unknown ids share one error entry."""
    inputs = _inputs(body, INPUTS_MAX)

    def write(entry: _Body) -> Row | None:
        row = _wanted(org, kind, entry.get("idProperty"), str(entry["id"]), archived=False)
        if row is None:
            return None
        return org.update(kind, row, entry.get("properties") or {}, by)

    with org.store.exclusive():
        return _write_each(org, kind, inputs, write, success=200)


def associations_read(
    org: HubSpotOrg, from_: ObjectType, to: ObjectType, body: _Body, *, dated: bool
) -> Answer:
    """Read the associations of many records; those that have none are errors of the 207.

    Ids are numbers in v4 and text in the dated versions.
    """
    started = org.clock()
    results, errors = [], []
    for entry in _inputs(body, ASSOCIATION_INPUTS_MAX):
        from_id = str(entry["id"])
        found = org.links.of((from_.name, from_id), to.name)
        if found:
            results.append(
                {"from": {"id": from_id}, "to": [_far(*link, dated=dated) for link in found]}
            )
            continue
        none = HubSpotError(
            404,
            f"No {to.name} is associated with {from_.singular} {from_id}.",
            "OBJECT_NOT_FOUND",
            "crm.associations.NO_ASSOCIATIONS_FOUND",
            context={"fromObjectId": [from_id]},
        )
        errors.append(none)
    return _answer(org, started, results, errors, success=200)


def associations_create(
    org: HubSpotOrg, from_: ObjectType, to: ObjectType, body: _Body, by: str, *, success: int
) -> Answer:
    """Set the labels of many pairs; each row stands alone."""
    started = org.clock()
    results: list[Any] = []
    errors: list[HubSpotError] = []
    for entry in _inputs(body, ASSOCIATION_INPUTS_MAX):
        near, far = str(entry["from"]["id"]), str(entry["to"]["id"])
        types = [int(kind["associationTypeId"]) for kind in entry.get("types") or ()]
        try:
            org.associate((from_.name, near), (to.name, far), types, by)
        except HubSpotError as error:
            error.context = {**error.context, "fromObjectId": [near], "toObjectId": [far]}
            errors.append(error)
            continue
        labels = [ASSOCIATION_TYPES[t].label for t in types]
        results.append(
            {
                "fromObjectTypeId": from_.type_id,
                "fromObjectId": near,
                "toObjectTypeId": to.type_id,
                "toObjectId": far,
                "labels": [label for label in labels if label],
            }
        )
    return _answer(org, started, results, errors, success=success)


def associations_archive(
    org: HubSpotOrg, from_: ObjectType, to: ObjectType, body: _Body, by: str
) -> None:
    """Take away all associations of many pairs; there is no outcome per row."""
    for entry in _inputs(body, INPUTS_MAX):
        for far in entry["to"]:
            pair = (from_.name, str(entry["from"]["id"])), (to.name, str(far["id"]))
            with org.store.exclusive():
                org.links.remove(*pair, by)


def _far(other_id: str, types: list[int], *, dated: bool) -> dict[str, Any]:
    return {
        "toObjectId": other_id if dated else int(other_id),
        "associationTypes": [
            {
                "category": ASSOCIATION_TYPES[type_id].category,
                "typeId": type_id,
                "label": ASSOCIATION_TYPES[type_id].label,
            }
            for type_id in sorted(types, key=lambda t: t in UNLABELED.values())
        ],
    }


def _write_each(
    org: HubSpotOrg,
    kind: ObjectType,
    inputs: list[_Body],
    write: Callable[[_Body], Row | None],
    *,
    success: int,
) -> Answer:
    started = org.clock()
    results, errors, missing = [], [], []
    for entry in inputs:
        trace = entry.get("objectWriteTraceId")
        try:
            row = write(entry)
        except HubSpotError as error:
            context = {"objectWriteTraceId": [str(trace)]} if trace else {}
            if "id" in entry:
                context["ids"] = [str(entry["id"])]
            error.context = {**error.context, **context}
            errors.append(error)
            continue
        if row is not None:
            # No trace id in result rows: callers match on their own unique property.
            names = [*kind.defaults, *(entry.get("properties") or {})]
            results.append(shapes.record(org, kind, row, names))
        elif not _merged_away(org, kind, str(entry["id"])):
            missing.append(str(entry["id"]))
    if missing:
        errors.append(_not_found(kind, missing))
    return _answer(org, started, results, errors, success=success)


def _forgiving(inputs: list[_Body]) -> bool:
    traces = [entry.get("objectWriteTraceId") for entry in inputs]
    return all(traces) and len(set(traces)) == len(traces)


def _rehearse(org: HubSpotOrg, kind: ObjectType, inputs: list[_Body]) -> None:
    for entry in inputs:
        org.check(kind, entry.get("properties") or {}, entry.get("associations") or ())


def _inputs(body: _Body, most: int) -> list[_Body]:
    inputs = list(body.get("inputs") or ())
    if len(inputs) > most:
        raise HubSpotError(
            400, f"Batch size of {len(inputs)} exceeds the limit of {most}", "VALIDATION_ERROR"
        )
    if any(not isinstance(entry, Mapping) for entry in inputs):
        raise HubSpotError(400, "Invalid input JSON: inputs hold objects", "VALIDATION_ERROR")
    return inputs


def _wanted(
    org: HubSpotOrg, kind: ObjectType, id_property: str | None, asked: str, *, archived: bool
) -> Row | None:
    if id_property:
        return org.by_unique(kind, id_property, asked)
    row = org.store.get(kind.name, asked, deleted=archived)
    return None if row is None or row.deleted != archived or row.merged_into else row


def _merged_away(org: HubSpotOrg, kind: ObjectType, record_id: str) -> bool:
    row = org.store.get(kind.name, record_id, deleted=True)
    return row is not None and row.merged_into is not None


def _not_found(kind: ObjectType, ids: list[str]) -> HubSpotError:
    return HubSpotError(
        404,
        f"Could not get some {kind.singular.upper()} objects, they may be deleted or not exist."
        " Check that ids are valid.",
        "OBJECT_NOT_FOUND",
        context={"ids": ids},
    )


def _answer(
    org: HubSpotOrg, started: Any, results: list[Any], errors: list[HubSpotError], *, success: int
) -> Answer:
    body = shapes.batch(started, org.clock(), results)
    if not errors:
        return success, body
    rows = [error.body("") for error in errors]
    for row in rows:
        del row["correlationId"]
    body |= {"numErrors": len(errors), "errors": rows}
    return (success if org.errors_under_200 else 207), body
