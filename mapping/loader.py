"""Read a mapping file and tell everything that is wrong with it at once, with line and remedy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from config.documents import Document, parse
from mapping.schema import (
    KEY_FIELD,
    AccountMapping,
    ConnectionMapping,
    Direction,
    GroupMapping,
    ObjectMapping,
    OpportunityMapping,
    Row,
)
from mapping.transform_files import read_transform
from mapping.transform_options import RowContext
from mapping.transforms import Copy
from registration_core.contracts import Condition, ConnectionName, FieldSchema, ObjectSchema, Value
from registration_core.errors import ConfigurationError, Problem

#: What the account directory knows of an account, and what must be mapped of it.
ACCOUNT_FIELDS = (
    "name",
    "country",
    "city",
    "postcode",
    "website",
    "phone",
    "tax_id",
    "duns",
    "owner",
    "parent",
    "last_activity",
    "products",
)
#: What the conflict check knows of an open opportunity, and what must be mapped of it.
OPPORTUNITY_FIELDS = ("name", "stage", "amount", "currency", "close", "owner", "last_activity")

#: What a connection may be to a registration that stands there.
ROLES = ("home", "mirror")
_Path = tuple[str | int, ...]


def load(
    text: str, name: str, ours: ObjectSchema, groups: Mapping[str, tuple[str, ...]]
) -> ConnectionMapping:
    """Read a mapping file.

    Args:
        text: Content of the file.
        name: How messages call it, for example its path.
        ours: Our fields, with their types and options; must hold `registration_id`.
        groups: Names of our fields by field group; a field is in one group.

    Raises:
        ConfigurationError: The file cannot be used; lists every problem, not only the first.
    """
    reader = _Reader(parse(text, name), ours, groups)
    mapping = reader.connection(hashlib.sha256(text.encode()).hexdigest()[:16])
    if reader.problems or mapping is None:
        raise ConfigurationError(f"{name} cannot be used.", reader.problems)
    return mapping


class _Reader:
    """Walks one document; problems are collected, and what has one is left out."""

    def __init__(
        self, document: Document, ours: ObjectSchema, groups: Mapping[str, tuple[str, ...]]
    ) -> None:
        self.document = document
        self.ours = ours
        self.groups = groups
        self.group_of = {field: group for group, fields in groups.items() for field in fields}
        self.problems: list[Problem] = []

    def connection(self, version: str) -> ConnectionMapping | None:
        top: _Path = ()
        data = self.document.data
        self._only(data, top, ("connection", "objects", "accounts", "opportunities"))
        name = self._text(data, top, "connection")
        objects = {
            role: mapping
            for role in self._only(self._map(data, top, "objects"), ("objects",), ROLES)
            if (mapping := self._object(role))
        }
        accounts = self._accounts(self._map(data, top, "accounts"))
        opportunities = self._opportunities(self._map(data, top, "opportunities"))
        if not (name and objects and accounts and opportunities):
            if not self.problems:
                self._tell(("objects",), "no object is mapped", "map home, mirror or both")
            return None
        return ConnectionMapping(
            ConnectionName(name), version, objects, accounts, opportunities, self.document
        )

    # Objects --------------------------------------------------------------------------------

    def _object(self, role: str) -> ObjectMapping | None:
        path: _Path = ("objects", role)
        node = self._map(self.document.data["objects"], ("objects",), role)
        self._only(node, path, ("object", "key", "on_create", "groups"))
        name, key = self._text(node, path, "object"), self._text(node, path, "key")
        constants = self._constants(node, path)
        rows: dict[str, list[Row]] = {group: [] for group in self.groups}
        if key:
            rows[self.group_of[KEY_FIELD]].append(self._key_row(key, path))
        given = self._map(node, path, "groups")
        for group in self._only(given, (*path, "groups"), tuple(self.groups)):
            entries = given[group]
            where: _Path = (*path, "groups", group)
            if not isinstance(entries, list):
                self._tell(where, f"group {group} must be a list of rows", "put a dash before each")
                continue
            read = (self._row(group, entry, (*where, i)) for i, entry in enumerate(entries))
            rows[group] += [row for row in read if row]
        self._written_once([row for group in rows.values() for row in group], constants, path)
        for group, entries in rows.items():
            self._one_way_or_both(group, entries)
        if not name or not key:
            return None
        mapped = {g: GroupMapping(g, tuple(entries)) for g, entries in rows.items() if entries}
        return ObjectMapping(name, key, constants, mapped)

    def _key_row(self, key: str, path: _Path) -> Row:
        field = self.ours.fields[KEY_FIELD]
        where = self.document.where((*path, "key"))
        copy = Copy(field.type)
        return Row(field, (key,), Direction.PUSH, copy, on_create=False, clears=False, where=where)

    def _row(self, group: str, node: Any, path: _Path) -> Row | None:
        if not isinstance(node, Mapping):
            self._tell(path, "a row is a mapping", "for example {ours: amount, theirs: Amount}")
            return None
        before = len(self.problems)
        self._only(node, path, ("ours", "theirs", "direction", "transform", "on", "emptied"))
        field = self._our_field(group, node, path)
        theirs = self._their_fields(node, path)
        direction = self._word(node, path, "direction", tuple(Direction), Direction.BOTH)
        on_create = self._word(node, path, "on", ("create",), "") == "create"
        clears = self._word(node, path, "emptied", ("conflict", "clear"), "conflict") == "clear"
        if on_create and direction == Direction.PULL:
            self._tell((*path, "on"), "on: create is for fields that we write", "direction: push")
        if clears and direction == Direction.PUSH:
            self._tell((*path, "emptied"), "emptied: is for fields that we read", "remove it")
        if field is None or not theirs:
            return None

        def tell(below: Sequence[str | int], what: str, remedy: str) -> None:
            self._tell((*path, "transform", *below), what, remedy)

        context = RowContext(field, theirs, direction, tell)
        transform = read_transform(node.get("transform"), context)
        if transform is None or len(self.problems) > before:
            return None
        where = self.document.where(path)
        return Row(field, theirs, Direction(direction), transform, on_create, clears, where)

    def _our_field(self, group: str, node: Mapping[str, Any], path: _Path) -> FieldSchema | None:
        name = self._text(node, path, "ours")
        if not name:
            return None
        where = (*path, "ours")
        if name == KEY_FIELD:
            self._tell(where, f"{KEY_FIELD} is what key: carries already", "remove this row")
        elif name not in self.ours.fields:
            self._tell(where, f"we have no field '{name}'", _near(name, self.ours.fields))
        elif self.group_of.get(name) != group:
            right = self.group_of.get(name)
            self._tell(where, f"{name} is not in group {group}", f"move the row to {right}")
        else:
            return self.ours.fields[name]
        return None

    def _their_fields(self, node: Mapping[str, Any], path: _Path) -> tuple[str, ...]:
        value = node.get("theirs")
        names = value if isinstance(value, list) else [value]
        texts = [name for name in names if isinstance(name, str) and name]
        if not texts or len(set(texts)) != len(names):
            remedy = "a name, or for an enum or join a list of different names"
            self._tell((*path, "theirs"), "theirs names the CRM's field", remedy)
            return ()
        return tuple(texts)

    def _constants(self, node: Mapping[str, Any], path: _Path) -> dict[str, Value]:
        if "on_create" not in node:
            return {}
        given = self._map(node, path, "on_create")
        where = (*path, "on_create")
        return {str(k): self._value(v, (*where, k)) for k, v in given.items()}

    def _written_once(
        self, rows: Sequence[Row], constants: Mapping[str, Value], path: _Path
    ) -> None:
        writers = dict.fromkeys(constants, self.document.where((*path, "on_create")))
        seen: dict[str, str] = {}
        for row in rows:
            if row.merges and row.ours.name in seen:
                self._tell_at(
                    row.where,
                    f"{row.ours.name} is mapped twice, here and at {seen[row.ours.name]}",
                    "keep one of the rows",
                )
            if row.merges:
                seen[row.ours.name] = row.where
            for name in row.theirs if row.direction is not Direction.PULL else ():
                if name in writers:
                    self._tell_at(
                        row.where,
                        f"{name} is written twice, here and at {writers[name]}",
                        "keep one, or make one of them direction: pull",
                    )
                writers.setdefault(name, row.where)

    def _one_way_or_both(self, group: str, rows: Sequence[Row]) -> None:
        """A group that the CRM may change must come here whole."""
        merged = [row for row in rows if row.merges]
        pulled = [row for row in merged if row.pulls]
        for row in merged if pulled else ():
            if not row.pulls:
                self._tell_at(
                    row.where,
                    f"{row.ours.name} only flows to the CRM while {pulled[0].ours.name} of the "
                    f"same group {group} flows back",
                    "a group is taken as one value: use both or pull for all, or push for all",
                )

    # Accounts and opportunities -------------------------------------------------------------

    def _accounts(self, node: Mapping[str, Any]) -> AccountMapping | None:
        path: _Path = ("accounts",)
        self._only(node, path, ("object", "fields"))
        name = self._text(node, path, "object")
        fields = self._names(node, path, ACCOUNT_FIELDS, ("name", "country"))
        return AccountMapping(name, fields) if name and fields else None

    def _opportunities(self, node: Mapping[str, Any]) -> OpportunityMapping | None:
        path: _Path = ("opportunities",)
        self._only(node, path, ("object", "account", "key", "open", "fields"))
        name = self._text(node, path, "object")
        account, key = self._text(node, path, "account"), self._text(node, path, "key")
        fields = self._names(node, path, OPPORTUNITY_FIELDS, ("name",))
        conditions = []
        for field, values in self._map(node, path, "open").items():
            where = (*path, "open", field)
            if not isinstance(values, list) or not values:
                self._tell(
                    where, f"{field} needs a list of values", f"for example {field}: [false]"
                )
                continue
            read = tuple(self._value(v, where) for v in values)
            conditions.append(Condition(str(field), read))
        if not (name and account and key and fields and conditions):
            return None
        return OpportunityMapping(name, account, key, tuple(conditions), fields)

    def _names(
        self,
        node: Mapping[str, Any],
        path: _Path,
        known: Sequence[str],
        needed: Sequence[str],
    ) -> dict[str, str]:
        given = self._map(node, path, "fields")
        where = (*path, "fields")
        names = {
            ours: text
            for ours in self._only(given, where, known)
            if (text := self._text(given, where, ours))
        }
        for ours in needed:
            if given and ours not in given:
                self._tell(where, f"{ours} is not mapped", "add it")
        return names

    # Reading a node -------------------------------------------------------------------------

    def _tell(self, path: Sequence[str | int], what: str, remedy: str) -> None:
        self.problems.append(self.document.problem(path, what, remedy))

    def _tell_at(self, where: str, what: str, remedy: str) -> None:
        self.problems.append(Problem(where, what, remedy))

    def _only(self, node: Mapping[str, Any], path: _Path, known: Sequence[str]) -> list[str]:
        """Return the known keys that are there; the others are problems."""
        for key in node:
            if key not in known:
                self._tell((*path, key), f"unknown field '{key}'", _near(str(key), known))
        return [key for key in node if key in known]

    def _map(self, node: Mapping[str, Any], path: _Path, key: str) -> Mapping[str, Any]:
        value = node.get(key)
        if isinstance(value, Mapping) and value:
            return value
        what = f"{key} is missing" if value is None else f"{key} must be a mapping"
        self._tell((*path, key), what, "add it" if value is None else "write it as name: value")
        return {}

    def _text(self, node: Mapping[str, Any], path: _Path, key: str) -> str:
        value = node.get(key)
        if isinstance(value, str) and value:
            return value
        if node:
            what = f"{key} is missing" if value in (None, "") else f"{key} must be text"
            self._tell((*path, key), what, "add it" if value in (None, "") else "quote it")
        return ""

    def _word(
        self, node: Mapping[str, Any], path: _Path, key: str, known: Sequence[str], default: str
    ) -> str:
        value = node.get(key, default)
        if value in known or key not in node:
            return str(value)
        self._tell((*path, key), f"unknown {key} '{value}'", f"one of: {', '.join(known)}")
        return default

    def _value(self, value: Any, path: _Path) -> Value:
        if isinstance(value, bool | str):
            return value
        if isinstance(value, int | float):
            return Decimal(str(value))
        self._tell(path, "a constant is text, a number, true or false", "quote it if it is text")
        return None


def _near(word: str, known: Iterable[str]) -> str:
    names = list(known)
    close = get_close_matches(word, names, n=1)
    return f"did you mean {close[0]}?" if close else f"one of: {', '.join(names)}"
