"""Registrations from a CSV file: every bad row is told, every good row lands, none lands twice.

Each row is a commit of its own, so that an interrupted import is simply typed again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from cli.csv_file import Line
from cli.frame import Exit, Frame
from cli.submissions import column_of, stable_token, submission
from registration_core.errors import DomainRefusal, InvalidInput, NotFound
from registration_core.model import Actor, Registration
from registration_core.program import Program
from registration_core.store.database import Database
from registration_core.submission import Submission
from registration_core.use_cases import submit


class Result(StrEnum):
    """What became of a row."""

    REGISTERED = "registered"
    ALREADY_THERE = "already_there"
    BAD = "bad"


@dataclass(frozen=True)
class Outcome:
    """What became of one row, and for a bad one the column, the reason and what to do."""

    line: int
    result: Result
    number: str = ""
    field: str = ""
    reason: str = ""
    fix: str = ""


class _NotKept(Exception):
    """Ends the transaction of a dry run."""


def import_lines(
    database: Database,
    actor: Actor,
    program: Program,
    lines: Sequence[Line],
    *,
    dry_run: bool,
    told: Callable[[int, int], None],
) -> list[Outcome]:
    """Register every good row; `told` hears done and to do after each. With `dry_run` nothing is kept."""
    outcomes, first_lines = [], dict[tuple[str, str], int]()
    for done, line in enumerate(lines, 1):
        outcomes.append(_import(database, actor, program, line, first_lines, dry_run=dry_run))
        told(done, len(lines))
    return outcomes


def _import(
    database: Database,
    actor: Actor,
    program: Program,
    line: Line,
    first_lines: dict[tuple[str, str], int],
    *,
    dry_run: bool,
) -> Outcome:
    if line.broken:
        return Outcome(line.number, Result.BAD, reason=line.broken, fix=line.remedy)
    try:
        wanted = submission(line.cells, program, stable_token(line.cells))
        first = first_lines.setdefault((wanted.partner_code, wanted.token), line.number)
        if dry_run and first != line.number:  # else the store itself knows the first one
            return Outcome(
                line.number, Result.ALREADY_THERE, reason=f"the same deal as line {first}"
            )
        known, is_new = _submit(database, actor, program, wanted, dry_run=dry_run)
    except DomainRefusal as error:
        return _bad(line, error)
    if is_new:
        return Outcome(line.number, Result.REGISTERED, number="" if dry_run else known.number)
    reason, fix = _difference(known, wanted)
    return Outcome(line.number, Result.ALREADY_THERE, known.number, reason=reason, fix=fix)


def tried(
    database: Database, actor: Actor, program: Program, wanted: Submission
) -> tuple[Registration, bool]:
    """Return the registration that a submit would make, or the one that is there; keeps nothing."""
    return _submit(database, actor, program, wanted, dry_run=True)


def _submit(
    database: Database, actor: Actor, program: Program, wanted: Submission, *, dry_run: bool
) -> tuple[Registration, bool]:
    answer: tuple[Registration, bool]
    try:
        with database.begin(actor) as unit:
            answer = submit(unit, wanted, program)
            if dry_run:
                raise _NotKept
    except _NotKept:
        pass
    return answer


def _bad(line: Line, error: DomainRefusal) -> Outcome:
    field, reason = "", error.message
    if isinstance(error, InvalidInput):
        field = column_of(error)
        reason = reason.removeprefix(f"{error.field}: ")
    elif isinstance(error, NotFound):
        field = "partner"
    return Outcome(line.number, Result.BAD, "", field, reason.rstrip("."), error.hint)


def _difference(known: Registration, wanted: Submission) -> tuple[str, str]:
    """Tell what a row says differently of a registration that is there; it is not changed."""
    pairs = (
        ("amount", known.amount, wanted.amount),
        ("currency", known.currency, wanted.currency),
        ("close", known.expected_close_on, wanted.expected_close_on),
    )
    differing = [(name, there, here) for name, there, here in pairs if there != here]
    if not differing:
        return "", ""
    told = ", ".join(f"{name} is {there} there and {here} here" for name, there, here in differing)
    options = " ".join(f"--{name} {here}" for name, _, here in differing)
    return told, f"dealreg registration update {known.number} {options}"


def tell(frame: Frame, outcomes: list[Outcome], *, dry_run: bool) -> None:
    """Answer with what became of the rows; exits with 1 where some are bad."""
    by_result = {r: [o for o in outcomes if o.result is r] for r in Result}
    bad, known = by_result[Result.BAD], by_result[Result.ALREADY_THERE]
    if frame.out.as_json:
        answer = {result.value: [asdict(o) for o in found] for result, found in by_result.items()}
        frame.out.json(answer | {"dry_run": dry_run})
    else:
        columns = {"line": "Line", "field": "Field", "reason": "Reason", "fix": "Fix"}
        frame.out.show([asdict(o) for o in bad], columns, title="Not registered:")
        told = [asdict(o) for o in known if o.reason]
        frame.out.show(
            told, columns | {"number": "Number"}, title="Already there, and not changed:"
        )
        would = "would be registered" if dry_run else "registered"
        frame.out.say(
            f"{len(by_result[Result.REGISTERED])} {would}, {len(known)} already there, "
            f"{len(bad)} with errors."
        )
        if bad:
            frame.out.say("Correct these rows and import the file again.")
        elif not dry_run and by_result[Result.REGISTERED]:
            frame.out.say("Follow them: dealreg registration list")
    if bad:
        frame.exit(Exit.FAILED)
