"""`dealreg dispute`: claims that somebody contests, and how that is decided."""

from __future__ import annotations

import click

from cli.frame import Frame, Noun, chosen_program, pass_frame
from cli.values import text

_COLUMNS = {
    "number": "Number", "customer": "Customer", "product": "Product", "protection": "Protection",
    "opened_at": "Since", "because": "Because", "decision": "Decision", "decided_by": "By",
}  # fmt: skip


@click.group(cls=Noun)
def dispute() -> None:
    """Disputes of protected registrations. Nobody loses a protection before one is decided."""


@dispute.command("list")
@click.option("--all", "everything", is_flag=True, help="Decided ones too.")
@pass_frame
def list_(frame: Frame, *, everything: bool) -> None:
    """List the open disputes, newest first."""
    from registration_core.store import disputes

    with frame.database() as database, database.read() as session:
        rows = disputes.listed(session, everything=everything)
    frame.out.table(rows, _COLUMNS, empty="Nothing is disputed.")


@dispute.command()
@click.argument("number", metavar="NUMBER")
@pass_frame
def show(frame: Frame, number: str) -> None:
    """Show every dispute of a registration, and the last check with its evidence."""
    from cli import check_showing
    from registration_core.store import disputes, repository

    with frame.database() as database, database.read() as session:
        found = repository.registration(session, number)
        rows = disputes.listed(session, number=found.number, everything=True)
        check = repository.last_check(session, found.id)
    if frame.out.as_json:
        frame.out.json({"disputes": rows, "check": check_showing.check_answer(check)})
        return
    frame.out.table(
        rows,
        _COLUMNS | {"reason": "Reason", "decided_at": "At"},
        empty=f"Nothing about {found.number} was ever disputed.",
    )
    if check is not None:
        check_showing.show_check(frame.out, check)


@dispute.command()
@click.argument("number", metavar="NUMBER")
@click.argument("verdict", type=click.Choice(["keep", "cancel"]))
@click.option("--reason", required=True, help="Why; kept with the decision.")
@pass_frame
def decide(frame: Frame, number: str, verdict: str, reason: str) -> None:
    """Decide a dispute: keep the registration as it is, or cancel it and free its claim.

    Of two contested claims the one to lose is cancelled first; the other can be kept then.
    """
    from registration_core import disputing
    from registration_core.store import repository

    programs = frame.programs()
    with frame.database() as database, database.begin(frame.actor) as unit:
        before = repository.registration(unit.session, number)
        rules = chosen_program(programs, before.program)
        said = disputing.Verdict(verdict)
        after = disputing.decide(unit, number, said, text(reason, 4000), rules)
    frame.out.done(
        f"{after.number} is {after.state.value}, its protection {after.protection_state.value}.",
        {
            "number": after.number, "verdict": verdict, "state": after.state,
            "protection": after.protection_state, "version": after.version,
        },
    )  # fmt: skip
