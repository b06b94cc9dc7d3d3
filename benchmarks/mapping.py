"""How fast mappings load and translate; prints one JSON line.

`load_ms_300_fields`: reading and checking a file of 300 rows, on one core, the best of several.
`translations_per_second`: registrations turned into Salesforce fields by the shipped mapping, one
way, on one core, the best of several.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import date
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from mapping.loader import load
from mapping.translate import to_crm
from registration_core import fields
from registration_core.contracts import Fields, FieldType
from registration_core.fields import CanonicalField, FieldGroup, members

ROWS = 300
ROUNDS = 7
TRANSLATIONS = 2_000
SHIPPED = Path(__file__).parents[1] / "config" / "mappings" / "salesforce.yaml"
DEAL: Fields = {
    "registration_number": "DR-7K2M-94QX",
    "registration_state": "approved",
    "reason_code": None,
    "protection_state": "active",
    "protection_starts_on": date(2026, 3, 1),
    "protection_ends_on": date(2026, 5, 30),
    "partner_name": "Alder Systems",
    "deal_name": "Cold chain roll-out",
    "owner": None,
    "sales_stage": "proposing",
    "amount": Decimal("125000.00"),
    "currency": "USD",
    "expected_close_on": date(2026, 9, 30),
    "account": "0015g00000XyZ12AAB",
    "description": "Refrigerated warehouses",
}


def groups(own: tuple[str, ...] = ()) -> dict[str, tuple[str, ...]]:
    """Our fields by group, with some of a program's own."""
    known = {group.value: members(group) for group in FieldGroup}
    return known | {"details": (*known["details"], *own)}


def load_ms() -> float:
    """Milliseconds of one core to read a mapping of 300 rows, the shipped ones among them."""
    text = SHIPPED.read_text(encoding="utf-8")
    own_rows = ROWS - text.count("ours: ")
    kinds = (FieldType.TEXT, FieldType.NUMBER, FieldType.DATE)
    hows = ("{text: {max: 80}}", "{number: {scale: 2}}", "date")
    own = [
        CanonicalField(f"own_{n}", kinds[n % 3], FieldGroup.DETAILS, f"Own {n}")
        for n in range(own_rows)
    ]
    rows = [
        f"        - {{ours: own_{n}, theirs: Own_{n}__c, direction: push, transform: {hows[n % 3]}}}"
        for n in range(own_rows)
    ]
    mark = "      details:\n"
    text = text.replace(mark, mark + "\n".join(rows) + "\n", 1)
    ours, by_group = fields.schema(own), groups(tuple(field.name for field in own))
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        load(text, "salesforce.yaml", ours, by_group)
        best = min(best, time.process_time() - began)
    return best * 1000


def translations_per_second() -> float:
    """Registrations translated in a second of one core."""
    text = SHIPPED.read_text(encoding="utf-8")
    home = load(text, "salesforce.yaml", fields.schema(), groups()).objects["home"]
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(TRANSLATIONS):
            to_crm(home, DEAL, creating=False)
        best = min(best, time.process_time() - began)
    return TRANSLATIONS / best


if __name__ == "__main__":
    measured = {
        "load_ms_300_fields": round(load_ms(), 1),
        "translations_per_second": round(translations_per_second()),
    }
    print(json.dumps(measured))
