"""Garbage collection of processes that stay: thousands of objects for good, millions for a moment.

By its own measure Python looks through everything that lives again and again while batches are
planned and committed; left to itself, that was a quarter of a worker's CPU time.
"""

from __future__ import annotations

import gc

#: Objects made between two looks at the youngest, and looks per look at the next older ones.
EACH_OBJECTS, EACH_LOOKS = 20_000, 20


def collect_seldom() -> None:
    """Leave out what is there to stay, and look at the rest seldom; safe to call again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(EACH_OBJECTS, EACH_LOOKS, EACH_LOOKS)
