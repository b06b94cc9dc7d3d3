"""Link proposals as a CSV file: written for people to decide on, read with their decisions."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cli.csv_file import Line
from registration_core.errors import DomainRefusal, InvalidInput
from registration_core.model import Actor, Registration
from sync import linking
from sync.runtime import Runtime

#: What is read again; everything else is there to decide by.
REQUIRED = ("id", "decision")
SHOWN = (
    "band", "alone", "number", "customer", "deal", "amount", "currency", "close", "connection",
    "object", "record", "their_account", "their_name", "their_stage", "their_amount",
    "their_currency", "their_close", "their_owner", "agrees",
)  # fmt: skip
#: What makes a spreadsheet take a cell for a formula.
_FORMULA = ("=", "+", "-", "@", "\t")


class Decision(StrEnum):
    """What the column `decision` may say; empty decides nothing."""

    ACCEPT = "accept"
    REJECT = "reject"


@dataclass(frozen=True)
class Wrong:
    """A line that was not carried out, and what to do."""

    line: int
    reason: str
    fix: str


def text_of(
    proposals: Sequence[linking.LinkProposal], registrations: Mapping[str, Registration]
) -> str:
    """Return the file: a line a proposal, with an empty decision."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow((*REQUIRED, *SHOWN))
    for each in proposals:
        ours, told = registrations[each.registration_id], each.evidence
        theirs = ("account", "name", "stage", "amount", "currency", "close", "owner", "agrees")
        writer.writerow(
            _harmless(cell)
            for cell in (
                each.id, "", each.band, "yes" if each.alone else "no", ours.number,
                ours.customer.name, ours.deal_name, ours.amount, ours.currency,
                ours.expected_close_on, each.connection, each.object, each.record_id,
                *(told.get(name, "") for name in theirs),
            )
        )  # fmt: skip
    return file.getvalue()


def _harmless(cell: object) -> str:
    text = str(cell)
    return f"'{text}" if text.startswith(_FORMULA) else text


def decide(
    runtime: Runtime, lines: Sequence[Line], actor: Actor, told: Callable[[int, int], None]
) -> tuple[dict[Decision, int], list[Wrong]]:
    """Carry the decisions of a file out; returns how many, and the lines that could not be.

    Every line is read before anything is decided. A file that is imported again says of what was
    decided already who did it.
    """
    chosen: dict[Decision, dict[str, Line]] = {each: {} for each in Decision}
    for line in lines:
        chosen_by = _decision(line)
        if chosen_by is not None:
            chosen[chosen_by][line.cells["id"].strip()] = line
    ended = linking.accept_all(runtime, list(chosen[Decision.ACCEPT]), actor, told)
    wrong = [_wrong(chosen[Decision.ACCEPT][i], why) for i, why in ended.items() if why]
    done = {Decision.ACCEPT: len(ended) - len(wrong), Decision.REJECT: 0}
    for proposal_id, line in chosen[Decision.REJECT].items():
        try:
            linking.reject(runtime, proposal_id, actor)
        except DomainRefusal as refusal:
            wrong.append(_wrong(line, refusal))
        else:
            done[Decision.REJECT] += 1
    return done, sorted(wrong, key=lambda each: each.line)


def _decision(line: Line) -> Decision | None:
    if line.broken:
        raise InvalidInput(f"Line {line.number}: {line.broken}.", hint=line.remedy)
    said = line.cells["decision"].strip().lower()
    if said and said not in list(Decision):
        raise InvalidInput(
            f"Line {line.number}: {said!r} is no decision.", hint="Write accept, reject or nothing."
        )
    return Decision(said) if said else None


def _wrong(line: Line, why: DomainRefusal) -> Wrong:
    return Wrong(line.number, why.message, why.hint)
