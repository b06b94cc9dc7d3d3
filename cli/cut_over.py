"""Registrations of another system from a CSV file, and what a cut-over makes of them, by partner."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from cli.csv_file import Line, content_of, table_of
from cli.frame import Exit, Frame
from cli.submissions import OPTIONAL, REQUIRED, column_of, submission
from cli.values import day, text
from registration_core.contracts import ConnectionName
from registration_core.errors import DomainRefusal, InvalidInput
from registration_core.legacy import Legacy
from registration_core.model import RegistrationState
from registration_core.program import Program
from registration_core.submission import TOKEN_MAX
from sync.proposals.cutting_over import Landed, Result, Row

#: Columns beside those of `registration import`.
_NEEDED = ("reference", "state", "submitted")
_MORE = ("decided", "protected_from", "protected_until", "closed_on", "order")
#: `CONNECTION_account` and `CONNECTION_record` hold the ids that the other system knew.
_ACCOUNT, _RECORD = "_account", "_record"

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Unreadable:
    """A line that cannot be read as a registration."""

    line: int
    partner: str
    field: str
    reason: str
    fix: str


@dataclass(frozen=True)
class File:
    """What a file holds, and the lines of it that are no registrations."""

    digest: str
    rows: tuple[Row, ...]
    bad: tuple[Unreadable, ...]


def read(path: Path, program: Program, connections: Iterable[ConnectionName]) -> File:
    """Read a file; `InvalidInput` where it is no table with these columns."""
    ids = [f"{name}{end}" for name in sorted(connections) for end in (_ACCOUNT, _RECORD)]
    optional = [name for name in OPTIONAL if name != "token"]
    content = content_of(path)  # once: what people say is right is what was read
    lines = table_of(
        content, path.name, (*REQUIRED, *_NEEDED),
        (*optional, *_MORE, *ids, *program.custom_fields),
    )  # fmt: skip
    rows, bad = list[Row](), list[Unreadable]()
    for line in lines:
        try:
            rows.append(_row(line, program))
        except InvalidInput as error:
            partner = line.cells.get("partner", "").strip()
            field = column_of(error)
            reason = error.message.removeprefix(f"{error.field}: ")
            bad.append(Unreadable(line.number, partner, field, reason, error.hint))
    digest = hashlib.sha256(content + b"\0" + program.name.encode()).hexdigest()
    return File(digest, tuple(rows), tuple(bad))


def _row(line: Line, program: Program) -> Row:
    if line.broken:
        raise InvalidInput(line.broken, hint=line.remedy)

    def given(name: str, parse: Callable[[str], Parsed], *, needed: bool = False) -> Parsed | None:
        raw = line.cells.get(name, "").strip()
        if not raw and not needed:
            return None
        try:
            if not raw:
                raise InvalidInput("It is empty.", hint="Fill it in.")
            return parse(raw)
        except InvalidInput as error:
            raise InvalidInput(error.message, field=name, hint=error.hint) from error

    reference = given("reference", lambda raw: text(raw, TOKEN_MAX), needed=True)
    state, submitted_at = (
        given("state", _state, needed=True),
        given("submitted", _moment, needed=True),
    )
    assert reference is not None
    assert state is not None
    assert submitted_at is not None
    legacy = Legacy(
        submission=submission(line.cells, program, reference),
        state=state,
        submitted_at=submitted_at,
        decided_on=given("decided", day),
        protected_from=given("protected_from", day),
        protected_until=given("protected_until", day),
        closed_on=given("closed_on", day),
        accounts=_ids(line.cells, _ACCOUNT),
    )
    return Row(line.number, legacy, given("order", _order) or 0, _ids(line.cells, _RECORD))


def _ids(cells: Mapping[str, str], end: str) -> dict[ConnectionName, str]:
    return {
        ConnectionName(name.removesuffix(end)): text(raw, 64)
        for name, raw in cells.items()
        if name.endswith(end) and raw.strip()
    }


def _state(raw: str) -> RegistrationState:
    try:
        return RegistrationState(raw.lower().replace(" ", "_"))
    except ValueError as error:
        known = ", ".join(each.value for each in RegistrationState)
        raise InvalidInput(f"There is no state {raw!r}.", hint=f"One of: {known}.") from error


def _moment(raw: str) -> datetime:
    """Read a day, or a time with its offset; a time without one would be a guess."""
    try:
        found = datetime.fromisoformat(raw)
    except ValueError as error:
        raise InvalidInput(f"{raw[:40]!r} is no time.", hint="Write it like 2026-03-31.") from error
    if len(raw) > len("2026-03-31") and found.tzinfo is None:
        raise InvalidInput(
            f"{raw} does not say in which time zone.",
            hint="Write it like 2026-03-31T14:00:00+00:00.",
        )
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _order(raw: str) -> int:
    if not raw.isascii() or not raw.isdigit() or len(raw) > 12:
        raise InvalidInput(f"{raw[:40]!r} is no place in an order.", hint="Write digits.")
    return int(raw)


def wrong(file: File, landed: Sequence[Landed]) -> list[dict[str, object]]:
    """Return the lines that land nowhere, with what to do."""
    every = [*file.bad, *(_refused(each) for each in landed if each.refusal is not None)]
    return [
        {"line": each.line, "field": each.field, "reason": each.reason, "fix": each.fix}
        for each in sorted(every, key=lambda each: each.line)
    ]


def _refused(each: Landed) -> Unreadable:
    refusal: DomainRefusal | None = each.refusal
    assert refusal is not None
    field, reason = "", refusal.message
    if isinstance(refusal, InvalidInput):
        field, reason = column_of(refusal), reason.removeprefix(f"{refusal.field}: ")
    partner = each.row.legacy.submission.partner_code
    return Unreadable(each.row.line, partner, field, reason, refusal.hint)


def by_partner(file: File, landed: Sequence[Landed]) -> list[dict[str, object]]:
    """Return count and value by partner: of the file, and of what is here afterwards."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    sums: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    for line in file.bad:
        counts[line.partner][Result.BAD] += 1
    for each in landed:
        deal = each.row.legacy.submission
        counts[deal.partner_code][each.result] += 1
        sums[deal.partner_code, "file", deal.currency] += deal.amount
        if each.result is not Result.BAD:
            sums[deal.partner_code, "here", deal.currency] += deal.amount
    return [
        {
            "partner": partner,
            "rows": found.total(),
            "value": _worth(sums, partner, "file"),
            **{result.value: found[result] for result in Result},
            "value_here": _worth(sums, partner, "here"),
        }
        for partner, found in sorted(counts.items())
    ]


