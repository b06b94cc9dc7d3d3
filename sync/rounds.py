"""What comes round slowly: comparisons with the CRMs, nightly for links and weekly for accounts, what
people are told, and the first day of prohibitions that were noted ahead.

Apart from the clock's own steps, which move data: nothing waits for these.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from registration_core.store import account_lists
from sync import clock
from sync.announcing import drain as announcing
from sync.announcing import foreseeing
from sync.process import schedule
from sync.process.runtime import Runtime
from sync.repair import drift

#: How often it is looked what is due, in seconds.
LOOK_SECONDS = 10.0
#: How often all of a kind is compared, in seconds; for the first time after as long.
COMPARED_SECONDS = {drift.LINKS: 86_400, drift.ACCOUNTS: 7 * 86_400}


def tick(runtime: Runtime, nudge: Callable[[set[str]], None]) -> set[str]:
    """Begin what is due and nudge for what is not finished; returns the nudges."""
    readable = clock.readable(runtime)
    for name in readable:
        for kind, seconds in COMPARED_SECONDS.items():
            begin = partial(drift.begin_in, connection=name, kind=kind)
            schedule.claim(runtime, f"drift-{kind}:{name}", seconds, at_once=False, begin=begin)
    if schedule.claim(runtime, "foresee", 3600):
        foreseeing.foresee_ends(runtime, runtime.expiring_days)
    schedule.claim(runtime, "lists", 3600, begin=account_lists.check_what_begins)
    foreseeing.note_trouble(runtime)
    with runtime.database.read() as session:
        running = drift.unfinished(session)
    kinds = {f"drift-{kind}:{name}" for name, kind in running if name in readable}
    if announcing.any_due(runtime):
        kinds.add("announce")
    if kinds:
        nudge(kinds)
    return kinds
