"""A registration travels to its CRMs and back; every sentence here is a promise of the engine."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from connectors.memory import MemoryFault
from registration_core import use_cases
from registration_core.contracts import FieldSchema, Mode
from registration_core.fields import FieldGroup, SalesStage
from registration_core.model import Customer, ProtectionState, RegistrationState
from registration_core.store.tables import OutboxRow
from sync import pull, push, runs
from sync.conflicts import resolving
from sync.ledger.tables import CursorRow, IntentRow
from sync.links import linking
from sync.outcomes.dead_letters import dead_letters, retry
from tests.world import BEN, HOME, MIRROR, World, build


def test_an_approved_registration_appears_once_in_home_and_mirror_with_its_account(
    world: World,
) -> None:
    made = world.approved()

    world.push()

    assert made.state is RegistrationState.APPROVED
    for name in (HOME, MIRROR):
        assert world.deal(name, "Key") == made.id
        assert world.deal(name, "Amount") == Decimal(5000)
        assert world.deal(name, "Account") == made.accounts[name]
    world.push()
    assert [len(world.deals(name)) for name in (HOME, MIRROR)] == [1, 1]


def test_our_own_echo_writes_nothing(world: World) -> None:
    world.approved()
    world.settle()
    calls = {name: door.calls["update"] for name, door in world.doors.items()}

    world.settle()

    assert {name: door.calls["update"] for name, door in world.doors.items()} == calls


def test_a_salespersons_stage_and_amount_are_taken_and_mirrored(world: World) -> None:
    made = world.approved()
    world.settle()

    world.edit(HOME, Stage="P", Amount=Decimal(7500))
    world.settle()

    after = world.registration(made.id)
    assert (after.sales_stage, after.amount) == (SalesStage.PROPOSING, Decimal(7500))
    assert after.converted_at is not None
    assert (world.deal(MIRROR, "Stage"), world.deal(MIRROR, "Amount")) == ("P", Decimal(7500))


def test_an_amount_changed_before_conversion_is_restored_and_the_attempt_kept(world: World) -> None:
    made = world.approved()
    world.settle()

    world.edit(HOME, Amount=Decimal(1))
    world.settle()

    assert world.registration(made.id).amount == Decimal(5000)
    assert world.deal(HOME, "Amount") == Decimal(5000)
    with world.database.read() as session:
        (kept,) = resolving.conflicts(session, everything=True)
    assert (kept.group, kept.settled, kept.remote["amount"]) == ("amount", "store", Decimal(1))


def test_many_crm_values_of_one_stage_are_left_as_they_are(world: World) -> None:
    world.approved()
    world.settle()

    world.edit(HOME, Stage="Q0")
    world.settle()

    assert world.deal(HOME, "Stage") == "Q0"


def test_a_create_whose_answer_is_lost_makes_no_second_record(world: World) -> None:
    made = world.approved()
    world.doors[HOME].fail(MemoryFault.ANSWER_LOST, "create")

    world.push()
    world.settle()

    assert len(world.deals(HOME)) == 1
    with world.database.read() as session:
        assert len(linking.links(session, made.id)) == 2


def test_an_update_whose_answer_is_lost_is_looked_up_and_not_sent_again(world: World) -> None:
    made = world.approved()
    world.settle()
    world.update(made.number, deal_name="Cold chain II")
    world.doors[HOME].fail(MemoryFault.ANSWER_LOST, "update")
    before = world.doors[HOME].calls["update"]

    world.push()
    world.settle()

    assert world.deal(HOME, "Name") == "Cold chain II"
    assert world.doors[HOME].calls["update"] == before + 1


def test_a_stale_version_is_read_and_planned_again(world: World) -> None:
    made = world.approved()
    world.settle()
    world.update(made.number, deal_name="Renamed here")
    world.edit_before_our_update(MIRROR, Name="Renamed there")
    world.settle()

    assert world.registration(made.id).deal_name == world.deal(MIRROR, "Name") == "Renamed here"
    with world.database.read() as session:
        kept = resolving.conflicts(session, everything=True)
    assert [c.remote["deal_name"] for c in kept] == ["Renamed there"]


def test_a_value_overwritten_between_read_and_write_is_kept_as_a_conflict(world: World) -> None:
    made = world.approved()
    world.settle()
    world.update(made.number, deal_name="Ours")
    world.edit_before_our_update(HOME, Name="Theirs, never read")
    world.settle()

    assert world.deal(HOME, "Name") == "Ours"
    with world.database.read() as session:
        kept = resolving.conflicts(session, everything=True)
    assert "Theirs, never read" in [c.remote.get("deal_name") for c in kept]


def test_a_deleted_record_is_orphaned_and_never_made_again(world: World) -> None:
    made = world.approved()
    world.settle()
    (record_id,) = world.deals(HOME)

    world.orgs[HOME].remove("Deal", record_id, "rep")
    world.settle()
    world.update(made.number, deal_name="Renamed")
    world.settle()

    assert world.deals(HOME) == []
    with world.database.read() as session:
        states = {link.connection: link.state for link in linking.links(session, made.id)}
    assert states == {HOME: "orphaned", MIRROR: "active"}
    assert world.deal(MIRROR, "Name") == "Renamed"


def test_what_was_deleted_while_the_feed_had_expired_is_found_all_the_same(world: World) -> None:
    """A feed that starts again with everything does not tell of what is no longer there."""
    made = world.approved()
    world.settle()
    (record_id,) = world.deals(HOME)

    world.orgs[HOME].remove("Deal", record_id, "rep")
    with world.database.begin() as unit:
        unit.session.get_one(CursorRow, (HOME, "Deal")).cursor = "one of too long ago"
    world.settle()

    with world.database.read() as session:
        states = {link.connection: link.state for link in linking.links(session, made.id)}
    assert states == {HOME: "orphaned", MIRROR: "active"}


def test_a_merged_record_is_followed_to_the_survivor_which_gets_our_key(world: World) -> None:
    made = world.approved()
    world.settle()
    (loser,) = world.deals(HOME)
    winner = world.orgs[HOME].add("Deal", {"Name": "Survivor", "Stage": "Q1"}, "rep")

    world.orgs[HOME].merge("Deal", loser, winner, "rep")
    world.settle()

    with world.database.read() as session:
        (link,) = [link for link in linking.links(session, made.id) if link.connection == HOME]
    assert (link.record_id, link.state) == (winner, "active")
    assert len(world.deals(HOME)) == 1
    assert world.deal(HOME, "Key") == made.id


def test_a_refused_row_becomes_a_dead_letter_and_blocks_nobody(world: World) -> None:
    bad = world.approved("DE100", "bad", deal_name="B")
    org = world.orgs[HOME]
    schema = org.schemas["Deal"]
    org.schemas["Deal"] = type(schema)(
        schema.name, schema.label, {**schema.fields, "Name": _short(schema.fields["Name"])}
    )
    org.add("Account", {"Name": "Second Customer GmbH", "Country": "DE", "Tax": "DE200"})
    second = Customer("Second Customer GmbH", "DE", tax_id="DE200")
    good = world.approved(token="good", customer=second, deal_name="A")
    world.update(bad.number, deal_name="far too long for this org")

    world.push()

    assert [org.value("Deal", r, "Key") for r in world.deals(HOME)] == [good.id]
    with world.database.read() as session:
        (letter,) = dead_letters(session)
    assert (letter.registration_id, letter.connection, letter.code) == (
        bad.id,
        HOME,
        "STRING_TOO_LONG",
    )
    org.schemas["Deal"] = schema
    retry(world.runtime, letter.id, BEN)
    world.settle()
    assert len(world.deals(HOME)) == 2


def _short(field: FieldSchema) -> FieldSchema:
    return replace(field, length=5)


def test_a_crm_that_is_away_delays_only_itself(world: World) -> None:
    world.approved()
    world.doors[HOME].fail(MemoryFault.UNAVAILABLE, times=None)

    world.push()

    assert (len(world.deals(HOME)), len(world.deals(MIRROR))) == (0, 1)
    world.doors[HOME].recover()
    world.settle()
    assert len(world.deals(HOME)) == 1


def test_mode_observe_records_what_it_would_write_and_writes_nothing(fast_url: str) -> None:
    world = build(fast_url, modes={MIRROR: Mode.OBSERVE})
    world.approved()
    world.push()

    assert (len(world.deals(HOME)), len(world.deals(MIRROR))) == (1, 0)
    with world.database.read() as session:
        observed = [i for i in session.query(IntentRow) if i.state == "observed"]
        waiting = session.query(OutboxRow).filter_by(connection=MIRROR).one()
    assert [i.payload["Name"] for i in observed] == ["Cold chain"]
    assert waiting.state == "observed"
    world.runtime.close()


def test_winning_in_the_home_crm_closes_frees_and_credits_once(world: World) -> None:
    made = world.approved()
    world.settle()

    world.edit(HOME, Stage="Won", Amount=Decimal(9000))
    world.settle()

    won = world.registration(made.id)
    assert won.state is RegistrationState.CLOSED_WON
    assert won.protection_state is ProtectionState.RELEASED
    assert won.won_amount == Decimal(9000)
    assert world.deal(HOME, "State") == world.deal(MIRROR, "State") == "closed_won"


def test_a_change_the_lifecycle_refuses_becomes_one_conflict_and_the_rest_flows(
    world: World,
) -> None:
    made = world.approved()
    world.settle()
    world.edit(HOME, Stage="P")
    world.settle()
    _withdraw(world, made.number)

    world.edit(HOME, Stage="Won", Name="Still renamed")
    world.settle()
    world.settle()

    assert world.registration(made.id).state is RegistrationState.WITHDRAWN
    assert world.registration(made.id).deal_name == "Still renamed"
    with world.database.read() as session:
        (kept,) = resolving.conflicts(session)
    assert kept.group is FieldGroup.STAGE
    assert "cannot win" in kept.reason


def _withdraw(world: World, number: str) -> None:
    with world.database.begin(BEN) as unit:
        use_cases.withdraw(unit, number)


def test_a_poll_alone_brings_a_change_and_a_second_poll_brings_nothing(world: World) -> None:
    made = world.approved()
    world.settle()
    world.edit(HOME, Stage="D")

    runs.poll(world.runtime, HOME)
    pull.drain(world.runtime, HOME)

    assert world.registration(made.id).sales_stage is SalesStage.DEVELOPING
    world.settle()
    again = runs.poll(world.runtime, HOME)
    assert again is not None
    assert again.notices == 0


@pytest.mark.parametrize("kill_at", ["create", "find", "read"])
def test_a_crash_at_any_call_is_finished_by_the_next_drain(world: World, kill_at: str) -> None:
    class Killed(BaseException):
        pass

    def kill(operation: str) -> None:
        if operation == kill_at:
            world.doors[HOME].on_call = None
            raise Killed

    made = world.approved()
    world.doors[HOME].on_call = kill
    if kill_at == "read":
        world.doors[HOME].on_call = None
        world.push()
        world.update(made.number, deal_name="Again")
        world.doors[HOME].on_call = kill
    with pytest.raises(Killed):
        push.drain(world.runtime, HOME)
    world.settle()

    assert len(world.deals(HOME)) == 1
    assert world.deal(HOME, "Name") == world.registration(made.id).deal_name


def test_the_breaker_stops_writing_a_value_that_an_automation_undoes(world: World) -> None:
    made = world.approved()
    world.settle()
    org = world.orgs[HOME]
    (record_id,) = world.deals(HOME)

    def undo() -> None:
        record = org.record("Deal", record_id)
        assert record is not None
        org.patch("Deal", record, {"Name": "AUTOMATION"}, org.us)

    world.update(made.number, deal_name="Ours")
    before = world.doors[HOME].calls["update"]
    for _ in range(6):
        world.settle()
        undo()
    world.settle()

    assert world.doors[HOME].calls["update"] <= before + 3
    with world.database.read() as session:
        (kept,) = resolving.conflicts(session)
    assert "we stopped writing it" in kept.reason
    assert world.deal(MIRROR, "Name") == "Ours"
