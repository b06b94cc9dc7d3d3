"""A person at a terminal: types `dealreg` commands and reads their answers.

Commands run through the same entry as on a real terminal, inside this process, because starting
one for each would take most of the story's time; `at_once` starts real ones.
"""

from __future__ import annotations

import io
import json
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import click

from cli.demo.stage import DEALREG
from cli.frame import Frame
from cli.main import root

#: Seconds a command in a process of its own may take.
COMMAND_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """What a command answered; read with `--json`, which people leave out."""

    line: str
    code: int
    printed: str
    complaint: str

    @property
    def data(self) -> Any:
        """The one JSON value that it printed; None where it failed and printed nothing."""
        return json.loads(self.printed) if self.printed.strip() else None

    @property
    def error(self) -> str:
        """The message on standard error, empty where there was none."""
        if not self.complaint.strip():
            return ""
        last = self.complaint.strip().splitlines()[-1]
        try:
            told = json.loads(last)["error"]
        except (ValueError, KeyError, TypeError):
            return last
        return f"{told['message']} {told['hint']}".strip()


class Terminal:
    """Types commands under given settings. One thread only: standard output is one."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def type(self, line: str) -> Answer:
        """Run one command to its end."""
        printed, complaint = io.StringIO(), io.StringIO()
        frame = Frame(environ=self._environ)
        with redirect_stdout(printed), redirect_stderr(complaint):
            try:
                code = root.main(
                    [*shlex.split(line), "--json"],
                    prog_name="dealreg", standalone_mode=False, obj=frame,
                )  # fmt: skip
            except click.ClickException as error:
                error.show()
                code = error.exit_code
        return Answer(line, int(code or 0), printed.getvalue(), complaint.getvalue())

    def at_once(self, lines: Sequence[str]) -> list[Answer]:
        """Run several commands at the same moment, each in a process of its own."""
        started = [
            subprocess.Popen(
                [*DEALREG, *shlex.split(line), "--json"],
                env=dict(self._environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for line in lines
        ]
        answers = []
        for line, process in zip(lines, started, strict=True):
            try:
                printed, complaint = process.communicate(timeout=COMMAND_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                printed, complaint = process.communicate()
            answers.append(Answer(line, process.returncode, printed, complaint))
        return answers
