"""Hold a mapping against what the CRM says of its objects, before anything is written by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mapping.schema import ConnectionMapping, Direction, ObjectMapping, Row
from mapping.transforms import Number
from registration_core.contracts import Condition, FieldSchema, FieldType, ObjectSchema, Value
from registration_core.errors import Problem

#: Characters of a registration id (a UUID in its usual form).
_ID_LENGTH = 36

_Path = tuple[str | int, ...]


@dataclass(frozen=True)
class SchemaReport:
    """What was found: `problems` keep the mapping from being used, `warnings` do not."""

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def objects_of(mapping: ConnectionMapping) -> tuple[str, ...]:
    """Return the names of the CRM objects whose schemas `check` wants, sorted."""
    named = {m.object for m in mapping.objects.values()}
    return tuple(sorted({*named, mapping.accounts.object, mapping.opportunities.object}))


def check(mapping: ConnectionMapping, schemas: Mapping[str, ObjectSchema]) -> SchemaReport:
    """Hold a mapping against live schemas, by object name; an object without one is a problem.

    Problems: a field that is missing, of another type, calculated, not writable where we write,
    too short or too coarse; a picklist value that does not exist; a key that is not unique.
    Warnings: a field that flows both ways and of which the CRM keeps no history, so that an
    overwrite of an unread change could not be proven; a field the CRM requires and nobody fills.
    """
    checker = _Checker(mapping, schemas)
    for role, item in mapping.objects.items():
        checker.object(role, item)
    checker.accounts()
    checker.opportunities()
    return SchemaReport(tuple(checker.problems), tuple(checker.warnings))


class _Checker:
    """Collects what is wrong over all parts of one mapping."""

    def __init__(self, mapping: ConnectionMapping, schemas: Mapping[str, ObjectSchema]) -> None:
        self.mapping = mapping
        self.schemas = schemas
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def object(self, role: str, item: ObjectMapping) -> None:
        path: _Path = ("objects", role)
        schema = self._schema(item.object, (*path, "object"))
        if schema is None:
            return
        self._key(schema, item.key, (*path, "key"))
        for row in item.rows:
            if row.theirs == (item.key,):
                continue
            for position, name in enumerate(row.theirs):
                field = schema.fields.get(name)
                if field is None:
                    self._missing(row.where, schema, name)
                else:
                    self._row(row, position, field)
        for name, value in item.on_create.items():
            where = self._where((*path, "on_create", name))
            field = schema.fields.get(name)
            if field is None:
                self._missing(where, schema, name)
            else:
                self._constant(where, field, value)
        self._required(schema, item, path)

    def accounts(self) -> None:
        accounts = self.mapping.accounts
        schema = self._schema(accounts.object, ("accounts", "object"))
        if schema:
            self._readable(schema, accounts.fields, ("accounts", "fields"))

    def opportunities(self) -> None:
        mapped = self.mapping.opportunities
        path: _Path = ("opportunities",)
        schema = self._schema(mapped.object, (*path, "object"))
        if schema is None:
            return
        self._readable(schema, mapped.fields, (*path, "fields"))
        self._readable(schema, {"account": mapped.account, "key": mapped.key}, path)
        for condition in mapped.open:
            self._condition(schema, condition, (*path, "open", condition.field))

    # Parts ----------------------------------------------------------------------------------

    def _key(self, schema: ObjectSchema, key: str, path: _Path) -> None:
        where, field = self._where(path), schema.fields.get(key)
        if field is None:
            self._missing(where, schema, key)
            return
        if not field.unique:
            self._problem(
                where,
                f"{schema.name}.{key} is not unique, so the same registration could be created "
                "twice",
                "make it unique in the CRM (external id, alternate key, unique values)",
            )
        if field.type is not FieldType.TEXT:
            self._problem(where, f"{schema.name}.{key} is a {field.type.value}", "use a text field")
        elif field.length is not None and field.length < _ID_LENGTH:
            what = f"{schema.name}.{key} takes {field.length} characters"
            self._problem(where, what, f"a registration id has {_ID_LENGTH}")
        if not field.createable:
            self._problem(where, f"{schema.name}.{key} cannot be written", _PERMIT)

    def _row(self, row: Row, position: int, field: FieldSchema) -> None:
        if field.type not in row.transform.crm_types:
            wanted = " or ".join(sorted(kind.value for kind in row.transform.crm_types))
            self._problem(
                row.where,
                f"{field.name} is a {field.type.value}, and transform {row.transform.name} of "
                f"{row.ours.name} needs {wanted}",
                "choose another transform or field",
            )
            return
        if row.direction is not Direction.PULL:
            self._writable(row, field)
            self._fits(row, field)
        self._options(row, position, field)
        if row.pushes and row.pulls and not field.history_kept:
            self.warnings.append(
                Problem(
                    row.where,
                    f"the CRM keeps no history of {field.name}, so an overwritten change that we "
                    "had not read could not be proven",
                    "turn field history on in the CRM, or make the row push or pull",
                )
            )

    def _writable(self, row: Row, field: FieldSchema) -> None:
        if field.calculated:
            self._problem(row.where, f"{field.name} is calculated by the CRM", "direction: pull")
        elif not field.createable and row.on_create:
            self._problem(row.where, f"{field.name} cannot be written at create", _PERMIT)
        elif not field.updateable and row.pushes:
            self._problem(
                row.where, f"{field.name} cannot be changed", f"{_PERMIT}, or direction: pull"
            )

    def _fits(self, row: Row, field: FieldSchema) -> None:
        transform = row.transform
        if isinstance(transform, Number):
            if field.scale is not None and transform.scale > field.scale:
                what = f"{field.name} keeps {field.scale} decimal places, not {transform.scale}"
                self._problem(row.where, what, f"scale: {field.scale}")
            return
        longest = transform.longest() or row.ours.length or 0
        if field.length is not None and longest > field.length:
            self._problem(
                row.where,
                f"{field.name} takes {field.length} characters, and {row.ours.name} may have "
                f"{longest}",
                f"transform: {{text: {{max: {field.length}}}}}, or a longer field",
            )

    def _options(self, row: Row, position: int, field: FieldSchema) -> None:
        if field.options is None:
            return
        values = row.transform.values(position)
        if not values and row.direction is not Direction.PULL:
            values = row.ours.options or ()
        for value in dict.fromkeys(values):
            if value not in field.options:
                self._problem(
                    row.where,
                    f"{field.name} has no value '{value}'",
                    f"it has: {', '.join(field.options)}",
                )

    def _constant(self, where: str, field: FieldSchema, value: Value) -> None:
        if not field.createable:
            self._problem(where, f"{field.name} cannot be written at create", _PERMIT)
        self._value(where, field, value)

    def _condition(self, schema: ObjectSchema, condition: Condition, path: _Path) -> None:
        where, field = self._where(path), schema.fields.get(condition.field)
        if field is None:
            self._missing(where, schema, condition.field)
            return
        for value in condition.values:
            self._value(where, field, value)

    def _value(self, where: str, field: FieldSchema, value: Value) -> None:
        kind = _written_type(value)
        textual = (FieldType.TEXT, FieldType.PICKLIST, FieldType.REFERENCE)
        if kind is not field.type and not (isinstance(value, str) and field.type in textual):
            self._problem(
                where,
                f"{field.name} is a {field.type.value}, and {value} is written as a {kind.value}",
                "quote a text; write true, false and numbers without quotes",
            )
        elif field.options is not None and value not in field.options:
            remedy = f"it has: {', '.join(field.options)}"
            self._problem(where, f"{field.name} has no value '{value}'", remedy)

    def _readable(self, schema: ObjectSchema, names: Mapping[str, str], path: _Path) -> None:
        for ours, name in names.items():
            if name not in schema.fields:
                self._missing(self._where((*path, ours)), schema, name)

    def _required(self, schema: ObjectSchema, item: ObjectMapping, path: _Path) -> None:
        written = set(item.writes())
        for field in schema.fields.values():
            if field.required and field.createable and field.name not in written:
                self.warnings.append(
                    Problem(
                        self._where(path),
                        f"{schema.name} requires {field.name}, which no row fills",
                        "map it, or name a constant under on_create",
                    )
                )

    # Telling --------------------------------------------------------------------------------

    def _schema(self, name: str, path: _Path) -> ObjectSchema | None:
        schema = self.schemas.get(name)
        if schema is None:
            what = f"the CRM shows us no object {name}"
            self._problem(self._where(path), what, "correct its name, or permit our user to see it")
        return schema

    def _missing(self, where: str, schema: ObjectSchema, name: str) -> None:
        what = f"{schema.name} has no field {name} that our user may see"
        self._problem(where, what, "correct its name, create it, or permit our user to see it")

    def _problem(self, where: str, what: str, remedy: str) -> None:
        self.problems.append(Problem(where, what, remedy))

    def _where(self, path: _Path) -> str:
        return self.mapping.source.where(path)


def _written_type(value: Value) -> FieldType:
    """The type that a constant of a file has; files hold text, numbers, true and false."""
    if isinstance(value, bool):
        return FieldType.BOOLEAN
    return FieldType.TEXT if isinstance(value, str) else FieldType.NUMBER


_PERMIT = "permit our user to write it"
