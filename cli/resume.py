"""`dealreg resume`: lift a stop, after a look at what has piled up meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.frame import Command, Exit, Frame, pass_frame

if TYPE_CHECKING:
    from registration_core.contracts import ConnectionName
    from sync.process.runtime import Runtime


@click.command(cls=Command)
@click.option("--connection", default="", metavar="NAME", help="The one that was stopped alone.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_frame
def resume(frame: Frame, connection: str, yes: bool) -> None:  # noqa: FBT001
    """Let stopped traffic go on, after showing what would be written first.

    Reads the CRMs for that, and changes nothing before it is confirmed. Without --yes a script
    gets the plan and exit code 3.
    """
    from registration_core.errors import NotFound
    from sync.traffic import switch

    scope = connection or switch.EVERYWHERE
    with frame.runtime() as runtime:
        with runtime.database.read() as session:
            stops = {stop.scope: stop for stop in switch.stops(session)}
        if scope not in stops:
            others = [f"dealreg resume --connection {name}" for name in stops if name != "*"]
            if switch.EVERYWHERE in stops:
                others.append("dealreg resume")
            raise NotFound(
                f"{connection or 'Everything'} is not stopped.",
                hint=f"What is: {'; '.join(others)}" if others else "Nothing is.",
            )
        names = [name for name in sorted(runtime.connectors) if connection in ("", name)]
        rows = [_backlog(runtime, name) for name in names]
        if not frame.out.as_json:
            headings = {key: key.replace("_", " ").capitalize() for key in rows[0]} if rows else {}
            frame.out.show(rows, headings, title="What has piled up:")
        if not yes:
            if frame.out.as_json:
                frame.out.json({"scope": scope, "resumed": False, "backlog": rows})
                frame.exit(Exit.NEEDS_A_HUMAN)
            click.confirm("Let it go on?", abort=True)
        switch.resume(runtime.database, frame.actor, scope)
        left = [s for s in stops if s != scope]
    text = f"{connection or 'Everything'} goes on."
    if left:
        text += f" Still stopped: {', '.join(left)}."
    frame.out.done(text, {"scope": scope, "resumed": True, "backlog": rows, "still_stopped": left})


def _backlog(runtime: Runtime, name: ConnectionName) -> dict[str, object]:
    """Count what a push would do with the changes that wait; says so if the CRM cannot be read."""
    from connectors.errors import ConnectorError
    from sync.previews.previewing import Does, preview_many
    from sync.traffic.guard import Lane, lane

    shown = (
        Does.CREATE,
        Does.PUSH,
        Does.RESTORE,
        Does.PULL,
        Does.CONFLICT,
        Does.REFUSED,
        Does.WAIT,
    )
    try:
        with lane(Lane.LOOK):
            counts = preview_many(runtime, name, due=True).counts()
    except ConnectorError as error:
        return {"connection": name, **dict.fromkeys(shown, None), "cannot_be_read": error.message}
    return {"connection": name, **{d: counts.get(d, 0) for d in shown}, "cannot_be_read": ""}
