"""The objects and fields of the Salesforce stand-in, as data.

Only what a deal registration touches: Account, Contact, Lead, Opportunity and its products, the
custom mirror object `Deal_Registration__c`, their histories, and the read-only objects that describe users, stages,
currencies and the organisation. Types and limits follow the Object Reference for the Salesforce
Platform.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sandbox.salesforce.permissions import ASSIGNMENT, OBJECT_PERMISSIONS
from sandbox.salesforce.schema import (
    READ_ONLY,
    SalesforceField,
    SalesforceObject,
    checkbox,
    currency,
    field_of_type,
    picklist,
    reference,
    sobject,
    text,
)


@dataclass(frozen=True)
class Stage:
    """One value of the opportunity's sales process."""

    name: str
    closed: bool
    won: bool
    probability: int
    forecast_category: str


STAGES = (
    Stage("Prospecting", False, False, 10, "Pipeline"),
    Stage("Qualification", False, False, 10, "Pipeline"),
    Stage("Needs Analysis", False, False, 20, "Pipeline"),
    Stage("Value Proposition", False, False, 50, "Pipeline"),
    Stage("Proposal/Price Quote", False, False, 75, "Best Case"),
    Stage("Negotiation/Review", False, False, 90, "Commit"),
    Stage("Closed Won", True, True, 100, "Closed"),
    Stage("Closed Lost", True, False, 0, "Omitted"),
)
CURRENCIES = ("USD", "EUR", "GBP", "NOK", "SEK", "DKK", "CHF", "CAD", "AUD", "JPY", "INR")
DEFAULT_CURRENCY = "USD"
MODULES = ("Routing", "Cold Chain", "Cooling", "Customs")
MIRROR_STAGES = ("qualifying", "developing", "proposing", "negotiating", "won", "lost")


_KEY = text("Dealreg_Id__c", 36, external_id=True, unique=True)
_REGISTRATION_FIELDS = (
    _KEY,
    text("Dealreg_Number__c", 40),
    text("Dealreg_State__c", 40, tracked=True),
    text("Dealreg_Protection__c", 40, tracked=True),
    field_of_type("Dealreg_Protected_From__c", "date", tracked=True),
    field_of_type("Dealreg_Protected_Until__c", "date", tracked=True),
    text("Dealreg_Partner__c", 255, tracked=True),
    text("Dealreg_Reason__c", 255, tracked=True),
)


_CURRENCY_CODE = picklist(
    "CurrencyIsoCode", CURRENCIES, 3, restricted=True, nillable=False, defaulted=True
)

ACCOUNT = sobject(
    "Account",
    "Account",
    "001",
    (
        text("Name", 255, "Account Name", nillable=False, tracked=True),
        field_of_type("Website", "url", length=255),
        picklist("BillingCountryCode", (), 10),
        text("BillingCity", 40),
        text("BillingPostalCode", 20),
        field_of_type("Phone", "phone", length=40),
        text("Tax_Id__c", 40),
        text("DunsNumber", 9),
        picklist(
            "Type",
            (
                "Prospect",
                "Customer - Direct",
                "Customer - Channel",
                "Channel Partner / Reseller",
                "Installation Partner",
                "Technology Partner",
                "Other",
            ),
        ),
        checkbox("House_Account__c"),
        checkbox("Do_Not_Call__c"),
        reference("OwnerId", "User", nillable=False, defaulted=True, tracked=True),
        reference("ParentId", "Account"),
        _KEY,
        reference("MasterRecordId", "Account", **READ_ONLY),
    ),
    writable=True,
    mergeable=True,
    history_object="AccountHistory",
    history_parent="AccountId",
)

OPPORTUNITY = sobject(
    "Opportunity",
    "Opportunity",
    "006",
    (
        text("Name", 120, nillable=False, tracked=True),
        picklist(
            "StageName",
            tuple(s.name for s in STAGES),
            restricted=True,
            nillable=False,
            tracked=True,
        ),
        field_of_type("CloseDate", "date", "Close Date", nillable=False, tracked=True),
        currency("Amount", tracked=True),
        field_of_type("Probability", "percent", precision=3, defaulted=True),
        picklist(
            "ForecastCategoryName",
            ("Omitted", "Pipeline", "Best Case", "Commit", "Closed"),
            40,
            defaulted=True,
        ),
        _CURRENCY_CODE,
        reference("AccountId", "Account", tracked=True),
        # The primary contact role; a later one is chosen there.
        reference("ContactId", "Contact", updateable=False),
        reference("OwnerId", "User", nillable=False, defaulted=True, tracked=True),
        checkbox("IsClosed", **READ_ONLY),
        checkbox("IsWon", **READ_ONLY),
        checkbox("HasOpportunityLineItem", **READ_ONLY),
        picklist("LeadSource", ("Web", "Phone Inquiry", "Partner Referral", "Other")),
        text("NextStep", 255),
        field_of_type("Description", "textarea", length=32000, filterable=False),
        reference("RecordTypeId", "RecordType", relationship="RecordType"),
        # Fields of this org's own, which nothing shipped asks for.
        reference("Partner_Account__c", "Account"),
        text("Quote_Number__c", 40, unique=True),
        field_of_type("Modules__c", "multipicklist", length=4099, options=MODULES),
        *_REGISTRATION_FIELDS,
    ),
    writable=True,
    record_types=("Direct_Deal", "Partner_Deal"),
    history_object="OpportunityFieldHistory",
    history_parent="OpportunityId",
)

