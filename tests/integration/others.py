"""Deals of two partners, what becomes of them, and what others have and do around them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from string import ascii_lowercase

from registration_core import disputing, use_cases
from registration_core.findings import FindingKind, ReasonCode
from registration_core.model import (
    Account,
    Actor,
    Band,
    Customer,
    Finding,
    ListEntry,
    ListWords,
    Registration,
)
from registration_core.program import ListKind
from registration_core.store import account_lists, repository
from registration_core.store.database import UnitOfWork
from sync.accounts import directory
from tests import factories
from tests.factories import SALESFORCE, check, program
from tests.world import START, World

CANARY = "CANARY"
#: The partners whose doors are held against what others have.
PARTNERS = ("P1", "P2")
FATES = ("none", "review", "reject", "ask", "answer", "approve", "extend", "suspend", "cancel",
         "withdraw")  # fmt: skip
#: What is typed wrong in some rows of the file, by column.
SLIPS = {
    "currency": "ZZZ", "product": "nothing", "close": "2020-01-01", "country": "Germany",
    "amount": "12", "partner": "nobody",
}  # fmt: skip
HEAD = "partner,customer,country,tax_id,deal,product,amount,currency,close"


@dataclass(frozen=True)
class Case:
    """One deal of a partner and what becomes of it, whatever others have."""

    no: int
    partner: str
    customer: str
    tax_id: str
    fate: str
    reason: ReasonCode
    slip: str

    def row(self) -> str:
        """Return its line of the file."""
        cells = {
            "partner": self.partner, "customer": self.customer, "country": "US",
            "tax_id": self.tax_id, "deal": f"Deal {self.no}", "product": "support",
            "amount": f"{6000 + self.no}", "currency": "USD", "close": "2026-09-30",
        }  # fmt: skip
        if self.slip:
            cells[self.slip] = SLIPS[self.slip]
        return ",".join(cells[name] for name in HEAD.split(","))


def draw(count: int) -> list[Case]:
    """Draw cases; the first ones have every fate and every slip."""
    rng = random.Random(20310304)
    made = []
    for no in range(count):
        name = "".join(rng.choices(ascii_lowercase, k=12)).title()
        made.append(
            Case(
                no, rng.choice(PARTNERS), f"{name} Inc.",
                f"84-{no:06}", FATES[no] if no < len(FATES) else rng.choice(FATES),
                rng.choice(list(ReasonCode)),
                rng.choice(list(SLIPS)) if no >= len(FATES) and rng.random() < 0.1 else "",
            )
        )  # fmt: skip
    return made


def secret(what: str, case: Case | None = None) -> str:
    """Return a text that is others' own."""
    return f"{CANARY}-{what}-{case.no if case else ''}"


def plant(world: World, cases: Sequence[Case]) -> list[str]:
    """Give others a claim of every kind on the cases' customers; returns their numbers."""
    numbers = []
    with world.database.begin(Actor(secret("actor"), host=secret("host"))) as unit:
        use_cases.add_partner(
            unit, code=secret("code"), name=secret("partner"), tier=secret("tier"), email=""
        )
        for case in cases:
            made, _ = use_cases.submit(
                unit,
                factories.submission(
                    partner_code=secret("code"), token=f"{case.no}", product_line="support",
                    customer=Customer(secret(case.customer[::-1]), "US", tax_id=case.tax_id),
                    deal_name=secret("deal", case), description=secret("description", case),
                    amount=Decimal(87654321), expected_close_on=START.date(),
                ),
                program(),
            )  # fmt: skip
            numbers.append(made.number)
        directory.take(unit, SALESFORCE, [_account(world, case) for case in cases], ())
        entries = [_entry(world, case) for case in cases if case.no % 3 == 0]
        account_lists.bring(unit, ListKind.NAMED, entries, secret("file"))
    with world.database.begin(Actor(secret("approver"))) as unit:
        for case, number in zip(cases, numbers, strict=True):
            if case.no % 2:
                factories.approve(
                    unit, repository.registration(unit.session, number),
                    lists_seen=account_lists.state(unit.session),
                )  # fmt: skip
    return numbers


def _account(world: World, case: Case) -> Account:
    return Account(
        connection=SALESFORCE, object="Account", record_id=secret("account", case),
        name=secret("account", case), country="US", city=secret("city"), domain="",
        tax_id=case.tax_id, duns="", owner=secret("owner"), read_at=START,
        lists=frozenset({ListKind.HOUSE, ListKind.DIRECT}),
        list_words=(ListWords(ListKind.HOUSE, secret("desk"), secret("reason", case)),),
    )  # fmt: skip


def _entry(world: World, case: Case) -> ListEntry:
    customer = Customer(secret("listed", case), "US", tax_id=case.tax_id)
    return ListEntry(
        "", ListKind.NAMED, customer, secret("desk"), secret("why"), START.date(), None, 0
    )


def disturb(unit: UnitOfWork, case: Case, held: Registration) -> Registration:
    """Let others do to a registration what its partner is not told of; returns it as it is then."""
    findings = [
        Finding(
            kind, Band.REVIEW, (secret("key"),), secret("summary", case), SALESFORCE,
            secret("record"), secret("registration"), decides="",
            evidence={"owner": secret("owner"), "list": secret("list")},
        )
        for kind in FindingKind
    ]  # fmt: skip
    found = check(held, findings, unit.now, id=secret("check", case))
    repository.add_check(unit.session, found)
    if held.protection_state.standing:
        held = disputing.open_dispute(
            unit, repository.registration(unit.session, held.id, lock=True), secret("dispute")
        )
    typed_by_a_rep = replace(
        repository.registration(unit.session, held.id, lock=True),
        deal_name=secret("rep", case), amount=Decimal(87654321), description=secret("notes"),
        loss_reason=secret("loss"), owners={SALESFORCE: secret("owner")},
        accounts={SALESFORCE: secret("account")}, contact_name=secret("contact"),
    )  # fmt: skip
    return repository.save(unit.session, typed_by_a_rep, unit.now)
