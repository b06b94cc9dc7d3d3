"""Creates on PostgreSQL lock what they wait for in the order in which a pull of both deals does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from registration_core.model import Customer
from registration_core.store import work
from registration_core.store.tables import OutboxRow, RegistrationRow
from sync import checking, push
from sync.proposals import proposing
from tests.beside import use
from tests.world import HOME, World, build


@pytest.fixture
def world(migrated_postgres_url: str) -> Iterator[World]:
    """A world on PostgreSQL whose home CRM keeps companions beside each deal."""
    made = build(migrated_postgres_url)
    use(made)
    yield made
    made.runtime.close()


def test_a_companion_that_waits_for_its_check_blocks_nobody_who_holds_both_deals(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [
        world.submit(
            customer=Customer(name, "NO"),
            token=name,
            contact_name="B",
            contact_email=f"{number}@x.example",
        )
        for number, name in enumerate(["Fjordkraft Elektro AS", "Sundby Verft"])
    ]
    checking.drain(world.runtime)
    first, second = sorted(each.id for each in both)
    with world.database.begin() as unit:
        work.request_check(unit, first, "an account of the customer changed")
    original = proposing.without_asked
    held = threading.Event()

    def as_a_pull_does() -> None:
        with world.database.begin() as unit:
            unit.lock_all(RegistrationRow, [first, second])
            held.set()
            unit.lock_all(OutboxRow, [(first, HOME), (second, HOME)])

    pulls: list[Future[None]] = []

    def slow(*args: Any) -> Any:
        going = original(*args)
        if not pulls:
            assert {plan.companion.name for plan in args[2]} == {"account"}
            assert [plan.job.registration.id for plan in going] == [second]
            pulls.append(pool.submit(as_a_pull_does))
            held.wait(3)
            time.sleep(0.3)
        return going

    monkeypatch.setattr(proposing, "without_asked", slow)
    with ThreadPoolExecutor(max_workers=1) as pool:
        push.drain(world.runtime, HOME)
    (done,) = pulls
    assert done.exception() is None
