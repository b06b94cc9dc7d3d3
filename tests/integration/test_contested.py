"""Eight processes approve rivals at once: never more partners than slots, on either store.

`CONTESTED` sets how many submissions are contested (`make soak`: 20,000); figures are printed.
"""

from __future__ import annotations

import os

import pytest

from registration_core.store.database import Database
from tests.integration.contested import RIVALS, contest

SUBMISSIONS = int(os.environ.get("CONTESTED", "200"))


@pytest.mark.timeout(7200)
def test_eight_processes_never_protect_more_partners_than_there_are_slots(
    database: Database,
) -> None:
    came = contest(database, SUBMISSIONS, processes=8)
    print(came)  # noqa: T201 - the figures are what a soak is for
    customers = -(-SUBMISSIONS // RIVALS)
    shared = -(-customers // 5)
    assert came.doubled == 0
    assert came.protected == customers - shared + 2 * shared
    assert came.protected + came.refused == SUBMISSIONS
