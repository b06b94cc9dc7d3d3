"""Versions of a mapping: weighed first, in force for every worker, agreed on anew, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import select

from mapping.loader import load
from mapping.schema import ConnectionMapping
from registration_core.errors import ConfigurationError, DomainRefusal, NotFound
from sync.conflicts import resolving
from sync.ledger.tables import IntentRow, LinkRow
from sync.mappings import mapping_versions
from sync.previews import applying
from sync.previews.previewing import Does
from tests.integration.sync.test_mapping_manners import GROUPS, OURS
from tests.world import ANN, HOME, World

CLOSE = "close: [{ours: expected_close_on, theirs: Close, direction: both, transform: date}]"


def draft(world: World, changes: Mapping[str, str]) -> ConnectionMapping:
    text = world.runtime.mappings[HOME].source.text
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return load(text, "mappings/alpha.yaml", OURS, GROUPS)


def put(world: World, mapping: ConnectionMapping) -> mapping_versions.MappingVersion:
    """Apply a mapping and let the workers take it up."""
    made = applying.apply(world.runtime, applying.weigh(world.runtime, mapping), ANN)
    world.runtime = replace(
        world.runtime, mappings={**world.runtime.mappings, mapping.connection: mapping}
    )
    return made


def known(world: World) -> list[tuple[int, str]]:
    with world.database.read() as session:
        found = mapping_versions.versions(session, HOME)
    return [(each.number, each.digest) for each in found]


@pytest.fixture
def first(world: World) -> ConnectionMapping:
    """The mapping of the home CRM, in force as version 1."""
    mapping = world.runtime.mappings[HOME]
    with world.database.begin(ANN) as unit:
        mapping_versions.put_in_force(unit, mapping, seen=0)
    return mapping


def test_every_push_and_its_link_name_the_mapping(world: World, first: ConnectionMapping) -> None:
    made = world.approved()
    world.settle()
    world.update(made.id, deal_name="Renamed")
    world.settle()
    with world.database.read() as session:
        (link,) = session.scalars(select(LinkRow).where(LinkRow.connection == HOME))
        intents = session.scalars(select(IntentRow).where(IntentRow.connection == HOME)).all()
    assert link.mapping_version == first.version
    assert {intent.mapping_version for intent in intents} == {first.version}


def test_a_changed_field_with_equal_values_is_agreed_on_and_nothing_is_written(
    world: World, first: ConnectionMapping
) -> None:
    world.approved()
    world.settle()
    world.edit(HOME, Remark="Cold chain")
    mapping = draft(world, {"theirs: Name, direction: both": "theirs: Remark, direction: both"})
    weighed = applying.weigh(world.runtime, mapping)
    assert weighed.previews.counts() == {Does.AGREE: 1}
    assert (weighed.touched, weighed.previews.rebased) == ((), 1)
    put(world, mapping)
    world.settle()
    with world.database.read() as session:
        assert resolving.conflicts(session, everything=True) == []


def test_a_changed_field_with_different_values_goes_by_authority_and_the_loser_is_kept(
    world: World, first: ConnectionMapping
) -> None:
    made = world.approved()
    world.settle()
    world.edit(HOME, Stage="P")  # converted: the home CRM wins the name
    world.settle()
    world.edit(HOME, Remark="Their other name")
    world.settle()
    mapping = draft(world, {"theirs: Name, direction: both": "theirs: Remark, direction: both"})
    weighed = applying.weigh(world.runtime, mapping)
    (shown,) = weighed.previews.registrations
    assert [(f.ours, f.does, f.then) for f in shown.fields] == [
        ("deal_name", Does.PULL, "Their other name")
    ]
    assert (len(weighed.touched), weighed.fields, weighed.previews.rebased) == (1, 1, 1)
    put(world, mapping)
    world.settle()
    assert world.registration(made.id).deal_name == "Their other name"
    with world.database.read() as session:
        (kept,) = resolving.conflicts(session, everything=True)
    assert (kept.group.value, kept.state) == ("name", "auto_settled")
    assert kept.store["deal_name"] == "Cold chain"


def test_what_a_changed_row_writes_is_told_as_our_change_and_not_as_somebody_elses(
    world: World, first: ConnectionMapping
) -> None:
    world.approved()
    world.settle()
    world.edit(HOME, Remark="Theirs")
    world.settle()
    mapping = draft(world, {"theirs: Partner, direction: push": "theirs: Remark, direction: push"})
    (shown,) = applying.weigh(world.runtime, mapping).previews.registrations
    assert [(f.does, f.then, f.why) for f in shown.fields] == [
        (
            Does.PUSH,
            {"Remark": "Acme Partners"},
            "Nothing is agreed on by this row yet, and ours stands.",
        )
    ]


def test_what_an_applied_mapping_adds_is_filled_in_without_another_change(
    world: World, first: ConnectionMapping
) -> None:
    world.approved(description="From the partner")
    world.settle()
    row = "details: [{ours: description, theirs: Remark, direction: push}]"
    mapping = draft(world, {CLOSE: f"{CLOSE}\n      {row}"})
    weighed = applying.weigh(world.runtime, mapping)
    assert weighed.previews.counts() == {Does.PUSH: 1}
    assert put(world, mapping).number == 2
    world.push()
    assert world.deal(HOME, "Remark") == "From the partner"
    assert not [p for p in applying.weigh(world.runtime, first).previews.registrations if p.write]


def test_the_run_after_an_apply_does_what_was_weighed(
    world: World, first: ConnectionMapping
) -> None:
    made = world.approved()
    world.settle()
    world.update(made.id, amount=Decimal(7777))
    mapping = draft(world, {"theirs: Partner, direction: push": "theirs: Remark, direction: push"})
    weighed = applying.weigh(world.runtime, mapping)
    (shown,) = weighed.previews.registrations
    put(world, mapping)
    world.pass_time(1)
    world.push()
    with world.database.read() as session:
        last = session.scalars(
            select(IntentRow)
            .where(IntentRow.connection == HOME)
            .order_by(IntentRow.created_at.desc())
        ).first()
    assert last is not None
    assert last.payload == shown.write == {"Remark": "Acme Partners", "Amount": Decimal(7777)}


def test_going_back_and_forth(world: World, first: ConnectionMapping) -> None:
    second = draft(world, {"theirs: Name, direction: both": "theirs: Remark, direction: both"})
    with world.database.read() as session, pytest.raises(NotFound, match="no earlier version"):
        mapping_versions.before(session, HOME)
    put(world, second)
    with world.database.read() as session:
        now, then = mapping_versions.before(session, HOME)
    assert (now.digest, then.digest) == (second.version, first.version)
    assert then.text == first.source.text
    put(world, first)
    assert known(world) == [(3, first.version), (2, second.version), (1, first.version)]


def test_what_is_in_force_is_not_applied_again(world: World, first: ConnectionMapping) -> None:
    with pytest.raises(DomainRefusal, match="in force already, as version 1"):
        applying.weigh(world.runtime, first)


def test_of_two_who_apply_at_once_one_is_told(world: World, first: ConnectionMapping) -> None:
    mine = applying.weigh(world.runtime, draft(world, {CLOSE: ""}))
    put(world, draft(world, {"theirs: Name, direction: both": "theirs: Name"}))
    with pytest.raises(DomainRefusal, match="Version 2 of the mapping of alpha was applied"):
        applying.apply(world.runtime, mine, ANN)


def test_a_mapping_that_does_not_fit_the_crm_is_not_applied(
    world: World, first: ConnectionMapping
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        applying.weigh(world.runtime, draft(world, {"theirs: Close": "theirs: Closing"}))
    assert "Deal has no field Closing" in str(refused.value)
    assert known(world) == [(1, first.version)]
