"""A registration as it is typed or stands in a file, read into a `Submission`.

`COLUMNS` are the columns of `registration import` and, with dashes, the options of
`registration submit`; a program's own fields come on top under their own names.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from cli import customer
from cli.field_values import field_value
from cli.values import capitals, day, money, text
from registration_core.errors import InvalidInput
from registration_core.model import Customer
from registration_core.program import Program
from registration_core.submission import DESCRIPTION_MAX, Submission

#: Columns that every row must fill.
REQUIRED = ("partner", "customer", "country", "deal", "product", "amount", "currency", "close")
OPTIONAL = (*customer.COLUMNS, "description", "contact_name", "contact_email", "token")
COLUMNS = (*REQUIRED, *OPTIONAL)

#: What makes two rows the same registration when they carry no token.
_IDENTITY = ("partner", "customer", "country", "tax_id", "deal", "product")

#: Our names of fields where they differ from the columns'.
_COLUMN_OF = {"deal_name": "deal", "product_line": "product", "expected_close_on": "close"}

Parsed = TypeVar("Parsed")


def column_of(error: InvalidInput) -> str:
    """Return the column that a refusal is about; empty where it is about the whole row."""
    return _COLUMN_OF.get(error.field, error.field)


def stable_token(cells: Mapping[str, str]) -> str:
    """Return a row's token: its own, or a digest of what identifies the registration."""
    own = cells.get("token", "").strip()
    if own:
        return own
    parts = [
        unicodedata.normalize("NFC", cells.get(name, "")).strip().casefold() for name in _IDENTITY
    ]
    return "row-" + hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def submission(cells: Mapping[str, str], program: Program, token: str) -> Submission:
    """Read cells into a submission; `InvalidInput` names the first column that cannot be read."""

    def read(name: str, parse: Callable[[str], Parsed]) -> Parsed:
        if name in REQUIRED and not cells.get(name, "").strip():
            raise InvalidInput("It is empty.", field=name, hint="Fill it in.")
        return customer.read(cells, name, parse)

    return Submission(
        partner_code=read("partner", text),
        customer=Customer(
            name=read("customer", text),
            country=read("country", capitals),
            **customer.facts(cells),
        ),
        deal_name=read("deal", text),
        product_line=read("product", text),
        amount=read("amount", money),
        currency=read("currency", capitals),
        expected_close_on=read("close", day),
        token=token,
        description=read("description", lambda raw: text(raw, DESCRIPTION_MAX)),
        contact_name=read("contact_name", text),
        contact_email=read("contact_email", lambda raw: text(raw, 254)),
        custom={
            name: read(name, partial(field_value, known=known))
            for name, known in program.custom_fields.items()
            if cells.get(name, "").strip()
        },
    )
