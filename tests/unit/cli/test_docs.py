"""docs/cli.md names every command, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from cli.main import root

DOCUMENT = Path(__file__).parents[3] / "docs" / "cli.md"


def _commands(group: click.Group, context: click.Context, before: str = "") -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(command, context, f"{before}{name} ")
        else:
            yield f"{before}{name}"


def test_the_table_of_commands_has_every_command_and_no_other() -> None:
    table = DOCUMENT.read_text().partition("## Commands")[2].partition("## The import file")[0]
    rows = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    documented = {re.match(r"[a-z-]+( [a-z-]+)?", row)[0] for row in rows}  # type: ignore[index]
    with click.Context(root) as context:
        assert documented == set(_commands(root, context))


def test_every_command_says_what_it_does() -> None:
    with click.Context(root) as context:
        for path in _commands(root, context):
            command: click.Command | None = root
            for word in path.split():
                assert isinstance(command, click.Group)
                command = command.get_command(context, word)
            assert command is not None
            assert command.help, path
