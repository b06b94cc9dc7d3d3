"""`dealreg status`: what is going on, and what waits for whom."""

from __future__ import annotations

from dataclasses import asdict

import click

from cli.frame import Command, Exit, Frame, pass_frame


@click.command(cls=Command)
@pass_frame
def status(frame: Frame) -> None:
    """Tell what is going on; exits with 3 where something waits for a person."""
    from registration_core.model import RegistrationState
    from sync.reports.status import status as read

    with frame.runtime() as runtime:
        now = read(runtime)
    to_decide = now.registrations.get(RegistrationState.UNDER_REVIEW.value, 0)
    waiting = [
        {"count": count, "what": what, "command": command}
        for count, what, command in (
            (to_decide, "registrations under review", "dealreg approval list"),
            (now.open_disputes, "open disputes", "dealreg dispute list"),
            (now.open_conflicts, "open sync conflicts", "dealreg conflict list"),
            (now.link_proposals, "proposed links", "dealreg link list"),
            (now.held, "held items", "dealreg held list"),
            (now.dead_letters, "dead letters", "dealreg deadletter list"),
        )
        if count
    ]
    if frame.out.as_json:
        frame.out.json(asdict(now) | {"under_review": to_decide, "needs_a_person": bool(waiting)})
    else:
        rows = [asdict(one) | {"state": one.state, "why": one.why} for one in now.connections]
        frame.out.show(
            rows,
            {
                "name": "Connection", "mode": "Mode", "state": "State", "outbox_due": "To push",
                "outbox_waiting": "Waiting", "outbox_dead": "Dead", "inbox_due": "To pull",
                "orphaned_links": "Orphaned", "last_run": "Last run", "last_run_at": "At",
                "why": "Why",
            },
        )  # fmt: skip
        counts = ", ".join(f"{count} {state}" for state, count in sorted(now.registrations.items()))
        frame.out.say(f"Registrations: {counts or 'none yet; dealreg registration submit --help'}")
        frame.out.say(f"Checks due: {now.checks_due}")
        frame.out.table(
            waiting,
            {"count": "", "what": "Waits for a person", "command": "Type"},
            empty="Nothing waits for a person.",
        )
    if waiting:
        frame.exit(Exit.NEEDS_A_HUMAN)
