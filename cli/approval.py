"""`dealreg approval`: decisions on registrations, by people."""

from __future__ import annotations

import click

from cli.frame import Exit, Frame, Noun, chosen_program, pass_frame
from cli.values import reason_code, text

_NUMBER = click.argument("number", metavar="NUMBER")
_VERSION = click.option(
    "--version", type=click.IntRange(1), help="Refuse if it was changed since this version."
)


@click.group(cls=Noun)
def approval() -> None:
    """Decisions on registrations. Who submitted one cannot decide on it."""


@approval.command("list")
@pass_frame
def list_(frame: Frame) -> None:
    """List what waits for a decision, for whom, and what was found."""
    from cli.showing import row, waits_for
    from registration_core.model import RegistrationState
    from registration_core.store import repository
    from registration_core.store.tables import RegistrationRow

    states = [RegistrationState.SUBMITTED.value, RegistrationState.UNDER_REVIEW.value]
    with frame.database() as database, database.read() as session:
        codes = {known.id: known.code for known in repository.partners(session)}
        waiting = [
            (found, repository.last_check(session, found.id))
            for found in repository.registrations(session, RegistrationRow.state.in_(states))
        ]
    rows = [
        row(found, codes[found.partner_id])
        | {
            "waits_for": waits_for(found, check),
            "findings": [finding.summary for finding in check.findings] if check else [],
        }
        for found, check in waiting
    ]
    frame.out.table(
        rows,
        {
            "number": "Number", "partner": "Partner", "customer": "Customer", "amount": "Amount",
            "currency": "", "state": "State", "waits_for": "Waits for", "findings": "Findings",
        },
        empty="Nothing waits for a decision. See all: dealreg registration list",
    )  # fmt: skip


@approval.command()
@_NUMBER
@_VERSION
@pass_frame
def approve(frame: Frame, number: str, version: int | None) -> None:
    """Approve on a complete and fresh check: the partner is protected, the CRMs are written."""
    from sync import checking

    with frame.runtime() as runtime:
        after = checking.approve(runtime, number, frame.actor, version)
    frame.out.done(
        f"{after.number} is approved and protected until {after.protection_ends_on}.",
        {
            "number": after.number, "state": after.state, "version": after.version,
            "protected_until": after.protection_ends_on,
        },
    )  # fmt: skip


@approval.command()
@_NUMBER
@click.option("--reason", required=True, metavar="CODE", help="See: dealreg approval reasons")
@click.option("--note", default="", help="Internal; the partner never sees it.")
@_VERSION
@pass_frame
def reject(frame: Frame, number: str, reason: str, note: str, version: int | None) -> None:
    """Reject with a reason code; the partner gets the code's own text."""
    from registration_core import use_cases

    with frame.database() as database, database.begin(frame.actor) as unit:
        after = use_cases.reject(unit, number, reason_code(reason), text(note, 4000), version)
    frame.out.done(
        f"{after.number} is rejected. The partner is told: {after.partner_message}",
        {
            "number": after.number, "state": after.state, "version": after.version,
            "reason_code": after.reason_code, "partner_message": after.partner_message,
        },
    )  # fmt: skip


@approval.command()
@_NUMBER
@click.option("--question", required=True, help="What is wanted; the partner reads it as typed.")
@_VERSION
@pass_frame
def ask(frame: Frame, number: str, question: str, version: int | None) -> None:
    """Ask the partner for more information; their receipt stays."""
    from registration_core import use_cases

    with frame.database() as database, database.begin(frame.actor) as unit:
        after = use_cases.ask(unit, number, text(question, 4000), version)
    frame.out.done(
        f"{after.number} waits for its partner. Their answer: "
        f"dealreg registration answer {after.number} --text …",
        {"number": after.number, "state": after.state, "version": after.version},
    )


@approval.command()
@_NUMBER
@click.option("--reason", required=True, help="Why old evidence is good enough; it is kept.")
@pass_frame
def override(frame: Frame, number: str, reason: str) -> None:
    """Accept stale evidence; it takes two people, that is two operating-system users.

    Nothing but staleness can be accepted: not a connection that was not read, not a missing
    canary, not a list that shrank. A newer check has to be accepted anew.
    """
    from registration_core.overriding import PEOPLE
    from registration_core.overriding import override as accept
    from registration_core.store import repository

    programs = frame.programs()
    with frame.database() as database, database.begin(frame.actor) as unit:
        found = repository.registration(unit.session, number)
        rules = chosen_program(programs, found.program)
        people = accept(unit, number, text(reason, 4000), rules)
    answer = {"number": found.number, "people": people, "needed": PEOPLE}
    if people < PEOPLE:
        frame.out.done(
            "A second person has to say so too, as another user of this machine.", answer
        )
        frame.exit(Exit.NEEDS_A_HUMAN)
    frame.out.done(f"Accepted. Type: dealreg approval approve {found.number}", answer)


@approval.command()
@pass_frame
def reasons(frame: Frame) -> None:
    """List the reason codes and what a partner is told for each."""
    from registration_core.findings import ReasonCode
    from registration_core.partner_view import reason_text

    frame.out.table(
        [{"code": code, "told": reason_text(code)} for code in ReasonCode],
        {"code": "Code", "told": "What the partner is told"},
        empty="",
    )
