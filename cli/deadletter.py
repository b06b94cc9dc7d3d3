"""`dealreg deadletter`: what will not work however often it is tried."""

from __future__ import annotations

from dataclasses import asdict

import click

from cli.frame import Frame, Noun, pass_frame
from cli.output import Id
from cli.values import text

_ID = click.argument("letter_id", metavar="ID")


@click.group(cls=Noun)
def deadletter() -> None:
    """Dead letters: kept with payload and reason until a person deals with them."""


@deadletter.command("list")
@click.option("--all", "everything", is_flag=True, help="Retried and discarded ones too.")
@pass_frame
def list_(frame: Frame, *, everything: bool) -> None:
    """List dead letters, oldest first."""
    from cli.showing import numbers
    from sync.outcomes import dead_letters

    with frame.database() as database, database.read() as session:
        found = dead_letters.dead_letters(session, everything=everything)
        known = numbers(session, [letter.registration_id for letter in found])
    rows = [
        asdict(letter) | {"number": known.get(letter.registration_id), "id": Id(letter.id)}
        for letter in found
    ]
    frame.out.table(
        rows,
        {
            "id": "Id", "number": "Number", "kind": "Kind", "connection": "Connection",
            "state": "State", "code": "Code", "reason": "Reason", "created_at": "Since",
        },
        empty="There are no dead letters. Settled ones: dealreg deadletter list --all",
    )  # fmt: skip
    if any(letter.state == "open" for letter in found):
        frame.out.say("Look closer: dealreg deadletter show ID")


@deadletter.command()
@_ID
@pass_frame
def show(frame: Frame, letter_id: str) -> None:
    """Show what was tried, why it did not work, and what to type next."""
    from cli.showing import numbers
    from sync.outcomes import dead_letters

    with frame.database() as database, database.read() as session:
        found = dead_letters.dead_letter(session, letter_id)
        number = numbers(session, [found.registration_id]).get(found.registration_id)
    answer = asdict(found) | {"number": number}
    if frame.out.as_json:
        frame.out.json(answer)
        return
    hidden = ("id", "registration_id", "payload")
    facts = {name.replace("_", " "): v for name, v in answer.items() if name not in hidden}
    frame.out.facts(facts, title=f"Dead letter {found.id}")
    frame.out.facts(found.payload, title="What was tried")


@deadletter.command()
@_ID
@pass_frame
def retry(frame: Frame, letter_id: str) -> None:
    """Try again, with what both sides hold by then."""
    from sync.outcomes import dead_letters

    with frame.runtime() as runtime:
        after = dead_letters.retry(runtime, letter_id, frame.actor)
    frame.out.done("It is due again. See what becomes of it: dealreg status", asdict(after))


@deadletter.command()
@_ID
@click.option("--reason", required=True, help="Why; kept in the audit trail.")
@pass_frame
def discard(frame: Frame, letter_id: str, reason: str) -> None:
    """Put a dead letter aside for good; it stays listed with --all."""
    from sync.outcomes import dead_letters

    with frame.runtime() as runtime:
        after = dead_letters.discard(runtime, letter_id, frame.actor, text(reason))
    frame.out.done("It is discarded.", asdict(after))
