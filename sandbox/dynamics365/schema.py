"""The tables of the stand-in environment as data: columns, choices, lookups, alternate keys.

Standard columns follow the table references of Dynamics 365 Sales and Dataverse; the `dr_` columns
and the `dr_dealregistration` table are the customisation that `docs/dynamics.md` asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.dynamics365.columns import Column, Kind, Option, Table


def _column(name: str, kind: Kind, label: str, *, schema_name: str = "", **rest: Any) -> Column:
    return Column(name, kind, label, schema_name or name, **rest)


def _text(name: str, label: str, length: int, **rest: Any) -> Column:
    return _column(name, Kind.TEXT, label, length=length, **rest)


def _lookup(name: str, label: str, *targets: str, **rest: Any) -> Column:
    return _column(name, Kind.LOOKUP, label, targets=targets, **rest)


def _choice(name: str, kind: Kind, label: str, *options: Option) -> Column:
    return _column(name, kind, label, options=options)


def _system(primary_id: str, label: str) -> tuple[Column, ...]:
    return (
        _column(primary_id, Kind.GUID, label, writable=False),
        _column("createdon", Kind.DATETIME, "Created On", writable=False),
        _column("modifiedon", Kind.DATETIME, "Modified On", writable=False),
        _column("versionnumber", Kind.BIGINT, "Version Number", writable=False),
        _column("createdby", Kind.LOOKUP, "Created By", targets=("systemuser",), writable=False),
        _column("modifiedby", Kind.LOOKUP, "Modified By", targets=("systemuser",), writable=False),
    )


def _owner() -> Column:
    return _column("ownerid", Kind.OWNER, "Owner", targets=("systemuser", "team"))


def _currency() -> Column:
    return _lookup("transactioncurrencyid", "Currency", "transactioncurrency")


def _active_states() -> tuple[Column, Column]:
    return (
        _choice("statecode", Kind.STATE, "Status", Option(0, "Active"), Option(1, "Inactive")),
        _choice(
            "statuscode",
            Kind.STATUS,
            "Status Reason",
            Option(1, "Active", 0),
            Option(2, "Inactive", 1),
        ),
    )


def _dealreg_columns() -> tuple[Column, ...]:
    return (
        _text("dr_dealregid", "Deal Registration ID", 36, schema_name="dr_DealregId"),
        _text("dr_number", "Registration Number", 40, schema_name="dr_Number"),
        _text("dr_state", "Registration State", 40, schema_name="dr_State"),
        _text("dr_protection", "Protection State", 40, schema_name="dr_Protection"),
        _column("dr_protectedfrom", Kind.DATE, "Protected From", schema_name="dr_ProtectedFrom"),
        _column("dr_protecteduntil", Kind.DATE, "Protected Until", schema_name="dr_ProtectedUntil"),
        _text("dr_partner", "Partner", 160, schema_name="dr_Partner"),
        _text("dr_reason", "Reason", 500, schema_name="dr_Reason"),
    )


_CUSTOMER_TYPES = (
    "Competitor",
    "Consultant",
    "Customer",
    "Investor",
    "Partner",
    "Influencer",
    "Press",
    "Prospect",
    "Reseller",
    "Supplier",
    "Vendor",
    "Other",
)

ACCOUNT = Table(
    "account",
    "accounts",
    "Account",
    "accountid",
    "name",
    (
        *_system("accountid", "Account"),
        _text("name", "Account Name", 160, required=True),
        _text("accountnumber", "Account Number", 20),
        _text("websiteurl", "Website", 200),
        _text("telephone1", "Main Phone", 50),
        _text("address1_city", "City", 80),
        _text("address1_postalcode", "ZIP/Postal Code", 20),
        _text("address1_country", "Country/Region", 80),
        _text("dr_taxid", "Tax ID", 40, schema_name="dr_TaxId"),
        _text("dr_duns", "D-U-N-S Number", 9, schema_name="dr_Duns"),
        _choice(
            "customertypecode",
            Kind.PICKLIST,
            "Relationship Type",
            *(Option(n, label) for n, label in enumerate(_CUSTOMER_TYPES, start=1)),
        ),
        _column("dr_houseaccount", Kind.BOOLEAN, "House Account", schema_name="dr_HouseAccount"),
        _column("dr_donotcall", Kind.BOOLEAN, "Do Not Call", schema_name="dr_DoNotCall"),
        # A column of this org's own, which nothing here asks for.
        _choice(
            "new_segments",
            Kind.CHOICES,
            "Segments",
            *(Option(n, s) for n, s in enumerate(("Public", "Health", "Retail", "Energy"), 1)),
        ),
        _lookup("parentaccountid", "Parent Account", "account"),
        _column("merged", Kind.BOOLEAN, "Merged", writable=False),
        _lookup("masterid", "Master ID", "account", writable=False),
        _owner(),
        _currency(),
        *_active_states(),
    ),
    keys={},
    default_status={0: 1, 1: 2},
    change_tracking=True,
    schema_name="Account",
)

OPPORTUNITY = Table(
    "opportunity",
    "opportunities",
    "Opportunity",
    "opportunityid",
    "name",
    (
        *_system("opportunityid", "Opportunity"),
        _text("name", "Topic", 300, required=True),
        _column("description", Kind.MEMO, "Description", length=2000),
        _column("customerid", Kind.CUSTOMER, "Potential Customer", targets=("account", "contact")),
        _lookup("parentaccountid", "Account", "account"),
        _lookup("originatingleadid", "Originating Lead", "lead"),
        _column("estimatedvalue", Kind.MONEY, "Est. Revenue"),
        _column("actualvalue", Kind.MONEY, "Actual Revenue"),
        _column("estimatedclosedate", Kind.DATE, "Est. Close Date"),
        _column("actualclosedate", Kind.DATE, "Actual Close Date"),
        _column("closeprobability", Kind.INTEGER, "Probability"),
        _choice(
            "salesstage",
            Kind.PICKLIST,
            "Sales Stage",
            *(Option(n, s) for n, s in enumerate(("Qualify", "Develop", "Propose", "Close"))),
        ),
        _owner(),
        _currency(),
        _choice(
            "statecode",
            Kind.STATE,
            "Status",
            Option(0, "Open"),
            Option(1, "Won"),
            Option(2, "Lost"),
        ),
        _choice(
            "statuscode",
            Kind.STATUS,
            "Status Reason",
            Option(1, "In Progress", 0),
            Option(2, "On Hold", 0),
            Option(3, "Won", 1),
            Option(4, "Canceled", 2),
            Option(5, "Out-Sold", 2),
        ),
        *_dealreg_columns(),
    ),
    keys={"dr_DealregKey": ("dr_dealregid",)},
    default_status={0: 1, 1: 3, 2: 4},
    change_tracking=True,
    schema_name="Opportunity",
)

DEAL_REGISTRATION = Table(
    "dr_dealregistration",
    "dr_dealregistrations",
    "Deal Registration",
    "dr_dealregistrationid",
    "dr_name",
    (
        *_system("dr_dealregistrationid", "Deal Registration"),
        _text("dr_name", "Name", 100, required=True, schema_name="dr_Name"),
        _lookup("dr_account", "Account", "account", schema_name="dr_Account"),
        _text("dr_dealname", "Deal Name", 300, schema_name="dr_DealName"),
        _text("dr_stage", "Stage", 40, schema_name="dr_Stage"),
        _column("dr_amount", Kind.MONEY, "Amount", schema_name="dr_Amount"),
        _column("dr_closedate", Kind.DATE, "Close Date", schema_name="dr_CloseDate"),
        _column("dr_actualclose", Kind.DATE, "Actual Close", schema_name="dr_ActualClose"),
        _column("dr_wonamount", Kind.MONEY, "Won Amount", schema_name="dr_WonAmount"),
        _owner(),
        _currency(),
        *_active_states(),
        *_dealreg_columns(),
    ),
    keys={"dr_DealregKey": ("dr_dealregid",)},
    default_status={0: 1, 1: 2},
    change_tracking=True,
    schema_name="dr_DealRegistration",
)

LEAD = Table(
    "lead",
    "leads",
    "Lead",
    "leadid",
    "subject",
    (
        *_system("leadid", "Lead"),
        _text("subject", "Topic", 300, required=True),
        _text("companyname", "Company Name", 100),
        _text("firstname", "First Name", 50),
        _text("lastname", "Last Name", 50),
        _text("emailaddress1", "Email", 100),
        _column("description", Kind.MEMO, "Description", length=2000),
        _column("estimatedamount", Kind.MONEY, "Est. Value"),
        _column("estimatedclosedate", Kind.DATE, "Est. Close Date"),
        _choice("leadsourcecode", Kind.PICKLIST, "Lead Source", Option(4, "Partner")),
        _lookup("parentaccountid", "Parent Account", "account"),
        _lookup("qualifyingopportunityid", "Qualifying Opportunity", "opportunity", writable=False),
        _column("merged", Kind.BOOLEAN, "Merged", writable=False),
        _lookup("masterid", "Master ID", "lead", writable=False),
        _owner(),
        _currency(),
        _choice(
            "statecode",
            Kind.STATE,
            "Status",
            Option(0, "Open"),
            Option(1, "Qualified"),
            Option(2, "Disqualified"),
        ),
        _choice(
            "statuscode",
            Kind.STATUS,
            "Status Reason",
            Option(1, "New", 0),
            Option(2, "Contacted", 0),
            Option(3, "Qualified", 1),
            Option(4, "Lost", 2),
            Option(5, "Cannot Contact", 2),
            Option(6, "No Longer Interested", 2),
            Option(7, "Canceled", 2),
        ),
        *_dealreg_columns(),
    ),
    keys={"dr_DealregKey": ("dr_dealregid",)},
    default_status={0: 1, 1: 3, 2: 4},
    change_tracking=True,
    schema_name="Lead",
)

CURRENCY = Table(
    "transactioncurrency",
    "transactioncurrencies",
    "Currency",
    "transactioncurrencyid",
    "currencyname",
    (
        *_system("transactioncurrencyid", "Currency"),
        _text("isocurrencycode", "Currency Code", 5),
        _text("currencyname", "Currency Name", 100),
        _column("currencyprecision", Kind.INTEGER, "Currency Precision"),
    ),
    schema_name="TransactionCurrency",
)

USER = Table(
    "systemuser",
    "systemusers",
    "User",
    "systemuserid",
    "fullname",
    (
        *_system("systemuserid", "User"),
        _text("fullname", "Full Name", 200),
        _text("domainname", "User Name", 1024),
        _column("applicationid", Kind.GUID, "Application ID"),
        _column("isdisabled", Kind.BOOLEAN, "Status"),
    ),
    schema_name="SystemUser",
)


def _platform(name: str, label: str, schema_name: str, *columns: Column) -> Table:
    """A table of the platform's own, which only `connection check` reads here."""
    key = f"{name}id"
    every = (*_system(key, label), *columns)
    return Table(name, f"{name}s", label, key, columns[0].name, every, schema_name=schema_name)


