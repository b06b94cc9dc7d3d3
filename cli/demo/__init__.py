"""`dealreg demo`: play one deal from a partner to the three CRMs and back, and prove every step.

Everything is real: the sandbox and `dealreg serve` run as processes of their own, in a home of
their own, and talk HTTP. Nothing of the caller's is read or changed.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.frame import Command, Exit, Frame, pass_frame

if TYPE_CHECKING:
    from cli.demo.narration import Narration
    from cli.demo.story import Played


@click.command(cls=Command)
@click.option("--keep", is_flag=True, help="Keep the store, the CRMs' records and the logs.")
@pass_frame
def demo(frame: Frame, *, keep: bool) -> None:
    """Play one deal from a partner to the three CRMs and back, in under a minute.

    Starts the sandbox CRMs and the program in a temporary home, types the commands that you
    could type, and holds every outcome against the CRMs and the store. Ends with 1 and the step
    that failed if one does not hold.
    """
    from cli.demo.narration import Narration

    home = Path(tempfile.mkdtemp(prefix="dealreg-demo-"))
    narration = Narration(frame.out)
    whole = False
    # As Ctrl-C: the processes of the stage are ended on the way out.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        played = _play(home, narration)
        whole = not played[-1].failed
    finally:
        signal.signal(signal.SIGTERM, before)
        if whole and not keep:
            shutil.rmtree(home, ignore_errors=True)
        else:
            narration.kept(home)
    if not whole:
        frame.exit(Exit.FAILED)


def _play(home: Path, narration: Narration) -> list[Played]:
    from cli.demo.stage import Stage
    from cli.demo.story import STEPS, opened, play

    began = time.monotonic()
    played: list[Played] = []
    with opened(Stage(home)) as cast:
        narration.opened(home, time.monotonic() - began)
        for step in STEPS:
            with narration.playing(step):
                played += play(cast, [step])
            narration.tell(played[-1])
            if played[-1].failed:
                break
    narration.closed(played, time.monotonic() - began)
    return played
