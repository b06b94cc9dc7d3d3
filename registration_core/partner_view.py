"""What a partner may see of a registration: their own data, a reason, and a next step.

Never another party's name, dates, scope, price, owner, list or score. Built from the
partner's own fields and fixed texts alone, so that nothing internal can slip through.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from registration_core.findings import ReasonCode
from registration_core.model import Customer, Registration, RegistrationState

#: What is said for each reason: why, and what to do next.
REASONS: dict[ReasonCode, str] = {
    ReasonCode.DUP_ACTIVE: "This customer is already registered for this product. "
    "Ask your channel manager about the waiting list.",
    ReasonCode.DUP_SELF: "You registered this deal before. Continue with your earlier registration.",
    ReasonCode.VENDOR_ENGAGED: "We are already engaged with this customer. "
    "Ask your channel manager about working on it together.",
    ReasonCode.EXISTING_CUSTOMER: "This is an existing customer. Register the deal as an upsell.",
    ReasonCode.NOT_ELIGIBLE_ACCOUNT: "This account is not eligible for registration. "
    "Your channel manager can tell you which accounts are.",
    ReasonCode.COMPLIANCE: "This registration cannot be processed. Contact your channel manager.",
    ReasonCode.PUBLISHED_TENDER: "Deals that follow a published tender are not registered. "
    "Ask your channel manager how to take part.",
    ReasonCode.BELOW_MINIMUM: "The deal is below the program's minimum. Register it again when it has grown.",
    ReasonCode.PRODUCT_NOT_ELIGIBLE: "This product is not part of the program. Choose another product.",
    ReasonCode.TERRITORY: "The customer is outside your territory. Ask your channel manager for a partner there.",
    ReasonCode.INCOMPLETE: "The registration lacks information. Complete it and submit it again.",
    ReasonCode.NOT_QUALIFIED: "The opportunity is not qualified yet. Submit it again with dated evidence.",
    ReasonCode.CUSTOMER_DECLINED: "The customer does not want to be contacted about this deal.",
    ReasonCode.PARTNER_STANDING: "Your program membership does not allow this. Contact your channel manager.",
}

_STATES = {
    RegistrationState.SUBMITTED: "Received, being checked",
    RegistrationState.UNDER_REVIEW: "Under review",
    RegistrationState.MORE_INFO_NEEDED: "We need more information from you",
    RegistrationState.APPROVED: "Approved",
    RegistrationState.REJECTED: "Not approved",
    RegistrationState.WITHDRAWN: "Withdrawn",
    RegistrationState.EXPIRED: "Expired",
    RegistrationState.CANCELLED: "Cancelled",
    RegistrationState.CLOSED_WON: "Won",
    RegistrationState.CLOSED_LOST: "Lost",
}


@dataclass(frozen=True)
class PartnerView:
    """A registration as its own partner sees it."""

    number: str
    customer: str
    #: Everything that the partner said of the customer.
    described: Customer
    deal_name: str
    product_line: str
    amount: Decimal
    currency: str
    state: str
    message: str
    protected_from: date | None
    protected_until: date | None


def reason_text(code: ReasonCode) -> str:
    """Return the partner-safe text of a reason."""
    return REASONS[code]


def partner_view(registration: Registration) -> PartnerView:
    """Return what the partner of this registration may see of it.

    The deal is shown as it was registered: how a user of a CRM names and values it is not theirs.
    """

    def own(name: str) -> object:
        return registration.registered.get(name, getattr(registration, name))

    return PartnerView(
        number=registration.number,
        customer=registration.customer.name,
        described=registration.customer,
        deal_name=str(own("deal_name")),
        product_line=registration.product_line,
        amount=Decimal(str(own("amount"))),
        currency=str(own("currency")),
        state=_STATES[registration.state],
        message=registration.partner_message or "",
        protected_from=registration.protection_starts_on,
        protected_until=registration.protection_ends_on,
    )
