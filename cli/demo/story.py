"""The ten steps in their order, and how they are played one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from cli.demo.closing import won_and_lost
from cli.demo.crms import Crms
from cli.demo.decisions import direct_accounts, held_accounts, same_moment
from cli.demo.edits import salespeople, two_people
from cli.demo.intake import clean_deal, registrations_arrive
from cli.demo.outages import answer_lost, crm_away
from cli.demo.scene import Cast, Row, Scene, StepFailed
from cli.demo.stage import Stage, StageError
from cli.demo.terminal import Terminal


@dataclass(frozen=True)
class Step:
    """One step of the story."""

    number: int
    title: str
    act: Callable[[Scene], None]


@dataclass(frozen=True)
class Played:
    """A step that was played; it failed if its last row did not hold."""

    step: Step
    rows: Sequence[Row]
    failed: bool


STEPS = (
    Step(1, "Partners are added; registrations arrive by hand and by file", registrations_arrive),
    Step(2, "A clean deal: checked live, approved, protected, and in all three CRMs", clean_deal),
    Step(3, "Deals on direct accounts: evidence, a rejection, an approval", direct_accounts),
    Step(4, "A house account and a do-not-call account are held for their owners", held_accounts),
    Step(5, "Two partners register one customer at the same moment", same_moment),
    Step(6, "A CRM is away: the registration waits, then goes through by itself", crm_away),
    Step(7, "Salespeople change deals; their own opportunity is linked, not doubled", salespeople),
    Step(8, "Two people change one amount: a conflict, settled, and undone", two_people),
    Step(9, "A create whose answer is lost makes no second record", answer_lost),
    Step(10, "Won, credited once, reopened; a deleted opportunity stays deleted", won_and_lost),
)


@contextmanager
def opened(stage: Stage) -> Iterator[Cast]:
    """Set the store up and start everything; yields a cast that has played nothing yet."""
    with stage:
        terminal = Terminal(stage.environ)
        answer = terminal.type("db upgrade")
        if answer.code:
            raise StageError(f"The store of the demo cannot be set up: {answer.error}")
        stage.open()
        yield Cast(terminal, Crms(terminal), stage.home, stage.require_running)


def play(cast: Cast, steps: Sequence[Step] = STEPS) -> Iterator[Played]:
    """Play the steps one by one; ends after the first that fails."""
    for step in steps:
        scene = Scene(cast)
        try:
            step.act(scene)
        except StepFailed:
            yield Played(step, scene.rows, failed=True)
            return
        yield Played(step, scene.rows, failed=False)
