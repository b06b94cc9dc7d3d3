"""One commit for a batch, or, when the store refuses a row of it, one commit for each row.

A batch costs one commit and one query per table. A row that the store cannot keep (a record that
is linked already, a value that a column does not take) fails the whole of it; then every row goes
alone, and the one at fault is given up with a reason and blocks nobody. The same for a batch that
a CRM refuses whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog
from sqlalchemy.exc import DataError, IntegrityError

from connectors.errors import CallRejected
from connectors.port import Outcome, Refused
from registration_core.store.database import Database, UnitOfWork

log = structlog.get_logger()
Item = TypeVar("Item")
Done = TypeVar("Done")

#: Most items of one commit.
COMMIT_MAX = 200


def together_or_apart(
    database: Database,
    items: Sequence[Item],
    do: Callable[[UnitOfWork, Sequence[Item]], list[Done]],
    give_up: Callable[[UnitOfWork, Item, str], None],
) -> list[Done]:
    """Do all items in one commit, or each in its own; returns what was done.

    More than `COMMIT_MAX` take a commit for every so many, which bounds memory and locks. `do` is
    repeated for each item when its commit was rolled back, so it must change nothing
    outside the store. An unreachable store or a deadlock is no fault of a row and goes up.
    """
    if len(items) > COMMIT_MAX:
        parts = [items[at : at + COMMIT_MAX] for at in range(0, len(items), COMMIT_MAX)]
        return [done for some in parts for done in together_or_apart(database, some, do, give_up)]
    try:
        with database.begin() as unit:
            return do(unit, items)
    except (IntegrityError, DataError) as error:
        reason = f"the store cannot keep it ({type(error).__name__})"
    if len(items) > 1:
        return [done for each in items for done in together_or_apart(database, [each], do, give_up)]
    log.error("row given up", reason=reason)
    with database.begin() as unit:
        give_up(unit, items[0], reason)
    return []


def sent(
    send: Callable[[Sequence[Item]], Sequence[Outcome]], items: Sequence[Item]
) -> list[Outcome]:
    """Send a batch; one that is refused whole is halved until the row at fault stands alone."""
    try:
        return list(send(items))
    except CallRejected as error:
        if len(items) == 1:
            return [Refused(error.code, error.message)]
        middle = len(items) // 2
        return sent(send, items[:middle]) + sent(send, items[middle:])
