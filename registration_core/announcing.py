"""What people outside are told, and whom: a partner of their own registration, staff of all.

What a partner is told is made from the partner's view alone, so that another party can never be in
it. The announcement is a row that is committed with what it tells of; delivering it is sync's.
"""

from __future__ import annotations

from enum import StrEnum

from registration_core.model import Registration
from registration_core.partner_view import partner_view


class Topic(StrEnum):
    """What an announcement is about."""

    SUBMITTED = "submitted"
    NEEDS_INFORMATION = "needs information"
    DECIDED = "decided"
    EXPIRING = "expiring"
    EXPIRED = "expired"
    DISPUTE = "dispute opened"
    TROUBLE = "connection trouble"


class Audience(StrEnum):
    """Whom an announcement is for."""

    PARTNER = "partner"
    #: Channel managers and operators.
    STAFF = "staff"


#: Who is told of what. That somebody contests a claim is no partner's business.
AUDIENCES: dict[Topic, tuple[Audience, ...]] = {
    Topic.SUBMITTED: (Audience.PARTNER, Audience.STAFF),
    Topic.NEEDS_INFORMATION: (Audience.PARTNER,),
    Topic.DECIDED: (Audience.PARTNER,),
    Topic.EXPIRING: (Audience.PARTNER, Audience.STAFF),
    Topic.EXPIRED: (Audience.PARTNER, Audience.STAFF),
    Topic.DISPUTE: (Audience.STAFF,),
    Topic.TROUBLE: (Audience.STAFF,),
}

#: What an action of the audit trail is announced as; every other is not.
TOPICS = {
    "submit": Topic.SUBMITTED,
    "ask for information": Topic.NEEDS_INFORMATION,
    "approve": Topic.DECIDED,
    "reject": Topic.DECIDED,
    "cancel": Topic.DECIDED,
    "reinstate": Topic.DECIDED,
    "expire": Topic.EXPIRED,
    "open dispute": Topic.DISPUTE,
    "decide dispute": Topic.DECIDED,
}


def facts(registration: Registration) -> dict[str, str]:
    """Return what may be told of a registration, to its partner too; what is not set is empty."""
    seen = partner_view(registration)
    until = seen.protected_until if registration.protection_state.standing else None
    return {
        "number": seen.number,
        "customer": seen.customer,
        "deal": seen.deal_name,
        "state": seen.state,
        "message": seen.message,
        "protected_until": str(until or ""),
    }
