"""`dealreg conflict`: sync conflicts, where two sides changed one thing and a person decides."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

import click

from cli.frame import Exit, Frame, Noun, pass_frame
from cli.output import Id, short, words
from cli.sides import side_by_side

if TYPE_CHECKING:
    from sync.conflicts.sifting import Weighed

_ID = click.argument("conflict_id", metavar="ID")
_WHERE = click.option(
    "--where",
    multiple=True,
    metavar="KEY=VALUE",
    help="Only those of connection=NAME, field=NAME, older=DAYS, worth='10000 EUR'; all must hold.",
)


@click.group(cls=Noun)
def conflict() -> None:
    """Sync conflicts. What a rule settled is kept and can be reversed (list --all)."""


@conflict.command("list")
@click.option("--all", "everything", is_flag=True, help="Settled and resolved ones too.")
@_WHERE
@pass_frame
def list_(frame: Frame, *, everything: bool, where: tuple[str, ...]) -> None:
    """List sync conflicts, oldest first, with their age and what the deal is worth."""
    from sync.conflicts import sifting

    wanted = sifting.sieve(where)
    with frame.database() as database, database.read() as session:
        found = sifting.sift(session, database.clock(), wanted, everything=everything)
    frame.out.table(
        [_row(one) for one in found],
        {
            "id": "Id", "number": "Number", "connection": "Connection", "group": "Fields",
            "state": "State", "store": "Ours", "remote": "Theirs", "age": "Age", "worth": "Worth",
        },
        empty="No such sync conflict is open. Settled ones: dealreg conflict list --all",
    )  # fmt: skip


@conflict.command()
@_WHERE
@click.option("--take", type=click.Choice(["ours", "theirs"]), required=True,
              help="Whose values stand.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only show what would stand.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_frame
def settle(
    frame: Frame,
    where: tuple[str, ...],
    take: Literal["ours", "theirs"],
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    """Settle many open conflicts by one rule, after showing what would stand everywhere."""
    from sync.conflicts import sifting

    if not where:
        raise click.UsageError("Say which ones are meant: --where KEY=VALUE.")
    wanted = sifting.sieve(where)
    with frame.runtime() as runtime:
        with runtime.database.read() as session:
            meant = sifting.sift(session, runtime.database.clock(), wanted)
        rows = [_row(one) | {"stands": sifting.values(one.conflict, take)} for one in meant]
        if not frame.out.as_json:
            columns = {
                "id": "Id", "number": "Number", "connection": "Connection", "store": "Ours",
                "remote": "Theirs", "stands": "Would stand", "worth": "Worth",
            }  # fmt: skip
            frame.out.table(rows, columns, empty="No such sync conflict is open.")
        if meant and not (dry_run or yes):
            click.confirm(f"Settle {len(meant)} conflicts?", abort=True, err=True)
        settled = [] if dry_run else sifting.settle(runtime, meant, take, frame.actor)
    refused = [one for one in settled if one.refused]
    if frame.out.as_json:
        by_id = {one.conflict_id: one for one in settled}
        found = [by_id.get(str(row["id"])) for row in rows]
        frame.out.json(
            [
                row
                | {"settled": bool(one and not one.refused), "refused": one.refused if one else ""}
                for row, one in zip(rows, found, strict=True)
            ]
        )
    elif settled:
        frame.out.show([asdict(one) for one in refused],
                       {"number": "Number", "refused": "Still stands, because"})  # fmt: skip
        frame.out.say(
            f"{len(settled) - len(refused)} of {len(settled)} settled. The next push carries them; "
            "take one back: dealreg conflict undo ID"
        )
    if refused:
        frame.exit(Exit.NEEDS_A_HUMAN)


def _row(found: Weighed) -> dict[str, object]:
    shown = asdict(found.conflict) | {"number": found.number, "id": Id(found.conflict.id)}
    return shown | {
        "age": f"{found.age.days} d", "age_days": found.age.days, "amount": found.amount,
        "currency": found.currency, "worth": f"{found.amount:,.0f} {found.currency}",
    }  # fmt: skip


@conflict.command()
@_ID
@pass_frame
def show(frame: Frame, conflict_id: str) -> None:
    """Show what both sides last agreed on, what we hold, and what the CRM holds."""
    from cli.showing import numbers
    from sync.conflicts import resolving

    with frame.database() as database, database.read() as session:
        found = resolving.conflict(session, conflict_id)
        number = numbers(session, [found.registration_id])[found.registration_id]
    if frame.out.as_json:
        frame.out.json(asdict(found) | {"number": number})
        return
    frame.out.facts(
        {
            "state": found.state, "fields": found.group, "why": found.reason,
            "settled for": found.settled, "since": found.opened_at,
            "resolved": f"{words(found.resolved_at)} by {found.resolved_by}" if found.resolved_at else "",
        },
        title=f"{number} and {found.connection}, conflict {found.id}",
    )  # fmt: skip
    columns = {"field": "Field", "base": "Base", "ours": "Ours", "theirs": f"In {found.connection}"}
    chosen = {"chosen": "Chosen"} if found.chosen else {}
    frame.out.show(side_by_side(found), columns | chosen)
    key = short(found.id)
    if found.state == "resolved":
        frame.out.say(f"Take it back: dealreg conflict undo {key}")
    else:
        frame.out.say(
            f"Decide: dealreg conflict resolve {key} --take ours|theirs, or --set FIELD=VALUE ..."
        )


@conflict.command()
@_ID
@click.option("--take", type=click.Choice(["ours", "theirs"]), help="Whose values stand.")
@click.option(
    "--set", "values", multiple=True, metavar="FIELD=VALUE", help="Or values of your own."
)
@pass_frame
def resolve(
    frame: Frame, conflict_id: str, take: Literal["ours", "theirs"] | None, values: tuple[str, ...]
) -> None:
    """Settle a conflict, everywhere: here, in that CRM, and in the others."""
    from cli.field_values import typed
    from sync.conflicts import resolving

    if (take is None) == (not values):
        raise click.UsageError(
            "Say --take ours, --take theirs, or --set FIELD=VALUE for each field."
        )
    with frame.runtime() as runtime:
        choice = take or typed(_pairs(values), resolving.program_of(runtime, conflict_id))
        settled = resolving.resolve(runtime, conflict_id, choice, frame.actor)
    frame.out.done(
        f"Settled: {words(settled.chosen)}. The next push carries it; "
        f"take it back: dealreg conflict undo {short(settled.id)}",
        asdict(settled),
    )


@conflict.command()
@_ID
@pass_frame
def undo(frame: Frame, conflict_id: str) -> None:
    """Take a resolution back, where nobody has touched the values since."""
    from sync.conflicts import resolving

    with frame.runtime() as runtime:
        opened = resolving.undo(runtime, conflict_id, frame.actor)
    frame.out.done(
        f"The conflict is open again; both sides get their own values back. "
        f"See: dealreg conflict show {short(opened.id)}",
        asdict(opened),
    )


@conflict.command()
@_WHERE
@pass_frame
def review(frame: Frame, where: tuple[str, ...]) -> None:
    """Go through open conflicts on the whole screen: both sides, who changed what, one key each."""
    from sync.conflicts import sifting

    if frame.out.as_json or not sys.stdout.isatty():
        raise click.UsageError(
            "This needs a terminal. For scripts: dealreg conflict list, and settle."
        )
    from cli.review import Review
    from cli.review_desk import Desk

    wanted = sifting.sieve(where)
    with frame.runtime() as runtime:
        desk = Desk(runtime, frame.actor, wanted)
        Review(desk).run()
    frame.out.say(f"{desk.settled} conflicts settled. The next push carries them.")


def _pairs(values: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in values]
    for name, equals, _ in pairs:
        if not equals:
            raise click.BadParameter(f"{name!r} is not FIELD=VALUE", param_hint="--set")
    return {name: value for name, _, value in pairs}
