"""`dealreg`: the root command. A noun is loaded when it is used, and not before."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from cli.frame import Frame, Noun
from cli.wording import told

#: Every noun, in the order of its help: `cli/<noun>.py` holds the command of the same name (a dash is `_`).
NOUNS = {
    "serve": "Run web, workers and clock in one process.",
    "clock": "Run the clock alone.",
    "demo": "Play one deal from a partner to the three CRMs and back.",
    "status": "What is going on, and what waits for whom.",
    "stop": "Stop the traffic with one CRM or all, at once.",
    "resume": "Let it go on, after a look at what has piled up.",
    "today": "What to look at every morning.",
    "db": "The store's tables.",
    "connection": "Connections to CRM orgs.",
    "mapping": "Field mappings.",
    "partner": "Partners.",
    "program": "Program rules: what other ones would have decided.",
    "account-list": "House, do-not-call and other account lists.",
    "registration": "Deal registrations: submit, import, look, change.",
    "approval": "Decisions on registrations.",
    "protection": "Standing protections.",
    "dispute": "Claims that are contested, and their decisions.",
    "match": "Whether two records are one customer: a person's word.",
    "link": "Which CRM record is which registration.",
    "conflict": "Sync conflicts: two sides changed one thing.",
    "held": "Changes that were too many at once.",
    "deadletter": "What will not work however often it is tried.",
    "sync": "Move changes now, and see what moved.",
    "drift": "What differs between here and a CRM, and its repair.",
    "audit": "Who did what, and proof that it was not altered.",
    "sandbox": "Be a user of the sandbox CRMs, or bad luck.",
}


class Root(Noun):
    """Loads the noun that was typed, and words whatever goes wrong."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in NOUNS:
            return None
        module = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"cli.{module}"), module)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the nouns without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(NOUNS.items()))

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click's own, already worded
        except Exception as error:  # noqa: BLE001 - the last place that can word it
            raise told(error, ctx.ensure_object(Frame)) from None


@click.group(
    cls=Root, epilog="Exit codes: 0 done, 1 failed, 2 not understood, 3 a person has to decide."
)
def root() -> None:
    """Keep partner deal registrations, check them against the CRMs, and mirror them both ways.

    `dealreg COMMAND --help` tells more about each.
    """


def main() -> None:
    """Run the command line; what a terminal cannot show is shown as an escape, never a crash."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    root(prog_name="dealreg")
