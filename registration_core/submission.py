"""A deal as a partner registers it, and what must hold before it is taken in. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from registration_core.contracts import Value
from registration_core.errors import InvalidInput
from registration_core.model import Customer, Partner
from registration_core.program import Program

#: Longest texts that are taken, in characters.
NAME_MAX, DESCRIPTION_MAX, TOKEN_MAX = 120, 4000, 128
#: Latest expected close, from the day of the submit.
CLOSE_AHEAD_MAX = timedelta(days=5 * 366)
#: Amounts stay below this, in any currency.
AMOUNT_BELOW = Decimal("1e12")

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True)
class Submission:
    """A deal as a partner registers it."""

    partner_code: str
    customer: Customer
    deal_name: str
    product_line: str
    amount: Decimal
    currency: str
    expected_close_on: date
    #: Repeating a submit with the same token gives the same registration.
    token: str
    description: str = ""
    contact_name: str = ""
    contact_email: str = ""
    custom: Mapping[str, Value] = field(default_factory=dict)


def is_email(text: str) -> bool:
    """Whether a text has the shape of an e-mail address."""
    return bool(_EMAIL.fullmatch(text))


def require_valid(submission: Submission, program: Program, partner: Partner, today: date) -> None:
    """Raise `InvalidInput` for the first thing that is wrong, with its field and a remedy."""
    if not partner.active:
        raise InvalidInput(
            f"partner: {partner.code} is not active.",
            field="partner",
            hint="Ask your channel manager.",
        )
    for name, what, remedy in _wrong(submission, program, today):
        raise InvalidInput(f"{name}: {what}.", field=name, hint=remedy)


def _wrong(s: Submission, program: Program, today: date) -> Iterator[tuple[str, str, str]]:
    """Yield everything that is wrong: field, what, remedy."""
    yield from _wrong_customer(s.customer)
    if not 0 < len(s.deal_name.strip()) <= NAME_MAX:
        yield "deal_name", f"a deal name has 1 to {NAME_MAX} characters", "Name the deal."
    if s.product_line not in program.product_lines:
        known = ", ".join(program.product_lines)
        yield "product_line", f"there is no product line {s.product_line!r}", f"One of: {known}."
    if s.currency not in program.currencies:
        known = ", ".join(sorted(program.currencies))
        yield "currency", f"{s.currency!r} is not taken by {program.name}", f"One of: {known}."
    yield from _wrong_amount(s.amount, program)
    if not today <= s.expected_close_on <= today + CLOSE_AHEAD_MAX:
        what = f"{s.expected_close_on} is not between today and five years ahead"
        yield "expected_close_on", what, "Correct the date."
    if len(s.description) > DESCRIPTION_MAX:
        yield "description", f"longer than {DESCRIPTION_MAX} characters", "Shorten it."
    if s.contact_email and not is_email(s.contact_email):
        yield "contact_email", f"{s.contact_email!r} is not an e-mail address", "Correct it."
    if not 0 < len(s.token) <= TOKEN_MAX:
        yield "token", f"a token has 1 to {TOKEN_MAX} characters", "Choose one."
    for custom in program.custom_fields.values():
        if custom.required and s.custom.get(custom.name) is None:
            yield custom.name, "missing", f"Give {custom.label}."
    for name in sorted(set(s.custom) - set(program.custom_fields)):
        yield name, f"{program.name} has no such field", "Leave it out."


def _wrong_customer(customer: Customer) -> Iterator[tuple[str, str, str]]:
    if not 0 < len(customer.name.strip()) <= NAME_MAX:
        yield "customer", f"a customer's name has 1 to {NAME_MAX} characters", "Name the customer."
    if not re.fullmatch("[A-Z]{2}", customer.country):
        what = f"{customer.country!r} is not a country code"
        yield "country", what, "Use two capital letters, for example DE."


def _wrong_amount(amount: Decimal, program: Program) -> Iterator[tuple[str, str, str]]:
    money = amount.is_finite() and abs(amount) < AMOUNT_BELOW
    if not money or amount != amount.quantize(Decimal("0.01")):
        yield "amount", f"{amount} is not an amount of money", "Use at most two decimals."
    elif amount < program.amount_at_least:
        least = program.amount_at_least
        yield "amount", f"below the program's minimum of {least}", "Register larger deals only."
