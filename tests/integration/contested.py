"""Contested submissions: processes that approve rivals at once, and what came of it."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

from registration_core.errors import AlreadyProtected
from registration_core.model import Customer, Registration
from registration_core.store import customers, repository
from registration_core.store.database import Database
from registration_core.store.tables import StoreLockRow
from tests.factories import (
    APPROVER,
    NOW,
    Clock,
    add_partners,
    approve,
    customer,
    registration,
)
from tests.integration.claims import SLOTS

#: Partners who contest one customer and product line.
RIVALS = 4
_SYLLABLES = [c + v + e for c in "bdfgklmnprstvz" for v in "aeiou" for e in ("", "n", "r", "s")]


@dataclass(frozen=True)
class Contest:
    """What came of contested submissions."""

    submissions: int
    processes: int
    protected: int
    refused: int
    #: Customers and product lines that more partners are protected for than there are slots.
    doubled: int
    seconds: float


def _typed(number: int, rival: int) -> Customer:
    """Return a customer as different partners type it: with a tax id, a website, or its name."""
    rng = random.Random(number)
    first, last = ("".join(rng.choices(_SYLLABLES, k=3)) for _ in range(2))
    name = f"{first} {last}".title()
    known = {"tax_id": f"US{number:09}", "website": f"{first}{number}.example"}
    if rival % 2:
        known.pop("website")
    return customer(name=name, **{"website": "", **known})


def submit_all(database: Database, submissions: int) -> list[Registration]:
    """Put rivals into the store in one go; what is contested is who is protected."""
    submitted = []
    add_partners(database, *(f"P{n}" for n in range(RIVALS)))
    with database.begin(APPROVER) as unit:
        partners = repository.partners(unit.session)
        for n in range(submissions):
            typed = _typed(n // RIVALS, n % RIVALS)
            line = "support" if (n // RIVALS) % 5 == 0 else "platform"
            known = f"{n:032}"
            made = registration(
                id=known, number=f"DR-{n:06}", partner_id=partners[n % RIVALS].id, customer=typed,
                customer_id=customers.resolve(unit, typed.name, ()), product_line=line,
                receipt_seq=n + 1, submitted_at=NOW,
            )  # fmt: skip
            repository.add_registration(unit.session, made, known)
            submitted.append(made)
        lock = unit.session.get_one(StoreLockRow, "protection")
        lock.receipt_seq = submissions
    return submitted


def contest(database: Database, submissions: int, processes: int) -> Contest:
    """Let processes approve every registration at once; returns what came of it."""
    submitted = submit_all(database, submissions)
    began = time.perf_counter()
    words: Counter[str] = Counter()
    forked = multiprocessing.get_context("fork")  # what is loaded need not be loaded again
    with ProcessPoolExecutor(processes, mp_context=forked) as pool:
        shares = [
            pool.submit(_approve, database.url, n, submitted[n::processes])
            for n in range(processes)
        ]
        for share in shares:
            words.update(share.result())
    seconds = time.perf_counter() - began
    return Contest(
        submissions, processes, words["protected"], words["already_protected"],
        _doubled(database), round(seconds, 1),
    )  # fmt: skip


def _doubled(database: Database) -> int:
    """Count scopes with too many partners, by what was typed and not by what was resolved."""
    with database.read() as session:
        found = repository.registrations(session, limit=10**6)
    held = Counter(
        (r.customer.tax_id, r.product_line) for r in found if r.protection_state.standing
    )
    return sum(count > SLOTS[line] for (_, line), count in held.items())


def _approve(url: str, number: int, share: Sequence[Registration]) -> Counter[str]:
    """Approve a share of the registrations, as a process of its own."""
    store = Database(url, Clock(), random.SystemRandom())
    words: Counter[str] = Counter()
    for about in share:
        try:
            with store.begin(replace(APPROVER, name=f"approver-{number}")) as unit:
                approve(unit, about)
            words["protected"] += 1
        except AlreadyProtected as refusal:
            words[refusal.code] += 1
    store.close()
    return words
