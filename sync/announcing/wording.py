"""What an announcement says, by topic and audience; every word of it is fixed or a fact."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

from registration_core.announcing import Audience, Topic

_PARTNER = {
    Topic.SUBMITTED: (
        "$number: received",
        "We have received your registration of $deal for $customer. Its number is $number.",
    ),
    Topic.NEEDS_INFORMATION: (
        "$number: we need more information",
        "About your registration of $deal for $customer:\n\n$message",
    ),
    Topic.DECIDED: (
        "$number: $state",
        "Your registration of $deal for $customer: $state.\n\n$message$protection",
    ),
    Topic.EXPIRING: (
        "$number: protected until $protected_until",
        (
            "Your protection for $deal at $customer ends on $protected_until. "
            "Ask your channel manager if you need longer."
        ),
    ),
    Topic.EXPIRED: (
        "$number: no longer protected",
        "Your protection for $deal at $customer has ended. The deal itself stays as it is.",
    ),
}
_STAFF = {
    Topic.SUBMITTED: ("$number submitted", "$deal for $customer was submitted as $number."),
    Topic.EXPIRING: (
        "$number: protected until $protected_until",
        (
            "The protection of $number ($deal for $customer) ends on $protected_until.\n\n"
            "Extend it: dealreg protection extend $number"
        ),
    ),
    Topic.EXPIRED: (
        "$number: no longer protected",
        "The protection of $number ($deal for $customer) has ended. The deal stays as it is.",
    ),
    Topic.DISPUTE: (
        "$number is disputed",
        (
            "Somebody contests the protection of $number ($deal for $customer).\n\n"
            "Look at it: dealreg dispute show $number"
        ),
    ),
    Topic.TROUBLE: (
        "$connection does not work",
        "$connection fails again and again: $reason\n\nLook at it: dealreg connection check $connection",
    ),
}
_TEXTS = {Audience.PARTNER: _PARTNER, Audience.STAFF: _STAFF}


def worded(topic: Topic, audience: Audience, facts: Mapping[str, str]) -> tuple[str, str]:
    """Return subject and text. The subject is one line, whatever the facts hold."""
    subject, text = _TEXTS[audience][topic]
    until = facts.get("protected_until")
    facts = {**facts, "protection": f"It is protected until {until}." if until else ""}
    line = " ".join(Template(subject).substitute(facts).split())
    return line, Template(text).substitute(facts).strip()
