"""What a table of the stand-in is made of: columns, their kinds and choices, lookups, keys.

Dataverse developer guide, "Web API types and operations", "Web API properties" (navigation
properties) and "Query table definitions using the Web API" (`AttributeType`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property


class Kind(StrEnum):
    """What a column holds; the value is its `AttributeType` in the metadata."""

    GUID = "Uniqueidentifier"
    TEXT = "String"
    MEMO = "Memo"
    INTEGER = "Integer"
    BIGINT = "BigInt"
    MONEY = "Money"
    DECIMAL = "Decimal"
    BOOLEAN = "Boolean"
    DATE = "DateTime:DateOnly"
    DATETIME = "DateTime"
    PICKLIST = "Picklist"
    #: Stored and worded as the numbers, joined by commas.
    CHOICES = "MultiSelectPicklist"
    STATE = "State"
    STATUS = "Status"
    LOOKUP = "Lookup"
    OWNER = "Owner"
    CUSTOMER = "Customer"


CHOICES = frozenset({Kind.PICKLIST, Kind.STATE, Kind.STATUS, Kind.CHOICES})
LOOKUPS = frozenset({Kind.LOOKUP, Kind.OWNER, Kind.CUSTOMER})


@dataclass(frozen=True)
class Option:
    """One value of a choice; a status belongs to a state."""

    value: int
    label: str
    state: int | None = None


@dataclass(frozen=True)
class Column:
    """One column; `schema_name` is the cased name that navigation properties follow."""

    name: str
    kind: Kind
    label: str
    schema_name: str
    length: int | None = None
    options: tuple[Option, ...] = ()
    targets: tuple[str, ...] = ()
    writable: bool = True
    required: bool = False

    @property
    def wire_name(self) -> str:
        """The property name in JSON and in queries."""
        return f"_{self.name}_value" if self.kind in LOOKUPS else self.name

    @property
    def stored_names(self) -> tuple[str, ...]:
        """Names of the stored fields: one, or one per target where the target matters."""
        if self.kind is Kind.CUSTOMER:
            return tuple(f"{self.name}_{target}" for target in self.targets)
        return (self.name,)

    def navigation(self, target: str) -> str:
        """The single-valued navigation property to a table, in its exact case."""
        return f"{self.name}_{target}" if self.kind is Kind.CUSTOMER else self.schema_name


@dataclass(frozen=True)
class Table:
    """One table: names, columns, alternate keys (schema name to columns)."""

    name: str
    set_name: str
    label: str
    primary_id: str
    primary_name: str
    columns: tuple[Column, ...]
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: State the row is in -> status reason it gets when none is named.
    default_status: Mapping[int, int] = field(default_factory=dict)
    change_tracking: bool = False
    schema_name: str = ""

    @cached_property
    def by_name(self) -> dict[str, Column]:
        """Columns by logical name."""
        return {column.name: column for column in self.columns}

    @cached_property
    def by_wire_name(self) -> dict[str, Column]:
        """Columns by the name they have in JSON and queries."""
        return {column.wire_name: column for column in self.columns}

    @cached_property
    def by_stored_name(self) -> dict[str, Column]:
        """Columns by the name of the stored field."""
        return {name: column for column in self.columns for name in column.stored_names}

    @cached_property
    def by_navigation(self) -> dict[str, tuple[Column, str]]:
        """Lookup column and target table by navigation property."""
        return {
            column.navigation(target): (column, target)
            for column in self.columns
            for target in column.targets
        }
