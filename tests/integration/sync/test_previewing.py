"""What a preview shows is what the next run does, to the field."""

from __future__ import annotations

import random
from collections.abc import Mapping
from decimal import Decimal

from sqlalchemy import select

from registration_core.contracts import ConnectionName, Fields, Value
from registration_core.crm_changes import canonical
from registration_core.model import Customer
from sync import checking, pull, push, runs
from sync.conflicts import resolving
from sync.ledger.tables import IntentRow, LinkRow
from sync.links import linking
from sync.previews.previewing import Does, Previews, preview_many
from tests.world import BEN, HOME, MIRROR, World

_EDITS: tuple[Mapping[str, Value], ...] = (
    {"Amount": Decimal(7500)},
    {"Stage": "P"},
    {"Stage": "Q0"},
    {"Stage": "Won"},
    {"Name": "Renamed there"},
    {"Name": None},
    {"Partner": "Somebody else"},
    {"State": "rejected", "Currency": "USD"},
    {"Amount": None},
)


def registrations(world: World, count: int) -> list[str]:
    """Submit deals of customers that nobody else asked for; returns their ids."""
    names = ["".join(random.Random(n).choices("bdfgklmnprstvzaeiou", k=14)) for n in range(count)]
    for n, name in enumerate(names):
        for org in world.orgs.values():
            org.add("Account", {"Name": name, "Country": "DE", "Tax": f"DE7{n:05}"})
    world.pass_time(60)
    world.poll()
    made = [
        world.submit(
            token=name, customer=Customer(name, "DE", tax_id=f"DE7{n:05}"), deal_name=f"Deal {n}"
        )
        for n, name in enumerate(names)
    ]
    checking.drain(world.runtime)
    return [each.id for each in made]


def held(world: World, connection: ConnectionName) -> dict[str, Fields]:
    """Our fields of every registration mirrored there."""
    with world.database.read() as session:
        ids = session.scalars(
            select(LinkRow.registration_id).where(LinkRow.connection == connection)
        ).all()
    return {key: canonical(world.registration(key), connection, None) for key in ids}


def written(world: World, connection: ConnectionName, known: set[str]) -> dict[str, Fields]:
    """What was written there by intents that are not known yet, by registration."""
    with world.database.read() as session:
        intents = session.scalars(select(IntentRow).where(IntentRow.connection == connection))
        return {i.registration_id: i.payload for i in intents if i.id not in known}


def intents(world: World) -> set[str]:
    with world.database.read() as session:
        return set(session.scalars(select(IntentRow.id)))


def forecast(found: Previews) -> dict[str, Fields]:
    """What a preview says will be written, by registration."""
    return {each.job.registration.id: each.write for each in found.registrations if each.write}


def test_a_run_creates_exactly_what_the_preview_showed(world: World) -> None:
    registrations(world, 6)
    found = preview_many(world.runtime, HOME)
    assert found.counts() == {Does.CREATE: 6}
    assert not world.deals(HOME)

    push.drain(world.runtime, HOME)

    assert written(world, HOME, set()) == forecast(found)
    assert preview_many(world.runtime, HOME).counts() == {Does.AGREE: 6}


def test_a_run_does_exactly_what_the_preview_showed_after_edits_on_both_sides(
    world: World,
) -> None:
    ids = registrations(world, 24)
    world.settle()
    rng = random.Random(7)
    for record_id in world.deals(HOME):
        world.orgs[HOME].edit("Deal", record_id, dict(rng.choice(_EDITS)), "rep")
    for key in rng.sample(ids, 8):
        world.update(key, deal_name=f"Renamed here {key[-4:]}")
    before, known = held(world, HOME), intents(world)

    found = preview_many(world.runtime, HOME)
    assert {Does.PUSH, Does.PULL, Does.RESTORE} <= set(found.counts())
    world.pass_time(60)
    runs.poll(world.runtime, HOME)
    pull.drain(world.runtime, HOME)
    push.drain(world.runtime, HOME)

    fields = [field for each in found.registrations for field in each.fields]
    assert len(fields) > 15
    assert written(world, HOME, known) == forecast(found)
    after = held(world, HOME)
    for each in found.registrations:
        key = each.job.registration.id
        pulled = {f.ours: f.then for f in each.fields if f.does is Does.PULL}
        for name, value in pulled.items():
            assert after[key][name] == value
        changed = {n for n, v in after[key].items() if v != before[key][n]}
        assert changed - _CONSEQUENCES <= set(pulled)
    with world.database.read() as session:
        kept = {(c.registration_id, c.group) for c in resolving.conflicts(session)}
    foreseen = {
        (each.job.registration.id, field.group)
        for each in found.registrations
        for field in each.fields
        if field.does in (Does.CONFLICT, Does.REFUSED)
    }
    assert kept == foreseen


