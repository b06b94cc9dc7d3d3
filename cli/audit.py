"""`dealreg audit`: who did what to a registration, and proof that the trail was not altered."""

from __future__ import annotations

from dataclasses import asdict

import click

from cli.frame import Exit, Frame, Noun, pass_frame


@click.group(cls=Noun)
def audit() -> None:
    """The audit trail: append-only and hash-chained."""


@audit.command()
@click.argument("number", metavar="NUMBER")
@click.option("--as-partner", is_flag=True, help="Only what its own partner may see.")
@pass_frame
def show(frame: Frame, number: str, *, as_partner: bool) -> None:
    """Show what happened to a registration, oldest first."""
    from registration_core.recording import subject_of
    from registration_core.store import audit as trail
    from registration_core.store import repository

    with frame.database() as database, database.read() as session:
        found = repository.registration(session, number)
        events = trail.events(session, subject_of(found))
    shown = {"at": "When", "what": "What"}
    if as_partner:
        rows = [{"at": e["at"], "what": e["partner"]} for e in events if e["partner"]]
    else:
        rows = [
            {
                "seq": e["seq"], "at": e["at"], "actor": e["actor"], "verified": e["verified"],
                "action": e["action"], "what": e["internal"], "partner": e["partner"],
            }
            for e in events
        ]  # fmt: skip
        shown = {
            "seq": "#", "at": "When", "actor": "Who", "verified": "Verified", "action": "Action",
            "what": "What",
        }  # fmt: skip
    empty = f"Nothing that a partner may see has happened to {found.number} yet."
    frame.out.table(rows, shown, empty=empty)


@audit.command()
@pass_frame
def verify(frame: Frame) -> None:
    """Prove that no event was changed, removed or put in between."""
    from registration_core.store import audit as trail

    with frame.database() as database, database.read() as session:
        count, breaks = trail.verify(session)
    if frame.out.as_json:
        frame.out.json({"ok": not breaks, "events": count, "breaks": [asdict(b) for b in breaks]})
    elif breaks:
        frame.out.show(
            [asdict(b) for b in breaks], {"subject": "Subject", "seq": "#", "what": "What"}
        )
        frame.out.say(f"The trail does not verify: {len(breaks)} places of {count} events.")
    else:
        frame.out.say(f"The trail verifies: {count} events.")
    if breaks:
        frame.exit(Exit.FAILED)
