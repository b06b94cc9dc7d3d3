"""Cut-over: another system's registrations land here, and their CRM records are proposed to be linked.

Rows land in the order of their first receipt, each a commit of its own, so that what was
interrupted is simply done again. Nothing is written to a CRM, and nobody is told.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy.orm import Session

from registration_core import legacy
from registration_core.contracts import ConnectionName, Mode
from registration_core.errors import DomainRefusal, InvalidInput, NeedsAnother
from registration_core.legacy import Legacy
from registration_core.matching import MatchKey, customer_keys
from registration_core.model import Actor, Band, ProtectionState, Registration
from registration_core.overriding import PEOPLE
from registration_core.program import Program
from registration_core.store import repository
from registration_core.store.database import Database, UnitOfWork
from sync.gates import ladder
from sync.process.runtime import Runtime
from sync.proposals import proposing
from sync.proposals.fitting import Candidate
from sync.proposals.tied import tied

#: Most rows of a trial's transaction, if no more of them may be one customer's.
_AT_ONCE = 50
#: Between two transactions of a trial: so long may a waiting writer of SQLite sleep at a time.
_PAUSE = timedelta(milliseconds=100)


class Result(StrEnum):
    """What became of a row."""

    LANDED = "landed"
    #: It landed, and its protection overlaps another's.
    CONTESTED = "contested"
    ALREADY_THERE = "already_there"
    BAD = "bad"


@dataclass(frozen=True)
class Row:
    """One registration of the file, and its records in CRMs where the other system knew them."""

    line: int
    legacy: Legacy
    #: The other system's own order of receipt, where it has one.
    order: int
    records: Mapping[ConnectionName, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Landed:
    """What became of one row."""

    row: Row
    result: Result
    number: str = ""
    refusal: DomainRefusal | None = None


def cut_over(
    runtime: Runtime,
    program: Program,
    rows: Sequence[Row],
    actor: Actor,
    told: Callable[[int, int], None],
    *,
    digest: str,
) -> list[Landed]:
    """Land every row that is not there yet; `told` hears done and to do.

    Raises:
        DomainRefusal: A connection would make records of what has to be linked first.
        NeedsAnother: Protections stand in the file, and one person alone has said that it is right.
    """
    if any(row.legacy.stands for row in rows):
        _require_linking_first(runtime, program)
        with runtime.database.begin(actor) as unit:
            people = legacy.agree(unit, digest)
        if people < PEOPLE:
            raise NeedsAnother(
                f"{actor.os_user} has said that the file is right; {PEOPLE} people have to.",
                hint="Let another operating-system user type the same.",
            )
    twice = _twice(rows)
    found = [Landed(row, Result.BAD, refusal=twice[row.line]) for row in rows if row.line in twice]
    for row in _in_order([row for row in rows if row.line not in twice]):
        found.append(_land(runtime.database, runtime, program, row, actor))
        told(len(found), len(rows))
    return found


def try_out(
    runtime: Runtime,
    program: Program,
    rows: Sequence[Row],
    actor: Actor,
    told: Callable[[int, int], None],
) -> list[Landed]:
    """Say what would become of every row, overlaps within the file included; keeps nothing.

    A few rows at a time, so that others submit and decide meanwhile.
    """
    twice = _twice(rows)
    found = [Landed(row, Result.BAD, refusal=twice[row.line]) for row in rows if row.line in twice]
    with runtime.database.read() as session:
        batches = _apart(session, [row for row in rows if row.line not in twice])
    for batch in batches:
        found += _tried(runtime, program, batch, actor)
        told(len(found), len(rows))
        if batch is not batches[-1]:
            time.sleep(_PAUSE.total_seconds())
    return sorted(found, key=lambda each: _receipt(each.row))


def _tried(runtime: Runtime, program: Program, rows: Sequence[Row], actor: Actor) -> list[Landed]:
    found = []
    with _rolled_back(runtime.database, actor) as unit:
        for row in _in_order(rows):
            try:
                with unit.session.begin_nested():
                    found.append(_landed(unit, runtime, program, row))
            except DomainRefusal as refusal:
                found.append(Landed(row, Result.BAD, refusal=refusal))
    return found


def _apart(session: Session, rows: Sequence[Row]) -> list[list[Row]]:
    """Return rows in batches; those whose customers may turn out to be one are in the same.

    They share a match key, or a customer of ours has keys of theirs.
    """
    by_line = {row.line: row for row in rows}
    marks: dict[int | str, frozenset[MatchKey]] = {
        row.line: customer_keys(row.legacy.submission.customer) for row in rows
    }
    every = frozenset[MatchKey]().union(*marks.values())
    marks.update(repository.customers_with(session, every).items())
    batches = list[list[Row]]()
    for group in tied(marks):
        alike = [by_line[each] for each in group if isinstance(each, int)]
        if not batches or len(batches[-1]) + len(alike) > _AT_ONCE:
            batches.append([])
        batches[-1] += alike
    return batches


class _NotKept(Exception):
    """Ends the transaction of a trial."""


@contextmanager
def _rolled_back(database: Database, actor: Actor) -> Iterator[UnitOfWork]:
    try:
        with database.begin(actor) as unit:
            yield unit
            raise _NotKept
    except _NotKept:
        pass


def _in_order(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=_receipt)


def _receipt(row: Row) -> tuple[datetime, int, int]:
    """Return a row's place in the order of receipt."""
    return row.legacy.submitted_at, row.order, row.line


