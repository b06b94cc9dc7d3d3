"""Ids sort by time; public numbers and keys give nothing away."""

from __future__ import annotations

import itertools
import random
import uuid
from datetime import UTC, datetime

from registration_core.ids import Ids
from tests.factories import Clock


def test_an_id_is_a_version_7_uuid_that_holds_the_time_and_sorts_by_it() -> None:
    clock = Clock()
    ids = Ids(clock, random.Random(1))
    made = []
    for _ in range(50):
        made.append(ids.new())
        clock.advance(seconds=0.001)
    assert made == sorted(made)
    for text in made:
        value = uuid.UUID(text)
        assert (value.version, value.variant) == (7, uuid.RFC_4122)
    first = datetime.fromtimestamp((uuid.UUID(made[0]).int >> 80) / 1000, UTC)
    assert first == Clock().now


def test_ids_of_one_instant_differ() -> None:
    ids = Ids(Clock(), random.Random(1))
    assert len({ids.new() for _ in range(1000)}) == 1000


def test_a_public_number_reveals_neither_order_nor_time() -> None:
    clock = Clock()
    first, second = Ids(clock, random.Random(1)), Ids(clock, random.Random(1))
    early = [first.number() for _ in range(200)]
    clock.advance(days=400)
    assert [second.number() for _ in range(200)] == early
    rising = sum(a < b for a, b in itertools.pairwise(early))
    assert 70 < rising < 130
    assert all(len(n) == 12 and not set("01ILO") & set(n) for n in early)


def test_a_key_that_blinds_a_value_has_128_random_bits() -> None:
    keys = {Ids(Clock(), random.Random(seed)).secret() for seed in range(100)}
    assert len(keys) == 100
    assert {len(key) for key in keys} == {32}
