"""A live schema that drifts stops its object with a reason, and goes on by itself when mended."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import select

from connectors.memory import MemoryFault
from registration_core.contracts import FieldSchema, FieldType
from registration_core.store.tables import OutboxRow
from sync import clock
from sync.ledger.tables import DeadLetterRow
from sync.mappings import schema_watch
from sync.previews.previewing import Does, preview_many
from sync.reports.status import status
from tests.world import HOME, MIRROR, World


def drift(world: World, name: str, field: FieldSchema | None, object_name: str = "Deal") -> None:
    """Change a field of the home CRM's schema, or take it away."""
    schema = world.orgs[HOME].schemas[object_name]
    fields = {n: f for n, f in schema.fields.items() if n != name}
    if field is not None:
        fields[name] = field
    world.orgs[HOME].schemas[object_name] = replace(schema, fields=fields)


def tick(world: World, seconds: float = 0) -> None:
    """Let time pass and do what the clock nudges for, schemas included."""
    world.pass_time(seconds)
    for kind in clock.tick(world.runtime, world.nudges.update):
        if kind.startswith("schema:"):
            schema_watch.look(world.runtime, kind.partition(":")[2])


def still(world: World) -> dict[str, str]:
    with world.database.read() as session:
        return schema_watch.standing_still(session, HOME)


STAGE = FieldSchema(
    "Stage", FieldType.PICKLIST, options=("Q1", "Q0", "D", "P", "Won", "Lost"), history_kept=True
)


@pytest.mark.parametrize(
    ("name", "field", "reason"),
    [
        ("Close", None, "Deal has no field Close"),
        ("Amount", FieldSchema("Amount", FieldType.TEXT), "Amount is a text"),
        ("Stage", STAGE, "Stage has no value 'N'"),
        ("Region", FieldSchema("Region", FieldType.TEXT, required=True), "now requires Region"),
    ],
)
def test_each_kind_of_drift_stops_the_object_until_it_is_mended(
    world: World, name: str, field: FieldSchema | None, reason: str
) -> None:
    was = world.orgs[HOME].schemas["Deal"].fields.get(name)
    tick(world)
    assert still(world) == {}
    drift(world, name, field)
    tick(world, schema_watch.LOOK_SECONDS + 1)
    assert reason in still(world)["Deal"]

    made = world.approved()
    world.push()
    assert world.deals(HOME) == []
    assert len(world.deals(MIRROR)) == 1, "everything else runs on"
    (shown,) = [one for one in status(world.runtime).connections if one.name == HOME]
    assert shown.state == "in part"
    assert reason in shown.why
    assert preview_many(world.runtime, HOME).counts() == {Does.WAIT: 1}
    with world.database.read() as session:
        row = session.get_one(OutboxRow, (made.id, HOME))
        assert reason in row.reason
        assert session.scalars(select(DeadLetterRow)).all() == []

    drift(world, name, was)
    tick(world, schema_watch.MENDING_SECONDS + 1)
    assert still(world) == {}
    world.push()
    assert len(world.deals(HOME)) == 1


def test_a_refused_write_is_looked_into_at_once_and_waits(world: World) -> None:
    made = world.approved()
    world.settle()
    tick(world)
    full = world.orgs[HOME].schemas["Deal"].fields["Amount"]
    drift(world, "Amount", None)
    world.update(made.id, deal_name="Renamed", amount=Decimal(9000))
    world.push()
    assert "Deal has no field Amount" in still(world)["Deal"]
    with world.database.read() as session:
        assert session.scalars(select(DeadLetterRow)).all() == []
    drift(world, "Amount", full)
    tick(world, schema_watch.MENDING_SECONDS + 1)
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(9000)
    assert world.deal(HOME, "Name") == "Renamed"


def test_changes_of_a_stopped_object_are_taken_when_it_goes_on(world: World) -> None:
    world.approved()
    world.settle()
    tick(world)
    close = world.orgs[HOME].schemas["Deal"].fields["Close"]
    world.edit(HOME, Stage="P")
    drift(world, "Close", None)
    world.poll()
    assert "Close" in still(world)["Deal"]
    drift(world, "Close", close)
    tick(world, schema_watch.MENDING_SECONDS + 1)
    world.settle()
    with world.database.read() as session:
        assert session.scalars(select(DeadLetterRow)).all() == []
    assert still(world) == {}
    (made,) = preview_many(world.runtime, HOME).registrations
    assert made.job.registration.sales_stage.value == "proposing"


def test_what_was_required_before_we_came_is_lived_with(world: World) -> None:
    drift(world, "Region", FieldSchema("Region", FieldType.TEXT, required=True))
    tick(world)
    assert still(world) == {}


def test_a_crm_that_cannot_be_asked_changes_nothing(world: World) -> None:
    tick(world)
    world.doors[HOME].fail(MemoryFault.UNAVAILABLE, "describe")
    assert schema_watch.look(world.runtime, HOME) == {}
