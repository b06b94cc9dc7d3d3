"""`dealreg today`: what to look at every morning."""

from __future__ import annotations

from dataclasses import asdict

import click

from cli.frame import Command, Exit, Frame, pass_frame
from cli.output import Marked


@click.command(cls=Command)
@pass_frame
def today(frame: Frame) -> None:
    """Tell what is to be done, what is about to end, and how things stand; asks no CRM.

    Exits with 3 where somebody has to do something.
    """
    from sync.reports.today import today as read

    with frame.runtime() as runtime:
        lines = read(runtime)
    if frame.out.as_json:
        frame.out.json([asdict(line) for line in lines])
    else:
        columns = {
            "topic": "", "count": "How many", "about": "About", "since": "Oldest",
            "value": "Worth", "command": "Type",
        }  # fmt: skip
        rows = [
            asdict(line) | {"topic": Marked(line.topic) if line.to_do else line.topic}
            for line in lines
        ]
        to_do = [row for row, line in zip(rows, lines, strict=True) if line.to_do]
        frame.out.table(to_do, columns, empty="Nothing is to be done.", title="To do")
        rest = [row for row, line in zip(rows, lines, strict=True) if not line.to_do]
        frame.out.show(rest, columns, title="Good to know")
    if any(line.to_do for line in lines):
        frame.exit(Exit.NEEDS_A_HUMAN)
