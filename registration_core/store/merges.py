"""Which accounts a CRM has merged into which: remembered, for a survivor may be merged away itself.

Feeds tell merges in any order. Who stood on an account that was merged into one that is gone
already can only go on to the end of the chain because the earlier merge is known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Index, SQLColumnExpression, String, delete, insert, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from registration_core.store.tables import Base

_IN_MAX = 500


class AccountMergeRow(Base):
    """An account that a CRM merged into another, as the CRM told it."""

    __tablename__ = "account_merge"
    connection: Mapped[str] = mapped_column(String(64), primary_key=True)
    record_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    merged_into: Mapped[str] = mapped_column(String(64))
    __table_args__ = (Index("ix_account_merge_merged_into", "connection", "merged_into"),)


def note(session: Session, connection: str, merged: Mapping[str, str]) -> dict[str, str]:
    """Remember merges (survivor by loser); return the new ones, each with the end of its chain."""
    known = survivors(session, connection, merged)
    news = {loser: into for loser, into in merged.items() if known.get(loser) != into}
    if not news:
        return {}
    forget(session, connection, news)
    session.execute(
        insert(AccountMergeRow),
        [{"connection": connection, "record_id": loser, "merged_into": into}
         for loser, into in news.items()],
    )  # fmt: skip
    chain = dict(news)
    while further := set(chain.values()) - chain.keys():
        found = survivors(session, connection, further)
        if not found:
            break
        chain |= found
    return {loser: _end(chain, loser) for loser in news}


def forget(session: Session, connection: str, record_ids: Iterable[str]) -> None:
    """Forget that accounts were merged away: they are there (again)."""
    for some in _parts(record_ids):
        session.execute(
            delete(AccountMergeRow).where(
                AccountMergeRow.connection == connection, AccountMergeRow.record_id.in_(some)
            )
        )


def losers_of(session: Session, connection: str, survivors: Iterable[str]) -> dict[str, str]:
    """Return the accounts that were merged right into these, each with its survivor."""
    return _merged(session, connection, AccountMergeRow.merged_into, survivors)


def survivors(session: Session, connection: str, record_ids: Iterable[str]) -> dict[str, str]:
    """Return into which account each of these was merged, as far as any was."""
    return _merged(session, connection, AccountMergeRow.record_id, record_ids)


def _merged(
    session: Session, connection: str, side: SQLColumnExpression[str], record_ids: Iterable[str]
) -> dict[str, str]:
    found: dict[str, str] = {}
    for some in _parts(record_ids):
        rows = session.execute(
            select(AccountMergeRow.record_id, AccountMergeRow.merged_into).where(
                AccountMergeRow.connection == connection, side.in_(some)
            )
        )
        found |= {row.record_id: row.merged_into for row in rows}
    return found


def _end(chain: Mapping[str, str], loser: str) -> str:
    """Return who is left in the end; a merge that was taken back untold may close a circle."""
    end, passed = chain[loser], {loser}
    while end in chain and end not in passed:
        passed.add(end)
        end = chain[end]
    return end


def _parts(record_ids: Iterable[str]) -> list[list[str]]:
    ordered = sorted(record_ids)
    return [ordered[at : at + _IN_MAX] for at in range(0, len(ordered), _IN_MAX)]
