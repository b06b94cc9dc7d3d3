"""Read the rows of a mapping file, each with its direction, its manners and its transform."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from config.documents import Document
from mapping.expression_types import Flaw
from mapping.expressions import Expression, read_expression
from mapping.nodes import Nodes, Path, near
from mapping.schema import KEY_FIELD, Direction, Emptied, Row, Write
from mapping.transform_files import read_transform
from mapping.transform_options import RowContext
from mapping.transforms import Copy
from registration_core.contracts import FieldSchema, ObjectSchema, Value

#: What a row may say.
ROW_WORDS = ("ours", "expression", "theirs", "direction", "transform", "write", "emptied")

#: What a row of a companion may say: it is written once and never read.
COMPANION_ROW_WORDS = ("ours", "expression", "theirs", "transform")

#: Begins the name of a shared transform where a row uses it.
SHARED_MARK = "$"


class Rows(Nodes):
    """Reads rows; knows our fields, their groups, and the pieces that rows share."""

    def __init__(
        self, document: Document, ours: ObjectSchema, groups: Mapping[str, tuple[str, ...]]
    ) -> None:
        super().__init__(document)
        self.ours = ours
        self.groups = groups
        self.group_of = {field: group for group, fields in groups.items() for field in fields}
        self.shared = self._shared()
        #: References beside our own fields that rows may use where they are read, by group.
        self.references: Mapping[str, Mapping[str, FieldSchema]] = {}

    def key_row(self, key: str, path: Path) -> Row:
        """Return the row that an object's key stands for."""
        field = self.ours.fields[KEY_FIELD]
        where = self.document.where((*path, "key"))
        return Row(field, (key,), Direction.PUSH, Copy(field.type), where, creates=True)

    def row(self, group: str, node: Any, path: Path) -> Row | None:
        """Read a row of a group ("" for a companion's), or None after telling what is wrong."""
        if not isinstance(node, Mapping):
            self.tell(path, "a row is a mapping", "for example {ours: amount, theirs: Amount}")
            return None
        before = len(self.problems)
        self.only(node, path, ROW_WORDS)
        theirs = self._their_fields(node, path)
        expression = self._expression(node, path)
        direction, creates = self._direction(node, path, expression)
        write = Write(self.word(node, path, "write", tuple(Write), Write.OVERWRITE))
        emptied = Emptied(self.word(node, path, "emptied", tuple(Emptied), Emptied.CONFLICT))
        if write is not Write.OVERWRITE and direction is Direction.PULL and not creates:
            self.tell((*path, "write"), "write: is for fields that we write", "direction: push")
        if write is Write.ON_CREATE and not creates:
            self.tell((*path, "write"), "on_create, but not written at create", "direction: both")
        if emptied is not Emptied.CONFLICT and direction is Direction.PUSH:
            self.tell((*path, "emptied"), "emptied: is for fields that we read", "remove it")
        if expression is not None and theirs:
            field: FieldSchema | None = _computed(expression, theirs)
        else:
            field = self._our_field(group, node, path) if "expression" not in node else None
        if field is None or not theirs:
            return None
        # What is created and then only read still has to keep the laws of both ways.
        ways = direction if (direction is not Direction.PULL) or not creates else Direction.BOTH
        transform, name = self._transform(node, path, field, theirs, ways)
        if transform is None or len(self.problems) > before:
            return None
        where = self.document.where(path)
        return Row(
            field, theirs, direction, transform, where, creates, write, emptied, name, expression
        )

    def companion_row(self, node: Any, path: Path) -> Row | None:
        """Read a row of a companion, which may use every field of ours; it is written once."""
        if isinstance(node, Mapping):
            self.only(node, path, COMPANION_ROW_WORDS)
            known = {name: node[name] for name in COMPANION_ROW_WORDS if name in node}
            once = {"direction": Direction.PUSH.value, "write": Write.ON_CREATE.value}
            node = {**known, **once}
        return self.row("", node, path)

    def written_once(self, rows: Sequence[Row], constants: Mapping[str, Value], path: Path) -> None:
        """Tell of fields that two rows write, and of fields of ours that two rows merge."""
        writers = dict.fromkeys(constants, self.document.where((*path, "on_create")))
        seen: dict[str, str] = {}
        for row in rows:
            if row.merges and row.ours.name in seen:
                what = f"{row.ours.name} is mapped twice, here and at {seen[row.ours.name]}"
                self.tell_at(row.where, what, "keep one of the rows")
            if row.merges:
                seen[row.ours.name] = row.where
            for name in row.theirs if row.writes else ():
                if name in writers:
                    what = f"{name} is written twice, here and at {writers[name]}"
                    self.tell_at(row.where, what, "keep one, or make one of them direction: pull")
                writers.setdefault(name, row.where)

    def one_way_or_both(self, group: str, rows: Sequence[Row]) -> None:
        """Tell of rows that only push in a group that comes here: it must come whole."""
        merged = [row for row in rows if row.merges]
        pulled = [row for row in merged if row.pulls]
        for row in merged if pulled else ():
            if not row.pulls:
                self.tell_at(
                    row.where,
                    f"{row.ours.name} only flows to the CRM while {pulled[0].ours.name} of the "
                    f"same group {group} flows back",
                    "a group is taken as one value: use both or pull for all, or push for all",
                )

    # Parts of a row -------------------------------------------------------------------------

    def _shared(self) -> Mapping[str, Any]:
        given = self.document.data.get("shared", {})
        if not isinstance(given, Mapping):
            self.tell(("shared",), "shared must be a mapping", "for example stages: {enum: {…}}")
            return {}
        return given

    def _transform(
        self,
        node: Mapping[str, Any],
        path: Path,
        field: FieldSchema,
        theirs: tuple[str, ...],
        ways: Direction,
    ) -> tuple[Any, str]:
        """Read the transform, from the row or from the piece it names; returns both."""
        given, name, base = node.get("transform"), "", (*path, "transform")
        if isinstance(given, str) and given.startswith(SHARED_MARK):
            name = given.removeprefix(SHARED_MARK)
            if name not in self.shared:
                remedy = near(name, self.shared) if self.shared else "name it under shared:"
                self.tell(base, f"there is no shared transform '{name}'", remedy)
                return None, ""
            given, base = self.shared[name], ("shared", name)
        used = f" (used at {self.document.where(path)})" if name else ""

        def tell(below: Sequence[str | int], what: str, remedy: str) -> None:
            self.tell((*base, *below), f"{what}{used}", remedy)

        return read_transform(given, RowContext(field, theirs, ways, tell)), name

    def _direction(
        self, node: Mapping[str, Any], path: Path, expression: Expression | None
    ) -> tuple[Direction, bool]:
        """Which way a field flows once the record is there, and whether a create writes it."""
        given = node.get("direction")
        if isinstance(given, Mapping):
            where: Path = (*path, "direction")
            self.only(given, where, ("create", "update"))
            ways = [
                Direction(self.word(given, where, each, tuple(Direction), Direction.BOTH))
                for each in ("create", "update")
            ]
            direction, creates = ways[1], ways[0] is not Direction.PULL
        else:
            default = Direction.PUSH if "expression" in node else Direction.BOTH
            direction = Direction(self.word(node, path, "direction", tuple(Direction), default))
            creates = direction is not Direction.PULL
        if expression is not None and direction is not Direction.PUSH:
            what = "an expression only flows to the CRM: it cannot be read backwards"
            self.tell((*path, "direction"), what, "direction: push")
        return direction, creates

    def _expression(self, node: Mapping[str, Any], path: Path) -> Expression | None:
        if "expression" not in node:
            return None
        if "ours" in node:
            what = "a row has ours or an expression, not both"
            self.tell((*path, "ours"), what, "name our fields inside the expression")
        source = self.text(node, path, "expression")
        if not source:
            return None
        try:
            return read_expression(source, self.ours)
        except Flaw as flaw:
            place = f"line {flaw.line}, column {flaw.column} of the expression"
            self.tell((*path, "expression"), f"{flaw.what} ({place})", flaw.remedy)
            return None

    def _our_field(self, group: str, node: Mapping[str, Any], path: Path) -> FieldSchema | None:
        name = self.text(node, path, "ours")
        if not name:
            return None
        where = (*path, "ours")
        if name == KEY_FIELD:
            self.tell(where, f"{KEY_FIELD} is what key: carries already", "remove this row")
        elif name in self.references.get(group, {}):
            return self.references[group][name]
        elif place := next((g for g, named in self.references.items() if g and name in named), ""):
            self.tell(where, f"{name} is not in group {group}", f"move the row to {place}")
        elif name not in self.ours.fields:
            known = {**self.ours.fields, **self.references.get(group, {})}
            self.tell(where, f"we have no field '{name}'", near(name, known))
        elif group and self.group_of.get(name) != group:
            right = self.group_of.get(name)
            self.tell(where, f"{name} is not in group {group}", f"move the row to {right}")
        else:
            return self.ours.fields[name]
        return None

    def _their_fields(self, node: Mapping[str, Any], path: Path) -> tuple[str, ...]:
        value = node.get("theirs")
        names = value if isinstance(value, list) else [value]
        texts = [name for name in names if isinstance(name, str) and name]
        if not texts or len(set(texts)) != len(names):
            remedy = "a name, or for an enum or join a list of different names"
            self.tell((*path, "theirs"), "theirs names the CRM's field", remedy)
            return ()
        return tuple(texts)


def _computed(expression: Expression, theirs: tuple[str, ...]) -> FieldSchema:
    """Our side of an expression's row: a field that nobody keeps, named after theirs."""
    return FieldSchema(f"={theirs[0]}", expression.type, label=expression.source)
