"""What the portal holds, as data: object types, properties, pipelines, association types.

Sources: HubSpot developer documentation, "Deals", "Companies", "Properties", "Pipelines" and
"Associations v4" guides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Property type and field type as HubSpot names them: definition "Properties guide".
_FIELD_TYPES = {
    "string": "text",
    "number": "number",
    "bool": "booleancheckbox",
    "enumeration": "select",
    "date": "date",
    "datetime": "date",
    "phone_number": "phonenumber",
}

CURRENCIES = ("USD", "EUR", "GBP", "NOK", "CAD", "CHF", "SEK", "JPY")
COMPANY_CURRENCY = "USD"


@dataclass(frozen=True)
class Property:
    """One property definition of an object type."""

    name: str
    label: str
    type: str = "string"
    options: tuple[tuple[str, str], ...] = ()
    unique: bool = False
    read_only: bool = False
    calculated: bool = False
    #: Made by HubSpot rather than by an admin of the portal.
    standard: bool = True
    #: Values are ids of owners; the definition lists no options of its own.
    owner: bool = False

    @property
    def field_type(self) -> str:
        """The form control that goes with the type."""
        return _FIELD_TYPES[self.type]


@dataclass(frozen=True)
class ObjectType:
    """One CRM object type under all the names that its paths accept."""

    name: str
    singular: str
    type_id: str
    properties: Mapping[str, Property]
    #: Properties that come back when none are asked for.
    defaults: tuple[str, ...]
    required: tuple[str, ...]
    #: Ids are above 2^32, as in any portal of some age.
    first_id: int


@dataclass(frozen=True)
class Stage:
    """One stage of a deal pipeline; probability 1.0 is won and 0.0 is lost."""

    id: str
    label: str
    probability: str

    @property
    def won(self) -> bool:
        """A deal in this stage counts as won."""
        return self.probability == "1.0"

    @property
    def closed(self) -> bool:
        """A deal in this stage counts as closed, won or lost."""
        return self.probability in ("0.0", "1.0")


@dataclass(frozen=True)
class Pipeline:
    """One deal pipeline with its stages in order."""

    id: str
    label: str
    stages: tuple[Stage, ...]


PIPELINES = (
    Pipeline(
        "default",
        "Sales Pipeline",
        (
            Stage("appointmentscheduled", "Appointment Scheduled", "0.2"),
            Stage("qualifiedtobuy", "Qualified To Buy", "0.4"),
            Stage("presentationscheduled", "Presentation Scheduled", "0.6"),
            Stage("decisionmakerboughtin", "Decision Maker Bought-In", "0.8"),
            Stage("contractsent", "Contract Sent", "0.9"),
            Stage("closedwon", "Closed Won", "1.0"),
            Stage("closedlost", "Closed Lost", "0.0"),
        ),
    ),
    Pipeline(
        "partner_mirror",
        "Partner Deals (kept out of the forecast)",
        (
            Stage("pm_qualifying", "Qualifying", "0.1"),
            Stage("pm_developing", "Developing", "0.3"),
            Stage("pm_proposing", "Proposing", "0.5"),
            Stage("pm_negotiating", "Negotiating", "0.8"),
            Stage("pm_won", "Won", "1.0"),
            Stage("pm_lost", "Lost", "0.0"),
        ),
    ),
)

STAGES: Mapping[str, tuple[Pipeline, Stage]] = {
    stage.id: (pipeline, stage) for pipeline in PIPELINES for stage in pipeline.stages
}


def _by_name(*properties: Property) -> dict[str, Property]:
    return {prop.name: prop for prop in properties}


def _custom(name: str, label: str, type_: str = "string", *, unique: bool = False) -> Property:
    return Property(name, label, type_, unique=unique, standard=False)


_SYSTEM = (
    Property("hs_object_id", "Record ID", "number", read_only=True),
    Property("createdate", "Create Date", "datetime", read_only=True),
    Property("hs_lastmodifieddate", "Last Modified Date", "datetime", read_only=True),
    Property("hs_merged_object_ids", "Merged record IDs", "enumeration", read_only=True),
    Property("hubspot_owner_id", "Owner", "enumeration", owner=True),
)

COMPANIES = ObjectType(
    name="companies",
    singular="company",
    type_id="0-2",
    first_id=9_410_000_000,
    defaults=("name", "domain", "createdate", "hs_lastmodifieddate", "hs_object_id"),
    required=(),
    properties=_by_name(
        *_SYSTEM,
        Property("name", "Company name"),
        Property("domain", "Company Domain Name"),
        Property("country", "Country/Region"),
        Property("city", "City"),
        Property("zip", "Postal Code"),
        Property("phone", "Phone Number"),
        Property("hs_parent_company_id", "Parent Company", "number", read_only=True),
        _custom("tax_id", "Tax ID"),
        _custom("duns", "D-U-N-S number"),
        Property(
            "account_class",
            "Account class",
            "enumeration",
            options=(("prospect", "Prospect"), ("direct", "Direct")),
            standard=False,
        ),
        _custom("house_account", "House account", "bool"),
        _custom("do_not_call", "Do not call", "bool"),
    ),
)

DEALS = ObjectType(
    name="deals",
    singular="deal",
    type_id="0-3",
    first_id=31_870_000_000,
    defaults=(
        "dealname",
        "amount",
        "closedate",
        "pipeline",
        "dealstage",
        "createdate",
        "hs_lastmodifieddate",
        "hs_object_id",
    ),
    required=("dealname", "dealstage"),
    properties=_by_name(
        *_SYSTEM,
        Property("dealname", "Deal Name"),
        Property("amount", "Amount", "number"),
        Property(
            "deal_currency_code",
            "Currency",
            "enumeration",
            options=tuple((code, code) for code in CURRENCIES),
        ),
        Property("closedate", "Close Date", "datetime"),
        Property(
            "dealstage",
            "Deal Stage",
            "enumeration",
            options=tuple((s.id, s.label) for _, s in STAGES.values()),
        ),
        Property(
            "pipeline",
            "Pipeline",
            "enumeration",
            options=tuple((p.id, p.label) for p in PIPELINES),
        ),
        Property("description", "Deal Description"),
        Property("hs_is_closed", "Is Deal Closed?", "bool", read_only=True, calculated=True),
        Property("hs_is_closed_won", "Is Closed Won", "bool", read_only=True, calculated=True),
        Property(
            "hs_deal_stage_probability",
            "Deal probability",
            "number",
            read_only=True,
            calculated=True,
        ),
        _custom("dealreg_id", "Registration ID", unique=True),
        _custom("dealreg_number", "Registration number"),
        _custom("dealreg_state", "Registration state"),
        _custom("dealreg_protection", "Protection"),
        _custom("dealreg_protected_from", "Protected from", "date"),
        _custom("dealreg_protected_until", "Protected until", "date"),
        _custom("dealreg_partner", "Partner"),
        _custom("dealreg_reason", "Registration reason"),
        _custom("dealreg_actual_close", "Actual close", "date"),
        _custom("dealreg_won_amount", "Won amount", "number"),
    ),
)

OBJECT_TYPES: Mapping[str, ObjectType] = {kind.name: kind for kind in (COMPANIES, DEALS)}

_ALIASES = {
    alias: kind
    for kind in OBJECT_TYPES.values()
    for alias in (kind.name, kind.singular, kind.type_id)
}


def object_type(name: str) -> ObjectType | None:
    """Find a type by plural, singular or type id; None if the portal has no such type."""
    return _ALIASES.get(name)


@dataclass(frozen=True)
class AssociationType:
    """One direction of a kind of association between two object types."""

    from_type: str
    to_type: str
    type_id: int
    inverse_id: int
    label: str | None = None
    #: Only one per record on the `from` side of the canonical direction.
    primary: bool = False


#: Type ids: HubSpot, "Associations v4", association type id values.
ASSOCIATION_TYPES: Mapping[int, AssociationType] = {
    kind.type_id: kind
    for kind in (
        AssociationType("deals", "companies", 341, 342),
        AssociationType("deals", "companies", 5, 6, "Primary", primary=True),
        AssociationType("companies", "deals", 342, 341),
        AssociationType("companies", "deals", 6, 5, "Primary", primary=True),
        AssociationType("companies", "companies", 450, 450),
        AssociationType("companies", "companies", 13, 14, "Child Company"),
        AssociationType("companies", "companies", 14, 13, "Parent Company"),
    )
}

#: The type that stands for "associated, without a label", by pair of object types.
UNLABELED = {("deals", "companies"): 341, ("companies", "deals"): 342, ("companies",) * 2: 450}
