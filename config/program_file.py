"""The schema of a program file: what may stand in it, one value at a time.

What one value must fulfil is checked here, names of connections included; what several must
fulfil together is checked by `programs`.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationInfo,
)

from config.authority import STORE_ONLY
from config.documents import Unfit
from config.iso import COUNTRIES, CURRENCIES
from registration_core.contracts import FieldType
from registration_core.fields import FIELDS, FieldGroup
from registration_core.findings import Decision, FindingKind, ReasonCode
from registration_core.program import HOME, MANUAL, MIRRORS, STORE, Exclusivity, ListKind, Phase

#: Key of the validation context that holds the names in `connections.yaml`.
CONNECTIONS = "connections"

_CODE = re.compile(r"[a-z][a-z0-9_]{0,39}")


def _country(text: str) -> str:
    if text not in COUNTRIES:
        raise Unfit(f"{text!r} is no country code", "use ISO 3166-1 alpha-2, such as DE")
    return text


def _currency(text: str) -> str:
    if text not in CURRENCIES:
        raise Unfit(f"{text!r} is no currency code", "use ISO 4217, such as EUR")
    return text


def _code(text: str) -> str:
    if not _CODE.fullmatch(text):
        raise Unfit(f"{text!r} is no code", "use up to 40 of a-z, 0-9 and _, a letter first")
    return text


def _connection(text: str, info: ValidationInfo) -> str:
    known = _known(info)
    if text not in known:
        remedy = f"connections.yaml has {', '.join(known)}"
        raise Unfit(f"there is no connection {text!r}", remedy)
    return text


def _writer(text: str, info: ValidationInfo) -> str:
    return _side(text, (STORE, HOME, MIRRORS, *_known(info)))


def _winner(text: str, info: ValidationInfo) -> str:
    return _side(text, (STORE, HOME, MANUAL, *_known(info)))


def _side(text: str, known: tuple[str, ...]) -> str:
    if text not in known:
        raise Unfit(f"{text!r} is not known here", f"use {', '.join(known)}")
    return text


def _known(info: ValidationInfo) -> tuple[str, ...]:
    return tuple(sorted(info.context[CONNECTIONS])) if info.context else ()


def _open_group(group: FieldGroup) -> FieldGroup:
    if group in STORE_ONLY:
        raise Unfit(f"{group} is changed by decisions here only", "remove it")
    return group


def _custom_name(text: str) -> str:
    if text in FIELDS:
        raise Unfit(f"every registration has a field {text} already", "choose another name")
    return _code(text)


def _distinct(values: list[str]) -> list[str]:
    for number, value in enumerate(values):
        if value in values[:number]:
            raise Unfit(f"{value} stands here twice", "remove one")
    return values


def _quoted(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise Unfit(f"{value} is a number, not a text", f'write "{value}"')
    return value


def _several(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _exact(value: Any) -> Any:
    if isinstance(value, bool):
        raise Unfit("it is not a number", "write a number")
    return value


Text = Annotated[str, Field(min_length=1, max_length=200)]
ConnectionRef = Annotated[str, AfterValidator(_connection)]
Country = Annotated[str, AfterValidator(_country)]
Currency = Annotated[str, AfterValidator(_currency)]
Code = Annotated[str, AfterValidator(_code)]
CustomName = Annotated[str, AfterValidator(_custom_name)]
Writer = Annotated[str, AfterValidator(_writer)]
Winner = Annotated[str, AfterValidator(_winner)]
Connections = Annotated[list[ConnectionRef], AfterValidator(_distinct)]
Currencies = Annotated[list[Currency], Field(min_length=1), AfterValidator(_distinct)]
OpenGroup = Annotated[FieldGroup, AfterValidator(_open_group)]
Amount = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0, max_digits=15, decimal_places=2)]
Days = Annotated[StrictInt, Field(ge=1, le=3660)]
Seconds = Annotated[StrictInt, Field(ge=60, le=604_800)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HomeEntry(_Strict):
    """A home connection and its territory."""

    connection: ConnectionRef
    countries: list[Country] = []


class RolesEntry(_Strict):
    """Which part each connection plays."""

    homes: Annotated[list[HomeEntry], Field(min_length=1)]
    mirrors: Connections = []
    #: None: every connection that is neither a home nor a mirror.
    check_only: Connections | None = None


class ChecksEntry(_Strict):
    """What a conflict check must have read."""

    #: None: every connection of the program.
    required: Connections | None = None
    freshness_seconds: dict[ConnectionRef, Seconds] = {}
    list_shrink_limit_percent: Annotated[StrictInt, Field(ge=50, le=100)] = 80
    activity_days: Days = 180
    existing_customer_days: Days = 730
    #: A custom field that tells of a published tender.
    tender_field: str = ""


class FindingEntry(_Strict):
    """What follows from one kind of finding, where it is not what usually follows."""

    decision: Decision | None = None
    reason: ReasonCode | None = None


class ProductLineEntry(_Strict):
    """A product line and how many partners it protects."""

    label: Text
    exclusivity: Exclusivity
    slots: Annotated[StrictInt, Field(ge=2, le=20)] | None = None


class PredicateEntry(_Strict):
    """Who is on a list in one connection, and who must be seen there: one account a territory."""

    field: Text
    equals: Annotated[StrictBool | Text, BeforeValidator(_quoted)]
    canary_tax_id: Annotated[
        list[Annotated[Text, BeforeValidator(_quoted)]],
        Field(min_length=1, max_length=50),
        BeforeValidator(_several),
    ]
    owner_field: Text | None = None
    reason_field: Text | None = None


class ListEntry(_Strict):
    """One list over all connections."""

    owner: str = ""
    reason: Annotated[str, Field(max_length=1000)] = ""
    notice_days: Annotated[StrictInt, Field(ge=0, le=366)] = 0
    where: dict[ConnectionRef, PredicateEntry]


class LowRiskEntry(_Strict):
    """What may be approved without a person."""

    amount_at_most: Amount
    currency: Currency
    partner_tiers: Annotated[list[Text], Field(min_length=1)]


class AuthorityEntry(_Strict):
    """Who may change a field group in one phase, and who wins."""

    writers: Annotated[list[Writer], Field(min_length=1)]
    wins: Winner


class CustomFieldEntry(_Strict):
    """A field that only this program has."""

    type: Literal[
        FieldType.TEXT,
        FieldType.NUMBER,
        FieldType.DATE,
        FieldType.DATETIME,
        FieldType.BOOLEAN,
        FieldType.PICKLIST,
        FieldType.MULTI_PICKLIST,
    ]
    label: Text
    required: StrictBool = False
    options: Annotated[list[Text], Field(min_length=1)] | None = None


class ProgramFile(_Strict):
    """A whole program file."""

    connections: RolesEntry
    checks: ChecksEntry = ChecksEntry()
    product_lines: Annotated[dict[Code, ProductLineEntry], Field(min_length=1)]
    lists: dict[ListKind, ListEntry]
    protection_days: Annotated[StrictInt, Field(ge=1, le=1095)]
    currencies: Currencies
    amount_at_least: Amount = Decimal(0)
    low_risk: LowRiskEntry | None = None
    findings: dict[FindingKind, FindingEntry] = {}
    authority: dict[OpenGroup, dict[Phase, AuthorityEntry]] = {}
    custom_fields: dict[CustomName, CustomFieldEntry] = {}
