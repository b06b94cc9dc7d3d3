"""A wrong map, and a loader, over very many deals: what stops them, and how all of it is taken back.

`DEALS` sets how many (`make soak`: 4,000); the figures are in the summary at the end of the run.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from mapping.loader import load
from registration_core.limits import Limits
from registration_core.model import Actor
from registration_core.store.tables import OutboxRow, RegistrationRow
from sync import pull, push, runs
from sync.gates import holding
from sync.gates.limits import SHARE_FROM
from sync.mappings import mapping_versions
from sync.previews import applying
from sync.repair import undoing
from sync.reports.today import today
from sync.traffic import switch
from tests import crowd
from tests.integration.sync.test_mapping_manners import GROUPS, OURS
from tests.world import ANN, BEN, HOME, MIRROR, World, build

DEALS = int(os.environ.get("DEALS", "120"))
LIMITS = Limits()
#: What may be written in an hour before the first cap stops it.
MOST = min(
    LIMITS.same_value_per_hour, max(SHARE_FROM, DEALS * LIMITS.share_of_links_per_hour // 100)
)
SECOND = Actor("second", "desk", os_user="second")
GOOD, BAD = "qualifying: [Q1, Q0]\n              developing: [D]", "qualifying: [D]\n              developing: [Q1, Q0]"  # fmt: skip

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture
def world(fast_url: str) -> Iterator[World]:
    """A world with the shipped caps in its home CRM, and so many deals that agree."""
    made = build(fast_url)
    crowd.both(made, DEALS)
    made.runtime = replace(made.runtime, limits={HOME: LIMITS})
    made.settle()
    yield made
    made.runtime.close()


def stages(world: World) -> Counter[object]:
    org = world.orgs[HOME]
    return Counter(org.value("Deal", record_id, "Stage") for record_id in world.deals(HOME))


def stored(world: World) -> Counter[str]:
    with world.database.read() as session:
        return Counter(session.scalars(select(RegistrationRow.sales_stage)))


def the_items(world: World) -> list[holding.Held]:
    with world.database.read() as session:
        return holding.held(session)


def put(world: World, old: str, new: str) -> None:
    """Put the home CRM's mapping with another text in force, as `mapping apply` does."""
    text = world.runtime.mappings[HOME].source.text
    assert old in text
    draft = load(text.replace(old, new), "alpha.yaml", OURS, GROUPS)
    applying.apply(world.runtime, applying.weigh(world.runtime, draft), ANN)
    world.runtime = replace(world.runtime, mappings={**world.runtime.mappings, HOME: draft})


def test_a_wrong_stage_map_stops_at_its_cap_is_killed_and_undone(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    began = time.monotonic()
    with world.database.begin(ANN) as unit:
        mapping_versions.put_in_force(unit, world.runtime.mappings[HOME], seen=0)
    all_of_them = stages(world)["Q1"]
    put(world, GOOD, BAD)
    world.pass_time(1)
    push.drain(world.runtime, HOME)
    written = stages(world)["D"]
    assert written == MOST
    assert sum(item.records for item in the_items(world)) == all_of_them - MOST

    switch.stop(world.database, ANN, HOME, writes_only=True, reason="wrong stage map")
    world.pass_time(3600)
    push.drain(world.runtime, HOME)
    assert stages(world)["D"] == MOST
    told = {line.topic: line.count for line in today(world.runtime)}
    assert told["changes held"] == all_of_them - MOST

    for item in the_items(world):
        holding.discard(world.runtime, item.id, BEN, "wrong stage map")
    with world.database.read() as session:
        wrong = [r for r in runs.runs(session, 100) if r.kind == "push" and r.connection == HOME]
    put(world, BAD, GOOD)
    undone = undoing.undo(world.runtime, wrong[0].id, BEN, dry_run=False)
    assert sum(not each.kept_because for each in undone) == MOST
    switch.resume(world.database, ANN, HOME)
    world.settle()
    assert stages(world) == {"Q1": all_of_them}
    assert the_items(world) == []
    record_property(
        "figures",
        f"{DEALS:,} deals: {MOST} written wrongly, {all_of_them - MOST:,} held, all put back, "
        f"{time.monotonic() - began:.0f} s",
    )


def test_a_loader_that_closes_every_deal_waits_in_one_item(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    began, before = time.monotonic(), stored(world)
    deals = world.deals(HOME)
    for record_id in deals:
        world.orgs[HOME].edit("Deal", record_id, {"Stage": "Won"}, "loader")
    world.pass_time(60)
    while runs.poll(world.runtime, HOME) and pull.drain(world.runtime, HOME):
        world.pass_time(1)
    (item,) = the_items(world)
    assert (item.direction, item.cap, item.records) == ("pull", "won_per_ten_minutes", len(deals))
    assert stored(world) == before
    with world.database.read() as session:
        due = session.scalars(
            select(func.count()).where(
                OutboxRow.connection == MIRROR, OutboxRow.done < OutboxRow.wanted
            )
        ).one()
    assert due == 0  # nothing of it goes anywhere else
    took = f"{time.monotonic() - began:.0f} s"
    record_property("figures", f"{len(deals):,} deals closed by a loader: one held item, {took}")
