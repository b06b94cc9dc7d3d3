"""A sandbox that was refreshed: another org, which nothing goes to before a person says so."""

from __future__ import annotations

from decimal import Decimal

import pytest

from connectors.memory_org import MemoryOrg
from registration_core.contracts import Mode
from registration_core.errors import DomainRefusal
from registration_core.store.audit import events
from registration_core.store.tables import Base
from sync import clock
from sync.gates import grading, ladder
from sync.ledger.tables import QuarantineRow
from sync.links import linking, rebinding
from sync.reports import today
from sync.traffic.guard import CallMetrics, GuardedConnector, OrgMismatch
from tests.world import ACCOUNT, BEN, DEAL, HOME, World


def refresh(world: World) -> MemoryOrg:
    """Let another org answer under the same address, to a process that starts anew."""
    org = MemoryOrg(lambda: world.now, [DEAL, ACCOUNT], org_id="org-new")
    for each in world.orgs[HOME].records("Account"):
        org.add("Account", dict(each.fields))
    world.orgs[HOME] = world.doors[HOME].org = org
    world.runtime.connectors[HOME]._pinned = None  # type: ignore[attr-defined]
    return org


def test_a_refreshed_org_is_refused_and_both_are_named(world: World) -> None:
    world.approved()
    world.settle()
    refresh(world)
    with pytest.raises(OrgMismatch, match="pinned to the org org-alpha, but org-new answered"):
        world.runtime.connector(HOME).count("Deal", ())
    found = rebinding.look(world.runtime, HOME)
    assert (found.pinned, found.answered, found.links) == ("org-alpha", "org-new", 1)


def test_after_the_rebind_the_old_records_are_forgotten_and_the_new_org_is_only_observed(
    world: World,
) -> None:
    made = world.approved()
    world.settle()
    org = refresh(world)
    rebinding.rebind(world.runtime, rebinding.look(world.runtime, HOME), BEN)

    assert ladder.rung(world.runtime, HOME).mode is Mode.OBSERVE
    world.settle()
    assert world.deals(HOME) == []
    with world.database.read() as session:
        assert HOME not in [link.connection for link in linking.links(session)]
        (told,) = [e for e in events(session, f"connection:{HOME}") if e["action"] == "rebind"]
        unlinked = [e["action"] for e in events(session, f"registration:{made.id}")]
    assert told["internal"] == {"from": "org-alpha", "to": "org-new", "links": 1}
    assert "unlink record" in unlinked

    found = grading.report(world.runtime, HOME)
    ladder.promote(world.runtime, HOME, BEN, found=found, to=Mode.PUSH)
    world.settle()
    (record,) = org.records("Deal")
    assert (record.fields["Key"], record.fields["Amount"]) == (made.id, Decimal(5000))


def test_webhooks_of_the_new_org_are_told_of_until_it_is_no_stranger_any_more(
    world: World,
) -> None:
    world.settle()
    refresh(world)
    with world.database.begin() as unit:
        for org_id in ("org-new", "org-other"):
            unit.session.add(
                QuarantineRow(
                    id=unit.ids.new(), connection=HOME, org_id=org_id, body="", received_at=unit.now
                )
            )  # fmt: skip

    def strangers() -> list[str]:
        told = today.today(world.runtime)
        return [line.about for line in told if line.topic == "webhooks of another org"]

    assert sorted(strangers()) == ["alpha: org org-new", "alpha: org org-other"]
    rebinding.rebind(world.runtime, rebinding.look(world.runtime, HOME), BEN)
    assert strangers() == ["alpha: org org-other"]


def test_a_process_of_before_the_rebind_writes_nothing_until_it_is_restarted(
    world: World,
) -> None:
    world.approved()
    world.settle()
    inner = world.doors[HOME]
    older = GuardedConnector(inner, world.database, CallMetrics(world.runtime.registry))
    older.count("Deal", ())
    refresh(world)
    rebinding.rebind(world.runtime, rebinding.look(world.runtime, HOME), BEN)
    with pytest.raises(OrgMismatch):
        older.count("Deal", ())


def test_what_answers_already_is_not_rebound_and_a_production_org_never_is(world: World) -> None:
    with pytest.raises(DomainRefusal, match="that is what answers"):
        rebinding.look(world.runtime, HOME)
    world.runtime.start_modes[HOME] = Mode.OBSERVE  # type: ignore[index]
    with pytest.raises(DomainRefusal, match="production"):
        rebinding.look(world.runtime, HOME)
    assert not clock.due_work(world.runtime)


def test_every_table_that_knows_a_connection_is_thought_of() -> None:
    changed = {
        "account", "account_list_entry", "connection_state", "dead_letter", "drift_run", "held",
        "intent", "link", "outbox", "rung",
    }  # fmt: skip
    kept = {"mapping_version", "quarantine", "sync_conflict", "sync_run"}
    forgotten = {table.__tablename__ for table in rebinding._OF_THE_ORG}
    known = {name for name, table in Base.metadata.tables.items() if "connection" in table.columns}
    assert known == changed | kept | forgotten
