"""Another system's registrations are taken over as they stood there, and linked afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from registration_core.contracts import Mode
from registration_core.errors import DomainRefusal, NeedsAnother
from registration_core.legacy import Legacy
from registration_core.model import (
    Actor,
    Customer,
    DisputeState,
    ProtectionState,
    RegistrationState,
)
from registration_core.store import repository
from registration_core.store.announcements import AnnouncementRow
from registration_core.store.audit import events
from registration_core.submission import Submission
from sync import checking
from sync.gates import grading, ladder
from sync.links import linking
from sync.proposals import cutting_over
from sync.proposals.cutting_over import Landed, Result, Row
from sync.reports import today
from tests.world import BEN, HOME, MIRROR, World, build

EVA, FAY = Actor("eva", os_user="eva"), Actor("fay", os_user="fay")
FILE = "the file"


@pytest.fixture
def world(fast_url: str) -> Iterator[World]:
    """A world that only observes its CRMs yet."""
    made = build(fast_url)
    for name in made.doors:
        ladder.demote(made.runtime, name, BEN, to=Mode.OBSERVE)
    yield made
    made.runtime.close()


def row(number: int, **changes: Any) -> Row:
    """An approved registration of another system; numbers tell their customers apart."""
    given: dict[str, Any] = {
        "partner_code": "ACME", "deal_name": f"Deal {number}", "token": f"OLD-{number}",
        "customer": Customer(f"Customer {number} GmbH", "DE", tax_id=f"DE7{number:03d}"),
        "product_line": "platform", "amount": Decimal(50), "currency": "EUR",
        "expected_close_on": date(2025, 9, 30),
    }  # fmt: skip
    deal = {name: changes.pop(name, value) for name, value in given.items()}
    submission = Submission(**deal)
    records = changes.pop("records", {})
    legacy = Legacy(
        submission, RegistrationState.APPROVED, datetime(2025, 1, 1, tzinfo=UTC) + timedelta(number),
        date(2025, 1, 20), date(2025, 1, 20), date(2026, 5, 31),
    )  # fmt: skip
    return Row(number, replace(legacy, **changes), 0, records)


def quiet(done: int, total: int) -> None:
    """Nobody looks."""


def cut_over(world: World, *rows: Row, actors: tuple[Actor, ...] = (EVA, FAY)) -> list[Landed]:
    program = world.runtime.program("default")
    for actor in actors[:-1]:
        with pytest.raises(NeedsAnother):
            cutting_over.cut_over(world.runtime, program, rows, actor, quiet, digest=FILE)
    return cutting_over.cut_over(world.runtime, program, rows, actors[-1], quiet, digest=FILE)


def waiting(world: World) -> dict[str, int]:
    return {line.topic: line.count for line in today.today(world.runtime)}


def results(landed: list[Landed]) -> dict[int, Result]:
    return {each.row.line: each.result for each in landed}


def test_dates_order_and_expiry_stay_and_nobody_is_told(world: World) -> None:
    landed = cut_over(world, row(3), row(1), row(2, state=RegistrationState.REJECTED))
    assert [each.row.line for each in landed] == [1, 2, 3]  # in the order of their first receipt

    found = [world.registration(each.number) for each in landed]
    assert [each.receipt_seq for each in found] == sorted(each.receipt_seq for each in found)
    first = found[0]
    assert (first.submitted_at.date(), first.protection_starts_on, first.protection_ends_on) == (
        date(2025, 1, 2), date(2025, 1, 20), date(2026, 5, 31),
    )  # fmt: skip
    assert first.protection_state is ProtectionState.ACTIVE
    assert (found[1].state, found[1].protection_state) == (
        RegistrationState.REJECTED, ProtectionState.NONE,
    )  # fmt: skip
    with world.database.read() as session:
        told = [event["partner"] for event in events(session, f"registration:{first.id}")]
    assert told == [{"number": first.number, "customer": "Customer 1 GmbH"}]


def test_standing_protections_take_two_people_and_the_same_file(world: World) -> None:
    program = world.runtime.program("default")
    for _ in range(2):  # the same person twice is one
        with pytest.raises(NeedsAnother, match="eva has said"):
            cutting_over.cut_over(world.runtime, program, [row(1)], EVA, quiet, digest="a")
    with pytest.raises(NeedsAnother):
        cutting_over.cut_over(world.runtime, program, [row(1)], FAY, quiet, digest="b")
    assert results(
        cutting_over.cut_over(world.runtime, program, [row(1)], FAY, quiet, digest="a")
    ) == {1: Result.LANDED}


def test_what_protects_nobody_takes_one_person(world: World) -> None:
    over = row(1, state=RegistrationState.EXPIRED)
    assert results(cut_over(world, over, actors=(EVA,))) == {1: Result.LANDED}


def test_doing_it_again_adds_nothing(world: World) -> None:
    cut_over(world, row(1), row(2))
    again = cut_over(world, row(1), row(2), row(3), actors=(EVA,))
    assert results(again) == {
        1: Result.ALREADY_THERE, 2: Result.ALREADY_THERE, 3: Result.LANDED,
    }  # fmt: skip


@pytest.mark.parametrize("trial", [True, False])
def test_rows_that_share_a_reference_are_named_and_none_of_them_is_lost(
    world: World, *, trial: bool
) -> None:
    rows = (row(1), row(2, token="OLD-1"), row(3), row(4, token="OLD-1", partner_code="BETA"))
    program = world.runtime.program("default")
    landed = (
        cutting_over.try_out(world.runtime, program, rows, EVA, quiet)
        if trial
        else cut_over(world, *rows)
    )
    assert results(landed) == {
        1: Result.BAD, 2: Result.BAD, 3: Result.LANDED, 4: Result.LANDED,
    }  # fmt: skip
    assert {each.refusal.message for each in landed if each.refusal} == {
        "reference: OLD-1 of ACME stands in the lines 1, 2."
    }
    told_apart = (row(1), row(2), row(3), row(4, token="OLD-1", partner_code="BETA"))
    if not trial:
        assert results(cut_over(world, *told_apart, actors=(FAY,))) == {
            1: Result.LANDED, 2: Result.LANDED, 3: Result.ALREADY_THERE, 4: Result.ALREADY_THERE,
        }  # fmt: skip


def test_overlapping_protections_are_both_contested_and_no_one_loses_by_itself(
    world: World,
) -> None:
    same = row(1).legacy.submission.customer
    landed = cut_over(world, row(1), row(2, customer=same, partner_code="BETA"))
    assert results(landed) == {1: Result.LANDED, 2: Result.CONTESTED}
    for each in landed:
        found = world.registration(each.number)
        assert found.protection_state is ProtectionState.CONTESTED
        assert found.dispute_state is DisputeState.OPEN
    with world.database.read() as session:
        assert session.scalars(select(AnnouncementRow)).all() == []


def test_a_trial_tells_the_overlaps_and_what_is_bad_and_keeps_nothing(world: World) -> None:
    same = row(1).legacy.submission.customer
    rows = [row(1), row(2, customer=same, partner_code="BETA"), row(3, partner_code="NOBODY"),
            row(4, protected_until=date(2025, 12, 31))]  # fmt: skip
    tried = cutting_over.try_out(world.runtime, world.runtime.program("default"), rows, EVA, quiet)
    assert results(tried) == {
        1: Result.LANDED, 2: Result.CONTESTED, 3: Result.BAD, 4: Result.BAD,
    }  # fmt: skip
    assert [each.refusal.hint for each in tried if each.refusal][1] == (
        "Write expired into the column state."
    )
    with world.database.read() as session:
        assert repository.registrations(session) == []


def test_others_submit_while_a_trial_goes_on_and_overlaps_far_apart_are_told(
    world: World,
) -> None:
    world.submit(customer=Customer("Known to us", "DE", tax_id="DE7002", duns="150483782"))
    rows = [row(number) for number in range(1, 121)]
    rows.append(row(121, customer=Customer("Other name", "DE", tax_id="DE7001")))
    rows.append(row(122, customer=Customer("Third name", "DE", duns="150483782")))
    submitted = []

    def submit(done: int, total: int) -> None:
        submitted.append(world.submit(token=f"meanwhile-{done}").number)

    tried = cutting_over.try_out(world.runtime, world.runtime.program("default"), rows, EVA, submit)
    assert len(submitted) > 2
    assert [each.row.line for each in tried] == [each.line for each in rows]
    assert [each.row.line for each in tried if each.result is Result.CONTESTED] == [121, 122]
    with world.database.read() as session:
        assert len(repository.registrations(session)) == 1 + len(submitted)


def test_they_are_checked_at_once_and_what_a_check_finds_is_disputed(world: World) -> None:
    (direct,) = [r for r in world.orgs[HOME].records("Account") if r.fields["Direct"]]
    customer = Customer(str(direct.fields["Name"]), "DE", tax_id=str(direct.fields["Tax"]))
    landed = cut_over(world, row(1), row(2, customer=customer))
    assert waiting(world)["taken over, not checked yet"] == 2
    checking.drain(world.runtime)
    assert "taken over, not checked yet" not in waiting(world)
    states = [world.registration(each.number).dispute_state for each in landed]
    assert states == [DisputeState.NONE, DisputeState.OPEN]


def test_records_that_the_file_names_are_sure_proposals_and_no_claim_of_others(
    world: World,
) -> None:
    org = world.orgs[HOME]
    account = org.add("Account", {"Name": "Customer 1 GmbH", "Country": "DE", "Tax": "DE7001"})
    deal = org.add(
        "Deal", {"Name": "Rep's name", "Account": account, "Stage": "P", "Closed": False}
    )
    (landed,) = cut_over(world, row(1, records={HOME: deal}, accounts={HOME: account}))
    checking.drain(world.runtime)
    with world.database.read() as session:
        found = repository.last_check(session, world.registration(landed.number).id)
        (proposed,) = linking.proposals(session)
    assert found is not None
    assert found.findings == ()
    assert proposed.surely
    assert waiting(world)["link proposals"] == 1

    ladder.promote(
        world.runtime, HOME, BEN, found=grading.report(world.runtime, HOME), to=Mode.LINK
    )
    linking.accept(world.runtime, proposed.id, BEN)
    world.settle()
    assert world.deal(HOME, "Partner") is None  # nothing is written yet
    assert world.registration(landed.number).deal_name == "Rep's name"


def test_nothing_is_taken_over_where_it_would_be_made_a_second_time(world: World) -> None:
    found = grading.report(world.runtime, MIRROR)
    ladder.promote(world.runtime, MIRROR, BEN, found=found, to=Mode.PUSH)
    with pytest.raises(DomainRefusal, match="beta is at push"):
        cut_over(world, row(1), actors=(EVA,))
