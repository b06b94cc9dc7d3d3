"""Draft a mapping file from what a CRM says of its objects; what cannot be decided is a question.

Fields are matched by name, label and type. A question is a comment that begins with `# ?`; the
line below it, commented out, is what to correct and uncomment. Nothing is guessed: two fields that
fit equally well are both named and neither is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from mapping.drafting_companions import Block, companions
from mapping.drafting_parts import (
    ID_LENGTH,
    QUESTION,
    Draft,
    bare,
    best,
    commented,
    forms,
    keys,
    requires,
    transform_between,
)
from mapping.drafting_stages import stages
from mapping.drafting_words import (
    ACCOUNT_WORDS,
    CLEARED,
    CLOSED_WORDS,
    OPPORTUNITY_FIELDS,
    PULLED,
    PUSHED,
    WORDS,
)
from mapping.schema import KEY_FIELD
from registration_core.contracts import FieldSchema, FieldType, ObjectSchema


@dataclass(frozen=True)
class Objects:
    """The CRM objects that a draft is made for; `mirror` may be missing."""

    home: ObjectSchema
    mirror: ObjectSchema | None
    accounts: ObjectSchema
    #: What may stand beside a deal, by name, and which of them holds line items.
    beside: Mapping[str, ObjectSchema] = field(default_factory=dict)
    line_items: str = ""
    #: What opportunities of others are, where `home` is something else, as leads are.
    opportunities: ObjectSchema | None = None


def draft(
    connection: str,
    objects: Objects,
    ours: ObjectSchema,
    groups: Mapping[str, Sequence[str]],
    products: Sequence[str] = (),
) -> str:
    """Return the text of a mapping file for these objects; it may hold questions.

    `products` are the product lines of the programs.
    """
    lines = [
        f"# How registrations, accounts and opportunities stand in {connection}; drafted from its",
        f"# schema. Answer every line that begins with `{QUESTION}`, then type:",
        f"# dealreg mapping check {connection}",
        "",
        f"connection: {connection}",
        "",
        "objects:",
    ]
    beside = companions(
        objects.home, objects.accounts, objects.beside, objects.line_items, products, ours
    )
    lines += _object(Draft(objects.home, "home"), ours, groups, beside)
    if objects.mirror is not None:
        lines += _object(Draft(objects.mirror, "mirror"), ours, groups, ())
    lines += ["accounts:", f"  object: {objects.accounts.name}", "  fields:"]
    for name, words in ACCOUNT_WORDS.items():
        lines += _read(objects.accounts, name, words)
    lines += ["", *_opportunities(objects.opportunities or objects.home)]
    return "\n".join(lines) + "\n"


def questions(text: str) -> list[tuple[int, str]]:
    """Return the questions that a file still holds, each with its line."""
    return [
        (number, line.strip().removeprefix(QUESTION).strip())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip().startswith(QUESTION)
    ]


def _object(
    made: Draft,
    ours: ObjectSchema,
    groups: Mapping[str, Sequence[str]],
    beside: Sequence[Block],
) -> Iterator[str]:
    schema = made.schema
    yield f"  {made.role}:"
    yield f"    object: {schema.name}"
    yield from _key(made)
    body: dict[str, list[str]] = {}
    for group, names in groups.items():
        rows = [
            line for name in names if name != KEY_FIELD for line in _row(made, ours.fields[name])
        ]
        body[group] = rows
    made.used |= {block.refers for block in beside}
    for block in beside:
        for group, rows in block.referring().items():
            body[group] += rows
    yield from _constants(made, body.setdefault("identity", []))
    yield from _headed("    ", "companions", [line for each in beside for line in each.shown()])
    yield "    groups:"
    for group, rows in body.items():
        yield from _headed("      ", group, rows)
    yield ""


def _headed(indent: str, word: str, lines: Sequence[str]) -> Iterator[str]:
    """Lines below a word, which is a comment where all of them are; nothing above nothing."""
    if lines:
        real = any(not line.lstrip().startswith("#") for line in lines)
        yield f"{indent}{'' if real else '# '}{word}:"
        yield from lines


def _key(made: Draft) -> Iterator[str]:
    chosen, fitting = keys(made.schema)
    if chosen:
        made.used.add(chosen)
        yield f"    key: {chosen}"
        return
    names = ", ".join(fitting) or "none yet"
    yield f"    {QUESTION} Which unique text field of {ID_LENGTH} characters carries our id? {names}"
    yield "    # key: THE_FIELD"


def _row(made: Draft, ours: FieldSchema) -> Iterator[str]:
    if made.role == "mirror" and ours.name in PULLED:
        return  # of no interest where another CRM holds the deal
    fitting = _fitting(made, ours)
    indent = "        "
    if len(fitting) != 1:
        if fitting or ours.name in _EXPECTED:
            yield from _asked(made, ours, fitting)
        return
    theirs = fitting[0]
    if ours.name == "sales_stage" and theirs.options and not _holds(theirs, ours):
        yield from stages(made, ours, theirs)
        return
    made.used.add(theirs.name)
    yield f"{indent}- {{{_words(made, ours, theirs, transform_between(ours, theirs) or '')}}}"


def _words(made: Draft, ours: FieldSchema, theirs: FieldSchema, transform: str) -> str:
    words = [f"ours: {ours.name}", f"theirs: {theirs.name}"]
    direction = _direction(made, ours, theirs)
    if direction != "both":
        words.append(f"direction: {direction}")
    if ours.name == "description":
        words.append("write: on_create")
    if transform:
        words.append(f"transform: {transform}")
    if ours.name in CLEARED and direction != "push":
        words.append("emptied: clear")
    return ", ".join(words)


def _direction(made: Draft, ours: FieldSchema, theirs: FieldSchema) -> str:
    if ours.name in PULLED or theirs.calculated or not theirs.updateable:
        return "pull"
    if ours.name in PUSHED or (made.role == "mirror" and ours.name == "account"):
        return "push"
    return "both" if ours.name in WORDS else "push"


def _fitting(made: Draft, ours: FieldSchema) -> list[FieldSchema]:
    words = WORDS.get(ours.name, (ours.label or ours.name, ours.name))
    free = (f for f in made.schema.fields.values() if f.name not in made.used)
    return best(free, words, lambda f: transform_between(ours, f) is not None)


def _asked(made: Draft, ours: FieldSchema, fitting: Sequence[FieldSchema]) -> Iterator[str]:
    indent = "        "
    if fitting:
        names = " or ".join(f.name for f in fitting)
        yield f"{indent}{QUESTION} {ours.name} ({ours.label}): {names}?"
    else:
        named = {form: f.name for f in made.schema.fields.values() for form in forms(f)}
        near = [named[n] for n in get_close_matches(bare(ours.label), named, 3, 0.6)]
        hint = f"; nearest: {', '.join(dict.fromkeys(near))}" if near else ""
        yield f"{indent}{QUESTION} {ours.name} ({ours.label}): no field looks like it{hint}"
    yield f"{indent}# - {{ours: {ours.name}, theirs: THE_FIELD}}"


def _constants(made: Draft, identity: list[str]) -> Iterator[str]:
    """What the CRM requires and no row fills: a text gets our number, the rest is asked."""
    asked = []
    for f in made.schema.fields.values():
        if not f.required or not f.createable or f.name in made.used:
            continue
        if f.type is FieldType.TEXT:
            identity.append(
                f"        - {{ours: registration_number, theirs: {f.name}, direction: push, write: on_create}}"
            )
            continue
        asked.append(f.name)
        yield f"    {QUESTION} {requires(made.schema, f)}"
    if asked:
        yield from commented("    ", ["on_create:", *(f"  {name}: THE_VALUE" for name in asked)])


def _read(schema: ObjectSchema, name: str, words: Sequence[str]) -> Iterator[str]:
    for word in words:
        found = [f.name for f in schema.fields.values() if bare(word) in forms(f)]
        if len(found) == 1:
            yield f"    {name}: {found[0]}"
            return
        if found:
            yield f"    {QUESTION} {name}: {' or '.join(found)}?"
            yield f"    # {name}: THE_FIELD"
            return
    if name in ("name", "country"):
        yield f"    {QUESTION} Which field of {schema.name} is {name}? It must be mapped."
        yield f"    # {name}: THE_FIELD"


def _opportunities(schema: ObjectSchema) -> Iterator[str]:
    made = Draft(schema, "home")
    yield "opportunities:"
    yield f"  object: {schema.name}"
    account = next(
        (
            f.name
            for word in WORDS["account"]
            for f in schema.fields.values()
            if bare(word) in forms(f) and f.type is FieldType.REFERENCE
        ),
        None,
    )
    yield (
        f"  account: {account}" if account else f"  {QUESTION} Which field holds the account's id?"
    )
    yield from (line[2:] for line in _key(made))
    closed = {bare(word): value for word, value in CLOSED_WORDS.items()}
    known = [
        (f.name, closed[form]) for f in schema.fields.values() for form in forms(f) & set(closed)
    ]
    if known:
        yield f"  open: {{{known[0][0]}: [{known[0][1]}]}}"
    else:
        yield f"  {QUESTION} What makes a record of {schema.name} open?"
        yield "  # open: {THE_FIELD: [THE_VALUE]}"
    yield "  fields:"
    for name, ours in OPPORTUNITY_FIELDS.items():
        yield from _read(schema, name, WORDS[ours])


def _holds(theirs: FieldSchema, ours: FieldSchema) -> bool:
    return set(ours.options or ()) <= set(theirs.options or ())


#: Fields whose absence in the CRM is worth a question; the others are left out.
_EXPECTED = frozenset(
    {"deal_name", "sales_stage", "amount", "currency", "expected_close_on", "account"}
)
