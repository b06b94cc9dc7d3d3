"""A link that is taken back: the record gets back what others last wrote, and nobody's edit is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from connectors.errors import ConnectorError
from connectors.memory import MemoryFault
from connectors.port import RemoteRecord
from registration_core.contracts import Mode
from registration_core.errors import DomainRefusal
from registration_core.store.audit import events
from sync.ledger.tables import IntentRow, LeaseRow, LinkRow
from sync.links import unlinking
from sync.links.unlinking import _back
from sync.process import leases
from tests.integration.sync.old_org import (
    accept_sure,
    climb,
    deal,
    links,
    old_org,
    registration,
    search,
)
from tests.world import BEN, HOME, World

NOW = datetime(2026, 3, 2, tzinfo=UTC)
#: What was written in turn: capitals by us, the others by somebody else.
HISTORIES = st.lists(st.sampled_from("ABxyz"), max_size=6)


@given(before=st.sampled_from(["", "x"]), history=HISTORIES)
def test_what_goes_back_is_the_newest_value_of_others(before: str, history: list[str]) -> None:
    value, theirs, intents = before, before, list[IntentRow]()
    for written in history:
        if written.islower():
            theirs = written
        elif written != value:
            intents.append(IntentRow(before={"f": value}, payload={"f": written}))
        value = written

    record = RemoteRecord("Deal", "1", {"f": value}, None, None, NOW)
    restored, kept = _back(intents, record)
    assert {**record.fields, **restored}["f"] == theirs
    assert set(kept) == ({"f"} if intents and value.islower() else set())


@pytest.fixture
def world(fast_url: str) -> Iterator[World]:
    """An org that has worked for years, and registrations that are there already."""
    made = old_org(fast_url)
    yield made
    made.runtime.close()


@pytest.fixture
def stamped(world: World) -> str:
    """A rep's deal that is linked, and holds what we wrote to it."""
    record_id = deal(world, 0)
    climb(world, Mode.LINK)
    search(world)
    accept_sure(world)
    climb(world, Mode.PUSH)
    world.settle()
    return record_id


def unlink_while(world: World, call: str, act: Callable[[], object]) -> unlinking.Unlinked:
    """Take the link back; somebody acts right before the first such call."""

    def on_call(name: str) -> None:
        if name == call:
            world.doors[HOME].on_call = None
            act()

    world.doors[HOME].on_call = on_call
    number = registration(world, 0).number
    return unlinking.unlink(world.runtime, number, HOME, BEN, dry_run=False)


def unlinked(world: World) -> dict[str, Any]:
    """Return what the audit trail tells of the link that was taken back."""
    with world.database.read() as session:
        told = events(session, f"registration:{registration(world, 0).id}")
    (found,) = [each["internal"] for each in told if each["action"] == "unlink record"]
    return dict(found)


def test_what_was_replaced_is_told_by_the_second_try_when_the_first_could_not_know(
    world: World, stamped: str
) -> None:
    org, door = world.orgs[HOME], world.doors[HOME]
    door.fail(MemoryFault.ANSWER_LOST, "history")
    with pytest.raises(ConnectorError):
        unlink_while(
            world, "update", lambda: org.edit("Deal", stamped, {"Partner": "Typed just now"}, "rep")
        )
    world.settle()
    world.settle()  # the first failure paused the connection

    number = registration(world, 0).number
    gone = unlinking.unlink(world.runtime, number, HOME, BEN, dry_run=False)

    assert gone.replaced == {"partner_name": "Typed just now"}


def test_what_is_typed_while_a_link_is_taken_back_is_told_and_kept(
    world: World, stamped: str
) -> None:
    org = world.orgs[HOME]
    gone = unlink_while(
        world, "update", lambda: org.edit("Deal", stamped, {"Partner": "Typed just now"}, "rep")
    )
    assert gone.replaced == {"partner_name": "Typed just now"}
    kept = [each["theirs"] for each in unlinked(world)["conflicts"] if each["group"] == "partner"]
    assert kept == [{"partner_name": "Typed just now"}]


def test_nothing_is_written_back_once_a_drain_has_taken_over(world: World, stamped: str) -> None:
    def take_over() -> None:
        with world.database.begin() as unit:
            unit.session.get_one(LeaseRow, f"push:{HOME}").fence += 1

    with pytest.raises(leases.LeaseLost):
        unlink_while(world, "read", take_over)
    assert world.orgs[HOME].value("Deal", stamped, "Partner") == "Acme Partners"


@pytest.mark.parametrize("call", ["read", "history"])
def test_a_link_that_moves_meanwhile_stays(world: World, stamped: str, call: str) -> None:
    ours = registration(world, 0)

    def move() -> None:
        with world.database.begin() as unit:
            row = unit.session.scalars(
                select(LinkRow).where(
                    LinkRow.registration_id == ours.id, LinkRow.connection == HOME
                )
            ).one()
            row.version += 1

    with pytest.raises(DomainRefusal, match="moved meanwhile"):
        unlink_while(world, call, move)
    assert links(world, ours) == [stamped]
    written = {"read": "Acme Partners", "history": None}[call]
    assert world.orgs[HOME].value("Deal", stamped, "Partner") == written

    unlinking.unlink(world.runtime, ours.number, HOME, BEN, dry_run=False)
    assert world.orgs[HOME].value("Deal", stamped, "Partner") is None


def test_a_link_that_is_taken_back_leaves_the_record_as_it_was(world: World, stamped: str) -> None:
    record_id = stamped
    org, ours = world.orgs[HOME], registration(world, 0)
    assert org.value("Deal", record_id, "State") == "approved"
    org.edit("Deal", record_id, {"Partner": "Typed by hand"}, "rep")

    gone = unlinking.unlink(world.runtime, ours.number, HOME, BEN, dry_run=False)
    held = {name: org.value("Deal", record_id, name) for name in ("State", "Protection", "Partner")}
    assert held == {"State": None, "Protection": None, "Partner": "Typed by hand"}
    assert gone.kept == {"Partner": "Typed by hand"}
    assert links(world, ours) == []
    kept = {(each["group"], each["state"]) for each in unlinked(world)["conflicts"]}
    assert ("amount", "auto_settled") in kept

    world.settle()  # ours is made now, and the record is not asked about again
    assert (
        len([each for each in world.deals(HOME) if org.value("Deal", each, "Key") == ours.id]) == 1
    )
