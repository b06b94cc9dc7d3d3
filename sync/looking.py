"""What there is to do on a connection: one look at the store, before and between its rounds."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import exists, or_, select

from registration_core.contracts import Mode
from registration_core.store.tables import OutboxRow
from sync.gates.ladder import Rung
from sync.outcomes import auditing, lost_answers, observing, stamps
from sync.process.runtime import Runtime
from sync.traffic import switch


@dataclass(frozen=True)
class Work:
    """What one look finds to do."""

    #: Writes without an answer, owed audits, or rows that were only recorded before mode `push`.
    leftovers: bool
    #: Due registrations with their outbox rows' `wanted`, longest due first.
    due: dict[str, int]
    #: Stamps on opportunities of others are due.
    stamps: bool = False

    @property
    def anything(self) -> bool:
        """Whether it is worth taking the lease."""
        return self.leftovers or self.stamps or bool(self.due)


def look(runtime: Runtime, stands: Rung) -> Work:
    """Look what there is to push, in one read; nothing is due while a person has stopped writing.

    Due is what one round writes: one call's worth, or a bulk job's where very many wait.
    """
    now, connection = runtime.database.clock(), stands.connection
    able = runtime.connector(connection).capabilities
    left = [lost_answers.are_pending(connection), auditing.are_owed(connection)]
    if stands.mode is Mode.PUSH:
        left.append(observing.are_waiting(stands))
    with runtime.database.read() as session:
        leftovers = session.scalar(select(or_(*left)))
        if switch.stopping(session, connection, writing=True) is not None:
            return Work(bool(leftovers), {})
        stamped = session.scalar(select(exists().where(*stamps.due(stands, now))))
        rows = session.execute(
            select(OutboxRow.registration_id, OutboxRow.wanted)
            .where(
                OutboxRow.connection == connection,
                OutboxRow.state == "open",
                OutboxRow.done < OutboxRow.wanted,
                OutboxRow.due_at <= now,
            )
            .order_by(OutboxRow.due_at, OutboxRow.registration_id)
            .limit(able.load_batch if able.load_from else able.write_batch)
        ).all()
    many = able.load_from and len(rows) >= able.load_from
    batch = rows if many else rows[: able.write_batch]
    wanted = {row.registration_id: row.wanted for row in batch}
    return Work(bool(leftovers), wanted, bool(stamped))
