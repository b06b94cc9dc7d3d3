"""`dealreg registration`: submit, import, look at, check and change deal registrations."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import customer
from cli.frame import Frame, Noun, chosen_program, pass_frame
from cli.progress import Progress
from cli.values import CAPITALS, DAY, MONEY, reason_code, text
from registration_core.errors import InvalidInput

if TYPE_CHECKING:
    from registration_core.contracts import Value
    from registration_core.program import Program

#: Most registrations that a list shows at once.
LIST_MAX = 500

_PROGRAM = click.option(
    "--program", default="", metavar="NAME", help="Needed where there are several."
)
_NUMBER = click.argument("number", metavar="NUMBER")
_VERSION = click.option(
    "--version", type=click.IntRange(1), help="Refuse if it was changed since this version."
)


@click.group(cls=Noun)
def registration() -> None:
    """Deal registrations."""


@registration.command()
@click.option("--partner", required=True, metavar="CODE", help="Who registers it.")
@click.option("--customer", required=True, metavar="NAME", help="The end customer.")
@click.option("--country", required=True, type=CAPITALS, help="Of the customer, for example DE.")
@customer.options
@click.option("--deal", required=True, metavar="NAME", help="What the deal is called.")
@click.option("--product", required=True, metavar="LINE", help="Product line of the program.")
@click.option("--amount", required=True, type=MONEY, help="For example 48500.")
@click.option("--currency", required=True, type=CAPITALS, help="For example EUR.")
@click.option("--close", required=True, type=DAY, help="Expected close.")
@click.option("--description", default="", help="For the approver.")
@click.option("--contact-name", default="", help="Whom to speak to at the customer.")
@click.option("--contact-email", default="", help="Their e-mail address.")
@click.option("--set", "own", multiple=True, metavar="FIELD=VALUE", help="A field of the program.")
@click.option("--token", default="", help="Submitting again with the same token adds nothing.")
@_PROGRAM
@pass_frame
def submit(
    frame: Frame, /, program: str, token: str, own: tuple[str, ...], **given: object
) -> None:
    """Register a deal."""
    from cli.submissions import submission
    from registration_core import use_cases

    rules = chosen_program(frame.programs(), program)
    cells = customer.cells(given) | _own_fields(own, rules)
    wanted = submission(cells, rules, text(token) or str(uuid.uuid4()))
    with frame.database() as database, database.begin(frame.actor) as unit:
        made, is_new = use_cases.submit(unit, wanted, rules)
    said = "was received and waits for its check" if is_new else f"was there already ({made.state})"
    frame.out.done(
        f"{made.number} {said}. Follow it: dealreg registration show {made.number}",
        {"number": made.number, "new": is_new, "state": made.state, "version": made.version},
    )


@registration.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would happen; keep nothing.")
@_PROGRAM
@pass_frame
def import_(frame: Frame, file: Path, program: str, *, dry_run: bool) -> None:
    """Register every good row of a CSV file, and tell what is wrong with the others.

    The first line names the columns: partner, customer, country, deal, product, amount, currency,
    close; and if you like tax_id, duns, website, email_domains, aliases, parent, phone, city,
    postcode, region, description, contact_name, contact_email, token and the program's own fields.
    Importing a file again adds nothing.
    """
    from cli.csv_file import read_file
    from cli.importing import import_lines, tell
    from cli.submissions import OPTIONAL, REQUIRED

    rules = chosen_program(frame.programs(), program)
    lines = read_file(file, REQUIRED, (*OPTIONAL, *rules.custom_fields))
    with frame.database() as database:
        told = Progress("rows").at
        outcomes = import_lines(database, frame.actor, rules, lines, dry_run=dry_run, told=told)
    tell(frame, outcomes, dry_run=dry_run)


@registration.command("cut-over")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Reconcile count and value by partner; keep nothing.")
@_PROGRAM
@pass_frame
def cut_over(frame: Frame, file: Path, program: str, *, dry_run: bool) -> None:
    """Take another system's registrations over, as they stood there.

    Columns as for import, and reference, state, submitted; if you like decided, protected_from,
    protected_until, closed_on, order, CONNECTION_account and CONNECTION_record. Dates, order and
    expiry stay, nobody is told, and nothing is written to a CRM. Protections that stand take two
    operating-system users, land unchecked and are checked at once; where two overlap, both are
    contested. Typing it again adds nothing.
    """
    from cli import cut_over as files
    from sync.proposals import cutting_over

    rules = chosen_program(frame.programs(), program)
    with frame.runtime() as runtime:
        read = files.read(file, rules, {*runtime.connectors, *runtime.problems})
        told = Progress("registrations").at
        if dry_run:
            landed = cutting_over.try_out(runtime, rules, read.rows, frame.actor, told)
        else:
            landed = cutting_over.cut_over(
                runtime, rules, read.rows, frame.actor, told, digest=read.digest
            )
    files.tell(frame, read, landed, dry_run=dry_run)


@registration.command("list")
@click.option("--state", default="", help="Only in this state, for example under_review.")
@click.option("--partner", default="", metavar="CODE", help="Only of this partner.")
@pass_frame
def list_(frame: Frame, state: str, partner: str) -> None:
    """List registrations, newest first."""
    from cli.showing import ROW_COLUMNS, row
    from registration_core.model import RegistrationState
    from registration_core.store import repository
    from registration_core.store.tables import RegistrationRow

    states = [known.value for known in RegistrationState]
    if state and state not in states:
        raise click.BadParameter(f"{state!r} is none of: {', '.join(states)}", param_hint="--state")
    where = [RegistrationRow.state == state] if state else []
    with frame.database() as database, database.read() as session:
        if partner:
            where.append(RegistrationRow.partner_id == repository.partner(session, partner).id)
        codes = {known.id: known.code for known in repository.partners(session)}
        found = repository.registrations(session, *where, limit=LIST_MAX)
    frame.out.table(
        [row(registration, codes[registration.partner_id]) for registration in found],
        ROW_COLUMNS,
        empty="No registration fits. Register a deal: dealreg registration submit --help",
    )
    if len(found) == LIST_MAX:
        frame.out.say(f"Only the newest {LIST_MAX} are shown. Narrow them by --state or --partner.")


@registration.command()
@_NUMBER
@click.option("--as-partner", is_flag=True, help="Show what its own partner may see.")
@pass_frame
def show(frame: Frame, number: str, *, as_partner: bool) -> None:
    """Show a registration, the evidence of its check, and its records in the CRMs."""
    from cli import check_showing, showing
    from registration_core.partner_view import partner_view
    from registration_core.store import repository
    from sync.creates.companions import beside
    from sync.links.linking import links

    with frame.database() as database, database.read() as session:
        found = repository.registration(session, number)
        partner = repository.partner_by_id(session, found.partner_id)
        check = repository.last_check(session, found.id)
        linked = [asdict(link) for link in links(session, found.id)]
        companions = beside(session, found.id)
    if as_partner:
        showing.show_partner_view(frame.out, partner_view(found))
        return
    waits = showing.waits_for(found, check)
    if frame.out.as_json:
        frame.out.json(
            {
                "registration": asdict(found), "partner": partner, "waits_for": waits,
                "check": check_showing.check_answer(check), "links": linked,
                "companions": companions,
            }
        )  # fmt: skip
        return
    showing.show_registration(frame.out, found, partner, waits)
    if check is not None:
        check_showing.show_check(frame.out, check)
    columns = {
        "connection": "Connection", "object": "Object", "record_id": "Record", "state": "Link",
        "reason": "Reason",
    }  # fmt: skip
    frame.out.show([*linked, *companions], columns, title="Records")


@registration.command()
@click.argument("number", metavar="[NUMBER]", default="")
@click.option(
    "--dry-run",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Check the rows of an import file instead; nothing is kept.",
)
@_PROGRAM
@pass_frame
def check(frame: Frame, number: str, file: Path | None, program: str) -> None:  # fmt: skip
    """Check a registration against every CRM now; what follows from it is decided at once.

    With --dry-run FILE: what a check of each row would find, before anybody submits it.
    """
    if bool(number) is bool(file):
        raise click.UsageError("Give a NUMBER, or --dry-run FILE.")
    from cli import checking

    if file is not None:
        checking.try_file(frame, file, chosen_program(frame.programs(), program))
    else:
        checking.check_number(frame, number)


@registration.command()
@_NUMBER
@click.option("--deal", metavar="NAME", help="What the deal is called.")
@click.option("--amount", type=MONEY, help="Give the currency too where it changes.")
@click.option("--currency", type=CAPITALS)
@click.option("--close", type=DAY, help="Expected close.")
@click.option("--stage", help="qualifying, developing, proposing or negotiating.")
@click.option("--description")
@_VERSION
@pass_frame
def update(
    frame: Frame,
    number: str,
    deal: str | None,
    amount: Decimal | None,
    currency: str | None,
    close: date | None,
    stage: str | None,
    description: str | None,
    version: int | None,
) -> None:
    """Change a registration here; the CRMs follow."""
    from registration_core import use_cases
    from registration_core.store import repository

    given: dict[str, Value] = {
        "deal_name": None if deal is None else text(deal),
        "amount": amount,
        "currency": currency,
        "expected_close_on": close,
        "sales_stage": _stage(stage),
        "description": None if description is None else text(description, 4000),
    }
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise click.UsageError("Say what to change, for example --amount 52000.")
    programs = frame.programs()
    with frame.database() as database, database.begin(frame.actor) as unit:
        before = repository.registration(unit.session, number)
        rules = chosen_program(programs, before.program)
        after = use_cases.update(unit, number, changes, rules, version)
    same = after.version == before.version
    said = "says so already" if same else f"was changed (version {after.version})"
    frame.out.done(f"{after.number} {said}.", {"number": after.number, "version": after.version})


@registration.command()
@_NUMBER
@customer.options
@_VERSION
@pass_frame
def describe(frame: Frame, /, number: str, version: int | None, **given: object) -> None:
    """Keep what the partner says besides of the customer, or corrects, before the decision.

    Each option replaces what was said; --alias "" takes all other names back. It is checked again, and
    a check from before counts no more.
    """
    from registration_core import describing
    from registration_core.store import repository

    said = customer.facts(customer.cells(given))
    if not said:
        raise click.UsageError("Say what is known, for example --phone '+49 40 123456'.")
    with frame.database() as database, database.begin(frame.actor) as unit:
        before = repository.registration(unit.session, number)
        after = describing.describe(unit, number, said, version)
    told = "says so already" if after.version == before.version else "waits for its check"
    frame.out.done(f"{after.number} {told}.", {"number": after.number, "version": after.version})


@registration.command()
@_NUMBER
@_VERSION
@pass_frame
def withdraw(frame: Frame, number: str, version: int | None) -> None:
    """Take a registration back; its protection is freed."""
    from registration_core import use_cases

    with frame.database() as database, database.begin(frame.actor) as unit:
        after = use_cases.withdraw(unit, number, version)
    frame.out.done(f"{after.number} is withdrawn.", {"number": after.number, "state": after.state})


@registration.command()
@_NUMBER
@click.option("--text", "said", required=True, help="What the partner answers.")
@_VERSION
@pass_frame
def answer(frame: Frame, number: str, said: str, version: int | None) -> None:
    """Give the partner's answer to a question; it keeps its receipt and is checked again."""
    from registration_core import use_cases

    with frame.database() as database, database.begin(frame.actor) as unit:
        after = use_cases.answer(unit, number, text(said, 4000), version)
    frame.out.done(
        f"{after.number} is {after.state.value} and waits for its check.",
        {"number": after.number, "state": after.state, "version": after.version},
    )


