"""A deal as a partner registers it, and what must hold before it is taken in. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from registration_core.contracts import Fields, FieldType, Value
from registration_core.customer_fields import SEVERAL
from registration_core.errors import InvalidInput
from registration_core.matching import Organisation
from registration_core.model import Customer, Partner
from registration_core.program import CustomField, Program

#: Longest texts that are taken, in characters.
NAME_MAX, DESCRIPTION_MAX, TOKEN_MAX = 120, 4000, 128
#: Most other names and e-mail domains of a customer. Of any more names the matcher would compare the
#: first few alone, and keys of more domains would leave no room for those of the names.
ALIASES_MAX, EMAIL_DOMAINS_MAX = 3, 5
#: Longest of the other texts; their columns hold no more.
_LONGEST = {
    "aliases": NAME_MAX, "website": 255, "email_domains": 255, "region": 120, "city": 120,
    "postcode": 32, "phone": 64, "tax_id": 64, "duns": 32, "parent": NAME_MAX,
    "contact_name": 120, "contact_email": 254,
}  # fmt: skip
#: What may be said of a customer beside its name and country.
FACTS = tuple(f.name for f in fields(Customer) if f.name not in ("name", "country"))
#: What a partner is always shown as it was given here.
REGISTERED = ("deal_name", "amount", "currency", "expected_close_on")
#: Latest expected close, from the day of the submit.
CLOSE_AHEAD_MAX = timedelta(days=5 * 366)
#: Amounts stay below this, in any currency.
AMOUNT_BELOW = Decimal("1e12")

#: One plain address, without name, quotes, comment or address literal.
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f,;:<>()\[\]\\\"]{1,64}@[\w-]+(\.[\w-]+)+")
_DOMAIN = re.compile(r"[\w-]+(\.[\w-]+)+")
_PHONE = re.compile(r"\+?[\d\s()./-]+((ext|x)\.?\s*\d{1,6})?", re.ASCII | re.IGNORECASE)
#: Control characters and halves of surrogate pairs: no CRM takes them and PostgreSQL cannot.
_NOT_TEXT = frozenset({"Cc", "Cs"})

_TYPES: Mapping[FieldType, type] = {
    FieldType.TEXT: str,
    FieldType.NUMBER: Decimal,
    FieldType.DATE: date,
    FieldType.DATETIME: datetime,
    FieldType.BOOLEAN: bool,
    FieldType.PICKLIST: str,
    FieldType.MULTI_PICKLIST: tuple,
    FieldType.REFERENCE: str,
}


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
    """Whether a text has the shape of one e-mail address, and nothing beside it."""
    return bool(_EMAIL.fullmatch(text))


def phone_end(text: str) -> str:
    """Return the last digits of a phone number, by which numbers are compared; '' if it is none."""
    return Organisation("", phone=text).phone_end if _PHONE.fullmatch(text) else ""


def in_nfc(submission: Submission) -> Submission:
    """Return the submission with every text in NFC, the one form that is kept and compared."""
    custom = {name: _nfc(value) for name, value in submission.custom.items()}
    texts: dict[str, Any] = {name: _nfc(text) for name, text in _texts(submission)}
    return replace(
        submission, **texts, customer=customer_in_nfc(submission.customer), custom=custom
    )


def customer_in_nfc(customer: Customer) -> Customer:
    """Return a customer with every text in NFC."""
    said = ((f.name, getattr(customer, f.name)) for f in fields(Customer))
    texts: dict[str, Any] = {n: tuple(map(_nfc, v)) if n in SEVERAL else _nfc(v) for n, v in said}
    return Customer(**texts)


def registered(deal: Submission) -> Fields:
    """Return what a partner is always shown as it was given here."""
    values: dict[str, Value] = {name: getattr(deal, name) for name in REGISTERED}
    return values | {"deal_name": deal.deal_name.strip()}


def require_valid(submission: Submission, program: Program, partner: Partner, today: date) -> None:
    """Raise `InvalidInput` for the first thing that is wrong, with its field and a remedy."""
    if not partner.active:
        raise InvalidInput(
            f"partner: {partner.code} is not active.",
            field="partner",
            hint="Ask your channel manager.",
        )
    for name, what, remedy in _wrong(submission, program):
        raise InvalidInput(f"{name}: {what}.", field=name, hint=remedy)
    close = submission.expected_close_on
    if not today <= close <= today + CLOSE_AHEAD_MAX:
        raise InvalidInput(
            f"expected_close_on: {close} is not between today and five years ahead.",
            field="expected_close_on",
            hint="Correct the date.",
        )


def require_readable(submission: Submission, program: Program) -> None:
    """Raise `InvalidInput` for the first thing that is wrong with a deal taken in elsewhere before.

    Its close may be past, its amount below today's minimum, and its partner gone.
    """
    for name, what, remedy in _wrong(submission, replace(program, amount_at_least=Decimal(0))):
        raise InvalidInput(f"{name}: {what}.", field=name, hint=remedy)


def wrong_deal(deal: Mapping[str, object], program: Program) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with these values of a deal, new or changed: field, what, remedy."""
    wanted = {
        "deal_name": str, "description": str, "currency": str, "amount": Decimal,
        "expected_close_on": date,
    }  # fmt: skip
    for name, value in deal.items():
        if not isinstance(value, wanted[name]) or isinstance(value, datetime):
            yield name, f"{value!r} is not a {wanted[name].__name__}", "Correct it."
        elif isinstance(value, str):
            yield from _wrong_text(name, value)
        if name == "deal_name" and not 0 < len(str(value).strip()) <= NAME_MAX:
            yield "deal_name", f"a deal name has 1 to {NAME_MAX} characters", "Name the deal."
        elif name == "description" and len(str(value)) > DESCRIPTION_MAX:
            yield "description", f"longer than {DESCRIPTION_MAX} characters", "Shorten it."
        elif name == "currency" and value not in program.currencies:
            known = ", ".join(sorted(program.currencies))
            yield "currency", f"{value!r} is not taken by {program.name}", f"One of: {known}."
        elif name == "amount" and isinstance(value, Decimal):
            yield from _wrong_amount(value, program)


