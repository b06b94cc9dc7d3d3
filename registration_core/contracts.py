"""Value types that `mapping`, `reconciler` and `connectors` share; nothing here does anything.

A record's fields are a mapping from name to value with three cases that are never confused:
a name that is missing was **not fetched**, a value of `None` is **empty** (cleared), anything
else is **set**.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import NewType

#: Name of a configured connection, for example `salesforce`; the key of everything it owns.
ConnectionName = NewType("ConnectionName", str)

#: What a set field may hold. Datetimes are aware and in UTC; numbers and money are `Decimal`;
#: text is NFC; a tuple is a set of picklist values, sorted.
Scalar = str | Decimal | bool | date | datetime | tuple[str, ...]
Value = Scalar | None

#: A record's fields: missing = not fetched, `None` = empty, else set.
Fields = Mapping[str, Value]


class FieldType(StrEnum):
    """The type of a field, the same five ways on every side."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    DATETIME = "datetime"
    BOOLEAN = "boolean"
    PICKLIST = "picklist"
    MULTI_PICKLIST = "multi_picklist"
    #: The id of another record, as text.
    REFERENCE = "reference"


@dataclass(frozen=True)
class FieldSchema:
    """What a CRM says about one field of an object."""

    name: str
    type: FieldType
    label: str = ""
    #: Longest text it takes, in characters; None where the CRM states none.
    length: int | None = None
    #: Decimal places it keeps; None where it does not apply.
    scale: int | None = None
    required: bool = False
    createable: bool = True
    updateable: bool = True
    #: The CRM itself refuses a second record with the same value.
    unique: bool = False
    #: Values it takes; None where any is taken.
    options: tuple[str, ...] | None = None
    #: What people see for each of `options`, in their order; empty where the CRM does not say.
    option_labels: tuple[str, ...] = ()
    #: Objects a reference may point at.
    references: tuple[str, ...] = ()
    #: The CRM keeps past values, so that an overwrite can be proven afterwards.
    history_kept: bool = False
    calculated: bool = False


@dataclass(frozen=True)
class ObjectSchema:
    """What a CRM says about one object (Salesforce object, Dataverse table, HubSpot type)."""

    name: str
    label: str = ""
    fields: Mapping[str, FieldSchema] = field(default_factory=dict)


@dataclass(frozen=True)
class Condition:
    """A predicate `field is one of values` in a CRM's own names; several are joined by *and*."""

    field: str
    values: tuple[Value, ...]


class Mode(StrEnum):
    """How far a connection goes with one kind of object. Gates writes to the CRM only."""

    #: Neither read nor written.
    OFF = "off"
    #: Read and planned; what would be written is recorded and nothing is written.
    OBSERVE = "observe"
    #: Existing records are linked and proposed besides; still nothing is written.
    LINK = "link"
    #: A few named registrations are written.
    CANARY = "canary"
    #: Read and written.
    PUSH = "push"
