"""`dealreg mapping`: which field goes where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.frame import Exit, Frame, Noun, pass_frame
from cli.mapping_versions import apply, rollback, versions
from registration_core.contracts import ConnectionName, ObjectSchema
from registration_core.errors import ConfigurationError, DealregError, InvalidInput, NotFound

if TYPE_CHECKING:
    from connectors.port import CrmConnector
    from mapping.check import SchemaReport
    from mapping.schema import ConnectionMapping
    from sync.process.runtime import Runtime

#: What each kind of CRM calls a deal, an account and a line item.
_OBJECTS = {
    "salesforce": ("Opportunity", "Account", "OpportunityLineItem"),
    "dynamics365": ("opportunity", "account", "opportunityproduct"),
    "hubspot": ("deals", "companies", "line_items"),
}

#: How many registrations a preview shows where nobody said how many.
_SAMPLE = 20

_COLUMNS = {
    "connection": "Connection", "kind": "", "where": "Where", "what": "What",
    "remedy": "What to do",
}  # fmt: skip


@click.group(cls=Noun)
def mapping() -> None:
    """Field mappings."""


for _command in (apply, rollback, versions):
    mapping.add_command(_command)


@mapping.command()
@click.argument("name", metavar="CONNECTION")
@click.option("--home", metavar="OBJECT", help="Their object of a deal; by itself the CRM's own.")
@click.option("--mirror", metavar="OBJECT", help="Their object of a deal that another CRM holds.")
@click.option("--accounts", metavar="OBJECT", help="Their object of an account.")
@click.option("--output", metavar="FILE", help="Write there instead of its usual place; - prints.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@pass_frame
def init(
    frame: Frame,
    name: str,
    *,
    home: str | None,
    mirror: str | None,
    accounts: str | None,
    output: str | None,
    force: bool,
) -> None:
    """Draft the mapping of a connection from the live schema of its CRM."""
    from config.connections import load_connections
    from mapping.drafting import Objects, draft, questions
    from mapping.drafting_companions import referred
    from sync.wiring import catalogue, unmapped

    settings = frame.settings
    path = Path(output or settings.config_dir / "mappings" / f"{name}.yaml")
    if output != "-" and path.exists() and not force:
        raise InvalidInput(
            f"{path} is there already.", hint="Give --output FILE, or --force to write over it."
        )
    connection = load_connections(settings.config_dir, settings.variables).get(name)
    of_kind = _OBJECTS[connection.kind.value]
    programs = frame.programs()
    with unmapped(settings, name) as crm:
        deal = crm.describe(home or of_kind[0])
        seen = _visible(crm, (*referred(deal), of_kind[2], of_kind[0]))
        objects = Objects(
            deal,
            crm.describe(mirror) if mirror else None,
            crm.describe(accounts or of_kind[1]),
            seen,
            of_kind[2],
            seen.get(of_kind[0]),
        )
    products = dict.fromkeys(line for each in programs.values() for line in each.product_lines)
    text = draft(name, objects, *catalogue(programs), tuple(products))
    if output == "-":
        click.echo(text, nl=False)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    asked = len(questions(text))
    several = "a question" if asked == 1 else f"{asked} questions"
    said = f"with {several}: answer each line that begins with `# ?`" if asked else "whole"
    frame.out.done(
        f"{path} was drafted {said}. Then type: dealreg mapping check {name}",
        {"file": str(path), "questions": asked},
    )


def _visible(crm: CrmConnector, names: Iterable[str]) -> dict[str, ObjectSchema]:
    """Describe objects; those that the CRM does not show us are left out."""
    from connectors.errors import CallRejected, NotPermitted

    found = {}
    for name in names:
        with suppress(CallRejected, NotPermitted):
            found[name] = crm.describe(name)
    return found


@mapping.command()
@click.argument("name", metavar="[NAME]", default="")
@click.option(
    "--offline", is_flag=True, help="Look at the files alone; asks no CRM, wants no secret."
)
@click.option("--strict", is_flag=True, help="Exit with 1 for a warning too.")
@pass_frame
def check(frame: Frame, name: str, *, offline: bool, strict: bool) -> None:
    """Hold the mapping of a connection, or of all, against the live schema of its CRM."""
    covered: list[dict[str, object]] = []
    reports = _read_files(frame, name) if offline else _ask_crms(frame, name, covered)
    rows: list[dict[str, object]] = [
        _row(each, kind, p.where, p.what, p.remedy)
        for each, report in reports.items()
        for kind, found in (("problem", report.problems), ("warning", report.warnings))
        for p in found
    ]
    rows += covered
    fits = "is well formed. Hold it against the CRM: dealreg mapping check"
    if not offline:
        fits = "fits. See what it would do: dealreg mapping preview CONNECTION"
    frame.out.table(rows, _COLUMNS, empty=f"Every field of {', '.join(reports)} {fits}")
    wrong = ("problem", "warning") if strict else ("problem",)
    if any(row["kind"] in wrong for row in rows):
        frame.exit(Exit.FAILED)


def _row(connection: str, kind: str, where: str, what: str, remedy: str) -> dict[str, object]:
    file, _, line = where.partition(":")
    return {
        "connection": connection, "kind": kind, "where": where, "file": file,
        "line": int(line or 0), "what": what, "remedy": remedy,
    }  # fmt: skip


@mapping.command()
@click.argument("connection", metavar="CONNECTION")
@click.option("--registration", "number", metavar="NUMBER", default="", help="Only this one.")
@click.option(
    "--sample", metavar="K", type=click.IntRange(1, 10_000), help="K of them, always the same."
)
@click.option("--all", "everything", is_flag=True, help="Every registration mirrored there.")
@pass_frame
def preview(
    frame: Frame, connection: str, *, number: str, sample: int | None, everything: bool
) -> None:
    """Show what would be created, pushed, pulled, in conflict or refused, without doing it."""
    from cli.mapping_preview import show
    from sync.previews.previewing import preview_many

    if sum((bool(number), sample is not None, everything)) > 1:
        raise click.UsageError("Give one of --registration, --sample and --all.")
    if not everything and not number and sample is None:
        sample = _SAMPLE
    busy = frame.out.busy(f"Planning by the mapping file of {connection}")
    with frame.runtime(draft=True) as runtime, busy:
        found = preview_many(runtime, connection, number=number, sample=sample)
    show(frame.out, found)


@mapping.command()
@pass_frame
def schema(frame: Frame) -> None:
    """Print the JSON Schema of mapping files, so that an editor completes and checks them."""
    import json

    from mapping.json_schema import json_schema
    from sync.wiring import catalogue

    click.echo(json.dumps(json_schema(*catalogue(frame.programs())), indent=2, ensure_ascii=False))


@mapping.command()
@click.argument("name", metavar="CONNECTION")
@click.option("--html", is_flag=True, help="In HTML instead of Markdown.")
@pass_frame
def docs(frame: Frame, name: str, *, html: bool) -> None:
    """Print the mapping of a connection as a page that a sales team can read."""
    from mapping.page import html_page, page

    mapped = _mappings(frame, name)[ConnectionName(name)]
    click.echo(html_page(mapped) if html else page(mapped), nl=False)


@mapping.command()
@click.argument("number", metavar="REGISTRATION")
@click.argument("field", metavar="FIELD")
@pass_frame
def explain(frame: Frame, number: str, field: str) -> None:
    """Tell where a value came from: who set it, what each CRM was told, who won and why."""
    from sync.reports.explaining import explain as explained

    mappings, programs = _mappings(frame), frame.programs()
    with frame.database() as database, database.read() as session:
        found = explained(session, mappings, programs, number, field)
    if frame.out.as_json:
        frame.out.json(found)
        return
    frame.out.facts(
        {"value": found.value, "phase": found.phase}, title=f"{found.field} of {found.number}"
    )
    frame.out.show(
        [asdict(each) for each in found.standings],
        {
            "connection": "Connection", "role": "Role", "theirs": "Their field", "agreed": "Agreed",
            "direction": "Flows", "transform": "Transform", "row": "Row", "authority": "Authority",
        },
        title="Where it stands",
    )  # fmt: skip
    frame.out.table(
        [asdict(each) for each in found.steps],
        {"at": "When", "who": "Who", "where": "Where", "what": "What", "value": "Value"},
        empty="Nothing is recorded of it. See all: dealreg audit show NUMBER",
        title="What happened",
    )


def _mappings(frame: Frame, name: str = "") -> Mapping[ConnectionName, ConnectionMapping]:
    """Read mapping files alone; with a name only that one, which then must be usable."""
    from config.connections import load_connections
    from sync.wiring import load_mappings

    folder = frame.settings.config_dir
    known = load_connections(folder, frame.settings.variables).names
    if name and name not in known:
        hint = f"One of: {', '.join(sorted(known))}."
        raise NotFound(f"There is no connection {name}.", hint=hint)
    names = [ConnectionName(name)] if name else sorted(known)
    mappings, problems = load_mappings(folder, names, frame.programs())
    if name and problems:
        raise ConfigurationError(f"The mapping of {name} cannot be used.", problems[names[0]])
    return mappings


def _ask_crms(
    frame: Frame, name: str, covered: list[dict[str, object]]
) -> dict[ConnectionName, SchemaReport]:
    """Check against the CRMs; `covered` gets a row for each table held against the store."""
    from sync.mappings.connecting import check_against_all
    from sync.mappings.coverage import coverage

    with frame.runtime(draft=True) as runtime:
        names = [ConnectionName(name)] if name else sorted({*runtime.connectors, *runtime.problems})
        with runtime.database.read() as session:
            covered += [
                _row(each, "coverage", one.where, str(one), one.remedy)
                for each in names
                if each in runtime.mappings
                for one in coverage(session, runtime.mappings[each])
            ]
        return {
            each: _unusable(frame, runtime, each)
            if each in runtime.problems
            else check_against_all(runtime, each)
            for each in names
        }


def _read_files(frame: Frame, name: str) -> dict[ConnectionName, SchemaReport]:
    from config.connections import load_connections
    from mapping.check import SchemaReport, unanswered
    from sync.mappings.connecting import check_against_programs
    from sync.wiring import read_mapping

    folder = frame.settings.config_dir
    known = load_connections(folder, frame.settings.variables).names
    if name and name not in known:
        raise NotFound(
            f"There is no connection {name}.", hint=f"One of: {', '.join(sorted(known))}."
        )
    programs = frame.programs()
    reports = {}
    for each in [ConnectionName(name)] if name else sorted(known):
        mapping, found = read_mapping(folder, each, programs)
        asked = () if mapping is None else tuple(unanswered(mapping))
        fits = mapping is not None and not found
        warnings = check_against_programs(mapping, programs) if mapping and fits else ()
        reports[each] = SchemaReport((*found, *asked), warnings)
    return reports


def _unusable(frame: Frame, runtime: Runtime, name: ConnectionName) -> SchemaReport:
    """Tell what is wrong with a file that cannot be used, and with the rest of it in the CRM."""
    from mapping.check import SchemaReport
    from mapping.check import check as check_mapping
    from sync.mappings.connecting import describe_all, known_values
    from sync.wiring import read_mapping, unmapped

    told, live = runtime.problems[name], SchemaReport((), ())
    mapping, found = read_mapping(frame.settings.config_dir, name, runtime.programs)
    if mapping is not None:
        # A connection that cannot be described, or asked, has told why; the file's mistakes stay.
        with suppress(DealregError), unmapped(frame.settings, name) as crm:
            schemas, values = describe_all(crm, mapping), known_values(runtime.programs)
            live = check_mapping(mapping, schemas, values=values)
    return SchemaReport(tuple(dict.fromkeys((*told, *found, *live.problems))), ())
