"""Read the companions of an object: what they are made of, and which of them comes first.

A row refers to another record by `ours: account`, `contact`, `line_item` or, in a companion,
`record` for the registration's own. What is referred to has to be there before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any

from mapping.nodes import Path
from mapping.rows import Rows
from mapping.schema import (
    ACCOUNT,
    COMPANIONS,
    CONTACT,
    CONTACT_EMAIL,
    LINE_ITEM,
    RECORD,
    Companion,
    GroupMapping,
    Missing,
    ObjectMapping,
    Row,
    Write,
)
from registration_core.contracts import FieldSchema, FieldType, Value

#: What a companion may say.
COMPANION_WORDS = ("object", "key", "missing", "on_create", "fields")
#: The group in which a registration's own rows refer to its companions; the account has its own.
_REFERRING = "details"
_LABELS = {
    CONTACT: "Contact in the CRM",
    LINE_ITEM: "Line item in the CRM",
    RECORD: "The registration's own record",
}


class Companions(Rows):
    """Reads the companions of an object, and which of them has to be there first."""

    def constants(self, node: Mapping[str, Any], path: Path) -> dict[str, Value]:
        """Read the constants that a create writes."""
        if "on_create" not in node:
            return {}
        given = self.map(node, path, "on_create")
        where = (*path, "on_create")
        return {str(k): self.constant(v, (*where, k)) for k, v in given.items()}

    def referring(self, node: Mapping[str, Any]) -> None:
        """Let the rows of an object refer to the companions that it names."""
        given = node.get("companions")
        named = [n for n in COMPANIONS if isinstance(given, Mapping) and n in given]
        fields = {
            name: FieldSchema(name, FieldType.REFERENCE, label)
            for name, label in _LABELS.items()
            if name in named or name == RECORD
        }
        own = {name: field for name, field in fields.items() if name != RECORD}
        self.references = {"": fields, _REFERRING: own}

    def companions(
        self, node: Mapping[str, Any], path: Path, version: str, role: str
    ) -> dict[str, Companion]:
        """Read the companions of an object, in the order of the file."""
        if "companions" not in node:
            return {}
        given, where = self.map(node, path, "companions"), (*path, "companions")
        found = {}
        for name in self.only(given, where, COMPANIONS):
            made = self._companion(given, name, where, version, role)
            if made is not None:
                found[name] = made
        return found

    def _companion(
        self, given: Mapping[str, Any], name: str, parent: Path, version: str, role: str
    ) -> Companion | None:
        path: Path = (*parent, name)
        node = self.map(given, parent, name)
        self.only(node, path, COMPANION_WORDS)
        missing = Missing(self.word(node, path, "missing", tuple(Missing), Missing.CREATE))
        object_name, key = self.text(node, path, "object"), self.text(node, path, "key")
        constants, entries = self.constants(node, path), node.get("fields")
        if not isinstance(entries, list) or not entries:
            if node:
                self.tell((*path, "fields"), "fields must be a list of rows", "a dash before each")
            return None
        read = [self.companion_row(entry, (*path, "fields", i)) for i, entry in enumerate(entries)]
        rows = [row for row in read if row is not None]
        self.written_once(rows, constants, path)
        if name == LINE_ITEM and "missing" in node:
            what = "a line item is looked for by nothing but our key, so that it can only be made"
            self.tell((*path, "missing"), what, "remove it")
        if name == CONTACT and not any(row.ours.name == CONTACT_EMAIL for row in rows):
            what = f"a contact is looked up by {CONTACT_EMAIL}, which no row has"
            self.tell((*path, "fields"), what, f"add {{ours: {CONTACT_EMAIL}, theirs: …}}")
        if not object_name or not key or not rows:
            return None
        made = ObjectMapping(
            name, version, role, (), {}, object_name, key, constants,
            {name: GroupMapping(name, tuple(rows))},
        )  # fmt: skip
        return Companion(name, made, missing, after=False)

    def in_order(
        self, own: Iterable[Row], found: Mapping[str, Companion], path: Path
    ) -> dict[str, Companion]:
        """Return companions, each behind what it refers to; tells of a circle.

        `own` are the rows of the registration's record; one that would change a reference again
        and again is told of too.
        """
        own = list(own)
        for row in own:
            if row.ours.name in _LABELS and row.write is Write.OVERWRITE:
                what = f"{row.ours.name} is written once: a person may choose another one there"
                self.tell_at(row.where, what, "write: on_create, or write: if_empty")
        rows = {name: each.made.rows for name, each in found.items()} | {RECORD: tuple(own)}
        graph = {
            name: {row.ours.name for row in several if row.ours.name in rows}
            for name, several in rows.items()
        }
        try:
            order = list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            self._cycle(error.args[1][::-1], rows)
            return dict(found)
        behind = {RECORD}
        for name in order:
            behind |= {name} if graph[name] & behind else set()
        return {
            name: Companion(name, found[name].made, found[name].missing, after=name in behind)
            for name in order
            if name != RECORD
        }

    def _cycle(self, names: list[str], rows: Mapping[str, tuple[Row, ...]]) -> None:
        """Tell of a cycle, at each of the rows that close it."""
        told = " → ".join(names)
        for name, needs in pairwise(names):
            row = next(each for each in rows[name] if each.ours.name == needs)
            what = f"these refer to each other in a circle, so that none can be first: {told}"
            self.tell_at(row.where, what, "take one of the references out")


def misplaced(objects: Mapping[str, ObjectMapping], accounts: str) -> dict[Path, tuple[str, str]]:
    """Return what is wrong with where companions stand, by place: what, and what to do."""
    own = {item.object for item in objects.values()}
    found: dict[Path, tuple[str, str]] = {}
    standing: dict[str, str] = {}
    for role, item in objects.items():
        for name, each in item.companions.items():
            path: Path = ("objects", role, "companions", name, "object")
            where = each.made.object
            if where in own or standing.setdefault(where, name) != name:
                found[path] = (f"{where} is mapped twice", "a companion has an object of its own")
            elif name == ACCOUNT and where != accounts:
                what = f"accounts are read from {accounts}, and made in {where}"
                found[path] = (what, f"object: {accounts}")
    return found
