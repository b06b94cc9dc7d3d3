"""What every command has: who acts, how to answer, and the way to the store and the CRMs.

`--actor`, `--json` and `--debug` may stand anywhere on the line. Opening is left to the command
that needs it, so that a command about partners never loads a CRM's client.
"""

from __future__ import annotations

import getpass
import os
import random
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

import click

from cli.output import Output

if TYPE_CHECKING:
    from config.settings import Settings
    from registration_core.model import Actor
    from registration_core.program import Program
    from registration_core.store.database import Database
    from sync.process.runtime import Runtime


class Exit(IntEnum):
    """What a command's exit code says."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    #: Nothing went wrong, but it goes on only when a person has decided something.
    NEEDS_A_HUMAN = 3


@dataclass
class Frame:
    """One run of the program; made by the root command and handed to every other."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    #: What `--actor` says; a claim, and recorded as one.
    claimed: str = ""
    as_json: bool = False
    debug: bool = False

    @cached_property
    def out(self) -> Output:
        """Where the answer goes."""
        return Output(as_json=self.as_json)

    @cached_property
    def settings(self) -> Settings:
        """The settings of this process; `ConfigurationError` lists what is wrong with them."""
        from config.settings import load_settings

        return load_settings(self.environ)

    def reload_settings(self) -> Settings:
        """Read the settings again, after something wrote the env file."""
        self.__dict__.pop("settings", None)
        return self.settings

    @cached_property
    def actor(self) -> Actor:
        """Who acts: the operating-system user, or whom `--actor` names; never verified."""
        from registration_core.model import Actor

        user = _operating_system_user()
        return Actor(name=self.claimed or user, host=socket.gethostname(), os_user=user)

    def programs(self) -> dict[str, Program]:
        """Read the rules of every program."""
        from config.connections import load_connections
        from config.programs import load_programs

        folder = self.settings.config_dir
        return load_programs(folder, load_connections(folder, self.settings.variables).names)

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Open the store alone, for commands that have nothing to do with a CRM."""
        from registration_core.store.database import Database

        database = Database(self.settings.database_url, _now, random.SystemRandom())
        try:
            with self._nudging(database):
                yield database
        finally:
            database.close()

    def _nudging(self, database: Database) -> AbstractContextManager[None]:
        if self.settings.redis_url is None:  # the embedded workers watch the store itself
            return nullcontext()
        from sync.wiring import nudging

        return nudging(database, self.settings.redis_url)

    @contextmanager
    def runtime(self, *, draft: bool = False) -> Iterator[Runtime]:
        """Open the store and every connection, with the mappings in force or those of the files."""
        from config.logging import configure_logging
        from config.settings import LogLevel
        from sync import wiring

        level = LogLevel.DEBUG if self.debug else LogLevel.WARNING
        configure_logging(self.settings.log_format, level)
        runtime = wiring.build(self.settings)
        try:
            if not draft:
                runtime.refresh(first=False)
            yield runtime
        finally:
            runtime.close()

    def exit(self, code: Exit) -> NoReturn:
        """End the command with this code; what it did stays done."""
        raise click.exceptions.Exit(code)


pass_frame = click.make_pass_decorator(Frame, ensure=True)


class Command(click.Command):
    """A command that takes the options every command takes."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *common_options()]


class Noun(Command, click.Group):
    """The commands about one thing."""

    command_class = Command


def common_options() -> list[click.Parameter]:
    """Return the options that may stand anywhere on the line."""
    return [
        click.Option(
            ["--actor"], metavar="NAME", expose_value=False, callback=_noting("claimed"),
            help="Act under this name (recorded as unverified).",
        ),
        click.Option(
            ["--json"], is_flag=True, expose_value=False, callback=_noting("as_json"),
            help="Answer in JSON.",
        ),
        click.Option(
            ["--debug"], is_flag=True, expose_value=False, callback=_noting("debug"),
            help="Show where an unexpected error comes from.",
        ),
    ]  # fmt: skip


def _noting(name: str) -> Callable[[click.Context, click.Parameter, object], None]:
    def note(ctx: click.Context, _: click.Parameter, value: object) -> None:
        frame = ctx.ensure_object(Frame)
        if value:
            setattr(frame, name, value)

    return note


def chosen_program(programs: Mapping[str, Program], name: str) -> Program:
    """Return the named program, or the only one there is."""
    from registration_core.errors import NotFound

    if not name and len(programs) == 1:
        return next(iter(programs.values()))
    if name in programs:
        return programs[name]
    known = ", ".join(sorted(programs))
    if not name:
        raise click.UsageError(f"There are several programs. Give --program, one of: {known}.")
    raise NotFound(f"There is no program {name}.", hint=f"One of: {known}.")


def _operating_system_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no entry for this user, as in some containers
        return f"uid-{os.getuid()}"


def _now() -> datetime:
    return datetime.now(UTC)
