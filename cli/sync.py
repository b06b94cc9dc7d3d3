"""`dealreg sync`: move changes now instead of waiting for the workers, and see what moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cli.frame import Exit, Frame, Noun, pass_frame
from cli.output import Id

if TYPE_CHECKING:
    from registration_core.contracts import ConnectionName
    from sync.process.runtime import Runtime

_CONNECTION = click.argument("connection", metavar="[CONNECTION]", default="")


@click.group(cls=Noun)
def sync() -> None:
    """Movement between the store and the CRMs. Without a CONNECTION, all of them."""


@sync.command()
@_CONNECTION
@pass_frame
def run(frame: Frame, connection: str) -> None:
    """Ask for what is new, take it in, check what waits, and push what is due."""
    from sync import checking, pull, push, runs
    from sync.reports.status import status

    with frame.runtime() as runtime:
        names = _connections(runtime, connection)
        polled = {name: runs.poll(runtime, name) for name in names}
        pulled = {name: pull.drain(runtime, name) for name in names}
        checked = checking.drain(runtime)
        pushed = {name: push.drain(runtime, name) for name in names}
        now = status(runtime)
    rows = [
        {
            "connection": name, "state": one.state if one else "skipped",
            "read": one.records if one else 0, "noticed": one.notices if one else 0,
            "pulled": pulled[name], "pushed": pushed[name],
            "message": one.message if one else "it is off, or another worker polls it",
        }
        for name, one in polled.items()
    ]  # fmt: skip
    if frame.out.as_json:
        frame.out.json(
            {"connections": rows, "checked": checked, "needs_a_person": now.needs_a_person}
        )
    else:
        frame.out.show(rows, {name: name.capitalize() for name in rows[0]} if rows else {})
        frame.out.say(f"{checked} registrations checked.")
    if any(one is not None and one.state == "failed" for one in polled.values()):
        frame.exit(Exit.FAILED)
    if now.needs_a_person:
        frame.out.say("Something waits for a person. See: dealreg status")
        frame.exit(Exit.NEEDS_A_HUMAN)


@sync.command()
@_CONNECTION
@pass_frame
def push(frame: Frame, connection: str) -> None:
    """Write what is due to the CRMs."""
    from sync import push as pushing

    with frame.runtime() as runtime:
        names = _connections(runtime, connection)
        moved = {name: pushing.drain(runtime, name) for name in names}
    _tell(frame, moved, "pushed")


@sync.command()
@_CONNECTION
@pass_frame
def pull(frame: Frame, connection: str) -> None:
    """Read the records that were noticed to have changed."""
    from sync import pull as pulling

    with frame.runtime() as runtime:
        names = _connections(runtime, connection)
        moved = {name: pulling.drain(runtime, name) for name in names}
    _tell(frame, moved, "pulled")


@sync.command("runs")
@click.option("--last", type=click.IntRange(1, 1000), default=20, show_default=True)
@pass_frame
def runs_(frame: Frame, last: int) -> None:
    """List the newest polls, and the newest drains that wrote something."""
    from sync import runs

    with frame.database() as database, database.read() as session:
        found = runs.runs(session, last)
    frame.out.table(
        [asdict(one) | {"id": Id(one.id)} for one in found],
        {
            "id": "Id", "started_at": "Started", "connection": "Connection", "kind": "Kind",
            "state": "State", "records": "Records", "notices": "Noticed", "message": "Message",
        },
        empty="Nothing was polled yet. Type: dealreg sync run",
    )  # fmt: skip


@sync.command()
@click.argument("run_id", metavar="RUN")
@click.option("--dry-run", is_flag=True, help="Only show what would go back.")
@pass_frame
def undo(frame: Frame, run_id: str, *, dry_run: bool) -> None:
    """Put back what a run wrote, where nobody has touched it since; list the rest.

    RUN is a push of `dealreg sync runs`. The before-images go out with the next push, and what
    the run wrote is declined: it is not written again until it is something else.
    """
    from cli.showing import numbers
    from sync.repair import undoing

    with frame.runtime() as runtime:
        found = undoing.undo(runtime, run_id, frame.actor, dry_run=dry_run)
        with runtime.database.read() as session:
            known = numbers(session, [one.registration_id for one in found])
    rows = [asdict(one) | {"number": known.get(one.registration_id)} for one in found]
    frame.out.table(
        rows,
        {
            "number": "Number", "record_id": "Record", "wrote": "The run wrote",
            "before": "Goes back to", "kept_because": "Stays, because",
        },
        empty="",
    )  # fmt: skip
    going = sum(not one.kept_because for one in found)
    frame.out.say(
        f"{going} of {len(found)} {'would go' if dry_run else 'go'} back."
        + ("" if dry_run or not going else " See: dealreg status")
    )


def _connections(runtime: Runtime, connection: str) -> Sequence[ConnectionName]:
    """Return the one that was named, which must be usable, or every usable one."""
    return [runtime.connector(connection).name] if connection else sorted(runtime.connectors)


def _tell(frame: Frame, moved: dict[ConnectionName, int], what: str) -> None:
    frame.out.table(
        [{"connection": name, what: count} for name, count in moved.items()],
        {"connection": "Connection", what: what.capitalize()},
        empty="No connection can be used. See: dealreg connection list",
    )
