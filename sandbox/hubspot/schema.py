"""What the portal holds, as data: object types, properties, pipelines, association types.

Sources: HubSpot developer documentation, "Deals", "Companies", "Properties", "Pipelines" and
"Associations v4" guides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Property type and field type as HubSpot names them: definition "Properties guide".
FIELD_TYPES = {
    "string": "text",
    "number": "number",
    "bool": "booleancheckbox",
    "enumeration": "select",
    "date": "date",
    "datetime": "date",
    "phone_number": "phonenumber",
    "checkbox": "checkbox",
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
        return FIELD_TYPES[self.type]


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
    #: The property that the time of the last change stands in.
    modified: str = "hs_lastmodifieddate"
    pipelines: tuple[Pipeline, ...] = ()
    #: The properties that hold the pipeline and the stage.
    staged_by: tuple[str, str] = ("hs_pipeline", "hs_pipeline_stage")
    #: A record is made only with an association of this type.
    needs_link: int | None = None

    @property
    def scope(self) -> str:
        """What scopes call the type; all custom objects have one name."""
        return "custom" if self.type_id.startswith("2-") else self.name

    @property
    def stages(self) -> Mapping[str, tuple[Pipeline, Stage]]:
        """Every stage by its id, with its pipeline."""
        return {stage.id: (pipe, stage) for pipe in self.pipelines for stage in pipe.stages}


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

#: The pipeline that HubSpot gives to leads, under its own ids.
LEAD_PIPELINES = (
    Pipeline(
        "lead-pipeline-id",
        "Lead pipeline",
        (
            Stage("new-stage-id", "New", ""),
            Stage("attempting-stage-id", "Attempting", ""),
            Stage("connected-stage-id", "Connected", ""),
            Stage("qualified-stage-id", "Qualified", "1.0"),
            Stage("unqualified-stage-id", "Unqualified", "0.0"),
        ),
    ),
)

REGISTRATION_PIPELINES = (
    Pipeline(
        "71004511",
        "Registrations",
        (
            Stage("140200301", "Qualifying", ""),
            Stage("140200302", "Developing", ""),
            Stage("140200303", "Proposing", ""),
            Stage("140200304", "Negotiating", ""),
            Stage("140200305", "Won", "1.0"),
            Stage("140200306", "Lost", "0.0"),
        ),
    ),
)


def _by_name(*properties: Property) -> dict[str, Property]:
    return {prop.name: prop for prop in properties}


def _custom(name: str, label: str, type_: str = "string", *, unique: bool = False) -> Property:
    return Property(name, label, type_, unique=unique, standard=False)


def _staged(pipelines: tuple[Pipeline, ...], names: tuple[str, str]) -> tuple[Property, ...]:
    stages = tuple((s.id, s.label) for pipeline in pipelines for s in pipeline.stages)
    return (
        Property(names[0], "Pipeline", "enumeration", tuple((p.id, p.label) for p in pipelines)),
        Property(names[1], "Stage", "enumeration", stages),
    )


_SYSTEM = (
    Property("hs_object_id", "Record ID", "number", read_only=True),
    Property("createdate", "Create Date", "datetime", read_only=True),
    Property("hs_lastmodifieddate", "Last Modified Date", "datetime", read_only=True),
    Property("hs_merged_object_ids", "Merged record IDs", "enumeration", read_only=True),
    Property("hubspot_owner_id", "Owner", "enumeration", owner=True),
)

_KEY = _custom("dealreg_id", "Registration ID", unique=True)
#: What an admin, or `connection provision`, makes for registrations.
_REGISTRATION = (
    _KEY,
    _custom("dealreg_number", "Registration number"),
    _custom("dealreg_state", "Registration state"),
    _custom("dealreg_protection", "Protection"),
    _custom("dealreg_protected_from", "Protected from", "date"),
    _custom("dealreg_protected_until", "Protected until", "date"),
    _custom("dealreg_partner", "Partner"),
    _custom("dealreg_reason", "Registration reason"),
    _custom("dealreg_actual_close", "Actual close", "date"),
    _custom("dealreg_won_amount", "Won amount", "number"),
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
        Property("hs_additional_domains", "Additional Domains"),
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
        _KEY,
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
        *_staged(PIPELINES, ("pipeline", "dealstage")),
        Property("description", "Deal Description"),
        # A property of this portal's own, which nothing shipped asks for.
        _custom("dealreg_summary", "Summary"),
        Property("hs_is_closed", "Is Deal Closed?", "bool", read_only=True, calculated=True),
        Property("hs_is_closed_won", "Is Closed Won", "bool", read_only=True, calculated=True),
        Property(
            "hs_deal_stage_probability",
            "Deal probability",
            "number",
            read_only=True,
            calculated=True,
        ),
        *_REGISTRATION,
    ),
    pipelines=PIPELINES,
    staged_by=("pipeline", "dealstage"),
)

CONTACTS = ObjectType(
    name="contacts",
    singular="contact",
    type_id="0-1",
    first_id=5_120_000_000,
    defaults=("firstname", "lastname", "email", "createdate", "lastmodifieddate", "hs_object_id"),
    required=(),
    modified="lastmodifieddate",
    properties=_by_name(
        *(prop for prop in _SYSTEM if prop.name != "hs_lastmodifieddate"),
        Property("lastmodifieddate", "Last Modified Date", "datetime", read_only=True),
        Property("email", "Email", unique=True),
        Property("firstname", "First Name"),
        Property("lastname", "Last Name"),
        _KEY,
    ),
)

#: "Line items guide": a product of one deal, with a price of its own.
LINE_ITEMS = ObjectType(
    name="line_items",
    singular="line_item",
    type_id="0-8",
    first_id=7_240_000_000,
    defaults=("name", "price", "quantity", "createdate", "hs_lastmodifieddate", "hs_object_id"),
    required=(),
    properties=_by_name(
        *_SYSTEM,
        Property("name", "Name"),
        Property("price", "Unit price", "number"),
        Property("quantity", "Quantity", "number"),
        _KEY,
    ),
)

LEADS = ObjectType(
    name="leads",
    singular="lead",
    type_id="0-136",
    first_id=6_330_000_000,
    defaults=("hs_lead_name", "hs_createdate", "hs_lastmodifieddate", "hs_object_id"),
    required=("hs_lead_name",),
    pipelines=LEAD_PIPELINES,
    needs_link=578,
    properties=_by_name(
        *_SYSTEM,
        Property("hs_lead_name", "Lead name"),
        Property("hs_lead_type", "Lead type"),
        *_staged(LEAD_PIPELINES, ("hs_pipeline", "hs_pipeline_stage")),
        *_REGISTRATION,
    ),
)

#: A custom object, as a portal of the Enterprise tier has it ("Custom objects guide").
REGISTRATIONS = ObjectType(
    name="2-41750338",
    singular="deal_registration",
    type_id="2-41750338",
    first_id=17_400_000_000,
    defaults=("hs_createdate", "hs_lastmodifieddate", "hs_object_id"),
    required=("registration_name",),
    pipelines=REGISTRATION_PIPELINES,
    properties=_by_name(
        *_SYSTEM,
        _custom("registration_name", "Registration name"),
        _custom("registration_amount", "Amount", "number"),
        _custom("registration_close", "Expected close", "date"),
        Property(
            "product_lines",
            "Product lines",
            "checkbox",
            options=(("analytics", "Analytics"), ("security", "Security")),
            standard=False,
        ),
        *_staged(REGISTRATION_PIPELINES, ("hs_pipeline", "hs_pipeline_stage")),
        *_REGISTRATION,
    ),
)

OBJECT_TYPES: Mapping[str, ObjectType] = {
    kind.name: kind for kind in (COMPANIES, DEALS, CONTACTS, LINE_ITEMS, LEADS, REGISTRATIONS)
}

_ALIASES = {
    alias: kind
    for kind in OBJECT_TYPES.values()
    for alias in (kind.name, kind.singular, kind.type_id, f"p_{kind.singular}")
}


def object_type(name: str) -> ObjectType | None:
    """Find a type by plural, singular or type id; None if the portal has no such type."""
    return _ALIASES.get(name)
