"""One record that cannot be worked on holds nobody else up, and nothing is tried without end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from connectors.port import AlreadyExists, Refused, Written
from registration_core import use_cases
from registration_core.contracts import ConnectionName
from registration_core.errors import DomainRefusal
from registration_core.model import Customer, RegistrationState
from registration_core.program import Role
from registration_core.store.tables import OutboxRow, RegistrationRow
from sync import checking, clock, pull, push
from sync.ledger.inbox import Notice, take_note
from sync.ledger.tables import LinkRow
from sync.links import linking
from sync.outcomes.dead_letters import dead_letters
from tests.world import ANN, BEN, HOME, MIRROR, World


def outbox(world: World, registration_id: str, connection: ConnectionName) -> OutboxRow:
    with world.database.read() as session:
        return session.get_one(OutboxRow, (registration_id, connection))


def rename_program(world: World, registration_id: str) -> None:
    """Leave a registration with a program that is not configured any more."""
    with world.database.begin() as unit:
        unit.session.execute(
            update(RegistrationRow)
            .where(RegistrationRow.id == registration_id)
            .values(program="last-year")
        )


def test_a_registration_of_a_removed_program_does_not_stop_the_checks_of_others(
    world: World,
) -> None:
    bad, good = (
        world.submit(token="a"),
        world.submit(token="b", customer=Customer("Stahlwerk 200", "AT", tax_id="AT200")),
    )
    rename_program(world, bad.id)
    world.pass_time(60)
    checking.drain(world.runtime)

    assert world.registration(good.id).state is not RegistrationState.SUBMITTED
    assert world.registration(bad.id).state is RegistrationState.SUBMITTED
    assert "check" not in clock.due_work(world.runtime)  # it waits, and is not tried without end


def test_a_registration_of_a_removed_program_does_not_stop_the_push_of_others(
    world: World,
) -> None:
    bad, good = (
        world.approved(token="a"),
        world.approved(token="b", customer=Customer("Stahlwerk 200", "AT", tax_id="AT200")),
    )
    rename_program(world, bad.id)
    world.pass_time(60)
    world.push()

    assert outbox(world, good.id, HOME).done == outbox(world, good.id, HOME).wanted
    waiting = outbox(world, bad.id, HOME)
    assert "last-year" in waiting.reason
    assert waiting.due_at > world.now


def test_a_registration_of_a_removed_program_does_not_stop_the_pull_of_others(
    world: World,
) -> None:
    bad, good = (
        world.approved(token="a"),
        world.approved(token="b", customer=Customer("Stahlwerk 200", "AT", tax_id="AT200")),
    )
    world.settle()
    rename_program(world, bad.id)
    for number, record_id in enumerate(world.deals(HOME)):
        world.orgs[HOME].edit("Deal", record_id, {"Owner": f"rep-{number}"}, "rep")
    world.pass_time(60)
    world.poll()

    assert world.registration(good.id).owners[HOME] is not None
    assert f"pull:{HOME}" not in clock.due_work(world.runtime)


def test_rows_of_a_connection_that_is_not_mapped_any_more_wait_and_do_not_block(
    world: World,
) -> None:
    world.doors[HOME]._capabilities = replace(world.doors[HOME].capabilities, write_batch=1)
    bad, good = (
        world.approved(token="a"),
        world.approved(token="b", customer=Customer("Stahlwerk 200", "AT", tax_id="AT200")),
    )
    with world.database.begin() as unit:
        row = unit.session.get_one(RegistrationRow, bad.id)
        row.roles = {**row.roles, HOME: Role.CHECK_ONLY.value}
    world.push()

    assert outbox(world, good.id, HOME).done == outbox(world, good.id, HOME).wanted
    assert outbox(world, bad.id, HOME).due_at > world.now


def test_a_key_that_is_taken_by_a_record_we_cannot_see_is_not_tried_without_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.approved()
    door = world.doors[HOME]
    creates: list[int] = []

    def taken(_object: str, _key: str, items: list[object]) -> tuple[AlreadyExists, ...]:
        creates.append(len(items))
        return tuple(AlreadyExists("hidden") for _ in items)

    monkeypatch.setattr(door, "create", taken)
    push.drain(world.runtime, HOME)
    assert len(creates) <= 3
    for _ in range(20):
        world.pass_time(600)
        push.drain(world.runtime, HOME)

    assert len(creates) <= 10
    assert outbox(world, made.id, HOME).state == "dead"
    with world.database.read() as session:
        assert "key" in dead_letters(session)[0].reason


def test_a_record_with_our_key_that_is_linked_elsewhere_does_not_stop_the_others(
    world: World,
) -> None:
    first = world.approved(token="a")
    world.settle()
    second, third = (
        world.approved(token="b", customer=Customer("Stahlwerk 200", "AT", tax_id="AT200")),
        world.approved(token="c", customer=Customer("Stahlwerk 300", "AT", tax_id="AT300")),
    )
    (record_id,) = world.deals(HOME)
    world.orgs[HOME].edit("Deal", record_id, {"Key": second.id}, "admin")
    world.push()

    assert outbox(world, third.id, HOME).done == outbox(world, third.id, HOME).wanted
    assert outbox(world, second.id, HOME).due_at > world.now
    assert first.id in {link.registration_id for link in _links(world)}


def _links(world: World) -> list[linking.Link]:
    with world.database.read() as session:
        return linking.links(session)


def test_a_notice_about_a_record_of_an_object_that_is_not_mapped_any_more_ends(
    world: World,
) -> None:
    world.approved()
    world.settle()
    (record_id,) = world.deals(HOME)
    with world.database.begin() as unit:
        unit.session.execute(
            update(LinkRow).where(LinkRow.connection == HOME).values(role="attach")
        )
        take_note(unit, HOME, [Notice("Deal", record_id)], "webhook")
    before = world.doors[HOME].calls["read"]
    pull.drain(world.runtime, HOME)

    assert world.doors[HOME].calls["read"] - before <= 2
    assert f"pull:{HOME}" not in clock.due_work(world.runtime)


def test_a_change_made_while_an_older_one_was_being_refused_is_still_pushed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.approved()
    world.settle()
    world.update(made.number, deal_name="Refused")
    door = world.doors[HOME]
    update_there = door.update

    def refuse(_object: str, items: list[object]) -> tuple[Refused, ...]:
        monkeypatch.setattr(door, "update", update_there)
        world.update(made.number, deal_name="Better")
        return tuple(Refused("VALIDATION", "a rule says no") for _ in items)

    monkeypatch.setattr(door, "update", refuse)
    world.settle()

    assert world.deal(HOME, "Name") == "Better"


def test_a_registration_withdrawn_before_its_first_push_is_created_nowhere(world: World) -> None:
    made = world.approved()
    with world.database.begin(ANN) as unit:
        use_cases.withdraw(unit, made.number)
    world.settle()

    assert world.deals(HOME) == world.deals(MIRROR) == []
    assert outbox(world, made.id, HOME).done == outbox(world, made.id, HOME).wanted


def test_a_proposed_record_that_is_gone_is_not_linked(world: World) -> None:
    org = world.orgs[HOME]
    (account,) = [r for r in org.records("Account") if r.fields["Tax"] == "DE100"]
    values = {"Name": "Own", "Account": account.record_id, "Closed": False}
    record_id = org.add("Deal", values, "rep")  # type: ignore[arg-type]
    made = world.submit()
    checking.drain(world.runtime)
    checking.approve(world.runtime, made.number, BEN)
    world.push()
    with world.database.read() as session:
        (proposal,) = linking.proposals(session)
    org.remove("Deal", record_id)

    with pytest.raises(DomainRefusal, match="deleted"):
        linking.accept(world.runtime, proposal.id, BEN)
    linking.reject(world.runtime, proposal.id, BEN)
    world.settle()
    assert len(world.deals(HOME)) == 1


def test_an_answer_that_comes_after_a_pull_does_not_forget_what_the_pull_took(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.approved()
    world.settle()
    world.edit(HOME, Stage="D")
    world.settle()
    door = world.doors[HOME]
    (record_id,) = world.deals(HOME)
    update_there = door.update

    def slow(*args: Any) -> Any:
        monkeypatch.setattr(door, "update", update_there)
        answer = update_there(*args)
        world.edit(HOME, Name="Theirs")  # after our write, before we know its outcome
        with world.database.begin() as unit:
            take_note(unit, HOME, [Notice("Deal", record_id)], "webhook")
        pull.drain(world.runtime, HOME)
        world.edit(HOME, Name="Ours")  # they change their mind
        return answer

    monkeypatch.setattr(door, "update", slow)
    world.update(made.number, deal_name="Ours")
    push.drain(world.runtime, HOME)
    world.settle()

    assert world.deal(HOME, "Name") == "Ours"
    assert world.registration(made.id).deal_name == "Ours"


def test_the_survivor_of_a_merge_is_read_once_the_link_follows_it(world: World) -> None:
    made = world.approved()
    world.settle()
    org = world.orgs[HOME]
    (loser,) = world.deals(HOME)
    winner = org.add("Deal", {"Name": "Survivor", "Owner": "the-other-rep"}, "rep")
    world.settle()
    org.merge("Deal", loser, winner)
    world.settle()

    assert world.registration(made.id).owners[HOME] == "the-other-rep"


def test_an_answer_that_the_store_cannot_keep_becomes_a_dead_letter_and_the_rest_is_linked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.approved(token="first")
    world.settle()
    (taken,) = world.deals(HOME)
    bad, good = (
        world.approved(token=tax, customer=Customer(f"Stahlwerk {tax}", "AT", tax_id=f"AT{tax}"))
        for tax in ("200", "300")
    )
    create = world.doors[HOME].create

    def confused(object_name: str, key_field: str, items: Any) -> Any:
        outcomes = create(object_name, key_field, items)
        return tuple(
            Written(taken) if item.key == bad.id else outcome
            for item, outcome in zip(items, outcomes, strict=True)
        )

    monkeypatch.setattr(world.doors[HOME], "create", confused)
    push.drain(world.runtime, HOME)

    with world.database.read() as session:
        linked = {x.registration_id for x in linking.links(session) if x.connection == HOME}
        (letter,) = dead_letters(session)
    assert linked == {first.id, good.id}
    assert (letter.registration_id, letter.code) == (bad.id, "store_refused")
    assert taken in letter.reason
    assert f"push:{HOME}" not in clock.due_work(world.runtime)