def _wrong(s: Submission, program: Program) -> Iterator[tuple[str, str, str]]:
    """Yield everything that is wrong whenever it was submitted: field, what, remedy."""
    yield from wrong_customer(s.customer)
    if s.product_line not in program.product_lines:
        known = ", ".join(program.product_lines)
        yield "product_line", f"there is no product line {s.product_line!r}", f"One of: {known}."
    deal = ("deal_name", "description", "currency", "amount", "expected_close_on")
    yield from wrong_deal({name: getattr(s, name) for name in deal}, program)
    if s.contact_email and not is_email(s.contact_email):
        yield "contact_email", f"{s.contact_email!r} is not an e-mail address", "Correct it."
    if not 0 < len(s.token) <= TOKEN_MAX:
        yield "token", f"a token has 1 to {TOKEN_MAX} characters", "Choose one."
    for name, text in _texts(s):
        yield from _wrong_text(name, text)
    for custom in program.custom_fields.values():
        yield from wrong_own(custom, s.custom.get(custom.name))
    for name in sorted(set(s.custom) - set(program.custom_fields)):
        yield name, f"{program.name} has no such field", "Leave it out."


def wrong_customer(customer: Customer) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with a registration's customer: field, what, remedy."""
    if not 0 < len(customer.name.strip()) <= NAME_MAX:
        yield "customer", f"a customer's name has 1 to {NAME_MAX} characters", "Name the customer."
    if not re.fullmatch("[A-Z]{2}", customer.country):
        what = f"{customer.country!r} is not a country code"
        yield "country", what, "Use two capital letters, for example DE."
    yield from _wrong_text("customer", customer.name)
    yield from wrong_facts(customer)


def wrong_facts(customer: Customer) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with what is said of a customer beside its name and country."""
    for name in FACTS:
        for text in getattr(customer, name) if name in SEVERAL else (getattr(customer, name),):
            yield from _wrong_text(name, text)
    for name, most in (("aliases", ALIASES_MAX), ("email_domains", EMAIL_DOMAINS_MAX)):
        if len(getattr(customer, name)) > most:
            yield (
                name,
                f"{len(getattr(customer, name))} are more than {most}",
                "Keep the best known.",
            )
    if not all(alias.strip() for alias in customer.aliases):
        yield "aliases", "one is empty", "Leave it out."
    for domain in customer.email_domains:
        if not _DOMAIN.fullmatch(domain):
            what = f"{domain!r} is not a domain"
            yield "email_domains", what, "Write what follows the @, for example example.com."
    if customer.phone and not phone_end(customer.phone):
        what = f"{customer.phone!r} is not a phone number"
        yield "phone", what, "Write it like +49 40 123456."


def _wrong_text(name: str, text: str) -> Iterator[tuple[str, str, str]]:
    if len(text) > _LONGEST.get(name, len(text)):
        yield name, f"longer than {_LONGEST[name]} characters", "Shorten it."
    layout = "\t\r\n" if name == "description" else ""
    if any(unicodedata.category(c) in _NOT_TEXT and c not in layout for c in text):
        yield name, "holds a control character", "Type it again, without line breaks."


def _wrong_amount(amount: Decimal, program: Program) -> Iterator[tuple[str, str, str]]:
    money = amount.is_finite() and abs(amount) < AMOUNT_BELOW
    if not money or amount != amount.quantize(Decimal("0.01")):
        yield "amount", f"{amount} is not an amount of money", "Use at most two decimals."
    elif amount < program.amount_at_least:
        least = program.amount_at_least
        yield "amount", f"below the program's minimum of {least}", "Register larger deals only."


def wrong_own(custom: CustomField, value: Value) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with the value of a program's own field: field, what, remedy."""
    if isinstance(value, str):
        yield from _wrong_text(custom.name, value)
        if len(value) > DESCRIPTION_MAX:
            yield custom.name, f"longer than {DESCRIPTION_MAX} characters", "Shorten it."
    if value is None:
        if custom.required:
            yield custom.name, "missing", f"Give {custom.label}."
        return
    right = isinstance(value, _TYPES[custom.type])
    if isinstance(value, datetime):  # which is a date to Python
        right = custom.type is FieldType.DATETIME and value.tzinfo is not None
    if not right:
        yield custom.name, f"{value!r} is not a {custom.type.value}", f"Correct {custom.label}."
    elif custom.options is not None:
        unknown = set(value if isinstance(value, tuple) else (value,)) - set(custom.options)
        if unknown:
            yield custom.name, f"{value!r} is no option", f"One of: {', '.join(custom.options)}."


def _texts(record: Submission) -> list[tuple[str, str]]:
    values = ((f.name, getattr(record, f.name)) for f in fields(record))
    return [(name, value) for name, value in values if isinstance(value, str)]


def _nfc(value: Value) -> Any:
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value
