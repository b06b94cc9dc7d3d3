"""A mapping as a page that a sales team can read, in Markdown or in HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from mapping.schema import (
    USER,
    ConnectionMapping,
    Direction,
    Emptied,
    Missing,
    ObjectMapping,
    Row,
    Write,
)
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
from registration_core.contracts import Value

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


_FOUND_BY = {
    "account": "The customer's account, found the way a check finds it.",
    "contact": "The customer's contact, found by e-mail address.",
    "line_item": "What is sold.",
    "partner": "The partner's own record, found by our key, else by code or name.",
    USER: "An active user of the CRM, found by e-mail address; none is ever made.",
}
_MISSING = {
    Missing.CREATE: "Where there is none, it is made.",
    Missing.WAIT: "Where there is none, the deal waits for it.",
    Missing.LEAVE: "Where there is none, the deal goes without it.",
}
#: Around what is to be shown as code, until the page's form is known.
_CODE, _PLAIN = "\x02", "\x03"


@dataclass(frozen=True)
class _Block:
    """A heading with what stands below it: sentences, and a table or none."""

    level: int
    heading: str
    sentences: tuple[str, ...]
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def page(mapping: ConnectionMapping) -> str:
    """Return the page in Markdown; a row of each table is a row of the mapping."""
    return "\n".join(line for block in _blocks(mapping) for line in _markdown(block))


def html_page(mapping: ConnectionMapping) -> str:
    """Return the same page in HTML: one file, no script, nothing fetched."""
    body = "\n".join(line for block in _blocks(mapping) for line in _html(block))
    title = escape(f"Fields of {mapping.connection}")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n"
        f"</body>\n</html>\n"
    )


def _blocks(mapping: ConnectionMapping) -> Iterator[_Block]:
    version = f"Version {mapping.version} of {_code(mapping.source.name)}."
    yield _Block(1, f"What stands where in {mapping.connection}", (version,))
    for item in mapping.objects.values():
        only = [f"{each.field} is {_any_of(each.values)}" for each in item.when]
        said = (f"Only where {'; '.join(only)}.",) if only else ()
        key = f"Each carries our registration id in {_code(item.key)}."
        yield _Block(
            2, f"{_ROLES[item.role]}: {item.object}", (*said, key),
            ("Ours", "Theirs", "Flows", "How"), tuple(_rows(item)),
        )  # fmt: skip
        if item.user is not None:
            yield _Block(
                3, "Beside it, the user", (f"{_FOUND_BY[USER]} {_MISSING[item.user.missing]}",),
                ("Ours", "Theirs", "Flows", "How"), tuple(_rows(item.user.made)),
            )  # fmt: skip
        for each in item.companions.values():
            sentence = f"{_FOUND_BY[each.name]} {_MISSING[each.missing]} Never changed."
            yield _Block(
                3, f"Beside it, the {each.name.replace('_', ' ')}: {each.made.object}",
                (sentence,), ("Ours", "Theirs", "Flows", "How"), tuple(_rows(each.made)),
            )  # fmt: skip
    accounts, opportunities = mapping.accounts, mapping.opportunities
    yield _Block(
        2, f"Accounts: {accounts.object}", ("Read for checks, never changed.",),
        ("Ours", "Theirs"), tuple((ours, _code(n)) for ours, n in accounts.fields.items()),
    )  # fmt: skip
    where = "; ".join(f"{_code(c.field)} is {_any_of(c.values)}" for c in opportunities.open)
    yield _Block(
        2, f"Open opportunities: {opportunities.object}",
        (f"Read for checks, and as candidates to link to. One is open where {where}.",),
        ("Ours", "Theirs"), tuple((ours, _code(n)) for ours, n in opportunities.fields.items()),
    )  # fmt: skip
    if opportunities.stamp is not None:
        once = "Written once, where it is empty, on an opportunity of others with a protected customer."
        yield _Block(
            3, "Stamp", (once,),
            ("Ours", "Theirs", "Flows", "How"), tuple(_rows(opportunities.stamp)),
        )  # fmt: skip


def _rows(item: ObjectMapping) -> Iterator[tuple[str, ...]]:
    for row in item.rows:
        if row.theirs == (item.key,):
            continue
        computed = _code(row.expression.source) if row.expression else ""
        theirs = " and ".join(_code(name) for name in row.theirs)
        label = computed or row.ours.label or row.ours.name
        yield label, theirs, _way(row), _how(row.transform)
    for name, value in item.on_create.items():
        yield "", _code(name), "once, at create", f"always {value}"


def _markdown(block: _Block) -> Iterator[str]:
    yield f"{'#' * block.level} {_cell(block.heading)}"
    for sentence in block.sentences:
        yield ""
        yield _cell(sentence)
    if block.rows:
        yield ""
        yield f"| {' | '.join(block.columns)} |"
        yield f"|{'---|' * len(block.columns)}"
        for row in block.rows:
            yield f"| {' | '.join(_cell(text) for text in row)} |".replace("|  |", "| |")
    yield ""


def _html(block: _Block) -> Iterator[str]:
    yield f"<h{block.level}>{_marked(block.heading)}</h{block.level}>"
    yield from (f"<p>{_marked(sentence)}</p>" for sentence in block.sentences)
    if block.rows:
        heads = "".join(f'<th scope="col">{_marked(column)}</th>' for column in block.columns)
        yield f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>"
        for row in block.rows:
            yield f"<tr>{''.join(f'<td>{_marked(text)}</td>' for text in row)}</tr>"
        yield "</tbody>\n</table>"


def _any_of(values: Sequence[Value]) -> str:
    return " or ".join(str(value) for value in values)


def _code(text: str) -> str:
    return f"{_CODE}{text}{_PLAIN}"


def _marked(text: str) -> str:
    return escape(text).replace(_CODE, "<code>").replace(_PLAIN, "</code>")


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


def _cell(text: str) -> str:
    bare = text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
    return bare.replace(_CODE, "`").replace(_PLAIN, "`")


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;"
    "color:#1c2733;background:#fff}h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.5rem}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;"
    "padding:.4rem .8rem .4rem 0;border-bottom:1px solid #d8dee4}th{font-weight:600}"
    "td{overflow-wrap:break-word}td:nth-child(3){min-width:10rem}"
    "code{font:.9em ui-monospace,monospace;background:#f2f4f7;"
    "padding:.1em .3em;border-radius:3px}@media(prefers-color-scheme:dark){body{color:#e6e9ec;"
    "background:#14191f}th,td{border-color:#333c46}code{background:#222a33}}"
)
