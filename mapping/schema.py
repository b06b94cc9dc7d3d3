"""A connection's mapping as values: which field of ours stands for which of the CRM's, and how.

Built by `loader.load`; `check` holds it against a live CRM schema, `translate` uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from config.documents import Document
from mapping.transforms import Transform
from registration_core.contracts import Condition, ConnectionName, FieldSchema, Value

#: The field of ours that the key of every object carries.
KEY_FIELD = "registration_id"


class Direction(StrEnum):
    """Which way a field flows."""

    PUSH = "push"
    PULL = "pull"
    BOTH = "both"


@dataclass(frozen=True)
class Row:
    """One line of a mapping: a field of ours, the CRM's for it, and the way between them."""

    ours: FieldSchema
    theirs: tuple[str, ...]
    direction: Direction
    transform: Transform
    #: Written when the record is created and never again; a person may change it there.
    on_create: bool
    #: An emptied CRM value is a clear; else it becomes an open sync conflict.
    clears: bool
    #: `file:line`, for messages.
    where: str

    @property
    def pushes(self) -> bool:
        """Whether a change of ours is written to an existing record."""
        return self.direction is not Direction.PULL and not self.on_create

    @property
    def pulls(self) -> bool:
        """Whether a change in the CRM may come here."""
        return self.direction is not Direction.PUSH

    @property
    def merges(self) -> bool:
        """Whether the field is compared after the create; what only creates write is not."""
        return self.pushes or self.pulls


@dataclass(frozen=True)
class GroupMapping:
    """The rows of one field group; `pushes`, `pulls`, `clears` are what `reconciler.Rule` wants."""

    name: str
    rows: tuple[Row, ...]

    @property
    def pushes(self) -> frozenset[str]:
        """Our fields of the group that flow store → CRM."""
        return frozenset(row.ours.name for row in self.rows if row.pushes)

    @property
    def pulls(self) -> frozenset[str]:
        """Our fields of the group that flow CRM → store."""
        return frozenset(row.ours.name for row in self.rows if row.pulls)

    @property
    def clears(self) -> frozenset[str]:
        """Our fields of the group whose emptied CRM value is a clear."""
        return frozenset(row.ours.name for row in self.rows if row.clears)


@dataclass(frozen=True)
class ObjectMapping:
    """How registrations stand on one CRM object."""

    object: str
    #: The unique CRM field that carries our registration id.
    key: str
    #: Constants in the CRM's own names, written once, at create.
    on_create: Mapping[str, Value]
    groups: Mapping[str, GroupMapping]

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every row, in the order of the groups."""
        return tuple(row for group in self.groups.values() for row in group.rows)

    def reads(self) -> tuple[str, ...]:
        """All CRM fields to fetch for a merge, sorted."""
        return tuple(sorted({name for row in self.rows if row.merges for name in row.theirs}))

    def writes(self) -> tuple[str, ...]:
        """All CRM fields that a create or an update may write, sorted."""
        pushed = {n for row in self.rows if row.direction is not Direction.PULL for n in row.theirs}
        return tuple(sorted(pushed | self.on_create.keys()))


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

    def reads(self) -> tuple[str, ...]:
        """All CRM fields to fetch, sorted."""
        return tuple(sorted({self.account, self.key, *self.fields.values()}))


@dataclass(frozen=True)
class ConnectionMapping:
    """One mapping file."""

    connection: ConnectionName
    #: Digest of the file's content.
    version: str
    #: By role: `home`, `mirror`.
    objects: Mapping[str, ObjectMapping]
    accounts: AccountMapping
    opportunities: OpportunityMapping
    #: The file it was read from, for messages with a line.
    source: Document = field(repr=False, compare=False)
