"""What the three CRMs and their admins call things; `drafting` matches fields by it."""

from __future__ import annotations

from collections.abc import Mapping

#: What each field of ours may be called, best word first; spaces and case do not count.
WORDS: Mapping[str, tuple[str, ...]] = {
    "registration_number": ("registration number", "dealreg number"),
    "registration_state": ("registration state", "registration status", "dealreg state"),
    "reason_code": ("reason code", "registration reason", "dealreg reason", "reason"),
    "partner_message": ("partner message", "message to the partner"),
    "protection_state": ("protection state", "dealreg protection", "protection"),
    "protection_starts_on": ("protected from", "dealreg protected from", "protection start"),
    "protection_ends_on": ("protected until", "dealreg protected until", "protection end"),
    "partner_name": ("partner name", "dealreg partner", "partner"),
    "deal_name": ("deal name", "opportunity name", "lead name", "topic", "name"),
    "owner": ("owner", "owner id", "opportunity owner", "deal owner"),
    "sales_stage": ("stage name", "deal stage", "sales stage", "stage"),
    "actual_close_on": ("actual close date", "actual close"),
    "won_amount": ("won amount", "actual revenue", "actual value"),
    "loss_reason": ("loss reason", "closed lost reason"),
    "amount": ("amount", "est revenue", "estimated revenue", "estimated value"),
    "currency": ("currency", "currency iso code", "transaction currency"),
    "expected_close_on": ("close date", "est close date", "estimated close date", "expected close"),
    "account": ("account", "account id", "account name", "primary company", "company"),
    "customer_name": ("customer name", "customer as the partner named it", "company"),
    "contact_name": ("contact name", "last name"),
    "contact_email": ("contact email", "email"),
    "product_line": ("product line",),
    "description": ("description", "deal description"),
}

#: What each field of an account may be called.
ACCOUNT_WORDS: Mapping[str, tuple[str, ...]] = {
    "name": ("name", "account name", "company name"),
    "country": ("billing country code", "country", "country region", "billing country"),
    "city": ("billing city", "city"),
    "postcode": ("billing postal code", "postal code", "zip postal code", "zip"),
    "website": ("website", "domain", "company domain name", "website url"),
    "other_domains": ("additional domains",),
    "phone": ("phone", "main phone", "phone number"),
    "tax_id": ("tax id", "vat number", "vat id"),
    "duns": ("duns number", "duns"),
    "owner": ("owner", "owner id"),
    "parent": ("parent account", "parent id", "parent company"),
}

#: What the field of a deal that refers to a companion may be called; of a line item, the field with
#: its product.
REFERENCE_WORDS: Mapping[str, tuple[str, ...]] = {
    "account": (*WORDS["account"], "company name"),
    "contact": ("contact", "contact id", "primary contact", "only contact"),
    "partner": ("partner account", "partner"),
    "user": ("owner user", "owner", "owner id"),
    "line_item": ("price book entry id", "price book entry"),
}

#: What is written to each companion, what that may be called, and whether it has to be there.
COMPANION_WORDS: Mapping[str, Mapping[str, tuple[tuple[str, ...], bool]]] = {
    "account": {
        "customer_name": (ACCOUNT_WORDS["name"], True),
        "customer_country": (ACCOUNT_WORDS["country"], False),
        "customer_city": (ACCOUNT_WORDS["city"], False),
        "customer_postcode": (ACCOUNT_WORDS["postcode"], False),
        "customer_website": (ACCOUNT_WORDS["website"], False),
        "customer_phone": (ACCOUNT_WORDS["phone"], False),
        "customer_tax_id": (ACCOUNT_WORDS["tax_id"], False),
        "customer_duns": (ACCOUNT_WORDS["duns"], False),
    },
    "contact": {
        "contact_name": (("last name",), True),
        "contact_email": (("email", "email address"), True),
    },
    "partner": {
        "partner_code": (("partner code", "partner number"), False),
        "partner_name": (("partner name", *ACCOUNT_WORDS["name"]), True),
    },
    "line_item": {
        "product_line": (("write in product", "product name", "name"), False),
        "amount": (("unit price", "price per unit", "sales price"), True),
    },
}
#: What a line item says beside its product and price, as YAML.
WRITE_IN: Mapping[str, str] = {"quantity": "1", "is product overridden": "true"}
#: The line items whose sum the CRM takes for the amount of their deal.
SUMMED = frozenset({"OpportunityLineItem"})

#: What the check knows of an opportunity, and the field of ours that is called alike.
OPPORTUNITY_FIELDS: Mapping[str, str] = {
    "name": "deal_name",
    "stage": "sales_stage",
    "amount": "amount",
    "currency": "currency",
    "close": "expected_close_on",
    "owner": "owner",
}

#: What says that an opportunity is open, with the value that says so, as YAML.
CLOSED_WORDS: Mapping[str, str] = {
    "is closed": "false",
    "is deal closed": "false",
    "statecode": '"0"',
}

#: Parts of a stage's name in the CRM, by our stage; the first stage that fits takes it.
STAGE_STEMS: Mapping[str, tuple[str, ...]] = {
    "won": ("won",),
    "lost": ("lost",),
    "qualifying": ("qualif", "prospect", "appointment"),
    "developing": ("develop", "needs", "value prop", "discover", "presentation", "demo"),
    "proposing": ("propos", "quote", "decision"),
    "negotiating": ("negotiat", "contract"),
}

#: The last open stage, where a CRM calls it by this word alone; a part of one says nothing.
LAST_STAGE: Mapping[str, str] = {"close": "negotiating"}
#: What a picklist of states calls an open deal, a won one and a lost one.
STATES = ("open", "won", "lost")

#: Ours alone: pushed, never read back.
PUSHED = frozenset(
    {
        "registration_number", "registration_state", "reason_code", "partner_message",
        "protection_state", "protection_starts_on", "protection_ends_on", "partner_name",
        "customer_name", "contact_name", "contact_email", "product_line", "description",
    }
)  # fmt: skip
#: Theirs alone.
PULLED = frozenset({"owner"})
#: Whose emptied value is a clear: a re-opened deal has none.
CLEARED = frozenset({"actual_close_on", "won_amount", "loss_reason"})
#: Texts that may be long.
LONG = frozenset({"description", "partner_message"})
