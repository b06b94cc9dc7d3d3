"""`dealreg stop`: the kill switch."""

from __future__ import annotations

import click

from cli.frame import Command, Frame, pass_frame


@click.command(cls=Command)
@click.option("--connection", default="", metavar="NAME", help="Only this one; all without.")
@click.option("--writes", is_flag=True, help="Only writing: changes are still taken in.")
@click.option("--reason", default="", help="Why; shown to whoever looks.")
@pass_frame
def stop(frame: Frame, connection: str, writes: bool, reason: str) -> None:  # noqa: FBT001
    """Stop the traffic with one CRM or all, at once, but for the call under way.

    Registrations and webhooks are still taken in and kept. Needs the store alone.
    """
    from config.connections import load_connections
    from registration_core.errors import NotFound
    from sync.traffic import switch

    names = load_connections(frame.settings.config_dir, frame.settings.variables).names
    if connection and connection not in names:
        raise NotFound(
            f"There is no connection {connection}.", hint=f"One of: {', '.join(sorted(names))}."
        )
    scope = connection or switch.EVERYWHERE
    with frame.database() as database:
        made = switch.stop(database, frame.actor, scope, writes_only=writes, reason=reason)
    what = "Writing to" if writes else "All traffic with"
    about = f" --connection {connection}" if connection else ""
    frame.out.done(
        f"{what} {connection or 'every CRM'} is stopped. To go on, type: dealreg resume{about}",
        {"scope": made.scope, "writes_only": made.writes_only, "reason": made.reason,
         "stopped_by": made.stopped_by, "stopped_at": made.stopped_at},
    )  # fmt: skip
