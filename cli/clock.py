"""`dealreg clock`: the clock as a process of its own; any number may run, each slot fires once."""

from __future__ import annotations

import click

from cli.frame import Command, Frame, pass_frame
from cli.serve import run


@click.command(cls=Command)
@pass_frame
def clock(frame: Frame) -> None:
    """Run the clock alone: polls, expiry, checkpoints, and the sweep for work that is due."""
    run(frame, ("clock",))
