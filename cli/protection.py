"""`dealreg protection`: which partner is protected, for which customer, until when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.frame import Frame, Noun, pass_frame
from cli.values import text

if TYPE_CHECKING:
    from registration_core.model import Registration

_NUMBER = click.argument("number", metavar="NUMBER")
_REASON = click.option("--reason", required=True, help="Why; kept in the audit trail.")


@click.group(cls=Noun)
def protection() -> None:
    """Standing protections."""


@protection.command("list")
@pass_frame
def list_(frame: Frame) -> None:
    """List protections that stand or are contested, earliest end first."""
    from registration_core.model import ProtectionState
    from registration_core.store import repository
    from registration_core.store.tables import RegistrationRow

    shown = [s.value for s in ProtectionState if s.standing or s is ProtectionState.CONTESTED]
    with frame.database() as database, database.read() as session:
        codes = {known.id: known.code for known in repository.partners(session)}
        found = repository.registrations(session, RegistrationRow.protection_state.in_(shown))
        today = database.clock().date()
    rows = [
        {
            "number": r.number, "partner": codes[r.partner_id], "customer": r.customer.name,
            "product": r.product_line, "state": r.protection_state,
            "protected_from": r.protection_starts_on, "protected_until": r.protection_ends_on,
            "days_left": (r.protection_ends_on - today).days if r.protection_ends_on else None,
            "dispute": r.dispute_state,
        }
        for r in sorted(found, key=lambda r: (str(r.protection_ends_on), r.receipt_seq))
    ]  # fmt: skip
    frame.out.table(
        rows,
        {
            "number": "Number", "partner": "Partner", "customer": "Customer", "product": "Product",
            "state": "State", "protected_from": "From", "protected_until": "Until",
            "days_left": "Days left", "dispute": "Dispute",
        },
        empty="Nobody is protected. See what waits: dealreg approval list",
    )  # fmt: skip


@protection.command()
@_NUMBER
@click.option("--days", required=True, type=click.IntRange(1, 366))
@_REASON
@click.option(
    "--version", type=click.IntRange(1), help="Refuse if it was changed since this version."
)
@pass_frame
def extend(frame: Frame, number: str, days: int, reason: str, version: int | None) -> None:
    """Extend a standing protection."""
    from registration_core import protecting

    with frame.database() as database, database.begin(frame.actor) as unit:
        after = protecting.extend(unit, number, days, text(reason), version)
    frame.out.done(
        f"{after.number} is protected until {after.protection_ends_on}.",
        {"number": after.number, "protected_until": after.protection_ends_on},
    )


@protection.command()
@_NUMBER
@_REASON
@pass_frame
def suspend(frame: Frame, number: str, reason: str) -> None:
    """Put a protection on hold: it still keeps others out, and does not end meanwhile."""
    from registration_core import protecting

    with frame.database() as database, database.begin(frame.actor) as unit:
        after = protecting.suspend(unit, number, text(reason))
    frame.out.done(f"The protection of {after.number} is on hold.", _answer(after))


@protection.command()
@_NUMBER
@_REASON
@pass_frame
def resume(frame: Frame, number: str, reason: str) -> None:
    """Let a protection that was on hold run again, to the end it had."""
    from registration_core import protecting

    with frame.database() as database, database.begin(frame.actor) as unit:
        after = protecting.resume(unit, number, text(reason))
    frame.out.done(f"{after.number} is protected until {after.protection_ends_on}.", _answer(after))


@protection.command()
@_NUMBER
@_REASON
@pass_frame
def reinstate(frame: Frame, number: str, reason: str) -> None:
    """Approve an expired registration again, on a fresh check and if nobody else is protected."""
    from sync import checking

    with frame.runtime() as runtime:
        after = checking.reinstate(runtime, number, frame.actor, text(reason))
    frame.out.done(f"{after.number} is protected until {after.protection_ends_on}.", _answer(after))


def _answer(after: Registration) -> dict[str, object]:
    return {
        "number": after.number, "state": after.state, "protection": after.protection_state,
        "protected_until": after.protection_ends_on,
    }  # fmt: skip


@protection.command()
@pass_frame
def expire(frame: Frame) -> None:
    """Expire what has ended and flag what ends soon; the clock does the same every hour."""
    from registration_core import protecting

    with frame.database() as database:
        changed = protecting.expire_all(database, frame.actor)
    frame.out.table(
        [
            {"number": r.number, "state": r.state, "protection": r.protection_state,
             "protected_until": r.protection_ends_on}
            for r in changed
        ],
        {"number": "Number", "state": "State", "protection": "Protection", "protected_until": "Until"},
        empty="No protection has ended or ends soon. See all: dealreg protection list",
    )  # fmt: skip
