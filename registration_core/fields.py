"""The fields of a registration that a CRM may mirror, and the groups that merge together.

A **field group** is merged as one value: nobody wants one side's amount with the other side's
currency. Who may change a group, and who wins, is declared per group in the program
(`program.Authority`); mappings only say which way a field flows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from registration_core.contracts import FieldSchema, FieldType, ObjectSchema


class FieldGroup(StrEnum):
    """Fields that belong together and are merged as one value."""

    IDENTITY = "identity"
    REGISTRATION = "registration"
    PROTECTION = "protection"
    PARTNER = "partner"
    NAME = "name"
    OWNER = "owner"
    STAGE = "stage"
    AMOUNT = "amount"
    CLOSE = "close"
    ACCOUNT = "account"
    DETAILS = "details"


@dataclass(frozen=True)
class CanonicalField:
    """One field in our own terms."""

    name: str
    type: FieldType
    group: FieldGroup
    label: str
    options: tuple[str, ...] | None = None
    #: Every registration has a value of it.
    filled: bool = False


class SalesStage(StrEnum):
    """How far the sale is; ours until converted, the home CRM's afterwards."""

    QUALIFYING = "qualifying"
    DEVELOPING = "developing"
    PROPOSING = "proposing"
    NEGOTIATING = "negotiating"
    WON = "won"
    LOST = "lost"

    @property
    def closed(self) -> bool:
        """Whether the sale is over."""
        return self in (SalesStage.WON, SalesStage.LOST)


_T, _N, _D, _P, _R = (
    FieldType.TEXT,
    FieldType.NUMBER,
    FieldType.DATE,
    FieldType.PICKLIST,
    FieldType.REFERENCE,
)
_G = FieldGroup

_CATALOGUE = (
    CanonicalField("registration_id", _T, _G.IDENTITY, "Registration id", filled=True),
    CanonicalField("registration_number", _T, _G.IDENTITY, "Registration number", filled=True),
    CanonicalField("registration_state", _P, _G.REGISTRATION, "Registration state", filled=True),
    CanonicalField("reason_code", _T, _G.REGISTRATION, "Reason code"),
    CanonicalField("partner_message", _T, _G.REGISTRATION, "Message to the partner"),
    CanonicalField("protection_state", _P, _G.PROTECTION, "Protection state", filled=True),
    CanonicalField("protection_starts_on", _D, _G.PROTECTION, "Protected from"),
    CanonicalField("protection_ends_on", _D, _G.PROTECTION, "Protected until"),
    CanonicalField("partner_name", _T, _G.PARTNER, "Partner", filled=True),
    CanonicalField("partner_code", _T, _G.PARTNER, "Partner code", filled=True),
    CanonicalField("partner_tier", _T, _G.PARTNER, "Partner tier"),
    CanonicalField("deal_name", _T, _G.NAME, "Deal name", filled=True),
    CanonicalField("owner", _R, _G.OWNER, "Owner in the CRM"),
    CanonicalField(
        "sales_stage", _P, _G.STAGE, "Sales stage", tuple(s.value for s in SalesStage), filled=True
    ),
    CanonicalField("actual_close_on", _D, _G.STAGE, "Actual close"),
    CanonicalField("won_amount", _N, _G.STAGE, "Won amount"),
    CanonicalField("loss_reason", _T, _G.STAGE, "Loss reason"),
    CanonicalField("amount", _N, _G.AMOUNT, "Estimated amount", filled=True),
    CanonicalField("currency", _T, _G.AMOUNT, "Currency (ISO 4217)", filled=True),
    CanonicalField("expected_close_on", _D, _G.CLOSE, "Expected close", filled=True),
    CanonicalField("account", _R, _G.ACCOUNT, "Account in the CRM"),
    CanonicalField(
        "customer_name", _T, _G.DETAILS, "Customer as the partner named it", filled=True
    ),
    CanonicalField(
        "customer_country", _T, _G.DETAILS, "Customer's country (ISO 3166-1 alpha-2)", filled=True
    ),
    CanonicalField("customer_aliases", _T, _G.DETAILS, "Customer's other names"),
    CanonicalField("customer_website", _T, _G.DETAILS, "Customer's website"),
    CanonicalField("customer_email_domains", _T, _G.DETAILS, "Customer's e-mail domains"),
    CanonicalField("customer_region", _T, _G.DETAILS, "Customer's region"),
    CanonicalField("customer_city", _T, _G.DETAILS, "Customer's city"),
    CanonicalField("customer_postcode", _T, _G.DETAILS, "Customer's postcode"),
    CanonicalField("customer_phone", _T, _G.DETAILS, "Customer's phone"),
    CanonicalField("customer_tax_id", _T, _G.DETAILS, "Customer's tax id"),
    CanonicalField("customer_duns", _T, _G.DETAILS, "Customer's DUNS number"),
    CanonicalField("customer_parent", _T, _G.DETAILS, "Customer's parent company"),
    CanonicalField("contact_name", _T, _G.DETAILS, "Contact at the customer"),
    CanonicalField("contact_email", _T, _G.DETAILS, "Contact's e-mail"),
    CanonicalField("product_line", _T, _G.DETAILS, "Product line", filled=True),
    CanonicalField("description", _T, _G.DETAILS, "Description"),
)

#: Every canonical field by name.
FIELDS: dict[str, CanonicalField] = {f.name: f for f in _CATALOGUE}


def group_of(name: str) -> FieldGroup:
    """Return the group of a field; a program's own fields are details."""
    return FIELDS[name].group if name in FIELDS else FieldGroup.DETAILS


def members(group: FieldGroup) -> tuple[str, ...]:
    """Return the names of the fields that merge together in this group."""
    return tuple(f.name for f in _CATALOGUE if f.group is group)


def schema(custom: Iterable[CanonicalField] = ()) -> ObjectSchema:
    """Describe our side of a mapping, as the mapping checker wants it."""
    described = {
        f.name: FieldSchema(
            name=f.name, type=f.type, label=f.label, options=f.options, required=f.filled
        )
        for f in (*_CATALOGUE, *custom)
    }
    return ObjectSchema(name="registration", label="Registration", fields=described)