DEAL_REGISTRATION = sobject(
    "Deal_Registration__c",
    "Deal Registration",
    "a0D",
    (
        text("Name", 80, nillable=False),
        reference("OwnerId", "User", nillable=False, defaulted=True),
        _CURRENCY_CODE,
        reference("Account__c", "Account", tracked=True),
        text("Deal_Name__c", 255, tracked=True),
        picklist("Stage__c", MIRROR_STAGES, restricted=True, tracked=True),
        currency("Amount__c", tracked=True),
        field_of_type("Close_Date__c", "date", tracked=True),
        field_of_type("Actual_Close__c", "date", tracked=True),
        currency("Won_Amount__c", tracked=True),
        *_REGISTRATION_FIELDS,
    ),
    writable=True,
    history_object="Deal_Registration__History",
    history_parent="ParentId",
)

LEAD = sobject(
    "Lead",
    "Lead",
    "00Q",
    (
        text("LastName", 80, "Last Name", nillable=False),
        text("FirstName", 40, "First Name"),
        text("Company", 255, nillable=False, tracked=True),
        picklist(
            "Status",
            (
                "Open - Not Contacted",
                "Working - Contacted",
                "Closed - Converted",
                "Closed - Not Converted",
            ),
            nillable=False,
            defaulted=True,
            tracked=True,
        ),
        field_of_type("Email", "email", length=80),
        field_of_type("Website", "url", length=255),
        picklist("CountryCode", (), 10),
        field_of_type("Description", "textarea", length=32000, filterable=False),
        picklist("LeadSource", ("Web", "Phone Inquiry", "Partner Referral", "Other")),
        reference("OwnerId", "User", nillable=False, defaulted=True, tracked=True),
        checkbox("DoNotCall"),
        checkbox("HasOptedOutOfEmail"),
        checkbox("IsConverted", **READ_ONLY),
        field_of_type("ConvertedDate", "date", **READ_ONLY),
        reference("ConvertedAccountId", "Account", **READ_ONLY),
        reference("ConvertedContactId", "Contact", **READ_ONLY),
        reference("ConvertedOpportunityId", "Opportunity", **READ_ONLY),
        reference("MasterRecordId", "Lead", **READ_ONLY),
        reference("RecordTypeId", "RecordType", relationship="RecordType"),
        _CURRENCY_CODE,
        *_REGISTRATION_FIELDS,
    ),
    writable=True,
    mergeable=True,
    record_types=("Deal_Registration", "Inbound"),
    history_object="LeadHistory",
    history_parent="LeadId",
)

CONTACT = sobject(
    "Contact",
    "Contact",
    "003",
    (
        text("LastName", 80, "Last Name", nillable=False),
        text("FirstName", 40, "First Name"),
        field_of_type("Email", "email", length=80),
        reference("AccountId", "Account"),
        _KEY,
        text("Erp_Number__c", 40, external_id=True),  # not unique: several may answer to it
        reference("OwnerId", "User", nillable=False, defaulted=True),
        checkbox("DoNotCall"),
        checkbox("HasOptedOutOfEmail"),
        reference("MasterRecordId", "Contact", **READ_ONLY),
    ),
    writable=True,
    mergeable=True,
)

#: Products of the one price list: label by product line of the shipped program.
PRODUCTS = {
    "platform": "Platform",
    "analytics": "Analytics",
    "support": "Support services",
    "training": "Training",
}

PRICEBOOK_ENTRY = sobject(
    "PricebookEntry", "Price Book Entry", "01u", (text("Name", 255), checkbox("IsActive"))
)