#: What the lifecycle itself moves when a sale is closed.
_CONSEQUENCES = {"protection_state", "protection_starts_on", "protection_ends_on",
                 "registration_state", "actual_close_on", "won_amount"}  # fmt: skip


def test_both_sides_stand_beside_each_other(world: World) -> None:
    made = world.approved()
    world.settle()
    world.edit(HOME, Partner="Somebody else")
    (deal,) = world.orgs[HOME].records("Deal")
    deal.fields["Stage"] = "nobody knows this one"

    (each,) = preview_many(world.runtime, HOME, number=made.number).registrations

    by_field = {field.ours: field for field in each.fields}
    partner = by_field["partner_name"]
    assert (partner.our_value, partner.their_values) == (
        "Acme Partners",
        {"Partner": "Somebody else"},
    )
    assert (partner.does, partner.then) == (Does.RESTORE, {"Partner": "Acme Partners"})
    assert partner.why == "The CRM changed what it may not change."
    assert by_field["sales_stage"].does is Does.REFUSED
    assert by_field["sales_stage"].why == "is not listed in the mapping"
    assert each.does is Does.REFUSED


def test_an_opportunity_of_a_salesperson_lets_the_preview_wait_and_writes_nothing(
    world: World,
) -> None:
    made = world.approved()
    account = made.accounts[HOME]
    world.orgs[HOME].add("Deal", {"Name": "Mine", "Account": account, "Closed": False})

    (each,) = preview_many(world.runtime, HOME, number=made.number).registrations

    assert (each.does, each.write) == (Does.WAIT, {})
    assert "may be this deal" in each.why
    with world.database.read() as session:
        assert session.scalars(select(LinkRow)).all() == []


def test_what_a_record_held_before_it_was_linked_is_not_told_as_a_change_of_the_crm(
    world: World,
) -> None:
    (account,) = [r for r in world.orgs[HOME].records("Account") if r.fields["Tax"] == "DE100"]
    theirs: dict[str, Value] = {
        "Name": "Rep's name", "Stage": "P", "Amount": Decimal(12345), "Currency": "EUR",
        "Account": account.record_id, "Closed": False, "Partner": "Somebody else",
    }  # fmt: skip
    world.orgs[HOME].add("Deal", theirs, "rep")
    made = world.approved()
    checking.approve(world.runtime, made.number, BEN)
    world.push()
    with world.database.read() as session:
        (found,) = linking.proposals(session)
    linking.accept(world.runtime, found.id, BEN)

    (each,) = preview_many(world.runtime, HOME, number=made.number).registrations

    (partner,) = [field for field in each.fields if field.ours == "partner_name"]
    assert (partner.does, partner.then) == (Does.PUSH, {"Partner": "Acme Partners"})
    assert partner.why == "Nothing is agreed on by this row yet, and ours stands."


def test_a_vanished_record_lets_the_preview_wait(world: World) -> None:
    world.approved()
    world.settle()
    (record_id,) = world.deals(MIRROR)
    world.orgs[MIRROR].remove("Deal", record_id, "rep")

    (each,) = preview_many(world.runtime, MIRROR).registrations

    assert each.does is Does.WAIT
    assert each.why == "its record is deleted; see: dealreg link list"


def test_a_sample_is_the_same_every_time_and_part_of_all(world: World) -> None:
    registrations(world, 8)
    world.push()
    drawn = [
        [each.job.registration.number for each in found.registrations]
        for found in (preview_many(world.runtime, HOME, sample=3) for _ in range(2))
    ]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 3
    assert len(preview_many(world.runtime, HOME, sample=50).registrations) == 8
