"""`dealreg match`: a person's word on whether two records are one customer."""

from __future__ import annotations

import click

from cli.frame import Frame, Noun, pass_frame
from cli.values import text

_NUMBER = click.argument("number", metavar="NUMBER")
_OTHER = click.argument("other", metavar="OTHER")
_REASON = click.option("--reason", required=True, help="Why; kept with every later check.")


@click.group(cls=Noun)
def match() -> None:
    """Matches that a person confirmed or denied. Every later check goes by it."""


@match.command("list")
@click.argument("number", metavar="[NUMBER]", default="")
@pass_frame
def list_(frame: Frame, number: str) -> None:
    """List what was said about matches, of one registration's customer or of all."""
    from registration_core.store import match_decisions, repository

    with frame.database() as database, database.read() as session:
        about = repository.registration(session, number).customer_id if number else None
        rows = match_decisions.said(session, about)
    frame.out.table(
        rows,
        {
            "customer": "Customer", "said": "Is", "other": "Other", "reason": "Because",
            "decided_by": "By", "decided_at": "At",
        },
        empty="Nobody has said anything about a match. See what waits: dealreg approval list",
    )  # fmt: skip


@match.command()
@_NUMBER
@_OTHER
@_REASON
@pass_frame
def confirm(frame: Frame, number: str, other: str, reason: str) -> None:
    """Say that OTHER is the same customer: a registration's number, or CONNECTION:RECORD.

    Two customers become one. Claims that overlap by that are contested, and nobody loses theirs
    by itself.
    """
    from registration_core import matches

    with frame.database() as database, database.begin(frame.actor) as unit:
        after = matches.confirm(unit, number, other, text(reason, 4000))
    frame.out.done(
        f"{other} is the customer of {after.number}. It is checked again.",
        {"number": after.number, "other": other, "same": True, "version": after.version},
    )


@match.command()
@_NUMBER
@_OTHER
@_REASON
@pass_frame
def deny(frame: Frame, number: str, other: str, reason: str) -> None:
    """Say that OTHER is another customer: a registration's number, or CONNECTION:RECORD."""
    from registration_core import matches

    with frame.database() as database, database.begin(frame.actor) as unit:
        after = matches.deny(unit, number, other, text(reason, 4000))
    frame.out.done(
        f"{other} is not the customer of {after.number}. It is checked again.",
        {"number": after.number, "other": other, "same": False, "version": after.version},
    )
