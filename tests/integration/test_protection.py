"""Nobody is protected twice: threads, processes, kills, random scopes, and the index behind it."""

from __future__ import annotations

import contextlib
import itertools
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from registration_core import protecting, use_cases
from registration_core.errors import AlreadyProtected, DomainRefusal, InvalidTransition
from registration_core.matching import MatchKey
from registration_core.model import (
    Customer,
    ProtectionState,
    Registration,
    RegistrationState,
)
from registration_core.store import customers, protection, repository
from registration_core.store.database import Database
from registration_core.store.tables import ClaimRow
from tests.factories import (
    APPROVER,
    NOW,
    SUBMITTER,
    add_partners,
    approve,
    approved,
    at_once,
    customer,
    program,
    stored,
    submit,
)
from tests.integration.claims import SLOTS, require_consistent, standing

PROJECT = Path(__file__).parents[2]
PARTNERS = ("P1", "P2", "P3", "P4", "P5", "P6")


def _approve(database: Database, about: Registration) -> str:
    try:
        with database.begin(APPROVER) as unit:
            approve(unit, about)
    except AlreadyProtected as refusal:
        return refusal.code
    return "protected"


# --- contested approvals ----------------------------------------------------------------------


@pytest.mark.parametrize("line", SLOTS)
def test_threads_that_approve_at_once_protect_as_many_as_there_are_slots(
    database: Database, line: str
) -> None:
    add_partners(database, *PARTNERS)
    made = [submit(database, code, product_line=line) for code in PARTNERS]
    outcomes, errors = at_once(len(made), lambda n: _approve(database, made[n]))
    assert errors == []
    assert Counter(outcomes) == {
        "protected": SLOTS[line], "already_protected": len(made) - SLOTS[line],
    }  # fmt: skip
    require_consistent(database)


def test_threads_on_random_scopes_never_protect_more_than_the_slots(database: Database) -> None:
    rng = random.Random(11)
    add_partners(database, *PARTNERS)
    scopes = list(itertools.product(PARTNERS, ("avocet", "pipit"), ("platform", "support")))
    made = [
        submit(database, code, product_line=line, customer=_customer(name))
        for code, name, line in scopes
    ]
    shares: list[list[Registration]] = [rng.sample(made, len(made)) for _ in range(4)]

    def work(worker: int) -> list[str]:
        words = []
        for about in shares[worker]:
            # Somebody else may have decided on it a moment ago.
            with contextlib.suppress(InvalidTransition):
                words.append(_approve(database, about))
        return words

    outcomes, errors = at_once(len(shares), work)
    assert errors == []
    protected = sum(words.count("protected") for words in outcomes)
    assert protected == 2 * (1 + 2)
    assert set(standing(database).values()) == {1, 2}
    require_consistent(database)


def _customer(name: str) -> Customer:
    return customer(name=f"{name.title()} Inc.", website=f"{name}.example")


def test_verbs_that_take_the_lock_from_different_ends_do_not_block_each_other(
    database: Database,
) -> None:
    add_partners(database, *PARTNERS)
    made = [approved(database, "P1", product_line="support"), submit(database, "P2")]
    taxed = approved(database, "P3", customer=customer(name="Other", website="", tax_id="77"))

    def work(worker: int) -> None:
        for _ in range(5):
            with contextlib.suppress(DomainRefusal), database.begin(APPROVER) as unit:
                if worker == 0:
                    protecting.extend(unit, made[0].id, 1, "evidence")
                elif worker == 1:
                    protecting.expire_due(unit, warn_days=200)
                elif worker == 2:
                    approve(unit, made[1])
                    customers.learn(unit, made[0].customer_id, {MatchKey("tax_id", "77")})
                else:
                    use_cases.withdraw(unit, taxed.id)

    _, errors = at_once(4, work)
    assert errors == []
    require_consistent(database)


# --- processes --------------------------------------------------------------------------------


@contextlib.contextmanager
def _contender(url: str, behaviour: str, *ids: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.contender", url, behaviour, *ids],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _go(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert _line(process) == "ready"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def test_processes_that_approve_at_once_protect_as_many_as_there_are_slots(
    database: Database,
) -> None:
    add_partners(database, *PARTNERS)
    made = {line: [submit(database, p, product_line=line) for p in PARTNERS] for line in SLOTS}
    ids = [
        [made[line][n].id for line in SLOTS for n in (worker, worker + 3)] for worker in range(3)
    ]
    with contextlib.ExitStack() as stack:
        contenders = [stack.enter_context(_contender(database.url, "run", *i)) for i in ids]
        _go(*contenders)
        words = Counter(_line(c) for c, mine in zip(contenders, ids, strict=True) for _ in mine)
    assert words == {"protected": 3, "already_protected": 9}
    assert sorted(standing(database).values()) == [1, 2]
    require_consistent(database)


