"""`dealreg mapping apply | rollback | versions`: what is in force, and what changes when it does."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cli.frame import Command, Frame, pass_frame
from registration_core.contracts import ConnectionName
from registration_core.errors import InvalidInput

if TYPE_CHECKING:
    from mapping.schema import ConnectionMapping
    from sync.previews.applying import Weighed
    from sync.process.runtime import Runtime

_YES = click.option("--yes", is_flag=True, help="Do it without asking.")


@click.command(cls=Command)
@click.argument("name", metavar="CONNECTION")
@_YES
@pass_frame
def apply(frame: Frame, name: str, *, yes: bool) -> None:
    """Put the mapping file of a connection in force, after telling what it would touch."""
    with frame.runtime(draft=True) as runtime:
        runtime.connector(name)
        _put_in_force(frame, runtime, runtime.mappings[ConnectionName(name)], yes=yes)


@click.command(cls=Command)
@click.argument("name", metavar="CONNECTION")
@_YES
@pass_frame
def rollback(frame: Frame, name: str, *, yes: bool) -> None:
    """Put the version before in force again; the file is put back too, unless it was edited since."""
    from mapping.loader import load
    from sync.mappings.mapping_versions import before
    from sync.wiring import catalogue

    connection = ConnectionName(name)
    file = frame.settings.config_dir / "mappings" / f"{name}.yaml"
    with frame.runtime() as runtime:
        runtime.connector(name)
        with runtime.database.read() as session:
            now, then = before(session, connection)
        title = f"mappings/{name}.yaml, version {then.number}"
        draft = load(then.text, title, *catalogue(runtime.programs))
        if not _put_in_force(frame, runtime, draft, yes=yes):
            return
        if runtime.drafts.get(connection, now.digest) != now.digest:
            frame.out.say(f"{file} was edited since and is left as it is.")
            return
        file.write_bytes(then.text.encode())
        frame.out.say(f"{file} is what it was in version {then.number}.")


@click.command(cls=Command)
@click.argument("name", metavar="CONNECTION")
@click.option("--show", metavar="NUMBER", type=int, help="Print the text of one version.")
@pass_frame
def versions(frame: Frame, name: str, *, show: int | None) -> None:
    """List the versions of a connection's mapping, the one in force first."""
    from sync.mappings import mapping_versions

    with frame.database() as database, database.read() as session:
        known = mapping_versions.versions(session, ConnectionName(name))
    if show is not None:
        found = next((each for each in known if each.number == show), None)
        if found is None:
            hint = f"See: dealreg mapping versions {name}"
            raise InvalidInput(f"The mapping of {name} has no version {show}.", hint=hint)
        click.echo(found.text, nl=False)
        return
    rows = [
        {
            "number": each.number, "digest": each.digest, "applied_at": each.applied_at,
            "applied_by": each.applied_by, "in_force": each is known[0],
        }
        for each in known
    ]  # fmt: skip
    frame.out.table(
        rows,
        {
            "number": "Version", "digest": "Digest", "applied_at": "Applied",
            "applied_by": "By", "in_force": "In force",
        },
        empty=f"No version yet. Type: dealreg mapping apply {name}",
    )  # fmt: skip


def _put_in_force(frame: Frame, runtime: Runtime, draft: ConnectionMapping, *, yes: bool) -> bool:
    """Tell what a mapping touches, ask where it is much, and put it in force; False for a no."""
    from sync.previews import applying

    with frame.out.busy(f"Planning every registration in {draft.connection} by the new mapping"):
        weighed = applying.weigh(runtime, draft)
    if not frame.out.as_json:
        frame.out.say(_said(weighed))
    if weighed.asks and not yes:
        if frame.out.as_json or not sys.stdin.isatty():
            raise InvalidInput(
                f"It touches {len(weighed.touched)} registrations, more than "
                f"{applying.TOUCHED_UNASKED}.",
                hint=f"See them: dealreg mapping preview {draft.connection} --all. Then give --yes.",
            )
        if not click.confirm("Put it in force?"):
            return False
    made = applying.apply(runtime, weighed, frame.actor)
    name = draft.connection
    frame.out.done(
        f"Version {made.number} of the mapping of {name} is in force; running workers take it up at "
        f"their next work. Back: dealreg mapping rollback {name}",
        {
            "connection": name, "version": made.number, "digest": made.digest,
            "registrations": len(weighed.touched), "fields": weighed.fields,
            "rebased": weighed.previews.rebased, "counts": weighed.previews.counts(),
        },
    )  # fmt: skip
    return True


def _said(weighed: Weighed) -> str:
    counted = ", ".join(f"{n} {does.value}" for does, n in weighed.previews.counts().items())
    anew = weighed.previews.rebased
    return (
        f"It touches {len(weighed.touched)} registrations and {weighed.fields} fields "
        f"({counted or 'none is mirrored there'})"
        + (f"; {anew} values are agreed on anew because their rows changed." if anew else ".")
    )
