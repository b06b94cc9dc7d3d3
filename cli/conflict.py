"""`dealreg conflict`: sync conflicts, where two sides changed one thing and a person decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

import click

from cli.frame import Frame, Noun, pass_frame
from cli.output import Id, Marked, short, words

if TYPE_CHECKING:
    from sync.resolving import Conflict

_ID = click.argument("conflict_id", metavar="ID")


@click.group(cls=Noun)
def conflict() -> None:
    """Sync conflicts. What a rule settled is kept and can be reversed (list --all)."""


@conflict.command("list")
@click.option("--all", "everything", is_flag=True, help="Settled and resolved ones too.")
@pass_frame
def list_(frame: Frame, *, everything: bool) -> None:
    """List sync conflicts, oldest first."""
    from cli.showing import numbers
    from sync import resolving

    with frame.database() as database, database.read() as session:
        found = resolving.conflicts(session, everything=everything)
        known = numbers(session, [one.registration_id for one in found])
    frame.out.table(
        [asdict(one) | {"number": known[one.registration_id], "id": Id(one.id)} for one in found],
        {
            "id": "Id", "number": "Number", "connection": "Connection", "group": "Fields",
            "state": "State", "store": "Ours", "remote": "Theirs", "opened_at": "Since",
        },
        empty="No sync conflict is open. Settled ones: dealreg conflict list --all",
    )  # fmt: skip


@conflict.command()
@_ID
@pass_frame
def show(frame: Frame, conflict_id: str) -> None:
    """Show what both sides last agreed on, what we hold, and what the CRM holds."""
    from cli.showing import numbers
    from sync import resolving

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
    frame.out.show(_side_by_side(found), columns | chosen)
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
    from sync import resolving

    if (take is None) == (not values):
        raise click.UsageError(
            "Say --take ours, --take theirs, or --set FIELD=VALUE for each field."
        )
    with frame.runtime() as runtime:
        settled = resolving.resolve(runtime, conflict_id, take or _pairs(values), frame.actor)
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
    from sync import resolving

    with frame.runtime() as runtime:
        opened = resolving.undo(runtime, conflict_id, frame.actor)
    frame.out.done(
        f"The conflict is open again; both sides get their own values back. "
        f"See: dealreg conflict show {short(opened.id)}",
        asdict(opened),
    )


def _side_by_side(found: Conflict) -> list[Mapping[str, object]]:
    """Return a row for each field; a value that differs from the base is marked."""
    base, chosen = found.base or {}, found.chosen or {}

    def side(values: Mapping[str, object], name: str) -> str:
        value = words(values.get(name))
        return value if name in base and value == words(base[name]) else Marked(value)

    return [
        {
            "field": name, "base": words(base.get(name)), "ours": side(found.store, name),
            "theirs": side(found.remote, name), "chosen": words(chosen.get(name)),
        }
        for name in dict.fromkeys((*found.store, *found.remote))
    ]  # fmt: skip


def _pairs(values: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in values]
    for name, equals, _ in pairs:
        if not equals:
            raise click.BadParameter(f"{name!r} is not FIELD=VALUE", param_hint="--set")
    return {name: value for name, _, value in pairs}
