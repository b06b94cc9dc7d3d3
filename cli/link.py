"""`dealreg link`: which CRM record is which registration, and which one may be."""

from __future__ import annotations

from dataclasses import asdict

import click

from cli.frame import Frame, Noun, pass_frame
from cli.output import Id


@click.group(cls=Noun)
def link() -> None:
    """Links to CRM records. An existing opportunity is proposed to you and never doubled."""


@link.command("list")
@click.option("--all", "everything", is_flag=True, help="Decided proposals too.")
@pass_frame
def list_(frame: Frame, *, everything: bool) -> None:
    """List what waits to be linked, and what is linked."""
    from cli.showing import numbers
    from sync import linking

    with frame.database() as database, database.read() as session:
        proposals = linking.proposals(session, everything=everything)
        links = linking.links(session)
        ids = [*(p.registration_id for p in proposals), *(found.registration_id for found in links)]
        known = numbers(session, ids)
    proposed = [asdict(p) | {"number": known[p.registration_id], "id": Id(p.id)} for p in proposals]
    linked = [asdict(found) | {"number": known[found.registration_id]} for found in links]
    if frame.out.as_json:
        frame.out.json({"proposals": proposed, "links": linked})
        return
    where = {"connection": "Connection", "object": "Object", "record_id": "Record"}
    frame.out.table(
        proposed,
        {"id": "Id", "number": "Number", **where, "state": "State", "evidence": "Evidence"},
        empty="Nothing waits to be linked.",
        title="Proposals",
    )
    if any(p.state == "proposed" for p in proposals):
        frame.out.say("Decide: dealreg link accept ID, or: dealreg link reject ID")
    frame.out.table(
        linked,
        {"number": "Number", **where, "role": "Role", "state": "State", "reason": "Reason"},
        empty="Nothing is linked yet: an approved registration is, once it was pushed. "
        "See: dealreg approval list",
        title="Links",
    )


@link.command()
@click.argument("proposal_id", metavar="ID")
@pass_frame
def accept(frame: Frame, proposal_id: str) -> None:
    """Say that the record is this deal: its values stand, ours are stamped beside them."""
    from sync import linking

    with frame.runtime() as runtime:
        made = linking.accept(runtime, proposal_id, frame.actor)
    frame.out.done(
        f"{made.record_id} in {made.connection} is linked; its amount, stage and owner stay.",
        asdict(made),
    )


@link.command()
@click.argument("proposal_id", metavar="ID")
@pass_frame
def reject(frame: Frame, proposal_id: str) -> None:
    """Say that the record is another deal; ours is created when no proposal is left."""
    from sync import linking

    with frame.runtime() as runtime:
        linking.reject(runtime, proposal_id, frame.actor)
    frame.out.done(
        "The record stays as it is and is not linked.", {"id": proposal_id, "state": "rejected"}
    )
