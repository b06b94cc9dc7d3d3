"""Read the companions of an object: what they are made of, and which of them comes first.

A row refers to another record by `ours: account`, `contact`, `line_item`, `user` or, in a
companion, `record` for the registration's own. What is referred to has to be there before; a user
of the CRM is looked up first of all.
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
    ADDRESS,
    COMPANIONS,
    CONTACT,
    CONTACT_EMAIL,
    LINE_ITEM,
    PARTNER,
    PARTNER_MARKS,
    RECORD,
    USER,
    Companion,
    Direction,
    GroupMapping,
    Missing,
    ObjectMapping,
    Row,
    Write,
)
from registration_core.contracts import FieldSchema, FieldType, Value

#: What a companion may say.
COMPANION_WORDS = ("object", "key", "missing", "on_create", "fields")
#: What the user of an object may say, and what its e-mail address.
USER_WORDS, ADDRESS_WORDS = (ADDRESS, "missing"), ("ours", "expression", "transform")
#: The group in which a registration's own rows refer to a companion; the account has its own.
REFERRING = {CONTACT: "details", LINE_ITEM: "details", PARTNER: "partner", USER: "owner"}
_LABELS = {
    CONTACT: "Contact in the CRM",
    LINE_ITEM: "Line item in the CRM",
    PARTNER: "The partner's record in the CRM",
    USER: "User of the CRM",
    RECORD: "The registration's own record",
}
_AN_ADDRESS = "a field of ours that holds one, or {ours: …, transform: …}"


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
        named = (*given, RECORD) if isinstance(given, Mapping) else (RECORD,)
        fields = {
            name: FieldSchema(name, FieldType.REFERENCE, label)
            for name, label in _LABELS.items()
            if name in named
        }
        groups = {
            group: {n: field for n, field in fields.items() if REFERRING.get(n) == group}
            for group in REFERRING.values()
        }
        self.references = {"": fields, **groups}

    def companions(
        self, node: Mapping[str, Any], path: Path, version: str, role: str
    ) -> dict[str, Companion]:
        """Read the companions of an object, in the order of the file."""
        if "companions" not in node:
            return {}
        given, where = self.map(node, path, "companions"), (*path, "companions")
        found = {}
        for name in self.only(given, where, (*COMPANIONS, USER)):
            if name == USER:
                continue
            made = self._companion(given, name, where, version, role)
            if made is not None:
                found[name] = made
        return found

    def user(
        self, node: Mapping[str, Any], path: Path, version: str, role: str
    ) -> Companion | None:
        """Read whom of the CRM's users rows refer to: by whose address, and what if nobody has it."""
        given = node.get("companions")
        if not isinstance(given, Mapping) or USER not in given:
            return None
        where: Path = (*path, "companions", USER)
        said = self.map(given, where[:-1], USER)
        self.only(said, where, USER_WORDS)
        words = (Missing.WAIT, Missing.LEAVE)
        missing = Missing(self.word(said, where, "missing", words, Missing.WAIT))
        row = self._address(said.get(ADDRESS), (*where, ADDRESS)) if said else None
        if row is None:
            return None
        rows = {USER: GroupMapping(USER, (row,))}
        looked_for = ObjectMapping(USER, version, role, (), {}, "", "", {}, rows)
        return Companion(USER, looked_for, missing, after=False)

    def _address(self, given: Any, path: Path) -> Row | None:
        """Read what a user's e-mail address is made of: a field, a table over one, an expression."""
        said = {"ours": given} if isinstance(given, str) else given
        if not isinstance(said, Mapping) or not said:
            self.tell(path, "email says which address to look for", _AN_ADDRESS)
            return None
        self.only(said, path, ADDRESS_WORDS)
        known = {name: said[name] for name in ADDRESS_WORDS if name in said}
        references, self.references = self.references, {}
        row = self.companion_row({**known, "theirs": ADDRESS}, path)
        self.references = references
        if row is not None and FieldType.TEXT not in row.transform.crm_types:
            self.tell(path, f"{row.ours.name} is a {row.ours.type.value}, no address", _AN_ADDRESS)
            return None
        return row

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
        if name == PARTNER and not {row.ours.name for row in rows} & set(PARTNER_MARKS):
            what = f"a partner is looked up by {' or '.join(PARTNER_MARKS)}, which no row has"
            self.tell((*path, "fields"), what, f"add {{ours: {PARTNER_MARKS[0]}, theirs: …}}")
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
            if row.ours.name in _LABELS:
                self._written_once(row)
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

    def _written_once(self, row: Row) -> None:
        """Tell of a reference that is changed again and again, or read back."""
        name, once = row.ours.name, "write: on_create"
        if row.write is Write.OVERWRITE or (name == USER and row.write is not Write.ON_CREATE):
            what = f"{name} is written once: a person may choose another one there"
            self.tell_at(row.where, what, once if name == USER else f"{once}, or write: if_empty")
        elif row.direction is not Direction.PUSH:
            self.tell_at(row.where, f"{name} only flows to the CRM", "direction: push")

    def unreferred(self, own: Iterable[Row], item: ObjectMapping, path: Path) -> None:
        """Tell of a user whom nothing refers to, and of references when nobody is looked for."""
        if item.user is None:
            return
        rows = [*own, *(row for each in item.before for row in each.made.rows)]
        if not any(row.ours.name == USER for row in rows):
            where = (*path, "companions", USER)
            self.tell(where, "no row refers to the user", "add one with ours: user, or remove it")
        for late in (row for each in item.after for row in each.made.rows):
            if late.ours.name == USER:
                what = "users are looked for when a deal is made, and this comes after it"
                self.tell_at(late.where, what, "remove the row")

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
    standing: dict[str, ObjectMapping] = {}
    for role, item in objects.items():
        for name, each in item.companions.items():
            path: Path = ("objects", role, "companions", name, "object")
            where = each.made.object
            first = standing.setdefault(where, each.made)
            if where in own or not _may_share(first, each.made):
                found[path] = (f"{where} is mapped twice", "a companion has an object of its own")
            elif name == ACCOUNT and where != accounts:
                what = f"accounts are read from {accounts}, and made in {where}"
                found[path] = (what, f"object: {accounts}")
    return found


def _may_share(one: ObjectMapping, other: ObjectMapping) -> bool:
    """Whether two companions may stand on one object: partners may be accounts, under one key."""
    return one.name == other.name or (
        {one.name, other.name} == {ACCOUNT, PARTNER} and one.key == other.key
    )
