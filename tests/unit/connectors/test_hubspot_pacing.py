"""How fast HubSpot is called, by what it said of its limits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from connectors.hubspot.pacing import Pace

SEARCHES = st.lists(st.floats(0, 0.6), min_size=1, max_size=40)


class Watch:
    """A clock that only waits and sleeps move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def told(left: int) -> dict[str, str]:
    return {
        "x-hubspot-ratelimit-max": "100",
        "x-hubspot-ratelimit-remaining": str(left),
        "x-hubspot-ratelimit-interval-milliseconds": "10000",
    }


@given(SEARCHES)
def test_no_second_has_more_than_five_searches(gaps: list[float]) -> None:
    watch, sent = Watch(), list[float]()
    pace = Pace(watch, watch.pause)
    for gap in gaps:
        watch.now += gap
        pace.wait(search=True)
        sent.append(watch.now)
    for start in sent:
        assert sum(start <= at < start + 0.999 for at in sent) <= 5


def test_a_refused_search_halves_the_pace_and_half_a_minute_of_peace_raises_it() -> None:
    watch = Watch()
    pace = Pace(watch, watch.pause)

    def in_a_second() -> int:
        started, number = watch.now, 0
        while watch.now - started < 0.99:
            pace.wait(search=True)
            number += watch.now - started < 0.99
        watch.now += 1
        return number

    assert in_a_second() == 5
    pace.search_refused()
    assert in_a_second() == 2
    pace.search_refused()
    pace.search_refused()
    assert in_a_second() == 1
    watch.now += 31
    assert in_a_second() == 2


def test_calls_are_spaced_once_few_are_left_and_free_when_that_was_long_ago() -> None:
    watch = Watch()
    pace = Pace(watch, watch.pause)
    pace.note(told(50))
    pace.wait(search=False)
    assert watch.now == 1000
    pace.note(told(2))
    pace.wait(search=False)
    assert watch.now > 1000.5
    watch.now += 11
    now = watch.now
    pace.wait(search=False)
    assert watch.now == now


def test_an_answer_without_limits_changes_nothing() -> None:
    watch = Watch()
    pace = Pace(watch, watch.pause)
    pace.note(told(0))
    pace.note({})
    pace.wait(search=False)
    assert 1000 < watch.now < 1003
