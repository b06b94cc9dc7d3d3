"""`dealreg link`: which CRM record is which registration, and which one may be."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.frame import Exit, Frame, Noun, pass_frame
from cli.output import Id, short
from cli.progress import Progress

if TYPE_CHECKING:
    from registration_core.errors import DomainRefusal
    from sync.links.linking import LinkProposal

_WHERE = {"connection": "Connection", "object": "Object", "record_id": "Record"}


@click.group(cls=Noun)
def link() -> None:
    """Links to CRM records. An existing opportunity is proposed to you and never doubled."""


@link.command()
@click.argument("connection")
@pass_frame
def propose(frame: Frame, connection: str) -> None:
    """Search all of a CRM for records that approved registrations have there already.

    Reads accounts and open opportunities (deals, leads), and proposes what may be the same deal;
    writes nothing. Interrupted, it goes on where it stopped when it is typed again.
    """
    from sync.links import linking
    from sync.proposals import searching

    with frame.runtime() as runtime:
        told = Progress("records").at
        found = searching.search(runtime, connection, frame.actor, told)
        with runtime.database.read() as session:
            waiting = linking.proposals(session, connection)
    surely = sum(each.surely for each in waiting)
    frame.out.done(
        f"{found.read:,} records read: {surely} sure and {len(waiting) - surely} other proposals "
        f"wait; {found.unlinked:,} registrations had no record.",
        asdict(found) | {"sure": surely, "waiting": len(waiting)},
    )
    if surely:
        frame.out.say(f"Accept the sure ones: dealreg link accept --sure {connection}")
    if len(waiting) > surely:
        frame.out.say(f"Look at the others: dealreg link list --connection {connection} --unsure")


@link.command("list")
@click.option("--connection", default="", metavar="NAME", help="Only of this connection.")
@click.option("--sure/--unsure", "sure", default=None, help="Only proposals that are, or are not.")
@click.option("--all", "everything", is_flag=True, help="Decided proposals too.")
@pass_frame
def list_(frame: Frame, connection: str, *, sure: bool | None, everything: bool) -> None:
    """List what waits to be linked, and what is linked."""
    from cli.showing import numbers
    from sync.links import linking

    with frame.database() as database, database.read() as session:
        proposals = [
            each
            for each in linking.proposals(session, connection, everything=everything)
            if sure in (None, each.surely)
        ]
        links = (
            [each for each in linking.links(session) if connection in ("", each.connection)]
            if sure is None
            else []
        )
        ids = [*(p.registration_id for p in proposals), *(found.registration_id for found in links)]
        known = numbers(session, ids)
    proposed = [_row(each) | {"number": known[each.registration_id]} for each in proposals]
    linked = [asdict(found) | {"number": known[found.registration_id]} for found in links]
    if frame.out.as_json:
        frame.out.json({"proposals": proposed, "links": linked})
        return
    frame.out.table(
        proposed,
        {
            "id": "Id", "number": "Number", **_WHERE, "sure": "Sure", "state": "State",
            "evidence": "Evidence",
        },
        empty="Nothing waits to be linked.",
        title="Proposals",
    )  # fmt: skip
    if any(p.state == "proposed" for p in proposals):
        frame.out.say("Decide: dealreg link accept ID, or: dealreg link reject ID")
    if sure is None:
        frame.out.table(
            linked,
            {"number": "Number", **_WHERE, "role": "Role", "state": "State", "reason": "Reason"},
            empty="Nothing is linked yet: an approved registration is, once it was pushed. "
            "See: dealreg approval list",
            title="Links",
        )


def _row(proposal: LinkProposal) -> dict[str, object]:
    return asdict(proposal) | {"id": Id(proposal.id), "sure": proposal.surely}


@link.command()
@click.argument("proposal_id", metavar="ID")
@pass_frame
def show(frame: Frame, proposal_id: str) -> None:
    """Show a proposal: the registration and what the record said, side by side."""
    from registration_core.store import repository
    from sync.links import linking

    with frame.database() as database, database.read() as session:
        found = linking.proposal(session, proposal_id)
        ours = repository.registration(session, found.registration_id)
        account = ours.accounts.get(found.connection, "")
    pairs = {
        "name": ours.deal_name, "amount": ours.amount, "currency": ours.currency,
        "close": ours.expected_close_on, "stage": ours.sales_stage,
        "account": f"{ours.customer.name} {account}".strip(), "owner": "", "created": "",
        "agrees": "",
    }  # fmt: skip
    if frame.out.as_json:
        frame.out.json(_row(found) | {"number": ours.number, "ours": pairs})
        return
    rows = [
        {"what": name, "ours": mine, "theirs": found.evidence.get(name, "")}
        for name, mine in pairs.items()
        if mine or found.evidence.get(name)
    ]
    sure = "sure" if found.surely else "to be looked at"
    frame.out.show(
        rows,
        {"what": "", "ours": ours.number, "theirs": found.record_id},
        title=f"{found.connection}, {found.object}: {found.state}, {sure}",
    )
    if found.state == "proposed":
        key = short(found.id)
        frame.out.say(f"Decide: dealreg link accept {key}, or: dealreg link reject {key}")


@link.command()
@click.argument("proposal_id", metavar="[ID]", default="")
@click.option("--sure", "connection", default="", metavar="CONNECTION",
              help="All proposals of a connection that are sure and the only ones.")  # fmt: skip
@click.option("--yes", is_flag=True, help="With --sure: do not ask.")
@pass_frame
def accept(frame: Frame, proposal_id: str, connection: str, *, yes: bool) -> None:
    """Say that the record is this deal: its values stand, ours are stamped beside them.

    What differed is decided by the mapping's first_link; the values that lose are kept as settled
    conflicts: dealreg conflict list --all
    """
    from sync.links import linking

    if bool(proposal_id) is bool(connection):
        raise click.UsageError("Give an ID, or --sure CONNECTION.")
    if connection:
        _accept_sure(frame, connection, yes=yes)
        return
    with frame.runtime() as runtime:
        made = linking.accept(runtime, proposal_id, frame.actor)
    frame.out.done(
        f"{made.record_id} in {made.connection} is linked; its amount, stage and owner stay.",
        asdict(made),
    )


def _accept_sure(frame: Frame, connection: str, *, yes: bool) -> None:
    from sync.links import linking

    with frame.runtime() as runtime:
        with runtime.database.read() as session:
            sure = [each.id for each in linking.proposals(session, connection) if each.surely]
        if sure and not yes:
            if frame.out.as_json:
                frame.out.json({"sure": len(sure), "accepted": 0, "refused": []})
                frame.exit(Exit.NEEDS_A_HUMAN)
            click.confirm(f"Link {len(sure)} records of {connection}?", abort=True)
        told = Progress("proposals").at
        ended = linking.accept_all(runtime, sure, frame.actor, told, surely=True)
    refused = {each: why for each, why in ended.items() if why is not None}
    frame.out.done(
        f"{len(ended) - len(refused)} records of {connection} are linked.",
        {"sure": len(sure), "accepted": len(ended) - len(refused), "refused": _refused(refused)},
    )
    if refused:
        columns = {"id": "Id", "reason": "Reason", "fix": "Fix"}
        if not frame.out.as_json:
            frame.out.show(_refused(refused), columns, title="Not linked:")
        frame.exit(Exit.FAILED)


def _refused(refused: dict[str, DomainRefusal]) -> list[dict[str, object]]:
    return [
        {"id": Id(each), "reason": why.message, "fix": why.hint} for each, why in refused.items()
    ]


@link.command()
@click.argument("proposal_id", metavar="ID")
@pass_frame
def reject(frame: Frame, proposal_id: str) -> None:
    """Say that the record is another deal; ours is created when no proposal is left."""
    from sync.links import linking

    with frame.runtime() as runtime:
        linking.reject(runtime, proposal_id, frame.actor)
    frame.out.done(
        "The record stays as it is and is not linked.", {"id": proposal_id, "state": "rejected"}
    )


@link.command()
@click.argument("connection")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@pass_frame
def export(frame: Frame, connection: str, file: Path) -> None:
    """Write the waiting proposals to a CSV file, to decide on in a spreadsheet."""
    from cli.link_review import text_of
    from registration_core.store import repository
    from sync.links import linking

    with frame.database() as database, database.read() as session:
        waiting = linking.proposals(session, connection)
        ids = {each.registration_id for each in waiting}
        known = {each: repository.registration(session, each) for each in sorted(ids)}
    file.write_text(text_of(waiting, known), encoding="utf-8")
    frame.out.done(
        f"{len(waiting)} proposals are in {file}. Write accept or reject into the column "
        f"decision, then type: dealreg link import {file}",
        {"file": str(file), "proposals": len(waiting)},
    )


@link.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@pass_frame
def import_(frame: Frame, file: Path) -> None:
    """Carry out the decisions of an exported file; lines without one stay proposed."""
    from cli.csv_file import read_file
    from cli.link_review import REQUIRED, SHOWN, Decision, decide

    lines = read_file(file, REQUIRED, SHOWN)
    with frame.runtime() as runtime:
        done, wrong = decide(runtime, lines, frame.actor, Progress("proposals").at)
    accepted, rejected = done[Decision.ACCEPT], done[Decision.REJECT]
    frame.out.done(
        f"{accepted} accepted, {rejected} rejected, {len(wrong)} not carried out.",
        {
            "accepted": accepted, "rejected": rejected, "wrong": [asdict(each) for each in wrong],
        },
    )  # fmt: skip
    if wrong:
        if not frame.out.as_json:
            columns = {"line": "Line", "reason": "Reason", "fix": "Fix"}
            frame.out.show([asdict(each) for each in wrong], columns)
        frame.exit(Exit.FAILED)


@link.command()
@click.argument("number", metavar="NUMBER")
@click.argument("connection")
@click.option("--dry-run", is_flag=True, help="Only show what would be written back.")
@pass_frame
def remove(frame: Frame, number: str, connection: str, *, dry_run: bool) -> None:
    """Take a link back, and what we added to the record with it.

    Fields that we wrote get back what stood there before, unless somebody has changed them since.
    What was taken from the record into the registration stays; what differed then is in the audit
    trail. The record is not proposed again: the next push looks for another one, or makes ours.
    """
    from sync.links.unlinking import unlink

    with frame.runtime() as runtime:
        gone = unlink(runtime, number, connection, frame.actor, dry_run=dry_run)
    if frame.out.as_json:
        frame.out.json(asdict(gone) | {"dry_run": dry_run})
        return
    rows = [{"field": n, "then": v} for n, v in gone.restored.items()]
    frame.out.show(rows, {"field": "Field", "then": "Gets back"})
    kept = [{"field": n, "then": v} for n, v in gone.kept.items()]
    frame.out.show(kept, {"field": "Field", "then": "Stays, changed since"})
    replaced = [{"field": n, "then": v} for n, v in gone.replaced.items()]
    frame.out.show(replaced, {"field": "Field", "then": "Replaced unread: put it back there"})
    would = "would not be" if dry_run else "is not"
    frame.out.say(f"{gone.record_id} in {gone.connection} {would} linked to {number} any more.")
