"""`dealreg connection`: the CRM orgs this deployment is connected to."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cli.frame import Exit, Frame, Noun, pass_frame

if TYPE_CHECKING:
    from sync.gates.ladder import Report, Rung


@click.group(cls=Noun)
def connection() -> None:
    """Connections to CRM orgs, as connections.yaml names them."""


@connection.command("list")
@pass_frame
def list_(frame: Frame) -> None:
    """List every connection, how it is doing, and why it cannot be used where it cannot."""
    from config.connections import load_connections
    from sync.reports.status import status

    settings = frame.settings
    usable = load_connections(settings.config_dir, settings.variables).usable
    with frame.runtime() as runtime:
        found = status(runtime).connections
    rows = []
    for one in found:
        described = usable.get(one.name)
        rows.append(
            {
                "name": one.name,
                "kind": described.kind if described else "",
                "environment": described.environment if described else "",
                "url": described.base_url if described else "",
                "mode": one.mode,
                "state": one.state,
                "org_id": one.org_id,
                "accounts_as_of": one.accounts_as_of,
                "paused_until": one.paused_until,
                "why": [one.why] if one.why else [],
            }
        )
    frame.out.table(
        rows,
        {
            "name": "Name", "kind": "Kind", "environment": "Environment", "url": "Address",
            "mode": "Mode", "state": "State", "org_id": "Org", "accounts_as_of": "Accounts as of",
            "why": "Why",
        },
        empty="There are no connections. Describe one in connections.yaml.",
    )  # fmt: skip
    frame.out.say("Prove one: dealreg connection check NAME")


@connection.command()
@click.argument("name", metavar="[NAME]", default="")
@pass_frame
def check(frame: Frame, name: str) -> None:
    """Prove credentials, permissions, key fields, mapping and API budget; writes nothing."""
    from registration_core.contracts import ConnectionName
    from sync.mappings.connecting import check as prove

    rows: list[dict[str, object]] = []
    with frame.runtime() as runtime:
        names = [ConnectionName(name)] if name else sorted({*runtime.connectors, *runtime.problems})
        for each in names:
            problems = runtime.problems.get(each, ())
            rows += [
                {
                    "connection": each, "step": "configuration", "result": "failed",
                    "detail": f"{p.where}: {p.what}", "remedy": p.remedy,
                }
                for p in problems
            ]  # fmt: skip
            if not problems:
                rows += [
                    {"connection": each, "result": _result(item.ok, warning=item.warning)}
                    | {key: asdict(item)[key] for key in ("step", "detail", "remedy")}
                    for item in prove(runtime, each)
                ]
    frame.out.table(
        rows,
        {
            "connection": "Connection", "step": "Step", "result": "Result", "detail": "Detail",
            "remedy": "What to do",
        },
        empty="There are no connections. Describe one in connections.yaml.",
    )  # fmt: skip
    if any(row["result"] == "failed" for row in rows):
        frame.exit(Exit.FAILED)


@connection.command()
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Only show what would be made.")
@pass_frame
def provision(frame: Frame, name: str, *, dry_run: bool) -> None:
    """Make the fields in the CRM that the mapping file and the account lists name and it lacks.

    Makes nothing else and changes nothing that is there. Where a CRM does not let fields be made
    from outside, it says where they are made.
    """
    from sync.mappings import provisioning

    with frame.runtime(draft=True) as runtime:  # no mapping is applied before its fields are there
        act = provisioning.missing if dry_run else provisioning.provision
        found = act(runtime, name)
    frame.out.table(
        [
            {
                "object": each.object, "field": each.field.name, "type": each.field.type.value,
                "unique": each.field.unique, "label": each.field.label,
                "values": list(each.field.options or ()),
            }
            for each in found
        ],
        {
            "object": "Object", "field": "Field", "type": "Type", "unique": "Unique",
            "label": "Label", "values": "Values",
        },
        empty=f"{name} lacks no field.",
    )  # fmt: skip
    if found and dry_run:
        frame.out.say(f"Nothing was made. To make them: dealreg connection provision {name}")
    elif found:
        frame.out.say(f"They were made. Prove the rest: dealreg connection check {name}")


_MODES = ("off", "observe", "link", "canary", "push")
_NAME = click.argument("name")
_OBJECT = click.option("--object", "object_name", default="", metavar="OBJECT",
                       help="Only this object, in the CRM's own name.")  # fmt: skip


@connection.command()
@_NAME
@pass_frame
def report(frame: Frame, name: str) -> None:
    """Show what would have been written, and what people did with it since; reads the CRM."""
    from sync.gates import grading, ladder

    with frame.runtime() as runtime:
        stands = ladder.rung(runtime, runtime.connector(name).name)
        found = grading.report(runtime, name)
    if frame.out.as_json:
        frame.out.json(asdict(stands) | {"report": asdict(found)})
    else:
        _show_report(frame, stands, found)


@connection.command()
@_NAME
@click.option("--to", type=click.Choice(_MODES[1:]), help="As far as this; the next rung without.")
@_OBJECT
@click.option("--registration", "numbers", multiple=True, metavar="NUMBER",
              help="Mode canary: may be written; repeatable.")  # fmt: skip
@click.option("--records", type=click.IntRange(1), default=None, metavar="N",
              help="Mode canary: so many may be written besides, as they come.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_frame
def promote(
    frame: Frame,
    name: str,
    *,
    to: str | None,
    object_name: str,
    numbers: tuple[str, ...],
    records: int | None,
    yes: bool,
) -> None:
    """Let a connection go one rung further: off, observe, link, canary, push.

    Shows the report that it is decided on, and keeps it with who decided. Without --yes a script
    gets the report and exit code 3. With --object one that was held back goes on: observe, link,
    push.
    """
    from registration_core.contracts import Mode
    from sync.gates import grading, ladder

    with frame.runtime() as runtime:
        found = grading.report(runtime, name)
        stands = ladder.rung(runtime, runtime.connector(name).name)
        if not frame.out.as_json:
            _show_report(frame, stands, found)
        if not yes:
            if frame.out.as_json:
                frame.out.json(asdict(stands) | {"report": asdict(found)})
                frame.exit(Exit.NEEDS_A_HUMAN)
            click.confirm(f"Let {object_name or name} go further?", abort=True)
        after = ladder.promote(
            runtime, name, frame.actor, found=found, to=Mode(to) if to else None,
            canary=numbers, canary_most=records or 0, object_name=object_name,
        )  # fmt: skip
    told = _stands(after, object_name)
    frame.out.done(told, asdict(after) | {"report": asdict(found)})


@connection.command()
@_NAME
@click.option("--to", type=click.Choice(_MODES[:-1]), help="As far back as this; one rung without.")
@_OBJECT
@pass_frame
def demote(frame: Frame, name: str, *, to: str | None, object_name: str) -> None:
    """Take a connection back, at once; what is due then is only recorded.

    With --object that one alone is held back: none of it is made or changed, and what stands beside
    a deal is found where it is there.
    """
    from registration_core.contracts import Mode
    from sync.gates import ladder

    with frame.runtime() as runtime:
        after = ladder.demote(
            runtime, name, frame.actor, to=Mode(to) if to else None, object_name=object_name
        )
    frame.out.done(_stands(after, object_name), asdict(after))


def _stands(rung: Rung, object_name: str) -> str:
    """Say where a connection or one object of it stands."""
    if not object_name:
        return f"{rung.connection} is at {rung.mode} now."
    if object_name in rung.held_back:
        return (
            f"{object_name} of {rung.connection} is held back at {rung.held_back[object_name]} now."
        )
    return f"{object_name} goes with {rung.connection} again, which is at {rung.mode}."


def _show_report(frame: Frame, stands: Rung, found: Report) -> None:
    counts = {key: value for key, value in asdict(found).items() if key != "objects"}
    frame.out.facts(
        {"stands at": stands.mode, "may go as far as": stands.highest,
         "since": stands.changed_at, "by": stands.changed_by,
         **{key.replace("_", " "): value for key, value in counts.items()}},
        title=f"{stands.connection}, on the way to writing",
    )  # fmt: skip
    frame.out.show(
        [asdict(each) for each in found.objects],
        {"object": "Object", "mode": "Stands at", "would_create": "Would create",
         "would_update": "Would change", "people_did_the_same": "People did the same",
         "people_did_otherwise": "Did otherwise", "nobody_touched": "Nobody touched"},
    )  # fmt: skip


@connection.command("accept-deletes")
@click.argument("name")
@pass_frame
def accept_deletes(frame: Frame, name: str) -> None:
    """Say that the records which vanished at once really were deleted; holds for an hour.

    Until then none of their links is orphaned, and no such account is forgotten, because a lost
    permission looks the same. Accounts are then forgotten by: dealreg drift NAME --accounts
    """
    from registration_core.contracts import ConnectionName
    from sync.accounts import emptiness

    with frame.runtime() as runtime:
        emptiness.accept_deletes(runtime, ConnectionName(name), frame.actor)
    frame.out.done(f"Deletions in {name} are believed for the next hour.", {"connection": name})


@connection.command()
@_NAME
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_frame
def rebind(frame: Frame, name: str, *, yes: bool) -> None:
    """Bind a sandbox connection to the org that answers now, after it was refreshed on purpose.

    Names both orgs and asks. Links, accounts, feeds and open work of the old org are forgotten, and
    the connection goes back to mode observe. A script without --yes gets both ids and exit code 3.
    """
    from sync.links import rebinding

    with frame.runtime() as runtime:
        found = rebinding.look(runtime, name)
        if not yes:
            if frame.out.as_json:
                frame.out.json(asdict(found) | {"rebound": False})
                frame.exit(Exit.NEEDS_A_HUMAN)
            frame.out.facts(
                {"bound to": found.pinned, "answers": found.answered, "links that end": found.links,
                 "accounts forgotten": found.accounts}, title=name,
            )  # fmt: skip
            click.confirm(f"Bind {name} to {found.answered}?", abort=True)
        found = rebinding.rebind(runtime, found, frame.actor)
    frame.out.done(
        f"{name} is bound to {found.answered} and at observe; {found.links} links ended. "
        "Restart the processes.",
        asdict(found) | {"rebound": True},
    )
    frame.out.say(f"Then link what is there: dealreg connection promote {name} --to link")


def _result(ok: bool, *, warning: bool) -> str:  # noqa: FBT001 - the step's own word
    return "warning" if warning else "ok" if ok else "failed"
