"""The tables of the stand-in environment as data: columns, choices, lookups, alternate keys.

Standard columns follow the table references of Dynamics 365 Sales and Dataverse; the `dr_` columns
and the `dr_dealregistration` table are the customisation that `docs/dynamics.md` asks for.
"""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.dynamics365.columns import Column, Kind, Option, Table
from sandbox.dynamics365.parts import (
    KEY,
    active_states,
    choice,
    column,
    currency,
    dealreg_columns,
    key_column,
    lookup,
    owner,
    system,
    text,
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
        *system("accountid", "Account"),
        text("name", "Account Name", 160, required=True),
        text("accountnumber", "Account Number", 20),
        text("websiteurl", "Website", 200),
        text("telephone1", "Main Phone", 50),
        text("address1_city", "City", 80),
        text("address1_postalcode", "ZIP/Postal Code", 20),
        text("address1_country", "Country/Region", 80),
        text("dr_taxid", "Tax ID", 40, schema_name="dr_TaxId"),
        text("dr_duns", "D-U-N-S Number", 9, schema_name="dr_Duns"),
        choice(
            "customertypecode",
            Kind.PICKLIST,
            "Relationship Type",
            *(Option(n, label) for n, label in enumerate(_CUSTOMER_TYPES, start=1)),
        ),
        column("dr_houseaccount", Kind.BOOLEAN, "House Account", schema_name="dr_HouseAccount"),
        column("dr_donotcall", Kind.BOOLEAN, "Do Not Call", schema_name="dr_DoNotCall"),
        # A column of this org's own, which nothing here asks for.
        choice(
            "new_segments",
            Kind.CHOICES,
            "Segments",
            *(Option(n, s) for n, s in enumerate(("Public", "Health", "Retail", "Energy"), 1)),
        ),
        lookup("parentaccountid", "Parent Account", "account"),
        column("merged", Kind.BOOLEAN, "Merged", writable=False),
        lookup("masterid", "Master ID", "account", writable=False),
        key_column(),
        owner(),
        currency(),
        *active_states(),
    ),
    keys=KEY,
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
        *system("opportunityid", "Opportunity"),
        text("name", "Topic", 300, required=True),
        column("description", Kind.MEMO, "Description", length=2000),
        column("customerid", Kind.CUSTOMER, "Potential Customer", targets=("account", "contact")),
        lookup("parentaccountid", "Account", "account"),
        lookup("parentcontactid", "Contact", "contact"),
        # A column of this org's own, which nothing here asks for.
        text("new_enduser", "End User", 160),
        lookup("originatingleadid", "Originating Lead", "lead"),
        column("estimatedvalue", Kind.MONEY, "Est. Revenue"),
        column("actualvalue", Kind.MONEY, "Actual Revenue"),
        column("estimatedclosedate", Kind.DATE, "Est. Close Date"),
        column("actualclosedate", Kind.DATE, "Actual Close Date"),
        column("closeprobability", Kind.INTEGER, "Probability"),
        choice(
            "salesstage",
            Kind.PICKLIST,
            "Sales Stage",
            *(Option(n, s) for n, s in enumerate(("Qualify", "Develop", "Propose", "Close"))),
        ),
        owner(),
        currency(),
        choice(
            "statecode",
            Kind.STATE,
            "Status",
            Option(0, "Open"),
            Option(1, "Won"),
            Option(2, "Lost"),
        ),
        choice(
            "statuscode",
            Kind.STATUS,
            "Status Reason",
            Option(1, "In Progress", 0),
            Option(2, "On Hold", 0),
            Option(3, "Won", 1),
            Option(4, "Canceled", 2),
            Option(5, "Out-Sold", 2),
        ),
        *dealreg_columns(),
    ),
    keys=KEY,
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
        *system("dr_dealregistrationid", "Deal Registration"),
        text("dr_name", "Name", 100, required=True, schema_name="dr_Name"),
        lookup("dr_account", "Account", "account", schema_name="dr_Account"),
        text("dr_dealname", "Deal Name", 300, schema_name="dr_DealName"),
        text("dr_stage", "Stage", 40, schema_name="dr_Stage"),
        column("dr_amount", Kind.MONEY, "Amount", schema_name="dr_Amount"),
        column("dr_closedate", Kind.DATE, "Close Date", schema_name="dr_CloseDate"),
        column("dr_actualclose", Kind.DATE, "Actual Close", schema_name="dr_ActualClose"),
        column("dr_wonamount", Kind.MONEY, "Won Amount", schema_name="dr_WonAmount"),
        owner(),
        currency(),
        *active_states(),
        *dealreg_columns(),
    ),
    keys=KEY,
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
        *system("leadid", "Lead"),
        text("subject", "Topic", 300, required=True),
        text("companyname", "Company Name", 100),
        text("firstname", "First Name", 50),
        text("lastname", "Last Name", 50),
        text("emailaddress1", "Email", 100),
        column("description", Kind.MEMO, "Description", length=2000),
        column("estimatedamount", Kind.MONEY, "Est. Value"),
        column("estimatedclosedate", Kind.DATE, "Est. Close Date"),
        choice("leadsourcecode", Kind.PICKLIST, "Lead Source", Option(4, "Partner")),
        lookup("parentaccountid", "Parent Account", "account"),
        lookup("qualifyingopportunityid", "Qualifying Opportunity", "opportunity", writable=False),
        column("merged", Kind.BOOLEAN, "Merged", writable=False),
        lookup("masterid", "Master ID", "lead", writable=False),
        owner(),
        currency(),
        choice(
            "statecode",
            Kind.STATE,
            "Status",
            Option(0, "Open"),
            Option(1, "Qualified"),
            Option(2, "Disqualified"),
        ),
        choice(
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
        *dealreg_columns(),
    ),
    keys=KEY,
    default_status={0: 1, 1: 3, 2: 4},
    change_tracking=True,
    schema_name="Lead",
)