def _twice(rows: Sequence[Row]) -> dict[int, InvalidInput]:
    """Return why rows that share a partner's reference do not land, by line.

    Which of them the reference means nobody can know here, and the others would be lost.
    """
    lines: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in rows:
        deal = row.legacy.submission
        lines[deal.partner_code, deal.token].append(row.line)
    return {
        line: InvalidInput(
            f"reference: {reference} of {partner} stands in the lines "
            f"{', '.join(str(each) for each in alike)}.",
            field="reference",
            hint="Give each its own, or leave out what is there twice.",
        )
        for (partner, reference), alike in lines.items()
        if len(alike) > 1
        for line in alike
    }


def _require_linking_first(runtime: Runtime, program: Program) -> None:
    for name in {*(rule.connection for rule in program.homes), *program.mirrors}:
        stands = ladder.rung(runtime, name)
        if stands.mode in (Mode.CANARY, Mode.PUSH):
            raise DomainRefusal(
                f"{name} is at {stands.mode}: what is taken over would be made there a second time.",
                hint=f"Type: dealreg connection demote {name} --to link",
            )


def _land(database: Database, runtime: Runtime, program: Program, row: Row, actor: Actor) -> Landed:
    try:
        with database.begin(actor) as unit:
            return _landed(unit, runtime, program, row)
    except DomainRefusal as refusal:
        return Landed(row, Result.BAD, refusal=refusal)


def _landed(unit: UnitOfWork, runtime: Runtime, program: Program, row: Row) -> Landed:
    made, is_new = legacy.land(unit, row.legacy, program)
    if not is_new:
        return Landed(row, Result.ALREADY_THERE, made.number)
    if row.legacy.stands:
        _propose(unit, runtime, made, row.records)
    contested = made.protection_state is ProtectionState.CONTESTED
    return Landed(row, Result.CONTESTED if contested else Result.LANDED, made.number)


def _propose(
    unit: UnitOfWork,
    runtime: Runtime,
    made: Registration,
    records: Mapping[ConnectionName, str],
) -> None:
    """Propose the records that the file names; they are read when the proposal is accepted."""
    for connection, record_id in sorted(records.items()):
        mapping = runtime.mapping_of(made, connection)
        if mapping is None:
            raise DomainRefusal(
                f"{connection} keeps no records of {made.customer.country} registrations.",
                hint="Leave its record out.",
            )
        named = Candidate(mapping.object, record_id, {"agrees": "named by the file"}, Band.STRONG)
        if proposing.propose(unit, made.id, connection, [named]):
            proposing.let_wait(unit, made.id, connection)
