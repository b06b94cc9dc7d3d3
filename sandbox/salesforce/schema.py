"""What an object and a field of the Salesforce stand-in are, and short ways to write them down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class SalesforceField:
    """One field, with the describe properties that the engine enforces."""

    name: str
    type: str = "string"
    label: str = ""
    length: int = 0
    precision: int = 0
    scale: int = 0
    nillable: bool = True
    createable: bool = True
    updateable: bool = True
    defaulted: bool = False
    external_id: bool = False
    unique: bool = False
    case_sensitive: bool = False
    calculated: bool = False
    filterable: bool = True
    options: tuple[str, ...] = ()
    restricted: bool = False
    reference_to: tuple[str, ...] = ()
    relationship: str = ""
    custom: bool = False
    #: Field history tracking is switched on.
    tracked: bool = False


@dataclass(frozen=True)
class SalesforceObject:
    """One object: its key prefix, what an API user may do with it, and its fields."""

    name: str
    label: str
    prefix: str
    fields: Mapping[str, SalesforceField]
    custom: bool = False
    writable: bool = False
    mergeable: bool = False
    #: Developer names of its record types, without the master.
    record_types: tuple[str, ...] = ()
    #: Object that keeps the field history, and its field that names the parent.
    history_object: str = ""
    history_parent: str = ""


def text(name: str, length: int, label: str = "", **more: Any) -> SalesforceField:
    """A text field of a length."""
    return field_of_type(name, "string", label, length=length, **more)


def field_of_type(name: str, type_: str, label: str = "", **more: Any) -> SalesforceField:
    """A field of any type; custom ones end in `__c`."""
    custom = name.endswith("__c")
    words = label or name.removesuffix("__c").replace("_", " ")
    return replace(
        SalesforceField(name=name, type=type_, label=words, custom=custom),
        **more,
    )


def reference(name: str, *to: str, relationship: str = "", **more: Any) -> SalesforceField:
    """A lookup to other objects."""
    relation = relationship or (
        name.removesuffix("__c") + "__r" if name.endswith("__c") else name.removesuffix("Id")
    )
    return field_of_type(
        name, "reference", reference_to=to, relationship=relation, length=18, **more
    )


def checkbox(name: str, label: str = "", **more: Any) -> SalesforceField:
    """A boolean field, which is never null."""
    return field_of_type(name, "boolean", label, nillable=False, defaulted=True, **more)


def currency(name: str, label: str = "", **more: Any) -> SalesforceField:
    """A money field."""
    return field_of_type(name, "currency", label, precision=18, scale=2, **more)


def picklist(
    name: str, options: tuple[str, ...], length: int = 255, **more: Any
) -> SalesforceField:
    """A picklist; its values bind only where it is restricted."""
    return field_of_type(name, "picklist", length=length, options=options, **more)


#: Options of a field that no client writes.
READ_ONLY: Mapping[str, Any] = {"createable": False, "updateable": False}

#: Fields that every object has; filled by the engine from the record's stamps.
SYSTEM_FIELDS = (
    field_of_type("Id", "id", "Record ID", length=18, nillable=False, defaulted=True, **READ_ONLY),
    checkbox("IsDeleted", "Deleted", **READ_ONLY),
    field_of_type(
        "CreatedDate", "datetime", "Created Date", nillable=False, defaulted=True, **READ_ONLY
    ),
    reference(
        "CreatedById",
        "User",
        relationship="CreatedBy",
        nillable=False,
        defaulted=True,
        **READ_ONLY,
    ),
    field_of_type(
        "LastModifiedDate",
        "datetime",
        "Last Modified Date",
        nillable=False,
        defaulted=True,
        **READ_ONLY,
    ),
    reference(
        "LastModifiedById",
        "User",
        relationship="LastModifiedBy",
        nillable=False,
        defaulted=True,
        **READ_ONLY,
    ),
    field_of_type(
        "SystemModstamp",
        "datetime",
        "System Modstamp",
        nillable=False,
        defaulted=True,
        **READ_ONLY,
    ),
)


def sobject(
    name: str, label: str, prefix: str, fields: tuple[SalesforceField, ...], **more: Any
) -> SalesforceObject:
    """An object with the system fields and its own."""
    named = {field.name: field for field in (*SYSTEM_FIELDS, *fields)}
    return replace(
        SalesforceObject(name, label, prefix, named, custom=name.endswith("__c")),
        **more,
    )
