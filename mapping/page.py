"""A mapping as a page in Markdown that a sales team can read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mapping.schema import ConnectionMapping, Direction, Emptied, ObjectMapping, Row, Write
from mapping.transforms import (
    ANY,
    Boolean,
    Copy,
    Date,
    Default,
    Enum,
    Moment,
    Multi,
    Number,
    Text,
    Transform,
)

_ROLES = {
    "home": "Deals that have their home here",
    "mirror": "Deals that have their home in another CRM",
}
_WAYS = {
    Direction.PUSH: "from here to the CRM",
    Direction.PULL: "from the CRM to here",
    Direction.BOTH: "both ways",
}
_EMPTIED = {
    Emptied.CONFLICT: "",
    Emptied.CLEAR: "; emptied there is emptied here",
    Emptied.KEEP: "; emptied there, ours stays",
}
_HOW = {
    "reference": "the same record",
    "join": "put together from its parts",
    "split": "one part of their text",
    "list": "a list in one text",
    "json_list": "a list in one text (JSON)",
    "country": "country code and name stand for each other",
    "state": "state code and name stand for each other",
    "phone": "as an international number",
    "url": "as a web address",
    "domain": "the domain alone",
}


def page(mapping: ConnectionMapping) -> str:
    """Return the page; a row of each table is a row of the mapping."""
    return "\n".join(_lines(mapping)) + "\n"


def _lines(mapping: ConnectionMapping) -> Iterator[str]:
    yield f"# What stands where in {mapping.connection}"
    yield ""
    yield f"Version {mapping.version} of `{mapping.source.name}`."
    for item in mapping.objects.values():
        yield ""
        yield f"## {_ROLES[item.role]}: {_cell(item.object)}"
        yield ""
        if item.when:
            fitting = "; ".join(
                f"{each.field} is {' or '.join(_cell(str(v)) for v in each.values)}"
                for each in item.when
            )
            yield f"Only where {fitting}."
            yield ""
        yield f"Each carries our registration id in `{item.key}`."
        yield ""
        yield from _table(item)
    yield ""
    yield f"## Accounts: {_cell(mapping.accounts.object)}"
    yield ""
    yield "Read for checks, never written."
    yield ""
    yield from _names(mapping.accounts.fields)
    yield ""
    yield f"## Open opportunities: {_cell(mapping.opportunities.object)}"
    yield ""
    conditions = "; ".join(
        f"`{c.field}` is {' or '.join(_cell(str(v)) for v in c.values)}"
        for c in mapping.opportunities.open
    )
    yield f"Read for checks, and as candidates to link to. One is open where {conditions}."
    yield ""
    yield from _names(mapping.opportunities.fields)


def _table(item: ObjectMapping) -> Iterator[str]:
    yield "| Ours | Theirs | Flows | How |"
    yield "|---|---|---|---|"
    for row in item.rows:
        if row.theirs == (item.key,):
            continue
        theirs = " and ".join(f"`{name}`" for name in row.theirs)
        label = f"`{row.expression.source}`" if row.expression else row.ours.label or row.ours.name
        yield f"| {_cell(label)} | {theirs} | {_way(row)} | {_cell(_how(row.transform))} |"
    for name, value in item.on_create.items():
        yield f"| | `{name}` | once, at create | always {_cell(str(value))} |"


def _way(row: Row) -> str:
    if row.creates and not row.pushes:
        return "once, at create" + (", then from the CRM to here" if row.pulls else "")
    late = "" if row.creates or not row.pushes else ", not at create"
    careful = ", only where it is empty there" if row.write is Write.IF_EMPTY else ""
    return _WAYS[row.direction] + late + careful + _EMPTIED[row.emptied]


def _how(transform: Transform) -> str:
    match transform:
        case Enum(options=options):
            return "; ".join(
                f"{option} = {', '.join(' + '.join(_value(v) for v in a) for a in alternatives)}"
                for option, alternatives in options
            )
        case Multi(options=options):
            return "; ".join(f"{option} = {', '.join(values)}" for option, values in options)
        case Boolean(true=true, false=false):
            return f"yes = {', '.join(true)}; no = {', '.join(false)}"
        case Default(value=value, inner=inner):
            return f"{value} where we have nothing; {_how(inner)}"
        case Text(max=longest, case=case):
            return f"at most {longest} characters" + (f", {case} case" if case else "")
        case Number(scale=scale):
            return f"rounded to {scale} decimal places"
        case Date(as_datetime=True, zone=zone):
            return f"the day, as midnight {zone}"
        case Moment(as_date=True, zone=zone):
            return f"the day in {zone}"
        case Moment(to=to):
            return f"to the {to}"
        case Copy() | Date():
            return "the same"
        case _:
            return _HOW[transform.name]


def _value(value: str) -> str:
    return "any" if value == ANY else value


def _names(fields: Mapping[str, str]) -> Iterator[str]:
    yield "| Ours | Theirs |"
    yield "|---|---|"
    for ours, theirs in fields.items():
        yield f"| {_cell(ours)} | `{theirs}` |"


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