CONTACT = Table(
    "contact",
    "contacts",
    "Contact",
    "contactid",
    "fullname",
    (
        *system("contactid", "Contact"),
        text("fullname", "Full Name", 160, writable=False),
        text("firstname", "First Name", 50),
        text("lastname", "Last Name", 50, required=True),
        text("emailaddress1", "Email", 100),
        column("parentcustomerid", Kind.CUSTOMER, "Company Name", targets=("account", "contact")),
        key_column(),
        owner(),
        *active_states(),
    ),
    keys=KEY,
    default_status={0: 1, 1: 2},
    schema_name="Contact",
)

#: A product of an opportunity; here only written in by name (`isproductoverridden`).
OPPORTUNITY_PRODUCT = Table(
    "opportunityproduct",
    "opportunityproducts",
    "Opportunity Product",
    "opportunityproductid",
    "opportunityproductname",
    (
        *system("opportunityproductid", "Opportunity Product"),
        text("opportunityproductname", "Name", 500, writable=False),
        lookup("opportunityid", "Opportunity", "opportunity"),
        column("isproductoverridden", Kind.BOOLEAN, "Select Product"),
        text("productdescription", "Write-In Product", 500),
        column("quantity", Kind.DECIMAL, "Quantity"),
        column("priceperunit", Kind.MONEY, "Price Per Unit"),
        key_column(),
        currency(),
    ),
    keys=KEY,
    schema_name="OpportunityProduct",
)

#: The activity that `WinOpportunity` and `LoseOpportunity` make.
OPPORTUNITY_CLOSE = Table(
    "opportunityclose",
    "opportunitycloses",
    "Opportunity Close",
    "activityid",
    "subject",
    (
        *system("activityid", "Opportunity Close"),
        text("subject", "Subject", 200),
        lookup("opportunityid", "Opportunity", "opportunity"),
        choice("statuscode", Kind.STATUS, "Status Reason", Option(2, "Completed", 1)),
    ),
    schema_name="OpportunityClose",
)

CURRENCY = Table(
    "transactioncurrency",
    "transactioncurrencies",
    "Currency",
    "transactioncurrencyid",
    "currencyname",
    (
        *system("transactioncurrencyid", "Currency"),
        text("isocurrencycode", "Currency Code", 5),
        text("currencyname", "Currency Name", 100),
        column("currencyprecision", Kind.INTEGER, "Currency Precision"),
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
        *system("systemuserid", "User"),
        text("fullname", "Full Name", 200),
        text("domainname", "User Name", 1024),
        text("internalemailaddress", "Primary Email", 100),
        column("applicationid", Kind.GUID, "Application ID"),
        column("isdisabled", Kind.BOOLEAN, "Status"),
    ),
    schema_name="SystemUser",
)


def _platform(name: str, label: str, schema_name: str, *columns: Column) -> Table:
    """A table of the platform's own, which only `connection check` reads here."""
    key = f"{name}id"
    every = (*system(key, label), *columns)
    return Table(name, f"{name}s", label, key, columns[0].name, every, schema_name=schema_name)


#: Developer reference, "ServiceEndpoint", "SdkMessageProcessingStep", "SdkMessage" and
#: "SdkMessageFilter": how a webhook is registered.
REGISTRATION = (
    _platform(
        "serviceendpoint",
        "Service Endpoint",
        "ServiceEndpoint",
        text("name", "Name", 100),
        text("url", "URL", 2048),
        choice("contract", Kind.PICKLIST, "Contract", Option(8, "Webhook")),
        choice(
            "authtype",
            Kind.PICKLIST,
            "Auth Type",
            Option(4, "WebhookKey"),
            Option(5, "HttpHeader"),
            Option(6, "HttpQueryString"),
        ),
    ),
    _platform(
        "sdkmessageprocessingstep",
        "SDK Message Processing Step",
        "SdkMessageProcessingStep",
        text("name", "Name", 256),
        choice("mode", Kind.PICKLIST, "Mode", Option(0, "Synchronous"), Option(1, "Asynchronous")),
        choice("stage", Kind.PICKLIST, "Stage", Option(20, "Pre"), Option(40, "Post-operation")),
        text("filteringattributes", "Filtering Attributes", 100_000),
        lookup("eventhandler", "Event Handler", "serviceendpoint"),
        lookup("sdkmessageid", "SDK Message", "sdkmessage"),
        lookup("sdkmessagefilterid", "SDK Message Filter", "sdkmessagefilter"),
        choice("statecode", Kind.STATE, "Status", Option(0, "Enabled"), Option(1, "Disabled")),
        choice(
            "statuscode", Kind.STATUS, "Reason", Option(1, "Enabled", 0), Option(2, "Disabled", 1)
        ),
    ),
    _platform("sdkmessage", "SDK Message", "SdkMessage", text("name", "Name", 256)),
    _platform(
        "sdkmessagefilter",
        "SDK Message Filter",
        "SdkMessageFilter",
        text("primaryobjecttypecode", "Primary Object", 128),
        lookup("sdkmessageid", "SDK Message", "sdkmessage"),
    ),
)

TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (
        ACCOUNT,
        OPPORTUNITY,
        LEAD,
        DEAL_REGISTRATION,
        CONTACT,
        OPPORTUNITY_PRODUCT,
        OPPORTUNITY_CLOSE,
        CURRENCY,
        USER,
        *REGISTRATION,
    )
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
