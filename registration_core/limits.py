"""How much may move by itself on one connection; what is more waits for a person."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Caps of one connection, 0 lifts a cap: generous for a day's work, far below a ruined org."""

    #: Records written by one run, which is one drain of what is due.
    writes_per_run: int = 2_000
    writes_per_hour: int = 5_000
    creates_per_hour: int = 500
    #: Percent of the connection's links written to in an hour, from 100 writes on.
    share_of_links_per_hour: int = 25
    #: Updates of one field to one and the same value.
    same_value_per_hour: int = 500
    #: Records in which the CRM changed one field group, within ten minutes.
    taken_per_ten_minutes: int = 300
    #: Records that the CRM closed as won, within ten minutes.
    won_per_ten_minutes: int = 50
    #: Records in which the CRM emptied a field, within ten minutes.
    cleared_per_ten_minutes: int = 50
    #: Held items of more records than this are released by two different people.
    two_people_above: int = 1_000
