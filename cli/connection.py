"""`dealreg connection`: the CRM orgs this deployment is connected to."""

from __future__ import annotations

from dataclasses import asdict

import click

from cli.frame import Exit, Frame, Noun, pass_frame


@click.group(cls=Noun)
def connection() -> None:
    """Connections to CRM orgs, as connections.yaml names them."""


@connection.command("list")
@pass_frame
def list_(frame: Frame) -> None:
    """List every connection, how it is doing, and why it cannot be used where it cannot."""
    from config.connections import load_connections
    from sync.status import status

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
    from sync.connecting import check as prove

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
    """Make the fields in the CRM that the mapping and the account lists name and it lacks.

    Makes nothing else and changes nothing that is there. Where a CRM does not let fields be made
    from outside, it says where they are made.
    """
    from sync import provisioning

    with frame.runtime() as runtime:
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


@connection.command("accept-deletes")
@click.argument("name")
@pass_frame
def accept_deletes(frame: Frame, name: str) -> None:
    """Say that the records which vanished at once really were deleted; holds for an hour.

    Until then none of their links is orphaned, because a lost permission looks the same.
    """
    from registration_core.contracts import ConnectionName
    from sync import emptiness

    with frame.runtime() as runtime:
        emptiness.accept_deletes(runtime, ConnectionName(name), frame.actor)
    frame.out.done(f"Deletions in {name} are believed for the next hour.", {"connection": name})


def _result(ok: bool, *, warning: bool) -> str:  # noqa: FBT001 - the step's own word
    return "warning" if warning else "ok" if ok else "failed"