@registration.command()
@_NUMBER
@click.option("--reason", required=True, metavar="CODE", help="See: dealreg approval reasons")
@click.option("--note", default="", help="Internal; the partner never sees it.")
@pass_frame
def cancel(frame: Frame, number: str, reason: str, note: str) -> None:
    """Cancel an approved registration: its protection is freed, the partner gets the code's text."""
    from registration_core import protecting

    with frame.database() as database, database.begin(frame.actor) as unit:
        after = protecting.cancel(unit, number, reason_code(reason), text(note, 4000))
    frame.out.done(
        f"{after.number} is cancelled. The partner is told: {after.partner_message}",
        {"number": after.number, "state": after.state, "reason_code": after.reason_code},
    )


@registration.command()
@_NUMBER
@click.argument("connection", metavar="CONNECTION")
@pass_frame
def plan(frame: Frame, number: str, connection: str) -> None:
    """Tell what would be written to a CRM and taken from it now, without doing it."""
    from cli.showing import plan_answer, show_plan
    from sync.previews.previewing import preview

    with frame.runtime() as runtime:
        planned = preview(runtime, number, connection)
    if frame.out.as_json:
        frame.out.json(plan_answer(planned))
    else:
        show_plan(frame.out, planned)


def _own_fields(given: tuple[str, ...], rules: Program) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in given]
    for name, equals, _ in pairs:
        if not equals or name not in rules.custom_fields:
            known = ", ".join(rules.custom_fields) or "none"
            raise InvalidInput(
                f"{name!r} is not a field of {rules.name}.",
                field=name,
                hint=f"Write --set FIELD=VALUE; its fields: {known}.",
            )
    return {name: value for name, _, value in pairs}


def _stage(given: str | None) -> Value:
    from registration_core.fields import SalesStage

    if given is None:
        return None
    try:
        return SalesStage(given)
    except ValueError as error:
        known = ", ".join(stage.value for stage in SalesStage if not stage.closed)
        raise InvalidInput(f"There is no stage {given!r}.", hint=f"One of: {known}.") from error
