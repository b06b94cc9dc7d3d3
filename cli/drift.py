"""`dealreg drift`: what differs between the store and a CRM, why, and the repair of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cli.frame import Command, Exit, Frame, pass_frame
from cli.output import Marked
from cli.progress import Progress

if TYPE_CHECKING:
    from registration_core.contracts import ConnectionName
    from sync.process.runtime import Runtime
    from sync.repair.drift import DriftRun
    from sync.repair.drifting import Finding

#: Differences that people and scripts are shown one by one.
_SHOWN, _SHOWN_TO_SCRIPTS = 20, 1_000


@click.command(cls=Command)
@click.argument("connection", metavar="CONNECTION")
@click.option("--accounts", is_flag=True,
              help="Compare the account directory instead; what differs there is taken at once.")  # fmt: skip
@click.option("--last", is_flag=True, help="Show the last comparison instead of making one.")
@click.option("--repair", is_flag=True, help="Make due what can be mended; asks first.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_frame
def drift(
    frame: Frame, connection: str, *, accounts: bool, last: bool, repair: bool, yes: bool
) -> None:
    """Compare every link with the record in a CRM, and tell what differs and why.

    A comparison that was cut off goes on from where it stopped. Exits with 3 where something can
    be repaired. A repair reads and plans each record again, below the usual caps and holds: what
    somebody has changed meanwhile is merged and never written over.
    """
    from sync.repair import drift as drifting
    from sync.repair.drift import ACCOUNTS, LINKS

    kind = ACCOUNTS if accounts else LINKS
    with frame.runtime() as runtime:
        name = runtime.connector(connection).name
        run = _last(runtime, name, kind) if last else _compare(frame, runtime, name, kind)
        with runtime.database.read() as session:
            most = _SHOWN_TO_SCRIPTS if frame.out.as_json else _SHOWN
            found = drifting.findings(session, run.id, most)
        repairable = run.repairable if kind == LINKS else 0
        going = repair and repairable > 0
        if not frame.out.as_json:
            _show(frame, runtime, run, found)
        if going and not yes:
            click.confirm(f"Make {repairable:,} differences due?", abort=True, err=True)
        repaired = drifting.repair(runtime, run.id, frame.actor) if going else 0
    if frame.out.as_json:
        frame.out.json(asdict(run) | {"findings": [asdict(f) for f in found], "repaired": repaired})
    elif going:
        frame.out.say(f"{repaired:,} records are due to be read and planned. See: dealreg status")
    elif repairable:
        frame.out.say(f"Repair: dealreg drift {name} --last --repair")
    if repairable and not going:
        frame.exit(Exit.NEEDS_A_HUMAN)


def _last(runtime: Runtime, connection: ConnectionName, kind: str) -> DriftRun:
    from registration_core.errors import NotFound
    from sync.repair import drift as drifting

    with runtime.database.read() as session:
        run = drifting.last(session, connection, kind)
    if run is None:
        raise NotFound(
            f"{connection} was never compared.", hint=f"Type: dealreg drift {connection}"
        )
    return run


def _compare(frame: Frame, runtime: Runtime, connection: ConnectionName, kind: str) -> DriftRun:
    from sync.repair import comparing
    from sync.repair import drift as drifting

    drifting.begin(runtime, connection, kind, frame.actor)
    with runtime.database.read() as session:
        total = comparing.to_compare(session, connection, kind)
    progress = Progress(f"{kind} compared")
    return comparing.advance(
        runtime, connection, kind, told=lambda done: progress.at(min(done, total), total)
    )


def _show(frame: Frame, runtime: Runtime, run: DriftRun, found: list[Finding]) -> None:
    from cli.showing import numbers
    from sync.repair.drift import IDLE

    running = "" if run.finished_at else ", and goes on"
    frame.out.say(f"{run.compared:,} {run.kind} of {run.connection} compared{running}.")
    if not run.tally:
        frame.out.say("Both sides agree.")
        return
    rows = [
        asdict(line)
        | {
            "field": line.field or "(the whole record)",
            "cause": line.cause if line.repair in IDLE else Marked(line.cause),
            "repair": "" if line.repair in IDLE else line.repair,
        }
        for line in run.tally
    ]
    columns = {"field": "Field", "cause": "Cause", "records": "Records", "repair": "A repair would"}
    frame.out.show(rows, columns)
    with runtime.database.read() as session:
        known = numbers(session, [each.registration_id for each in found])
    frame.out.show(
        [asdict(each) | {"number": known[each.registration_id]} for each in found],
        {
            "number": "Number", "record_id": "Record", "field": "Field", "ours": "Ours",
            "theirs": "Theirs", "cause": "Cause",
        },
        title=f"The first {len(found)}" if found else "",
    )  # fmt: skip