OPPORTUNITY_LINE_ITEM = sobject(
    "OpportunityLineItem",
    "Opportunity Product",
    "00k",
    (
        reference("OpportunityId", "Opportunity", nillable=False, updateable=False),
        reference("PricebookEntryId", "PricebookEntry", nillable=False, updateable=False),
        field_of_type("Quantity", "double", precision=18, scale=2, nillable=False),
        currency("UnitPrice", nillable=False),
        text("Description", 255),
        _KEY,
    ),
    writable=True,
)

USER = sobject(
    "User",
    "User",
    "005",
    (
        text("Name", 121, nillable=False),
        text("Username", 80, nillable=False),
        text("Alias", 8),
        field_of_type("Email", "email", length=128),
        checkbox("IsActive"),
        picklist("UserType", ("Standard",), 40),
        picklist("DefaultCurrencyIsoCode", CURRENCIES, 3),
    ),
)

ORGANIZATION = sobject(
    "Organization",
    "Organization",
    "00D",
    (
        text("Name", 80, nillable=False),
        checkbox("IsSandbox"),
        picklist("OrganizationType", ("Enterprise Edition", "Developer Edition"), 40),
    ),
)

OPPORTUNITY_STAGE = sobject(
    "OpportunityStage",
    "Opportunity Stage",
    "01J",
    (
        text("MasterLabel", 255),
        text("ApiName", 255),
        checkbox("IsActive"),
        checkbox("IsClosed"),
        checkbox("IsWon"),
        field_of_type("SortOrder", "int"),
        field_of_type("DefaultProbability", "percent", precision=3),
        picklist("ForecastCategoryName", ()),
    ),
)

CURRENCY_TYPE = sobject(
    "CurrencyType",
    "Currency Type",
    "01L",
    (
        picklist("IsoCode", CURRENCIES, 3),
        field_of_type("ConversionRate", "double", precision=18, scale=6),
        field_of_type("DecimalPlaces", "int"),
        checkbox("IsActive"),
        checkbox("IsCorporate"),
    ),
)


def _history(name: str, prefix: str, parent: str, *fields: SalesforceField) -> SalesforceObject:
    owner = reference(parent, "Opportunity", **READ_ONLY)
    made = sobject(name, name, prefix, (owner, *fields))
    keep = ("Id", "IsDeleted", "CreatedDate", "CreatedById", parent, *(f.name for f in fields))
    return replace(made, fields={n: made.fields[n] for n in keep})


def _field_history(name: str, prefix: str, parent: str) -> SalesforceObject:
    return _history(
        name,
        prefix,
        parent,
        picklist("Field", (), **READ_ONLY),
        picklist("DataType", (), **READ_ONLY),
        field_of_type("OldValue", "anyType", filterable=False, **READ_ONLY),
        field_of_type("NewValue", "anyType", filterable=False, **READ_ONLY),
    )


#: Every change of these four makes an OpportunityHistory row, with no set-up.
STAGE_HISTORY_FIELDS = ("StageName", "Amount", "Probability", "CloseDate")

OPPORTUNITY_HISTORY = _history(
    "OpportunityHistory",
    "008",
    "OpportunityId",
    *(replace(OPPORTUNITY.fields[n], **READ_ONLY) for n in STAGE_HISTORY_FIELDS),
)

FIELD_DEFINITION = SalesforceObject(
    "FieldDefinition",
    "Field Definition",
    "4fe",
    {
        f.name: f
        for f in (
            text("EntityDefinition.QualifiedApiName", 80),
            text("QualifiedApiName", 80),
            text("Label", 80),
            text("DataType", 80),
            checkbox("IsFieldHistoryTracked"),
        )
    },
)

OBJECTS: Mapping[str, SalesforceObject] = {
    o.name: o
    for o in (
        ACCOUNT,
        OPPORTUNITY,
        DEAL_REGISTRATION,
        LEAD,
        CONTACT,
        PRICEBOOK_ENTRY,
        OPPORTUNITY_LINE_ITEM,
        USER,
        ORGANIZATION,
        OPPORTUNITY_STAGE,
        CURRENCY_TYPE,
        OPPORTUNITY_HISTORY,
        _field_history("OpportunityFieldHistory", "017", "OpportunityId"),
        _field_history("AccountHistory", "0Q6", "AccountId"),
        _field_history("LeadHistory", "0Q7", "LeadId"),
        _field_history("Deal_Registration__History", "017", "ParentId"),
        FIELD_DEFINITION,
        ASSIGNMENT,
        OBJECT_PERMISSIONS,
    )
}
#: Objects whose rows are made from others when they are asked for, and never stored.
DERIVED = frozenset(
    {"FieldDefinition", "OpportunityHistory", ASSIGNMENT.name, OBJECT_PERMISSIONS.name}
    | {o.history_object for o in OBJECTS.values() if o.history_object}
)