def _worth(sums: Mapping[tuple[str, str, str], Decimal], partner: str, where: str) -> str:
    return ", ".join(
        f"{amount:,} {currency}"
        for (whose, place, currency), amount in sorted(sums.items())
        if (whose, place) == (partner, where)
    )


_COLUMNS = {
    "partner": "Partner", "rows": "Rows", "value": "Value", "landed": "Land",
    "contested": "Contested", "already_there": "Already there", "bad": "Bad",
    "value_here": "Value here",
}  # fmt: skip


def tell(frame: Frame, file: File, landed: Sequence[Landed], *, dry_run: bool) -> None:
    """Answer with the reconciliation and the bad lines; exits with 1 where there are some."""
    partners, bad = by_partner(file, landed), wrong(file, landed)
    if frame.out.as_json:
        rows = [
            {"line": each.row.line, "number": "" if dry_run else each.number,
             "reference": each.row.legacy.submission.token, "result": each.result}
            for each in landed
        ]  # fmt: skip
        frame.out.json({"partners": partners, "rows": rows, "bad": bad, "dry_run": dry_run})
    else:
        frame.out.show(partners, _COLUMNS)
        columns = {"line": "Line", "field": "Field", "reason": "Reason", "fix": "Fix"}
        frame.out.show(bad, columns, title="Bad:")
        if dry_run:
            frame.out.say("Nothing was kept.")
        elif any(each.result is Result.CONTESTED for each in landed):
            frame.out.say("Decide on what is contested: dealreg dispute list")
    if bad:
        frame.exit(Exit.FAILED)
