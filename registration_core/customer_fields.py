"""A customer as fields that a mapping may name, and back; what is several is one text. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields

from registration_core.contracts import Fields, Value
from registration_core.model import Customer

#: Which of what is said of a customer is several.
SEVERAL = frozenset({"aliases", "email_domains"})
_PREFIX = "customer_"
_BETWEEN = re.compile(r"[;\r\n]")


def fields_of(customer: Customer) -> Fields:
    """Return everything that is said of a customer as canonical fields; empty is None."""
    said = {f.name: getattr(customer, f.name) for f in fields(Customer)}
    return {
        _PREFIX + name: (joined(value) if name in SEVERAL else value) or None
        for name, value in said.items()
    }


def customer_of(told: Mapping[str, Value]) -> Customer:
    """Return the customer that canonical fields tell of; what they lack is empty."""
    texts = {f.name: str(told.get(_PREFIX + f.name) or "") for f in fields(Customer)}
    said = {name: several(text) if name in SEVERAL else text for name, text in texts.items()}
    return Customer(**said)  # type: ignore[arg-type]  # `SEVERAL` are the tuples


def joined(several_texts: Iterable[str]) -> str:
    """Write several texts as one, with semicolons between."""
    return "; ".join(several_texts)


def several(text: str) -> tuple[str, ...]:
    """Read texts with semicolons or lines between, each once; blanks are none."""
    return tuple(dict.fromkeys(filter(None, (part.strip() for part in _BETWEEN.split(text)))))
