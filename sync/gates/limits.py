"""Which changes are too many at once: pure counting, no store and no clock.

A wrong stage map or a data loader looks like many correct changes. Each change is counted under
every cap that it is about; one that would exceed a cap waits under that cap, the others go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from registration_core.fields import SalesStage
from registration_core.limits import Limits
from sync.plans.jobs import Planned

#: Below so many writes in an hour the share of links says nothing.
SHARE_FROM = 100


class Cap(StrEnum):
    """What there can be too much of. The order is the order in which caps are looked at."""

    WRITES_PER_RUN = "writes_per_run"
    WRITES_PER_HOUR = "writes_per_hour"
    CREATES_PER_HOUR = "creates_per_hour"
    SHARE_OF_LINKS = "share_of_links_per_hour"
    SAME_VALUE = "same_value_per_hour"
    TAKEN = "taken_per_ten_minutes"
    WON = "won_per_ten_minutes"
    CLEARED = "cleared_per_ten_minutes"


#: What is counted: a cap, and what it is about (`Stage=Closed Won`), if anything.
Key = tuple[Cap, str]


@dataclass(frozen=True)
class Sofar:
    """What happened in the caps' windows before this batch."""

    counts: Mapping[Key, int]
    #: Active links of the connection.
    links: int = 0


@dataclass(frozen=True)
class Split:
    """A batch after counting: what goes on, and what waits under which cap."""

    admitted: tuple[Planned, ...]
    held: Mapping[Key, Sequence[Planned]]
    #: How often each key was counted.
    counted: Mapping[Key, int]


def writes(limits: Limits, sofar: Sofar, planned: Iterable[Planned]) -> Split:
    """Split plans by what they would write to the CRM, one by one; without a write all go on."""
    counts, counted = Counter(sofar.counts), Counter[Key]()
    admitted: list[Planned] = []
    held: dict[Key, list[Planned]] = {}
    for p in planned:
        keys = _write_keys(p)
        full = next((k for k in keys if counts[k] >= _most(limits, sofar, k)), None)
        if full is not None:
            held.setdefault(full, []).append(p)
            continue
        counts.update(keys)
        counted.update(keys)
        admitted.append(p)
    return Split(tuple(admitted), held, counted)


def takes(limits: Limits, sofar: Sofar, planned: Iterable[Planned]) -> Split:
    """Split plans by what they would take from the CRM; a plan without a take goes on.

    A batch is looked at as a whole: when it would go over a cap, none of what is counted under
    that cap goes on, the first of it as little as the last. What is held counts as well: the end of
    what a loader did would else go on by itself, because it is few.
    """
    several = tuple(planned)
    counted = Counter(key for p in several for key in _take_keys(p))
    over = {k for k, n in counted.items() if sofar.counts.get(k, 0) + n > _most(limits, sofar, k)}
    held: dict[Key, list[Planned]] = {}
    admitted = []
    for p in several:
        worst = min((key for key in _take_keys(p) if key in over), default=None, key=_rank)
        if worst is None:
            admitted.append(p)
        else:
            held.setdefault(worst, []).append(p)
    return Split(tuple(admitted), held, counted)


def _rank(key: Key) -> int:
    """The most telling cap first: closed as won says more than much was changed."""
    return -list(Cap).index(key[0])


def _write_keys(planned: Planned) -> list[Key]:
    if not planned.plan.write:
        return []
    keys = [(Cap.WRITES_PER_RUN, ""), (Cap.WRITES_PER_HOUR, "")]
    if planned.record is None:
        return [*keys, (Cap.CREATES_PER_HOUR, "")]
    values = [f"{name}={value}" for name, value in sorted(planned.plan.write.items())]
    return [*keys, (Cap.SHARE_OF_LINKS, ""), *((Cap.SAME_VALUE, value) for value in values)]


def _take_keys(planned: Planned) -> list[Key]:
    link = planned.job.link
    if link is not None and not link.base and link.converted_at is None:
        return []  # a first link, as a person said: the record has not changed, it was there before
    keys: list[Key] = []
    for group, values in sorted(planned.plan.takes.items()):
        keys.append((Cap.TAKEN, group.value))
        if values.get("sales_stage") == SalesStage.WON.value:
            keys.append((Cap.WON, ""))
        keys += [(Cap.CLEARED, name) for name, value in sorted(values.items()) if value is None]
    return keys


def _most(limits: Limits, sofar: Sofar, key: Key) -> float:
    most: int = getattr(limits, key[0].value)
    if not most:
        return inf
    if key[0] is Cap.SHARE_OF_LINKS:
        return max(SHARE_FROM, sofar.links * most / 100)
    return most
