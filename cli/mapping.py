"""`dealreg mapping`: which field goes where."""

from __future__ import annotations

import click

from cli.frame import Exit, Frame, Noun, pass_frame


@click.group(cls=Noun)
def mapping() -> None:
    """Field mappings."""


@mapping.command()
@click.argument("name", metavar="[NAME]", default="")
@pass_frame
def check(frame: Frame, name: str) -> None:
    """Hold the mapping of a connection, or of all, against the live schema of its CRM."""
    from mapping.check import check as hold
    from registration_core.contracts import ConnectionName
    from registration_core.errors import Problem
    from sync.connecting import describe_all

    found: list[tuple[str, str, Problem]] = []
    with frame.runtime() as runtime:
        names = [ConnectionName(name)] if name else sorted({*runtime.connectors, *runtime.problems})
        for each in names:
            found += [(each, "problem", problem) for problem in runtime.problems.get(each, ())]
            if each not in runtime.problems:
                crm, ours = runtime.connector(each), runtime.mappings[each]
                report = hold(ours, describe_all(crm, ours))
                found += [(each, "problem", problem) for problem in report.problems]
                found += [(each, "warning", problem) for problem in report.warnings]
    frame.out.table(
        [
            {"connection": each, "kind": kind, "where": p.where, "what": p.what, "remedy": p.remedy}
            for each, kind, p in found
        ],
        {
            "connection": "Connection", "kind": "", "where": "Where", "what": "What",
            "remedy": "What to do",
        },
        empty=f"Every field of {', '.join(names)} fits. See a write before it happens: "
        "dealreg registration plan NUMBER CONNECTION",
    )  # fmt: skip
    if any(kind == "problem" for _, kind, _ in found):
        frame.exit(Exit.FAILED)
