"""Builders of the deal's values: whole and valid, so that a test names only what it is about."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from config.authority import DEFAULT_AUTHORITY
from registration_core import use_cases
from registration_core.contracts import ConnectionName
from registration_core.fields import SalesStage
from registration_core.matching import MATCHER_VERSION
from registration_core.model import (
    Account,
    Actor,
    ConflictCheck,
    Customer,
    DisputeState,
    Finding,
    Partner,
    ProtectionState,
    Reading,
    Registration,
    RegistrationState,
)
from registration_core.program import (
    Exclusivity,
    HomeRule,
    ListKind,
    ListTerms,
    LowRiskRule,
    ProductLine,
    Program,
)
from registration_core.store import repository
from registration_core.store.database import Database, UnitOfWork
from registration_core.submission import Submission

SALESFORCE, DYNAMICS, HUBSPOT = CONNECTIONS = tuple(
    ConnectionName(name) for name in ("salesforce", "dynamics", "hubspot")
)
T = TypeVar("T")

NOW = datetime(2031, 3, 4, 9, 30, tzinfo=UTC)
#: Somebody who may decide and has submitted nothing.
APPROVER = Actor(name="anna")
#: Who submits for partners.
SUBMITTER = Actor(name="sam")


@dataclass
class Clock:
    """A clock that stands still until a test moves it."""

    now: datetime = field(default=NOW)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **delta: float) -> None:
        """Move the time on, for example by `days=1`."""
        self.now += timedelta(**delta)


def program(**changes: Any) -> Program:
    """A program with an exclusive, a shared (2) and an open product line."""
    values: dict[str, Any] = {
        "name": "default",
        "version": "v1",
        "homes": (HomeRule(DYNAMICS, frozenset({"DE"})), HomeRule(SALESFORCE)),
        "mirrors": CONNECTIONS,
        "check_only": (),
        "required_connections": CONNECTIONS,
        "freshness_seconds": dict.fromkeys(CONNECTIONS, 900),
        "product_lines": {
            "platform": ProductLine("platform", "Platform", Exclusivity.EXCLUSIVE, 1),
            "support": ProductLine("support", "Support", Exclusivity.SHARED, 2),
            "training": ProductLine("training", "Training", Exclusivity.OPEN, 0),
        },
        "lists": (),
        "list_terms": {
            ListKind.HOUSE: ListTerms("house-desk"),
            ListKind.DO_NOT_CALL: ListTerms("compliance-desk"),
        },
        "protection_days": 90,
        "currencies": frozenset({"USD", "EUR"}),
        "amount_at_least": Decimal(5000),
        "low_risk": LowRiskRule(Decimal(100000), "USD", frozenset({"gold"})),
        "authority": DEFAULT_AUTHORITY,
    }
    return Program(**{**values, **changes})


def partner(**changes: Any) -> Partner:
    """An active gold partner."""
    values: dict[str, Any] = {
        "id": "partner-1", "code": "P1", "name": "Plover Partners", "tier": "gold", "email": "",
        "active": True, "created_at": NOW,
    }  # fmt: skip
    return Partner(**{**values, **changes})


def customer(**changes: Any) -> Customer:
    """A customer with a domain and no identifiers."""
    values: dict[str, Any] = {
        "name": "Avocet Biosciences Inc.",
        "country": "US",
        "website": "avocet.example",
    }
    return Customer(**{**values, **changes})


def submission(**changes: Any) -> Submission:
    """A deal that every rule of `program()` takes."""
    values: dict[str, Any] = {
        "partner_code": "P1", "customer": customer(), "deal_name": "Avocet platform",
        "product_line": "platform", "amount": Decimal(50000), "currency": "USD",
        "expected_close_on": date(2031, 9, 30), "token": "token-1",
    }  # fmt: skip
    return Submission(**{**values, **changes})


def registration(**changes: Any) -> Registration:
    """A submitted registration, as a value."""
    values: dict[str, Any] = {
        "id": "registration-1", "number": "DR-2345-6789", "program": "default",
        "partner_id": "partner-1", "submitted_by": SUBMITTER.name, "customer": customer(),
        "customer_id": "customer-1", "deal_name": "Avocet platform", "product_line": "platform",
        "amount": Decimal(50000), "currency": "USD", "expected_close_on": date(2031, 9, 30),
        "description": "", "state": RegistrationState.SUBMITTED,
        "sales_stage": SalesStage.QUALIFYING, "protection_state": ProtectionState.NONE,
        "dispute_state": DisputeState.NONE, "submitted_at": NOW, "receipt_seq": 10,
        "match_keys_changed_at": NOW, "created_at": NOW, "updated_at": NOW, "version": 1,
        "roles": program().roles_for("US"),
    }  # fmt: skip
    return Registration(**{**values, **changes})


def account(**changes: Any) -> Account:
    """A Salesforce account of the customer, on no list."""
    values: dict[str, Any] = {
        "connection": SALESFORCE, "object": "Account", "record_id": "001A",
        "name": "Avocet Biosciences Inc.", "country": "US", "city": "", "domain": "avocet.example",
        "tax_id": "", "duns": "", "owner": "005R", "lists": frozenset(), "read_at": NOW,
    }  # fmt: skip
    return Account(**{**values, **changes})


def check(
    about: Registration, findings: Iterable[Finding] = (), at: datetime = NOW, **changes: Any
) -> ConflictCheck:
    """A complete check of a registration that every required connection answered at `at`."""
    values: dict[str, Any] = {
        "id": f"check-{about.number}", "registration_id": about.id, "began_at": at,
        "finished_at": at, "policy_version": "v1", "matcher_version": MATCHER_VERSION, "lists_seen": 0,
        "readings": tuple(Reading(name, True, at) for name in CONNECTIONS),
        "findings": tuple(findings),
    }  # fmt: skip
    return ConflictCheck(**{**values, **changes})


def add_partners(database: Database, *codes: str) -> None:
    """Add a gold partner for each code."""
    with database.begin() as unit:
        for code in codes:
            use_cases.add_partner(unit, code=code, name=f"Partner {code}", tier="gold", email="")


def submit(database: Database, partner_code: str = "P1", **changes: Any) -> Registration:
    """Submit a deal; partner, customer and line tell two submits apart where no token does."""
    wanted = submission(partner_code=partner_code, **changes)
    if "token" not in changes:
        token = f"{partner_code} {wanted.product_line} {wanted.customer}"[:128]
        wanted = submission(partner_code=partner_code, token=token, **changes)
    with database.begin(SUBMITTER) as unit:
        made, _ = use_cases.submit(unit, wanted, program())
    return made


def approve(
    unit: UnitOfWork,
    about: Registration,
    findings: Iterable[Finding] = (),
    rules: Program | None = None,
    **changes: Any,
) -> Registration:
    """Approve on a check that was made just now."""
    answered = check(about, findings, unit.now, **changes)
    return use_cases.approve(unit, about.id, answered, rules or program())


def approved(database: Database, partner_code: str = "P1", **changes: Any) -> Registration:
    """Submit and approve a deal."""
    made = submit(database, partner_code, **changes)
    with database.begin(APPROVER) as unit:
        return approve(unit, made)


def at_once(count: int, work: Callable[[int], T]) -> tuple[list[T], list[Exception]]:
    """Run `work(n)` in that many threads at once; returns what they returned and what they raised."""
    start = threading.Barrier(count)
    results: list[T] = []
    errors: list[Exception] = []

    def run(worker: int) -> None:
        start.wait(30)
        try:
            results.append(work(worker))
        except Exception as error:  # noqa: BLE001 - handed to the test
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results, errors


def stored(database: Database, about: Registration) -> Registration:
    """Return a registration as the store holds it now."""
    with database.read() as session:
        return repository.registration(session, about.id)
