"""Read a mapping file and tell everything that is wrong with it at once, with line and remedy."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from config.documents import parse
from mapping.companions import Companions, misplaced
from mapping.nodes import Path, near
from mapping.reach import covered_by
from mapping.schema import (
    KEY_FIELD,
    AccountMapping,
    ConnectionMapping,
    Direction,
    FirstLink,
    GroupMapping,
    ObjectMapping,
    OpportunityMapping,
    Row,
    Write,
)
from registration_core.contracts import Condition, ConnectionName, ObjectSchema
from registration_core.errors import ConfigurationError, Problem

#: What the account directory knows of an account, and what must be mapped of it.
ACCOUNT_FIELDS = (
    "name",
    "country",
    "city",
    "postcode",
    "website",
    "other_domains",
    "aliases",
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
#: What an object of a mapping file may say.
OBJECT_WORDS = (
    "role",
    "when",
    "object",
    "key",
    "on_create",
    "first_link",
    "companions",
    "groups",
)
#: What a row of a stamp may say.
STAMP_WORDS = ("ours", "theirs", "transform")
#: Groups that a `when` may not ask for: the partner's are not read with every registration.
_NOT_ASKED = ("partner", "account", "owner")


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
    mapping, problems = read(text, name, ours, groups)
    if problems or mapping is None:
        raise ConfigurationError(f"{name} cannot be used.", problems)
    return mapping


def read(
    text: str, name: str, ours: ObjectSchema, groups: Mapping[str, tuple[str, ...]]
) -> tuple[ConnectionMapping | None, tuple[Problem, ...]]:
    """Read as much of a mapping file as there is, with what is wrong with the rest.

    One with problems is good for looking for further ones, and for nothing else.
    """
    try:
        document = parse(text, name)
    except ConfigurationError as error:
        return None, error.problems or (Problem(name, error.message, error.hint),)
    reader = _Reader(document, ours, groups)
    mapping = reader.connection(hashlib.sha256(text.encode()).hexdigest()[:16])
    return mapping, tuple(reader.problems)


class _Reader(Companions):
    """Walks one document."""

    def connection(self, version: str) -> ConnectionMapping | None:
        """Read the whole file, or None after telling what is wrong with it."""
        top: Path = ()
        data = self.document.data
        self.only(data, top, ("connection", "shared", "objects", "accounts", "opportunities"))
        name = self.text(data, top, "connection")
        objects = self._objects(self.map(data, top, "objects"), version)
        accounts = self._accounts(self.map(data, top, "accounts"))
        opportunities = self._opportunities(self.map(data, top, "opportunities"), version)
        if not (name and objects and accounts and opportunities):
            if not self.problems:
                self.tell(("objects",), "no object is mapped", "map home, mirror or both")
            return None
        for path, (what, remedy) in misplaced(objects, accounts.object).items():
            self.tell(path, what, remedy)
        return ConnectionMapping(
            ConnectionName(name), version, objects, accounts, opportunities, self.document
        )

    # Objects --------------------------------------------------------------------------------

    def _objects(self, given: Mapping[str, Any], version: str) -> dict[str, ObjectMapping]:
        objects: dict[str, ObjectMapping] = {}
        for key in given:
            name = str(key)
            mapping = self._object(given, name, version) if name in given else None
            if mapping is None:
                continue
            before = [each for each in objects.values() if each.role == mapping.role]
            if covered_by(mapping.when, [each.when for each in before], self.ours):
                self.tell(
                    ("objects", name, "when"),
                    f"no registration ever reaches {name}: what stands above it for "
                    f"{mapping.role} takes them all",
                    "put it further up, or narrow the when: of those above",
                )
            objects[name] = mapping
        return objects

    def _object(self, given: Mapping[str, Any], name: str, version: str) -> ObjectMapping | None:
        path: Path = ("objects", name)
        node = self.map(given, ("objects",), name)
        if name not in ROLES and node and "role" not in node:
            remedy = f"{near(name, ROLES)} Else say its role: home or mirror"
            self.tell(path, f"unknown field '{name}'", remedy)
            return None
        self.only(node, path, OBJECT_WORDS)
        role = self.word(node, path, "role", ROLES, name if name in ROLES else ROLES[0])
        object_name, key = self.text(node, path, "object"), self.text(node, path, "key")
        constants = self.constants(node, path)
        self.referring(node)
        companions = self.companions(node, path, version, role)
        rows: dict[str, list[Row]] = {group: [] for group in self.groups}
        if key:
            rows[self.group_of[KEY_FIELD]].append(self.key_row(key, path))
        groups = self.map(node, path, "groups")
        for group in self.only(groups, (*path, "groups"), tuple(self.groups)):
            entries = groups[group]
            where: Path = (*path, "groups", group)
            if not isinstance(entries, list):
                self.tell(where, f"group {group} must be a list of rows", "put a dash before each")
                continue
            read = (self.row(group, entry, (*where, i)) for i, entry in enumerate(entries))
            rows[group] += [row for row in read if row]
        every = [row for group in rows.values() for row in group]
        self.written_once(every, constants, path)
        companions = self.in_order(every, companions, path)
        for group, entries in rows.items():
            self.one_way_or_both(group, entries)
        when, first_link = self._when(node, path), self._first_link(node, path)
        if not object_name or not key:
            return None
        mapped = {g: GroupMapping(g, tuple(entries)) for g, entries in rows.items() if entries}
        item = ObjectMapping(
            name, version, role, when, first_link, object_name, key, constants, mapped, companions,
            self.user(node, path, version, role),
        )  # fmt: skip
        self.unreferred(every, item, path)
        return item

    def _when(self, node: Mapping[str, Any], path: Path) -> tuple[Condition, ...]:
        if "when" not in node:
            return ()
        where: Path = (*path, "when")
        conditions = self.conditions(self.map(node, path, "when"), where)
        for each in conditions:
            field = self.ours.fields.get(each.field)
            place = (*where, each.field)
            if field is None or self.group_of.get(each.field) in _NOT_ASKED:
                known = [n for n in self.ours.fields if self.group_of.get(n) not in _NOT_ASKED]
                self.tell(place, f"when cannot ask for '{each.field}'", near(each.field, known))
                continue
            for value in each.values if field.options is not None else ():
                if value not in (field.options or ()):
                    what = f"{each.field} is never '{value}'"
                    self.tell(place, what, f"one of: {', '.join(field.options or ())}")
        return conditions

    def _first_link(self, node: Mapping[str, Any], path: Path) -> dict[str, FirstLink]:
        """One word for all groups, or a word for some; the others take what the CRM has."""
        given = node.get("first_link", FirstLink.TAKE_HOME.value)
        if not isinstance(given, Mapping):
            word = self.word(node, path, "first_link", tuple(FirstLink), FirstLink.TAKE_HOME)
            return dict.fromkeys(self.groups, FirstLink(word))
        where: Path = (*path, "first_link")
        named = {
            group: FirstLink(self.word(given, where, group, tuple(FirstLink), FirstLink.TAKE_HOME))
            for group in self.only(given, where, tuple(self.groups))
        }
        return dict.fromkeys(self.groups, FirstLink.TAKE_HOME) | named

    # Accounts and opportunities -------------------------------------------------------------

    def _accounts(self, node: Mapping[str, Any]) -> AccountMapping | None:
        path: Path = ("accounts",)
        self.only(node, path, ("object", "fields"))
        name = self.text(node, path, "object")
        fields = self._names(node, path, ACCOUNT_FIELDS, ("name", "country"))
        return AccountMapping(name, fields) if name and fields else None

    def _opportunities(self, node: Mapping[str, Any], version: str) -> OpportunityMapping | None:
        path: Path = ("opportunities",)
        self.only(node, path, ("object", "account", "key", "open", "fields", "stamp"))
        name = self.text(node, path, "object")
        account, key = self.text(node, path, "account"), self.text(node, path, "key")
        fields = self._names(node, path, OPPORTUNITY_FIELDS, ("name",))
        conditions = self.conditions(self.map(node, path, "open"), (*path, "open"))
        if not (name and account and key and fields and conditions):
            return None
        stamp = self._stamp(node, (*path, "stamp"), name, key, version)
        return OpportunityMapping(name, account, key, conditions, fields, stamp)

    def _stamp(
        self, node: Mapping[str, Any], path: Path, name: str, key: str, version: str
    ) -> ObjectMapping | None:
        """Read the rows of a stamp; they flow to the CRM, and only fill what is empty there."""
        given = node.get("stamp", [])
        if not isinstance(given, list):
            self.tell(path, "stamp must be a list of rows", "put a dash before each")
            return None
        rows: dict[str, list[Row]] = {}
        for place, entry in enumerate(given):
            row = self._stamp_row(entry, (*path, place))
            if row is not None and key in row.theirs:
                self.tell_at(row.where, f"{key} is our key, and no stamp", "stamp another field")
            elif row is not None:
                rows.setdefault(self.group_of[row.ours.name], []).append(row)
        self.written_once([row for several in rows.values() for row in several], {}, path)
        if not rows:
            return None
        mapped = {group: GroupMapping(group, tuple(several)) for group, several in rows.items()}
        first_link = dict.fromkeys(self.groups, FirstLink.FILL_EMPTY)
        return ObjectMapping("stamp", version, "stamp", (), first_link, name, key, {}, mapped)

    def _stamp_row(self, entry: Any, path: Path) -> Row | None:
        if not isinstance(entry, Mapping):
            return self.row("", entry, path)
        self.only(entry, path, STAMP_WORDS)
        ways = {"direction": Direction.PUSH.value, "write": Write.IF_EMPTY.value}
        row = self.row(self.group_of.get(str(entry.get("ours")), ""), {**entry, **ways}, path)
        return None if row is None else replace(row, creates=False)

    def _names(
        self,
        node: Mapping[str, Any],
        path: Path,
        known: Sequence[str],
        needed: Sequence[str],
    ) -> dict[str, str]:
        given = self.map(node, path, "fields")
        where = (*path, "fields")
        names = {
            ours: text
            for ours in self.only(given, where, known)
            if (text := self.text(given, where, ours))
        }
        for ours in needed:
            if given and ours not in given:
                self.tell(where, f"{ours} is not mapped", "add it")
        return names
