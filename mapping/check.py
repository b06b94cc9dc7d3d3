"""Hold a mapping against what the CRM says of its objects, before anything is written by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from mapping.check_values import Values
from mapping.drafting import questions
from mapping.nodes import Path
from mapping.schema import ConnectionMapping, ObjectMapping, Row
from registration_core.contracts import Condition, FieldSchema, FieldType, ObjectSchema, Value
from registration_core.errors import Problem

#: Characters of a registration id (a UUID in its usual form).
_ID_LENGTH = 36

_ANSWER = "correct and uncomment the lines below it, or remove them; then remove the question"
#: Most field names that a message lists.
_NAMES_SHOWN = 2


@dataclass(frozen=True)
class SchemaReport:
    """What was found: `problems` keep the mapping from being used, `warnings` do not."""

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def objects_of(mapping: ConnectionMapping) -> tuple[str, ...]:
    """Return the names of the CRM objects whose schemas `check` wants, sorted."""
    named = {item.object for item in mapping.written().values()}
    return tuple(sorted({*named, mapping.accounts.object, mapping.opportunities.object}))


def check(
    mapping: ConnectionMapping,
    schemas: Mapping[str, ObjectSchema],
    *,
    precondition: bool = False,
    values: Mapping[str, Sequence[str]] | None = None,
) -> SchemaReport:
    """Hold a mapping against live schemas, by object name; an object without one is a problem.

    With `precondition` the CRM refuses a write to a record that moved since it was read, so that
    nothing needs to be proven by history. `values` are those that fields of ours may have, by name,
    where the programs say; options that a field has by itself need not be among them.

    Problems: a field that is missing, of another type, calculated, not writable where we write,
    too short or too coarse; a picklist value that does not exist; a key that is not unique; a field
    that must not be empty there and flows both ways while ours may be empty.
    Warnings: a field that flows both ways and of which the CRM keeps no history, so that an
    overwrite of an unread change could not be proven; a picklist value there that no row lists;
    decimal places that reading loses; a field the CRM requires and no row fills (which the CRM
    may fill by itself: Dataverse requires an owner and sets it), or one that may be empty; any text
    of ours for a picklist; a value of ours that a table lacks.
    """
    checker = _Checker(mapping, schemas, history_wanted=not precondition, values=values or {})
    for path, item in mapping.written().items():
        checker.object(path, item)
    checker.accounts()
    checker.opportunities()
    checker.problems += unanswered(mapping)
    return SchemaReport(tuple(checker.problems), tuple(checker.warnings))


def unanswered(mapping: ConnectionMapping) -> list[Problem]:
    """Return the questions of a draft that nobody has answered yet."""
    return [
        Problem(f"{mapping.source.name}:{number}", f"not answered yet: {asked}", _ANSWER)
        for number, asked in questions(mapping.source.text)
    ]


def misfits(
    mapping: ConnectionMapping, schemas: Mapping[str, ObjectSchema]
) -> dict[str, tuple[Problem, ...]]:
    """Return the problems of `check` by the object they keep from being read or written."""
    found: dict[str, tuple[Problem, ...]] = {}

    def keep(object_name: str, look: Callable[[_Checker], None]) -> None:
        checker = _Checker(mapping, schemas, history_wanted=False)
        look(checker)
        if checker.problems:
            found[object_name] = (*found.get(object_name, ()), *checker.problems)

    for path, item in mapping.written().items():
        keep(item.object, lambda checker, p=path, i=item: checker.object(p, i))  # type: ignore[misc]
    keep(mapping.accounts.object, _Checker.accounts)
    keep(mapping.opportunities.object, _Checker.opportunities)
    return found


def required_unfilled(
    mapping: ConnectionMapping, schemas: Mapping[str, ObjectSchema], object_name: str
) -> frozenset[str]:
    """Return the fields that the CRM requires of an object and some create would leave empty."""
    schema = schemas.get(object_name)
    made = [item for item in mapping.written().values() if item.object == object_name]
    return frozenset(
        field.name
        for field in (schema.fields.values() if schema else ())
        if field.required and field.createable
        and any(field.name not in item.writes() for item in made)
    )  # fmt: skip


class _Checker(Values):
    """Collects what is wrong over all parts of one mapping."""

    def __init__(
        self,
        mapping: ConnectionMapping,
        schemas: Mapping[str, ObjectSchema],
        *,
        history_wanted: bool,
        values: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(mapping, values)
        self.schemas = schemas
        self.history_wanted = history_wanted

    def object(self, path: Path, item: ObjectMapping) -> None:
        schema = self._schema(item.object, (*path, "object"))
        if schema is None:
            return
        self._key(schema, item.key, (*path, "key"))
        self._rows(schema, item)
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
        path: Path = ("opportunities",)
        schema = self._schema(mapped.object, (*path, "object"))
        if schema is None:
            return
        self._readable(schema, mapped.fields, (*path, "fields"))
        self._readable(schema, {"account": mapped.account, "key": mapped.key}, path)
        for condition in mapped.open:
            self._condition(schema, condition, (*path, "open", condition.field))
        if mapped.stamp is not None:
            self._rows(schema, mapped.stamp)

    # Parts ----------------------------------------------------------------------------------

    def _rows(self, schema: ObjectSchema, item: ObjectMapping) -> None:
        for row in item.rows:
            if row.theirs == (item.key,):
                continue
            for position, name in enumerate(row.theirs):
                field = schema.fields.get(name)
                if field is None:
                    self._missing(row.where, schema, name)
                else:
                    self._row(item, row, position, field)

    def _key(self, schema: ObjectSchema, key: str, path: Path) -> None:
        where, field = self._where(path), schema.fields.get(key)
        if field is None:
            self._missing(where, schema, key)
            return
        if not field.unique:
            self.problem(
                where,
                f"{schema.name}.{key} is not unique, so the same registration could be created "
                "twice",
                "make it unique in the CRM (external id, alternate key, unique values)",
            )
        if field.type is not FieldType.TEXT:
            self.problem(where, f"{schema.name}.{key} is a {field.type.value}", "use a text field")
        elif field.length is not None and field.length < _ID_LENGTH:
            what = f"{schema.name}.{key} takes {field.length} characters"
            self.problem(where, what, f"a registration id has {_ID_LENGTH}")
        if not field.createable:
            self.problem(where, f"{schema.name}.{key} cannot be written", _PERMIT)

    def _row(self, item: ObjectMapping, row: Row, position: int, field: FieldSchema) -> None:
        if field.type not in row.transform.crm_types:
            wanted = " or ".join(sorted(kind.value for kind in row.transform.crm_types))
            self.problem(
                row.where,
                f"{field.name} is a {field.type.value}, and transform {row.transform.name} of "
                f"{row.ours.name} needs {wanted}",
                "choose another transform or field",
            )
            return
        if row.writes:
            self._writable(row, field)
            self.fits(row, field)
            self.nothing(item, row, field)
        self.options(row, position, field)
        if row.pulls:
            self.unlisted(item.object, row, position, field)
            self.rounded(row, field)
        if self.history_wanted and row.pushes and row.pulls and not field.history_kept:
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
            self.problem(row.where, f"{field.name} is calculated by the CRM", "direction: pull")
        elif not field.createable and row.creates:
            self.problem(row.where, f"{field.name} cannot be written at create", _PERMIT)
        elif not field.updateable and row.pushes:
            self.problem(
                row.where, f"{field.name} cannot be changed", f"{_PERMIT}, or direction: pull"
            )

    def _constant(self, where: str, field: FieldSchema, value: Value) -> None:
        if not field.createable:
            self.problem(where, f"{field.name} cannot be written at create", _PERMIT)
        self._value(where, field, value)

    def _condition(self, schema: ObjectSchema, condition: Condition, path: Path) -> None:
        where, field = self._where(path), schema.fields.get(condition.field)
        if field is None:
            self._missing(where, schema, condition.field)
            return
        for value in condition.values:
            self._value(where, field, value)

    def _value(self, where: str, field: FieldSchema, value: Value) -> None:
        if not has_type(field, value):
            kind = _written_type(value).value
            self.problem(
                where,
                f"{field.name} is a {field.type.value}, and {value} is written as a {kind}",
                "quote a text; write true, false and numbers without quotes",
            )
        elif field.options is not None and value not in field.options:
            remedy = f"it has: {', '.join(field.options)}"
            self.problem(where, f"{field.name} has no value '{value}'", remedy)

    def _readable(self, schema: ObjectSchema, names: Mapping[str, str], path: Path) -> None:
        for ours, name in names.items():
            if name not in schema.fields:
                self._missing(self._where((*path, ours)), schema, name)

    def _required(self, schema: ObjectSchema, item: ObjectMapping, path: Path) -> None:
        written = set(item.writes())
        for field in schema.fields.values():
            if field.required and field.createable and field.name not in written:
                self.warnings.append(
                    Problem(
                        self._where(path),
                        f"{schema.name} requires {field.name}, which no row fills",
                        "map it, or name a constant under on_create, unless the CRM fills it",
                    )
                )

    # Telling --------------------------------------------------------------------------------

    def _schema(self, name: str, path: Path) -> ObjectSchema | None:
        schema = self.schemas.get(name)
        if schema is None:
            what = f"the CRM shows us no object {name}"
            near = get_close_matches(name, self.schemas, 1, 0.7)
            else_ = "correct its name, or permit our user to see it"
            remedy = f"did you mean {near[0]}? Else {else_}" if near else else_
            self.problem(self._where(path), what, remedy)
        return schema

    def _missing(self, where: str, schema: ObjectSchema, name: str) -> None:
        what = f"{schema.name} has no field {name} that our user may see"
        near = nearest(name, schema)
        make = f"create it (dealreg connection provision {self.mapping.connection})"
        said = f"did you mean {' or '.join(near)}? Else {make}" if near else make
        self.problem(where, what, f"{said}, or permit our user to see it")

    def _where(self, path: Path) -> str:
        return self.mapping.source.where(path)


def nearest(name: str, schema: ObjectSchema) -> list[str]:
    """Return the fields that a name may have meant: by its label, by spelling; best first."""
    labels = {field.label.casefold(): field.name for field in schema.fields.values() if field.label}
    names = {_bare(field): field for field in schema.fields}
    wanted = name.casefold()
    close = [names[each] for each in get_close_matches(_bare(name), names, _NAMES_SHOWN, 0.7)]
    close += [labels[each] for each in get_close_matches(wanted, labels, 1, 0.8)]
    exact = [labels[wanted]] if wanted in labels else []
    return list(dict.fromkeys([*exact, *close]))[:_NAMES_SHOWN]


def _bare(name: str) -> str:
    """A field's name without what CRMs put around it, for comparing."""
    return name.casefold().removesuffix("__c").replace("_", "")


def has_type(field: FieldSchema, value: Value) -> bool:
    """Tell whether a constant of a file has the type of a field; of many choices it is one."""
    return field.type is _written_type(value) or (isinstance(value, str) and field.type in _TEXTUAL)


def _written_type(value: Value) -> FieldType:
    """The type that a constant of a file has; files hold text, numbers, true and false."""
    if isinstance(value, bool):
        return FieldType.BOOLEAN
    return FieldType.TEXT if isinstance(value, str) else FieldType.NUMBER


_TEXTUAL = frozenset(
    {FieldType.TEXT, FieldType.PICKLIST, FieldType.MULTI_PICKLIST, FieldType.REFERENCE}
)
_PERMIT = "permit our user to write it"