#: Developer reference, "ServiceEndpoint", "SdkMessageProcessingStep", "SdkMessage" and
#: "SdkMessageFilter": how a webhook is registered.
REGISTRATION = (
    _platform(
        "serviceendpoint",
        "Service Endpoint",
        "ServiceEndpoint",
        _text("name", "Name", 100),
        _text("url", "URL", 2048),
        _choice("contract", Kind.PICKLIST, "Contract", Option(8, "Webhook")),
        _choice("authtype", Kind.PICKLIST, "Auth Type", Option(5, "HttpHeader")),
    ),
    _platform(
        "sdkmessageprocessingstep",
        "SDK Message Processing Step",
        "SdkMessageProcessingStep",
        _text("name", "Name", 256),
        _choice("mode", Kind.PICKLIST, "Mode", Option(0, "Synchronous"), Option(1, "Asynchronous")),
        _choice("stage", Kind.PICKLIST, "Stage", Option(20, "Pre"), Option(40, "Post-operation")),
        _text("filteringattributes", "Filtering Attributes", 100_000),
        _lookup("eventhandler", "Event Handler", "serviceendpoint"),
        _lookup("sdkmessageid", "SDK Message", "sdkmessage"),
        _lookup("sdkmessagefilterid", "SDK Message Filter", "sdkmessagefilter"),
        _choice("statecode", Kind.STATE, "Status", Option(0, "Enabled"), Option(1, "Disabled")),
        _choice(
            "statuscode", Kind.STATUS, "Reason", Option(1, "Enabled", 0), Option(2, "Disabled", 1)
        ),
    ),
    _platform("sdkmessage", "SDK Message", "SdkMessage", _text("name", "Name", 256)),
    _platform(
        "sdkmessagefilter",
        "SDK Message Filter",
        "SdkMessageFilter",
        _text("primaryobjecttypecode", "Primary Object", 128),
        _lookup("sdkmessageid", "SDK Message", "sdkmessage"),
    ),
)

TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (ACCOUNT, OPPORTUNITY, LEAD, DEAL_REGISTRATION, CURRENCY, USER, *REGISTRATION)
}
BY_SET: Mapping[str, Table] = {table.set_name: table for table in TABLES.values()}

CURRENCIES: Mapping[str, str] = {
    "USD": "US Dollar",
    "EUR": "Euro",
    "GBP": "Pound Sterling",
    "NOK": "Norwegian Krone",
    "CHF": "Swiss Franc",
    "SEK": "Swedish Krona",
    "DKK": "Danish Krone",
    "CAD": "Canadian Dollar",
    "JPY": "Japanese Yen",
    "AUD": "Australian Dollar",
}
