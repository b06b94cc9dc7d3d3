"""What a conflict check can find, what usually follows from each, and the two texts of it.

The internal text is the finding's own summary and evidence; the partner-safe one is that of the
reason code (`partner_view`). A program may change what follows, never what is found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class FindingKind(StrEnum):
    """What a conflict check can find."""

    #: A direct account that is worked at the moment, or nobody can tell.
    DIRECT_ACCOUNT = "direct_account"
    #: A direct account that nobody has worked for as long as the program says.
    DORMANT_ACCOUNT = "dormant_account"
    OPEN_OPPORTUNITY = "open_opportunity"
    #: An open opportunity that nobody has touched for as long as the program says.
    STALE_OPPORTUNITY = "stale_opportunity"
    #: The customer has bought, but not this product line as far as is known.
    EXISTING_CUSTOMER = "existing_customer"
    #: The customer has bought this product line.
    RENEWAL = "renewal"
    HOUSE_ACCOUNT = "house_account"
    NAMED_ACCOUNT = "named_account"
    DO_NOT_CALL = "do_not_call"
    EMBARGO = "embargo"
    #: The customer's parent, subsidiary or sibling is claimed in one of the ways above.
    FAMILY_CLAIM = "family_claim"
    PUBLISHED_TENDER = "published_tender"
    ACTIVE_REGISTRATION = "active_registration"
    PENDING_REGISTRATION = "pending_registration"
    SAME_PARTNER_DUPLICATE = "same_partner_duplicate"
    AMBIGUOUS_MATCH = "ambiguous_match"


class Decision(StrEnum):
    """What follows from a finding."""

    #: It is shown and holds nothing up.
    ALLOW = "allow"
    #: A person decides.
    REVIEW = "review"
    #: A strong match is rejected with the kind's reason; anything less goes to a person.
    REJECT = "reject"


class ReasonCode(StrEnum):
    """Why a registration was not approved, in words that are safe to show to a partner."""

    DUP_ACTIVE = "DUP_ACTIVE"
    DUP_SELF = "DUP_SELF"
    VENDOR_ENGAGED = "VENDOR_ENGAGED"
    EXISTING_CUSTOMER = "EXISTING_CUSTOMER"
    NOT_ELIGIBLE_ACCOUNT = "NOT_ELIGIBLE_ACCOUNT"
    COMPLIANCE = "COMPLIANCE"
    PUBLISHED_TENDER = "PUBLISHED_TENDER"
    BELOW_MINIMUM = "BELOW_MINIMUM"
    PRODUCT_NOT_ELIGIBLE = "PRODUCT_NOT_ELIGIBLE"
    TERRITORY = "TERRITORY"
    INCOMPLETE = "INCOMPLETE"
    NOT_QUALIFIED = "NOT_QUALIFIED"
    CUSTOMER_DECLINED = "CUSTOMER_DECLINED"
    PARTNER_STANDING = "PARTNER_STANDING"


@dataclass(frozen=True)
class FindingRule:
    """What follows from one kind, and the reason that a rejection for it is told with."""

    decision: Decision
    reason: ReasonCode


_R, _REVIEW = ReasonCode, Decision.REVIEW

#: What follows where a program does not say.
USUAL_RULES: Mapping[FindingKind, FindingRule] = {
    FindingKind.DIRECT_ACCOUNT: FindingRule(_REVIEW, _R.VENDOR_ENGAGED),
    FindingKind.DORMANT_ACCOUNT: FindingRule(_REVIEW, _R.VENDOR_ENGAGED),
    FindingKind.OPEN_OPPORTUNITY: FindingRule(_REVIEW, _R.VENDOR_ENGAGED),
    FindingKind.STALE_OPPORTUNITY: FindingRule(_REVIEW, _R.VENDOR_ENGAGED),
    FindingKind.EXISTING_CUSTOMER: FindingRule(_REVIEW, _R.EXISTING_CUSTOMER),
    FindingKind.RENEWAL: FindingRule(_REVIEW, _R.EXISTING_CUSTOMER),
    FindingKind.HOUSE_ACCOUNT: FindingRule(_REVIEW, _R.NOT_ELIGIBLE_ACCOUNT),
    FindingKind.NAMED_ACCOUNT: FindingRule(_REVIEW, _R.NOT_ELIGIBLE_ACCOUNT),
    FindingKind.DO_NOT_CALL: FindingRule(_REVIEW, _R.NOT_ELIGIBLE_ACCOUNT),
    FindingKind.EMBARGO: FindingRule(Decision.REJECT, _R.COMPLIANCE),
    FindingKind.FAMILY_CLAIM: FindingRule(_REVIEW, _R.NOT_ELIGIBLE_ACCOUNT),
    FindingKind.PUBLISHED_TENDER: FindingRule(_REVIEW, _R.PUBLISHED_TENDER),
    FindingKind.ACTIVE_REGISTRATION: FindingRule(_REVIEW, _R.DUP_ACTIVE),
    FindingKind.PENDING_REGISTRATION: FindingRule(_REVIEW, _R.DUP_ACTIVE),
    FindingKind.SAME_PARTNER_DUPLICATE: FindingRule(_REVIEW, _R.DUP_SELF),
    FindingKind.AMBIGUOUS_MATCH: FindingRule(_REVIEW, _R.NOT_QUALIFIED),
}

#: A person always decides on these, whatever a program says.
ALWAYS_REVIEWED = frozenset({FindingKind.DO_NOT_CALL, FindingKind.AMBIGUOUS_MATCH})
#: What contests no claim: reservations that came later than its approval never apply backwards, and
#: what its own partner registers again is settled with that registration.
NEVER_CONTESTS = frozenset(
    {FindingKind.HOUSE_ACCOUNT, FindingKind.NAMED_ACCOUNT, FindingKind.SAME_PARTNER_DUPLICATE}
)
#: What a claim becomes by nothing but time, and what it was: the weaker one is no news.
AGED: Mapping[FindingKind, FindingKind] = {
    FindingKind.DORMANT_ACCOUNT: FindingKind.DIRECT_ACCOUNT,
    FindingKind.STALE_OPPORTUNITY: FindingKind.OPEN_OPPORTUNITY,
}
