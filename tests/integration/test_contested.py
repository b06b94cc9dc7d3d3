"""Eight processes approve rivals at once: never more partners than slots, on either store.

2,000 submissions in all; `CONTESTED` sets how many on each store (`make soak`: 20,000). The figures
are in the summary at the end of the run.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from registration_core.store.database import Database
from tests.integration.contested import RIVALS, contest

SUBMISSIONS = int(os.environ.get("CONTESTED", "1000"))


@pytest.mark.timeout(7200)
def test_eight_processes_never_protect_more_partners_than_there_are_slots(
    database: Database, record_property: Callable[[str, object], None]
) -> None:
    came = contest(database, SUBMISSIONS, processes=8)
    record_property("figures", f"{database.engine.dialect.name}: {came}")
    customers = -(-SUBMISSIONS // RIVALS)
    shared = -(-customers // 5)
    assert came.doubled == 0
    assert came.protected == customers - shared + 2 * shared
    assert came.protected + came.refused == SUBMISSIONS
