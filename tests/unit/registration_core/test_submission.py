"""What a partner may register: every wrong field is named, with a remedy."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_core.contracts import FieldType
from registration_core.errors import InvalidInput
from registration_core.model import Customer
from registration_core.program import CustomField
from registration_core.submission import in_nfc, is_email, require_valid
from tests.factories import NOW, customer, partner, program, submission

TODAY = NOW.date()
RULES = program(
    custom_fields={
        "seats": CustomField("seats", FieldType.NUMBER, "Seats", required=True),
        "segment": CustomField("segment", FieldType.PICKLIST, "Segment", options=("smb", "large")),
        "regions": CustomField(
            "regions", FieldType.MULTI_PICKLIST, "Regions", options=("emea", "apac")
        ),
        "start": CustomField("start", FieldType.DATE, "Start"),
        "seen": CustomField("seen", FieldType.DATETIME, "Seen"),
        "renewal": CustomField("renewal", FieldType.BOOLEAN, "Renewal"),
        "memo": CustomField("memo", FieldType.TEXT, "Memo"),
    }
)
SEATS = {"seats": Decimal(10)}


def _refusal(**changes: Any) -> InvalidInput:
    values = {"custom": SEATS, **changes}
    with pytest.raises(InvalidInput) as refused:
        require_valid(submission(**values), RULES, partner(), TODAY)
    return refused.value


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"amount": Decimal(5000)},
        {"amount": Decimal("999999999999.99")},
        {"amount": Decimal("5E+3")},
        {"deal_name": "x" * 120},
        {"expected_close_on": TODAY},
        {"expected_close_on": date(2036, 3, 5)},
        {"description": "First line.\r\n\tSecond line."},
        {"contact_email": "ivy.smith@avocet.example"},
        {"customer": customer(aliases=("Avocet", "ABL", "x" * 120))},
        {"customer": customer(email_domains=tuple(f"{n}.avocet.example" for n in range(5)))},
        {"customer": customer(phone="+1 (919) 555-0126 ext. 12", postcode="27701", region="NC")},
        {"customer": customer(parent="Heron Group", phone="040/123-456.7 x89")},
        {"custom": SEATS | {"segment": "smb", "regions": ("apac", "emea"), "start": TODAY}},
        {"custom": SEATS | {"seen": NOW, "renewal": False, "memo": None}},
    ],
)
def test_a_deal_within_the_rules_is_taken(changes: dict[str, Any]) -> None:
    require_valid(submission(**{"custom": SEATS, **changes}), RULES, partner(), TODAY)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"customer": customer(name=" ")}, "customer"),
        ({"customer": customer(name="x" * 121)}, "customer"),
        ({"customer": customer(name="Avocet\x00")}, "customer"),
        ({"customer": customer(country="")}, "country"),
        ({"customer": customer(country="us")}, "country"),
        ({"customer": customer(country="USA")}, "country"),
        ({"customer": customer(country="US\n")}, "country"),
        ({"customer": customer(website="x" * 256)}, "website"),
        ({"customer": customer(tax_id="9" * 65)}, "tax_id"),
        ({"customer": customer(duns="9" * 33)}, "duns"),
        ({"customer": customer(city="\ud800")}, "city"),
        ({"customer": customer(region="x" * 121)}, "region"),
        ({"customer": customer(postcode="x" * 33)}, "postcode"),
        ({"customer": customer(aliases=("A", "B", "C", "D"))}, "aliases"),
        ({"customer": customer(aliases=("x" * 121,))}, "aliases"),
        ({"customer": customer(aliases=("Avocet", " "))}, "aliases"),
        ({"customer": customer(aliases=("two\nlines",))}, "aliases"),
        ({"customer": customer(email_domains=("avocet",))}, "email_domains"),
        ({"customer": customer(email_domains=("ivy@avocet.example",))}, "email_domains"),
        (
            {"customer": customer(email_domains=tuple(f"a{n}.example" for n in range(6)))},
            "email_domains",
        ),
        ({"customer": customer(email_domains=("x" * 250 + ".example",))}, "email_domains"),
        ({"customer": customer(phone="12345")}, "phone"),
        ({"customer": customer(phone="ask Ivy 919 555 0126")}, "phone"),
        ({"customer": customer(phone="9" * 65)}, "phone"),
        ({"customer": customer(parent="x" * 121)}, "parent"),
        ({"deal_name": ""}, "deal_name"),
        ({"deal_name": "  "}, "deal_name"),
        ({"deal_name": "x" * 121}, "deal_name"),
        ({"deal_name": "two\nlines"}, "deal_name"),
        ({"product_line": "hardware"}, "product_line"),
        ({"currency": "XXX"}, "currency"),
        ({"currency": "usd"}, "currency"),
        ({"amount": Decimal("4999.99")}, "amount"),
        ({"amount": Decimal(-50000)}, "amount"),
        ({"amount": Decimal("50000.001")}, "amount"),
        ({"amount": Decimal("1e12")}, "amount"),
        ({"amount": Decimal("NaN")}, "amount"),
        ({"amount": Decimal("Infinity")}, "amount"),
        ({"amount": 50000.0}, "amount"),
        ({"expected_close_on": date(2031, 3, 3)}, "expected_close_on"),
        ({"expected_close_on": date(2036, 3, 10)}, "expected_close_on"),
        ({"expected_close_on": NOW}, "expected_close_on"),
        ({"description": "x" * 4001}, "description"),
        ({"description": "a\x00b"}, "description"),
        ({"contact_name": "x" * 121}, "contact_name"),
        ({"contact_email": "ivy at avocet"}, "contact_email"),
        ({"contact_email": "ivy@" + "x" * 250 + ".example"}, "contact_email"),
        ({"token": ""}, "token"),
        ({"token": "x" * 129}, "token"),
        ({"custom": {}}, "seats"),
        ({"custom": {"seats": "ten"}}, "seats"),
        ({"custom": SEATS | {"segment": "huge"}}, "segment"),
        ({"custom": SEATS | {"regions": ("emea", "mars")}}, "regions"),
        ({"custom": SEATS | {"start": NOW}}, "start"),
        ({"custom": SEATS | {"seen": datetime(2031, 3, 4)}}, "seen"),  # noqa: DTZ001 - naive is the point
        ({"custom": SEATS | {"seen": TODAY}}, "seen"),
        ({"custom": SEATS | {"memo": "\x07"}}, "memo"),
        ({"custom": SEATS | {"unknown": "x"}}, "unknown"),
    ],
)
def test_a_wrong_field_is_named_with_a_remedy(changes: dict[str, Any], field: str) -> None:
    refusal = _refusal(**changes)
    assert refusal.field == field
    assert refusal.message.startswith(f"{field}: ")
    assert refusal.hint


def test_a_partner_who_is_not_active_registers_nothing() -> None:
    with pytest.raises(InvalidInput) as refused:
        require_valid(submission(), program(), partner(active=False), TODAY)
    assert (refused.value.field, "P1" in refused.value.message) == ("partner", True)


@given(st.text(max_size=20))
def test_every_text_is_kept_in_its_composed_form(text: str) -> None:
    typed = submission(
        deal_name=text, contact_name=text,
        customer=Customer(name=text, country="US", city=text, aliases=(text,), phone=text),
        custom={"memo": text, "seats": Decimal(1), "seen": datetime(2031, 1, 1, tzinfo=UTC)},
    )  # fmt: skip
    kept, nfc = in_nfc(typed), unicodedata.normalize("NFC", text)
    assert (kept.deal_name, kept.contact_name, kept.custom["memo"]) == (nfc, nfc, nfc)
    assert kept.customer == Customer(name=nfc, country="US", city=nfc, aliases=(nfc,), phone=nfc)
    assert replace(kept, deal_name=text, contact_name=text) == replace(
        typed, customer=kept.customer, custom=kept.custom
    )


@given(st.from_regex(r"[^@\s]{1,8}@[^@\s]{1,8}\.[^@\s]{1,4}", fullmatch=True).filter(is_email))
def test_an_address_that_is_accepted_can_be_written_to(address: str) -> None:
    mail = EmailMessage()
    mail["To"] = address
    assert [each.addr_spec for each in mail["To"].addresses] == [address]


@pytest.mark.parametrize(
    "wrong", ["a@[x.de", "a,b@x.de", "a b@x.de", '"a@x.de', "a@x..de", "<a@x.de>"]
)
def test_what_no_mail_can_be_written_to_is_no_address(wrong: str) -> None:
    assert not is_email(wrong)