def test_a_process_that_is_killed_inside_its_approval_leaves_the_slot_free(
    database: Database,
) -> None:
    add_partners(database, *PARTNERS)
    first, second = submit(database, "P1"), submit(database, "P2")
    with _contender(database.url, "hang", first.id) as contender:
        _go(contender)
        assert _line(contender) == "inside"
        contender.kill()
        contender.wait(30)
        assert _approve(database, second) == "protected"
    assert stored(database, first).state is RegistrationState.SUBMITTED
    assert _approve(database, first) == "already_protected"
    require_consistent(database)


def test_a_process_that_is_killed_at_any_moment_leaves_at_most_one_protected(
    database: Database,
) -> None:
    add_partners(database, *PARTNERS)
    names = (
        "bittern curlew dunlin eider fulmar garganey heron ibis jackdaw kestrel lapwing merlin"
    ).split()
    mine = [submit(database, "P1", customer=_customer(name)) for name in names]
    theirs = [submit(database, "P2", customer=_customer(name)) for name in names]
    with _contender(database.url, "run", *(r.id for r in mine)) as contender:
        _go(contender)
        for _ in range(3):
            assert _line(contender) == "protected"
        time.sleep(random.Random(3).uniform(0, 0.02))
        contender.kill()
        contender.wait(30)
    outcomes = [_approve(database, about) for about in theirs]
    assert outcomes.count("already_protected") >= 3
    assert sorted(standing(database).values()) == [1] * len(names)
    require_consistent(database)


# --- the index behind the lock ----------------------------------------------------------------


def _claim_by_hand(database: Database, held: ClaimRow, **changes: object) -> None:
    columns = {c.key: getattr(held, c.key) for c in ClaimRow.__table__.columns}
    with database.begin() as unit:
        unit.session.add(ClaimRow(**{**columns, "id": unit.ids.new(), **changes}))


def test_the_index_refuses_a_second_standing_claim_that_went_round_the_lock(
    database: Database,
) -> None:
    add_partners(database, "P1")
    approved(database)
    with database.read() as session:
        (held,) = session.scalars(select(ClaimRow)).all()
    with pytest.raises(IntegrityError):
        _claim_by_hand(database, held)
    for changes in (
        {"slot": 2}, {"product_line": "support"}, {"state": "contested"}, {"state": "released"},
    ):  # fmt: skip
        _claim_by_hand(database, held, **changes)


def test_an_approval_whose_claim_the_index_refuses_changes_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_partners(database, "P1", "P2")
    approved(database)
    rival = submit(database, "P2")
    # As if the look under the lock had seen nothing.
    monkeypatch.setattr(repository, "standing_claims", lambda *_: [])
    with pytest.raises(IntegrityError), database.begin(APPROVER) as unit:
        approve(unit, rival)
    assert stored(database, rival) == rival
    require_consistent(database)


# --- lines ------------------------------------------------------------------------------------


def test_an_open_line_protects_everybody_and_needs_no_claim(database: Database) -> None:
    add_partners(database, *PARTNERS)
    made = [approved(database, code, product_line="training") for code in PARTNERS]
    assert {r.protection_state for r in made} == {ProtectionState.ACTIVE}
    assert standing(database) == {}


def test_a_slot_that_becomes_free_is_the_one_that_is_taken_next(database: Database) -> None:
    add_partners(database, "P1", "P2", "P3")
    first = approved(database, "P1", product_line="support")
    approved(database, "P2", product_line="support")
    with database.begin(SUBMITTER) as unit:
        use_cases.withdraw(unit, first.id)
    third = approved(database, "P3", product_line="support")
    with database.read() as session:
        claims = repository.standing_claims(session, third.customer_id, "support")
    assert sorted(c.slot for c in claims) == [1, 2]


def test_a_customer_who_is_known_by_name_only_keeps_the_claim_that_was_given(
    database: Database,
) -> None:
    add_partners(database, "P1")
    made = approved(database, customer=customer(website=""))
    assert stored(database, made).customer_id == made.customer_id
    with database.read() as session:
        assert [c.customer_id for c in repository.claims(session)] == [made.customer_id]


def test_the_time_of_a_claim_is_the_programs(database: Database) -> None:
    add_partners(database, "P1")
    made = submit(database)
    with database.begin(APPROVER) as unit:
        held = replace(made, product_line="support")
        claimed = protection.claim(unit, held, program(protection_days=10), starts_on=NOW.date())
    assert (claimed.protection_starts_on, claimed.protection_ends_on) == (
        NOW.date(), NOW.date().replace(day=14),
    )  # fmt: skip
