"""`dealreg held`: changes that were too many at once, until a person lets them go on or not."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cli.frame import Exit, Frame, Noun, pass_frame
from cli.output import Id
from cli.values import text

if TYPE_CHECKING:
    from sync.gates.holding import Held

_ID = click.argument("held_id", metavar="ID")


@click.group(cls=Noun)
def held() -> None:
    """Changes over a cap: they wait here, as one item a cap, and nothing of them is lost."""


@held.command("list")
@click.option("--all", "everything", is_flag=True, help="Released and discarded ones too.")
@pass_frame
def list_(frame: Frame, *, everything: bool) -> None:
    """List held items, oldest first."""
    from sync.gates import holding

    with frame.database() as database, database.read() as session:
        found = holding.held(session, everything=everything)
    frame.out.table(
        [asdict(one) | {"id": Id(one.id)} for one in found],
        {
            "id": "Id", "connection": "Connection", "direction": "Direction", "records": "Records",
            "reason": "Why", "state": "State", "opened_at": "Since", "decided_by": "Decided by",
        },
        empty="Nothing is held. Decided items: dealreg held list --all",
    )  # fmt: skip
    if any(one.state == "held" for one in found):
        frame.out.say("Look closer: dealreg held show ID")


@held.command()
@_ID
@click.option("--last", type=click.IntRange(1), default=50, show_default=True, metavar="N",
              help="Show so many of its changes.")  # fmt: skip
@pass_frame
def show(frame: Frame, held_id: str, last: int) -> None:
    """Show the changes of an item beside what stands there now."""
    from cli.showing import numbers
    from sync.gates import holding

    with frame.database() as database, database.read() as session:
        item, changes = holding.item(session, held_id)
        known = numbers(session, [change.registration_id for change in changes])
    rows = [
        asdict(change) | {"number": known.get(change.registration_id)} for change in changes[:last]
    ]
    if frame.out.as_json:
        frame.out.json(asdict(item) | {"changes": rows})
        return
    frame.out.facts(
        {"connection": item.connection, "direction": item.direction, "why": item.reason,
         "records": item.records, "since": item.opened_at, "first released by": item.first_by,
         "decided by": item.decided_by},
        title=f"Held item {item.id}: {item.state}",
    )  # fmt: skip
    columns = {
        "number": "Number",
        "record_id": "Record",
        "before": "Now",
        "payload": "Would become",
    }
    frame.out.show(rows, columns)
    if len(changes) > last:
        frame.out.say(f"and {len(changes) - last} more: --last {len(changes)}")
    if item.state == "held":
        frame.out.say(f"Let them go on:  dealreg held release {item.id}")
        frame.out.say(f"Decline them:    dealreg held discard {item.id} --reason TEXT")


@held.command()
@_ID
@pass_frame
def release(frame: Frame, held_id: str) -> None:
    """Let an item go on: its records are read and planned again first.

    Large items need two operating-system users; the first gets exit code 3. A discarded item
    can be released too.
    """
    from sync.gates import holding

    with frame.runtime() as runtime:
        after = holding.release(runtime, held_id, frame.actor)
    if after.state != "released":
        _tell(frame, after, f"{after.records} records need a second person. "
              f"Somebody else types: dealreg held release {after.id}")  # fmt: skip
        frame.exit(Exit.NEEDS_A_HUMAN)
    _tell(frame, after, f"{after.records} records are due again. See: dealreg status")


@held.command()
@_ID
@click.option("--reason", required=True, help="Why; kept in the audit trail.")
@pass_frame
def discard(frame: Frame, held_id: str, reason: str) -> None:
    """Decline the changes of an item: both sides stay as they are, and it is not tried again."""
    from sync.gates import holding

    with frame.runtime() as runtime:
        after = holding.discard(runtime, held_id, frame.actor, text(reason))
    _tell(frame, after, f"{after.records} changes are declined.")


def _tell(frame: Frame, item: Held, sentence: str) -> None:
    frame.out.done(sentence, asdict(item))
