"""`dealreg registration check`: of one that was submitted, or of a file before it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cli import check_showing, showing
from cli.check_showing import Links
from cli.csv_file import read_file
from cli.frame import Exit, Frame
from cli.importing import tried
from cli.progress import Progress
from cli.submissions import OPTIONAL, REQUIRED, stable_token, submission
from connectors.errors import ConnectorError
from registration_core.errors import DomainRefusal, InvalidInput, SyncError
from registration_core.store import repository
from sync import checking

if TYPE_CHECKING:
    from cli.csv_file import Line
    from registration_core.model import ConflictCheck
    from registration_core.program import Program
    from sync.process.runtime import Runtime


def check_number(frame: Frame, number: str) -> None:
    """Check a submitted registration and tell what followed."""
    with frame.runtime() as runtime:
        made = checking.check_now(runtime, number, frame.actor)
        links = _links(runtime, made)
        with runtime.database.read() as session:
            found = repository.registration(session, number)
    waits = showing.waits_for(found, made)
    answer = {"number": found.number, "state": found.state, "waits_for": waits}
    if frame.out.as_json:
        frame.out.json(answer | {"check": check_showing.check_answer(made, links)})
    else:
        check_showing.show_check(frame.out, made, links)
        then = f"waits for {waits}" if waits else f"is {found.state.value}"
        frame.out.say(f"{found.number} {then}.")
    if waits:
        frame.exit(Exit.NEEDS_A_HUMAN)


def try_file(frame: Frame, file: Path, rules: Program) -> None:
    """Check every good row of an import file without keeping anything."""
    lines = read_file(file, REQUIRED, (*OPTIONAL, *rules.custom_fields))
    checks: list[tuple[int, ConflictCheck]] = []
    links: dict[tuple[str, str], str] = {}
    bad: list[dict[str, object]] = []
    with frame.runtime() as runtime:
        told = Progress("rows")
        for done, line in enumerate(lines, 1):
            try:
                check = _try(runtime, frame, rules, line)
            except DomainRefusal as error:
                field = error.field if isinstance(error, InvalidInput) else ""
                bad.append(
                    {
                        "line": line.number,
                        "field": field,
                        "reason": error.message,
                        "fix": error.hint,
                    }
                )
            else:
                checks.append((line.number, check))
                links |= _links(runtime, check)
            told.at(done, len(lines))
    _tell(frame, checks, links, bad)


def _try(runtime: Runtime, frame: Frame, rules: Program, line: Line) -> ConflictCheck:
    if line.broken:
        raise InvalidInput(line.broken, hint=line.remedy)
    wanted = submission(line.cells, rules, stable_token(line.cells))
    drawn, is_new = tried(runtime.database, frame.actor, rules, wanted)
    if not is_new:
        raise InvalidInput(
            f"it is there already as {drawn.number}",
            hint=f"Type: dealreg registration check {drawn.number}",
        )
    return checking.try_check(runtime, drawn)


def _tell(
    frame: Frame,
    checks: list[tuple[int, ConflictCheck]],
    links: Links,
    bad: list[dict[str, object]],
) -> None:
    if frame.out.as_json:
        rows = [
            {"line": line, "check": check_showing.check_answer(check, links)}
            for line, check in checks
        ]
        frame.out.json({"rows": rows, "bad": bad})
    else:
        frame.out.show(
            bad,
            {"line": "Line", "field": "Field", "reason": "Reason", "fix": "Fix"},
            title="Not checked:",
        )
        for line, check in checks:
            frame.out.say(f"Line {line}")
            check_showing.show_check(frame.out, check, links)
        frame.out.show(
            check_showing.rows_of(checks),
            {"line": "Line", "findings": "Findings", "decided": "What would follow"},
            title="In short:",
        )
    if bad:
        frame.exit(Exit.FAILED)


def _links(runtime: Runtime, check: ConflictCheck) -> dict[tuple[str, str], str]:
    """Return where a person opens the CRM records of a check; one that cannot be told is left out."""
    found: dict[tuple[str, str], str] = {}
    for finding in check.findings:
        name, record_id = finding.connection, finding.record_id
        if name is None or record_id is None or name not in runtime.connectors:
            continue
        object_name = finding.evidence.get("object", runtime.mappings[name].accounts.object)
        try:
            found[name, record_id] = runtime.connector(name).record_url(object_name, record_id)
        except (ConnectorError, SyncError):
            continue  # the check itself tells that the connection cannot be asked
    return found
