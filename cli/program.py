"""`dealreg program`: what the rules of a program would have made of past registrations."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import UTC, date, datetime, time
from pathlib import Path

import click

from cli.frame import Frame, Noun, pass_frame
from cli.values import DAY


@click.group(cls=Noun)
def program() -> None:
    """Program rules."""


@program.command()
@click.option("--since", required=True, type=DAY, help="First day of receipt to look at.")
@click.option(
    "--config",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A configuration folder with the rules to try; left out: the present ones.",
)
@pass_frame
def replay(frame: Frame, since: date, folder: Path | None) -> None:  # fmt: skip
    """Check past registrations again under changed rules or another matcher, and tell what differs.

    Change a copy of the configuration folder, look at what it does, and put it in its place
    afterwards. Asks no CRM and decides nothing: accounts as the directory has them now, open
    opportunities and other registrations as they stood at the check.
    """
    from cli.progress import Progress
    from config.connections import load_connections
    from config.programs import load_programs
    from sync import replaying

    settings = frame.settings
    names = load_connections(settings.config_dir, settings.variables).names
    programs = load_programs(folder or settings.config_dir, names)
    differing = []
    with frame.database() as database:
        with database.read() as session:
            ids = replaying.received_since(session, datetime.combine(since, time(), UTC))
        told = Progress("registrations")
        for done, registration_id in enumerate(ids, 1):
            with database.read() as session:
                found = replaying.replay(session, registration_id, programs)
            differing += [found] if found is not None else []
            told.at(done, len(ids))
    reasons = Counter(reason for one in differing for reason in one.reasons)
    outcomes = Counter(f"{d.before} → {d.after}" for d in differing if d.before != d.after)
    if frame.out.as_json:
        frame.out.json(
            {
                "since": since, "replayed": len(ids), "outcomes": outcomes, "reasons": reasons,
                "differing": [asdict(one) for one in differing],
            }
        )  # fmt: skip
        return
    frame.out.show(
        [asdict(one) for one in differing],
        {
            "number": "Number", "customer": "Customer", "before": "Came out as",
            "after": "Would come out as", "reasons": "Because",
        },
    )  # fmt: skip
    frame.out.show(
        [{"count": count, "what": what} for what, count in (outcomes + reasons).most_common()],
        {"count": "", "what": "By reason"},
    )
    frame.out.say(f"{len(differing)} of {len(ids)} registrations since {since} would differ.")
