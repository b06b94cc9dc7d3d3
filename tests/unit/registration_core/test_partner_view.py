"""What a partner sees does not depend on anybody else: 10,000 cases, and a canary in every place.

Not only are the canaries missing from the text: the view is the same, character for character,
whatever others own, registered, found or typed. So nothing can leak by a count, an order or an
identifier either.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from registration_core.conflict_check import holding, rejecting
from registration_core.contracts import ConnectionName
from registration_core.findings import Decision, FindingKind, ReasonCode
from registration_core.model import (
    Band,
    DisputeState,
    Finding,
    ProtectionState,
    Registration,
    RegistrationState,
)
from registration_core.partner_view import partner_view, reason_text
from registration_core.program import Role
from tests.factories import NOW, SALESFORCE, customer, registration

CASES = 10_000
CANARY = "CANARY"
OWN = {
    "deal_name": "Avocet platform", "amount": Decimal(50000), "currency": "USD",
    "expected_close_on": registration().expected_close_on,
}  # fmt: skip


def _secret(rng: random.Random) -> str:
    return f"{CANARY}-{rng.randrange(10**12)}"


def _findings(rng: random.Random) -> list[Finding]:
    return [
        Finding(
            rng.choice(list(FindingKind)), rng.choice(list(Band)), (_secret(rng),), _secret(rng),
            ConnectionName(_secret(rng)), _secret(rng), _secret(rng), decides=_secret(rng),
            evidence={_secret(rng): _secret(rng)}, decision=rng.choice(list(Decision)),
            reason=rng.choice(list(ReasonCode)),
        )
        for _ in range(rng.randrange(5))
    ]  # fmt: skip


def _of_others(rng: random.Random, own: Registration) -> Registration:
    """Return the same registration in a world where everything of others is another."""
    return replace(
        own,
        id=_secret(rng), partner_id=_secret(rng), submitted_by=_secret(rng),
        customer_id=_secret(rng), receipt_seq=rng.randrange(1, 10**9),
        deal_name=_secret(rng), amount=Decimal(rng.randrange(10**9)), currency="CAN",
        expected_close_on=own.expected_close_on + timedelta(rng.randrange(999)),
        sales_stage=rng.choice(list(type(own.sales_stage))), description=_secret(rng),
        dispute_state=rng.choice(list(DisputeState)), version=rng.randrange(1, 999),
        converted_at=NOW + timedelta(rng.randrange(99)), won_amount=Decimal(rng.randrange(10**9)),
        loss_reason=_secret(rng), match_keys_changed_at=NOW + timedelta(rng.randrange(99)),
        roles={ConnectionName(_secret(rng)): Role.HOME}, program=_secret(rng),
        accounts={SALESFORCE: _secret(rng)}, owners={SALESFORCE: _secret(rng)},
        custom={_secret(rng): _secret(rng)}, contact_name=_secret(rng),
    )  # fmt: skip


def test_a_partner_sees_the_same_whatever_is_others_in_10_000_cases() -> None:
    rng = random.Random(20310304)
    seen = set()
    for _ in range(CASES):
        findings = _findings(rng)
        barred = rejecting(findings)
        reason = ReasonCode(barred.reason) if barred else None
        own = registration(
            number=f"DR-{rng.randrange(10**6)}",
            state=RegistrationState.REJECTED if barred else rng.choice(list(RegistrationState)),
            protection_state=rng.choice(list(ProtectionState)), registered=OWN,
            reason_code=reason.value if reason else None,
            partner_message=reason_text(reason) if reason else None,
        )  # fmt: skip
        view = partner_view(_of_others(rng, own))
        assert view == partner_view(own)
        shown = " ".join(map(str, vars(view).values()))
        assert "CAN" not in shown
        seen.add((view.state, view.message, bool(holding(findings))))
    assert len(seen) > 20, "the cases differ"


def test_a_partner_sees_its_own_values_and_not_what_a_rep_typed_in_the_crm() -> None:
    retyped = registration(
        registered=OWN, deal_name="Avocet - LOST CAUSE", amount=Decimal(1), currency="EUR"
    )
    view = partner_view(retyped)
    assert (view.deal_name, view.amount, view.currency) == (
        "Avocet platform", Decimal(50000), "USD",
    )  # fmt: skip


def test_a_partner_sees_everything_that_it_said_of_its_customer() -> None:
    said = customer(aliases=("ABL",), phone="+1 919 555 0126", parent="Heron Group", region="NC")
    assert partner_view(registration(customer=said)).described == said
