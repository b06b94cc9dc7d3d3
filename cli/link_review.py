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
from sync.links import deciding, linking
from sync.process.runtime import Runtime

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

    Every line is read before anything is decided. What was decided so before counts as done, so
    that a file may be imported again.
    """
    chosen: dict[Decision, dict[str, Line]] = {each: {} for each in Decision}
    for line in lines:
        said = _decision(line)
        if said is not None:
            chosen[said][line.cells["id"].strip()] = line
    ended = {
        Decision.REJECT: {i: _rejected(runtime, i, actor) for i in chosen[Decision.REJECT]},
        Decision.ACCEPT: linking.accept_all(runtime, list(chosen[Decision.ACCEPT]), actor, told),
    }
    done = dict.fromkeys(Decision, 0)
    wrong = []
    for decision, those in ended.items():
        for proposal_id, why in those.items():
            if why is None or _was(why, decision):
                done[decision] += 1
            else:
                wrong.append(Wrong(chosen[decision][proposal_id].number, why.message, why.hint))
    return done, sorted(wrong, key=lambda each: each.line)


def _rejected(runtime: Runtime, proposal_id: str, actor: Actor) -> DomainRefusal | None:
    try:
        linking.reject(runtime, proposal_id, actor)
    except DomainRefusal as refusal:
        return refusal
    return None


def _was(why: DomainRefusal, decision: Decision) -> bool:
    """Whether it was refused for having been decided just so before."""
    return isinstance(why, deciding.DecidedAlready) and why.state == f"{decision}ed"


def _decision(line: Line) -> Decision | None:
    if line.broken:
        raise InvalidInput(f"Line {line.number}: {line.broken}.", hint=line.remedy)
    said = line.cells["decision"].strip().lower()
    if said and said not in list(Decision):
        raise InvalidInput(
            f"Line {line.number}: {said!r} is no decision.", hint="Write accept, reject or nothing."
        )
    return Decision(said) if said else None
