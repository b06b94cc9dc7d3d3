"""One step of the story as it is played: what was done, what was expected, what was seen.

Every row is an assertion. The first that does not hold ends the step with `StepFailed`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from cli.demo.crms import Crms, Place
from cli.demo.terminal import Answer, Terminal
from cli.frame import Exit

T = TypeVar("T")

#: Seconds between two looks at something that is awaited.
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Row:
    """One assertion: a command as typed, or what was looked at."""

    done: str
    expected: str
    seen: str
    held: bool


class StepFailed(Exception):
    """An assertion of the story did not hold."""

    def __init__(self, row: Row) -> None:
        super().__init__(f"expected {row.expected}, saw {row.seen}")
        self.row = row


@dataclass
class Cast:
    """What the steps share."""

    terminal: Terminal
    crms: Crms
    #: Where files for the story may be written.
    folder: Path
    #: Raises if the stage is broken, so that nothing is awaited in vain.
    require_running: Callable[[], None]
    #: Most seconds until what must happen by itself has happened.
    patience_seconds: float = 20.0
    #: Most seconds until a CRM's webhook has brought a change into the store.
    webhook_seconds: float = 1.0
    #: Numbers of the registrations, by the short name of the deal.
    numbers: dict[str, str] = field(default_factory=dict)
    #: Ids of the same, which are their keys in the CRMs.
    ids: dict[str, str] = field(default_factory=dict)
    #: The open pipeline before anything was registered, by currency.
    pipeline_before: dict[str, Decimal] = field(default_factory=dict)


class Scene:
    """Plays one step: types, looks, waits, and keeps a row of each."""

    def __init__(self, cast: Cast) -> None:
        self.cast, self.crms = cast, cast.crms
        self.rows: list[Row] = []

    def type(self, line: str, expected: str, *, code: int = Exit.DONE) -> Answer:
        """Type a command and see that it ends with this code."""
        answer = self.cast.terminal.type(line)
        self._typed(answer, expected, code)
        return answer

    def at_once(self, lines: Sequence[str], expected: str) -> list[Answer]:
        """Type several commands at the same moment, in processes of their own."""
        answers = self.cast.terminal.at_once(lines)
        for answer in answers:
            self._typed(answer, expected, Exit.DONE)
        return answers

    def see(self, where: str, expected: str, seen: object, *, held: bool) -> None:
        """Note what was looked at; it must hold."""
        row = Row(where, expected, str(seen), held)
        self.rows.append(row)
        if not held:
            raise StepFailed(row)

    def await_(
        self,
        where: str,
        expected: str,
        look: Callable[[], T],
        holds: Callable[[T], bool],
        words: Callable[[T], object] = str,
    ) -> T:
        """Look again and again until it holds, for as long as the cast's patience lasts."""
        began = time.monotonic()
        while True:
            found = look()
            waited = time.monotonic() - began
            if holds(found):
                self.see(where, expected, f"{words(found)}, after {waited:.1f} s", held=True)
                return found
            if waited > self.cast.patience_seconds:
                self.see(where, expected, f"{words(found)}, for {waited:.0f} s", held=False)
            self.cast.require_running()
            time.sleep(LOOK_SECONDS)

    def submit(self, deal: str, line: str) -> None:
        """Register a deal under a short name."""
        self.know(deal, self.type(line, "the registration is received").data["number"])

    def know(self, deal: str, number: str) -> None:
        """Remember a registration under a short name."""
        self.cast.numbers[deal] = number
        self.cast.ids[deal] = self.registration(deal)["id"]

    def number(self, deal: str) -> str:
        """Return the number of a deal."""
        return self.cast.numbers[deal]

    def registration(self, deal: str) -> Any:
        """Return the registration of a deal as the store holds it now."""
        return self.crms.registration(self.number(deal))["registration"]

    def places(self, deal: str) -> list[Place]:
        """Return where a deal stands in the three CRMs now."""
        return self.crms.places(self.cast.ids[deal])

    def await_state(self, deal: str, state: str) -> Any:
        """Wait until a registration is in a state; returns it with its check and links."""
        return self.await_(
            f"registration show {self.number(deal)}",
            f"{deal} is {state}",
            lambda: self.crms.registration(self.number(deal)),
            lambda found: bool(found["registration"]["state"] == state),
            lambda found: found["registration"]["state"],
        )

    def await_places(self, deal: str, home: str, holds: Callable[[Place], bool], what: str) -> None:
        """Wait until a deal stands once in each CRM, at home in the named one, and `holds` there."""

        def fits(places: list[Place]) -> bool:
            crms = sorted(place.crm for place in places)
            homes = [place.crm for place in places if place.role == "home"]
            everywhere = crms == ["dynamics365", "hubspot", "salesforce"]
            return everywhere and homes == [home] and all(holds(place) for place in places)

        self.await_(
            "the three CRMs",
            f"one record each for {deal}, home in {home}, {what}",
            lambda: self.places(deal),
            fits,
            lambda places: "; ".join(told(place) for place in places) or "no record",
        )

    def await_proposal(self, deal: str, record_id: str) -> str:
        """Wait until an existing record is proposed for a deal; returns the proposal's id."""

        def proposed() -> list[str]:
            found = self.crms.ask("link list")["proposals"]
            number = self.number(deal)
            return [p["id"] for p in found if (p["number"], p["record_id"]) == (number, record_id)]

        ids = self.await_(
            "link list",
            f"the existing opportunity is proposed for {deal}",
            proposed,
            lambda ids: len(ids) == 1,
            lambda ids: f"{record_id} proposed" if ids else "no proposal",
        )
        return ids[0]

    def _typed(self, answer: Answer, expected: str, code: int) -> None:
        seen = answer.error or _short(answer) or "done"
        if answer.code != code:
            seen = f"exit code {answer.code}, not {int(code)}: {seen}"
        self.see(f"dealreg {answer.line}", expected, seen, held=answer.code == code)


def told(place: Place) -> str:
    """Word a place for people."""
    return f"{place.crm} {place.role} {place.amount:.2f} {place.stage}"


def _short(answer: Answer) -> str:
    """Word what a command answered in a few words."""
    data = answer.data
    if isinstance(data, list):
        return f"{len(data)} rows"
    if not isinstance(data, dict):
        return ""
    named = [name for name in ("number", "code", "kind", "state") if data.get(name)]
    return ", ".join(f"{name} {data[name]}" for name in named or ["id"] if name in data)
