"""A connection's mapping as values: which field of ours stands for which of the CRM's, and how.

Built by `loader.load`; `check` holds it against a live CRM schema, `translate` uses it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from config.documents import Document
from mapping.expressions import Expression
from mapping.nodes import Path
from mapping.transforms import Transform
from registration_core.contracts import Condition, ConnectionName, Fields, FieldSchema, Value

#: The field of ours that the key of every object carries.
KEY_FIELD = "registration_id"

#: What may stand beside a registration's record, and the name of that record among them.
ACCOUNT, CONTACT, LINE_ITEM, PARTNER = COMPANIONS = ("account", "contact", "line_item", "partner")
RECORD = "record"
#: A user of the CRM, whom rows may refer to: looked up, and never made.
USER = "user"
#: What an address of a user is called where it is looked for; no field of the CRM is written.
ADDRESS = "email"
#: The field of ours that a contact is looked up by.
CONTACT_EMAIL = "contact_email"
#: The fields of ours that a partner is looked up by; the first that is written counts.
PARTNER_MARKS = ("partner_code", "partner_name")


class Direction(StrEnum):
    """Which way a field flows."""

    PUSH = "push"
    PULL = "pull"
    BOTH = "both"


class Write(StrEnum):
    """When a field that flows to the CRM is written there."""

    #: Whenever ours changed.
    OVERWRITE = "overwrite"
    #: Only while the CRM has nothing there.
    IF_EMPTY = "if_empty"
    #: When we create the record, and never again; a person may change it there.
    ON_CREATE = "on_create"


class Missing(StrEnum):
    """What happens where a companion is looked for and not there."""

    #: It is made.
    CREATE = "create"
    #: The registration's own record waits for it, and a person makes it.
    WAIT = "wait"
    #: The registration's own record goes without it.
    LEAVE = "leave"


class Emptied(StrEnum):
    """What it means that somebody emptied a field in the CRM."""

    #: Both sides keep what they have, and a person decides.
    CONFLICT = "conflict"
    #: The field is emptied here too.
    CLEAR = "clear"
    #: Nothing: ours stays, and is written again where the row pushes.
    KEEP = "keep"


class FirstLink(StrEnum):
    """Whose value stands when a record that was there already is linked and the two differ."""

    #: The CRM's, where it may write the group at all.
    TAKE_HOME = "take_home"
    #: An empty side takes the other's value; where both hold one, the program's authority decides.
    FILL_EMPTY = "fill_empty"
    #: A person decides.
    ASK = "ask"


@dataclass(frozen=True)
class Row:
    """One line of a mapping: a field of ours, the CRM's for it, and the way between them."""

    ours: FieldSchema
    theirs: tuple[str, ...]
    #: Which way it flows once the record is there.
    direction: Direction
    transform: Transform
    #: `file:line`, for messages.
    where: str
    #: Written when we create the record.
    creates: bool
    write: Write = Write.OVERWRITE
    emptied: Emptied = Emptied.CONFLICT
    #: Name of the shared transform it uses; empty where the transform stands in the row.
    shared: str = ""
    #: Computed from other fields of ours instead of being one; then it only flows to the CRM.
    expression: Expression | None = None

    @cached_property
    def pushes(self) -> bool:
        """Whether a change of ours is written to an existing record."""
        return self.direction is not Direction.PULL and self.write is not Write.ON_CREATE

    @cached_property
    def pulls(self) -> bool:
        """Whether a change in the CRM may come here."""
        return self.direction is not Direction.PUSH

    @cached_property
    def writes(self) -> bool:
        """Whether anything is ever written to the CRM by it."""
        return self.creates or self.pushes

    @cached_property
    def merges(self) -> bool:
        """Whether the field is compared after the create; what only creates write is not."""
        return self.pushes or self.pulls

    @cached_property
    def fingerprint(self) -> str:
        """Digest of what the row makes of a value; the base of a field is of one fingerprint."""
        meant = repr((self.theirs, self.transform, self.expression))
        return hashlib.sha256(meant.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class GroupMapping:
    """The rows of one field group; `pushes` and `pulls` are what `reconciler.Rule` wants."""

    name: str
    rows: tuple[Row, ...]

    @cached_property
    def pushes(self) -> frozenset[str]:
        """Our fields of the group that flow store → CRM."""
        return frozenset(row.ours.name for row in self.rows if row.pushes)

    @cached_property
    def pulls(self) -> frozenset[str]:
        """Our fields of the group that flow CRM → store."""
        return frozenset(row.ours.name for row in self.rows if row.pulls)

    def emptied(self, meaning: Emptied) -> frozenset[str]:
        """Our fields of the group whose emptied CRM value means this."""
        return frozenset(row.ours.name for row in self.rows if row.emptied is meaning)


@dataclass(frozen=True)
class ObjectMapping:
    """How registrations stand on one CRM object."""

    #: How the file calls it, and the digest of that file.
    name: str
    version: str
    #: What the connection is to the registrations that stand here: `home` or `mirror`.
    role: str
    #: Which of them stand here, in our own names; empty for all. The first object that fits counts.
    when: tuple[Condition, ...]
    #: By field group.
    first_link: Mapping[str, FirstLink]
    object: str
    #: The unique CRM field that carries our registration id.
    key: str
    #: Constants in the CRM's own names, written once, at create.
    on_create: Mapping[str, Value]
    groups: Mapping[str, GroupMapping]
    #: What stands beside its records, by name; what refers to others comes behind them.
    companions: Mapping[str, Companion] = field(default_factory=dict)
    #: The user that its rows refer to; what is made of it is the e-mail address to look for.
    user: Companion | None = None

    @cached_property
    def before(self) -> tuple[Companion, ...]:
        """The companions that are there before the registration's own record is made."""
        return tuple(each for each in self.companions.values() if not each.after)

    @cached_property
    def after(self) -> tuple[Companion, ...]:
        """The companions that refer to the registration's own record and are made after it."""
        return tuple(each for each in self.companions.values() if each.after)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """Every row, in the order of the groups."""
        return tuple(row for group in self.groups.values() for row in group.rows)

    def fits(self, ours: Fields) -> bool:
        """Whether a registration with these fields stands here."""
        return all(ours.get(each.field) in each.values for each in self.when)

    def fingerprints(self) -> dict[str, str]:
        """What the row of every field that is compared means, by our name."""
        return {row.ours.name: row.fingerprint for row in self.rows if row.merges}

    def reads(self) -> tuple[str, ...]:
        """All CRM fields to fetch for a merge, sorted."""
        return self._reads

    @cached_property
    def _reads(self) -> tuple[str, ...]:
        return tuple(sorted({name for row in self.rows if row.merges for name in row.theirs}))

    def writes(self) -> tuple[str, ...]:
        """All CRM fields that a create or an update may write, sorted."""
        pushed = {name for row in self.rows if row.writes for name in row.theirs}
        return tuple(sorted(pushed | self.on_create.keys()))

    def two_way(self) -> tuple[str, ...]:
        """All CRM fields that an update may write and a change may come from, sorted."""
        rows = (row for row in self.rows if row.pushes and row.pulls)
        return tuple(sorted({name for row in rows for name in row.theirs}))


@dataclass(frozen=True)
class Companion:
    """A record beside a registration's own: looked up, made once where missing, never updated."""

    #: One of `COMPANIONS`, or `USER`.
    name: str
    #: How it is made: every row is written once, and nothing is ever read back.
    made: ObjectMapping
    missing: Missing
    #: Whether it refers to the registration's own record, or to a companion that does.
    after: bool

    @property
    def mark(self) -> str:
        """The field of ours that a partner is looked up by where none carries our key."""
        return next((name for name in PARTNER_MARKS if self.field_of(name)), "")

    def field_of(self, ours: str) -> str | None:
        """Return the CRM field that one of our fields is written to, if any."""
        return next((row.theirs[0] for row in self.made.rows if row.ours.name == ours), None)


@dataclass(frozen=True)
class AccountMapping:
    """How the account directory reads this CRM: our name for a field → the CRM's."""

    object: str
    fields: Mapping[str, str]

    def reads(self) -> tuple[str, ...]:
        """All CRM fields to fetch, sorted."""
        return tuple(sorted(set(self.fields.values())))


@dataclass(frozen=True)
class OpportunityMapping:
    """How open opportunities are found and shown, for the conflict check and for linking."""

    object: str
    #: The CRM field that holds the account's id.
    account: str
    #: The CRM field that carries our registration id, where an opportunity has one.
    key: str
    #: What makes an opportunity open.
    open: tuple[Condition, ...]
    fields: Mapping[str, str]
    #: What is written on somebody else's opportunity with a protected customer; None for nothing.
    stamp: ObjectMapping | None = None

    def reads(self) -> tuple[str, ...]:
        """All CRM fields to fetch, sorted."""
        return tuple(sorted({self.account, self.key, *self.fields.values()}))


@dataclass(frozen=True)
class ConnectionMapping:
    """One mapping file."""

    connection: ConnectionName
    #: Digest of the file's content.
    version: str
    #: By the name the file gives them, in its order; usually `home` and `mirror`.
    objects: Mapping[str, ObjectMapping]
    accounts: AccountMapping
    opportunities: OpportunityMapping
    #: The file it was read from, for messages with a line.
    source: Document = field(repr=False, compare=False)

    def written(self) -> dict[Path, ObjectMapping]:
        """Return everything that is written, companions included, by its place in the file."""
        found: dict[Path, ObjectMapping] = {}
        for name, item in self.objects.items():
            found["objects", name] = item
            for each in item.companions.values():
                found["objects", name, "companions", each.name] = each.made
        return found

    def companion_on(self, object_name: str) -> Companion | None:
        """Return the companion that stands on an object of the CRM; None if none does."""
        every = (each for item in self.objects.values() for each in item.companions.values())
        return next((each for each in every if each.made.object == object_name), None)

    def key_of(self, object_name: str) -> str:
        """Return the CRM field that carries our registration id on an object."""
        mapped = (each.key for each in self.objects.values() if each.object == object_name)
        return next(mapped, self.opportunities.key)

    def of_role(self, role: str) -> tuple[ObjectMapping, ...]:
        """Return the objects that registrations may stand on where the connection has this role."""
        return tuple(each for each in self.objects.values() if each.role == role)

    def object_for(self, role: str, ours: Fields, standing: str = "") -> ObjectMapping | None:
        """Return the first object of a role that a registration with these fields fits.

        `standing` is the CRM's object to go by instead, where the registration's record has become
        one of it, or a write was made on it; None if that is not mapped for the role.
        """
        chosen = next((each for each in self.of_role(role) if each.fits(ours)), None)
        if not standing or (chosen is not None and chosen.object == standing):
            return chosen
        return next((each for each in self.of_role(role) if each.object == standing), None)
