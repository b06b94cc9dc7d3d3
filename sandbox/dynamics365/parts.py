"""Short ways to write columns down, and the columns that several tables share.

System columns, owner, currency and states: Dataverse developer reference, "Account table reference".
The `dr_` columns are those that `docs/dynamics.md` asks for.
"""

from __future__ import annotations

from typing import Any

from sandbox.dynamics365.columns import Column, Kind, Option


def column(name: str, kind: Kind, label: str, *, schema_name: str = "", **rest: Any) -> Column:
    return Column(name, kind, label, schema_name or name, **rest)


def text(name: str, label: str, length: int, **rest: Any) -> Column:
    return column(name, Kind.TEXT, label, length=length, **rest)


def lookup(name: str, label: str, *targets: str, **rest: Any) -> Column:
    return column(name, Kind.LOOKUP, label, targets=targets, **rest)


def choice(name: str, kind: Kind, label: str, *options: Option) -> Column:
    return column(name, kind, label, options=options)


def system(primary_id: str, label: str) -> tuple[Column, ...]:
    return (
        column(primary_id, Kind.GUID, label, writable=False),
        column("createdon", Kind.DATETIME, "Created On", writable=False),
        column("modifiedon", Kind.DATETIME, "Modified On", writable=False),
        column("versionnumber", Kind.BIGINT, "Version Number", writable=False),
        column("createdby", Kind.LOOKUP, "Created By", targets=("systemuser",), writable=False),
        column("modifiedby", Kind.LOOKUP, "Modified By", targets=("systemuser",), writable=False),
    )


def owner() -> Column:
    return column("ownerid", Kind.OWNER, "Owner", targets=("systemuser", "team"))


def currency() -> Column:
    return lookup("transactioncurrencyid", "Currency", "transactioncurrency")


def active_states() -> tuple[Column, Column]:
    return (
        choice("statecode", Kind.STATE, "Status", Option(0, "Active"), Option(1, "Inactive")),
        choice(
            "statuscode",
            Kind.STATUS,
            "Status Reason",
            Option(1, "Active", 0),
            Option(2, "Inactive", 1),
        ),
    )


#: The alternate key on the id of ours that a row carries.
KEY = {"dr_DealregKey": ("dr_dealregid",)}


def key_column() -> Column:
    return text("dr_dealregid", "Deal Registration ID", 36, schema_name="dr_DealregId")


def dealreg_columns() -> tuple[Column, ...]:
    return (
        key_column(),
        text("dr_number", "Registration Number", 40, schema_name="dr_Number"),
        text("dr_state", "Registration State", 40, schema_name="dr_State"),
        text("dr_protection", "Protection State", 40, schema_name="dr_Protection"),
        column("dr_protectedfrom", Kind.DATE, "Protected From", schema_name="dr_ProtectedFrom"),
        column("dr_protecteduntil", Kind.DATE, "Protected Until", schema_name="dr_ProtectedUntil"),
        text("dr_partner", "Partner", 160, schema_name="dr_Partner"),
        text("dr_reason", "Reason", 500, schema_name="dr_Reason"),
    )
