"""Draft a mapping file from what a CRM says of its objects; what cannot be decided is a question.

Fields are matched by name, label and type. A question is a comment that begins with `# ?`; the
line below it, commented out, is what to correct and uncomment. Nothing is guessed: two fields that
fit equally well are both named and neither is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from mapping.drafting_parts import QUESTION, Draft, bare, shown
from mapping.drafting_stages import stages
from mapping.drafting_words import (
    ACCOUNT_WORDS,
    CLEARED,
    CLOSED_WORDS,
    LONG,
    OPPORTUNITY_FIELDS,
    PULLED,
    PUSHED,
    WORDS,
)
from mapping.schema import KEY_FIELD
from registration_core.contracts import FieldSchema, FieldType, ObjectSchema

#: Characters of a registration id (a UUID in its usual form).
_ID_LENGTH = 36
#: Longest text that a draft lets flow, in characters, where the field takes more.
_TEXT_MAX, _LONG_TEXT_MAX = 255, 32_000
#: Longest part before `_` in a field's name that is a publisher's, or ours, and not a word.
_PREFIX_MAX = 4
_TEXTUAL = (FieldType.TEXT, FieldType.PICKLIST)


@dataclass(frozen=True)
class Objects:
    """The CRM objects that a draft is made for; `mirror` may be missing."""

    home: ObjectSchema
    mirror: ObjectSchema | None
    accounts: ObjectSchema


def draft(
    connection: str, objects: Objects, ours: ObjectSchema, groups: Mapping[str, Sequence[str]]
) -> str:
    """Return the text of a mapping file for these objects; it may hold questions."""
    lines = [
        f"# How registrations, accounts and opportunities stand in {connection}; drafted from its",
        f"# schema. Answer every line that begins with `{QUESTION}`, then type:",
        f"# dealreg mapping check {connection}",
        "",
        f"connection: {connection}",
        "",
        "objects:",
    ]
    for role, schema in (("home", objects.home), ("mirror", objects.mirror)):
        if schema is not None:
            lines += _object(Draft(schema, role), ours, groups)
    lines += ["accounts:", f"  object: {objects.accounts.name}", "  fields:"]
    for name, words in ACCOUNT_WORDS.items():
        lines += _read(objects.accounts, name, words)
    lines += ["", *_opportunities(objects.home)]
    return "\n".join(lines) + "\n"


def questions(text: str) -> list[tuple[int, str]]:
    """Return the questions that a file still holds, each with its line."""
    return [
        (number, line.strip().removeprefix(QUESTION).strip())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip().startswith(QUESTION)
    ]


def _object(made: Draft, ours: ObjectSchema, groups: Mapping[str, Sequence[str]]) -> Iterator[str]:
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
    constants = list(_constants(made, body.setdefault("identity", [])))
    if constants:
        real = any(not line.lstrip().startswith("#") for line in constants)
        yield "    on_create:" if real else "    # on_create:"
        yield from constants
    yield "    groups:"
    for group, rows in body.items():
        if rows:
            real = any(not line.lstrip().startswith("#") for line in rows)
            yield f"      {group}:" if real else f"      # {group}:"
            yield from rows
    yield ""


def _key(made: Draft) -> Iterator[str]:
    fitting = [
        f
        for f in made.schema.fields.values()
        if f.unique and f.createable and f.type is FieldType.TEXT and (f.length or 99) >= _ID_LENGTH
    ]
    # An org may have other unique texts; the one of the definitions that we ship says whose it is.
    chosen = [f for f in fitting if "dealreg" in f.name.casefold()] if len(fitting) > 1 else fitting
    if len(chosen) == 1:
        made.used.add(chosen[0].name)
        yield f"    key: {chosen[0].name}"
        return
    names = ", ".join(f.name for f in fitting) or "none yet"
    yield f"    {QUESTION} Which unique text field of {_ID_LENGTH} characters carries our id? {names}"
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
    yield f"{indent}- {{{_words(made, ours, theirs, _transform(ours, theirs) or '')}}}"


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
    """The fields of the best word that finds any; several mean that somebody has to choose."""
    words = WORDS.get(ours.name, (ours.label or ours.name, ours.name))
    free = [f for f in made.schema.fields.values() if f.name not in made.used]
    for word in words:
        found = [f for f in free if bare(word) in _forms(f) and _transform(ours, f) is not None]
        if found:
            return found
    return []


def _asked(made: Draft, ours: FieldSchema, fitting: Sequence[FieldSchema]) -> Iterator[str]:
    indent = "        "
    if fitting:
        names = " or ".join(f.name for f in fitting)
        yield f"{indent}{QUESTION} {ours.name} ({ours.label}): {names}?"
    else:
        forms = {form: f.name for f in made.schema.fields.values() for form in _forms(f)}
        near = [forms[n] for n in get_close_matches(bare(ours.label), forms, 3, 0.6)]
        hint = f"; nearest: {', '.join(dict.fromkeys(near))}" if near else ""
        yield f"{indent}{QUESTION} {ours.name} ({ours.label}): no field looks like it{hint}"
    yield f"{indent}# - {{ours: {ours.name}, theirs: THE_FIELD}}"


def _constants(made: Draft, identity: list[str]) -> Iterator[str]:
    """What the CRM requires and no row fills: a text gets our number, the rest is asked."""
    for f in made.schema.fields.values():
        if not f.required or not f.createable or f.name in made.used:
            continue
        if f.type is FieldType.TEXT:
            identity.append(
                f"        - {{ours: registration_number, theirs: {f.name}, direction: push, write: on_create}}"
            )
            continue
        which = f": one of {', '.join(shown(f, o) for o in f.options)}" if f.options else ""
        yield f"      {QUESTION} {made.schema.name} requires {f.name}{which}"
        yield f"      # {f.name}: THE_VALUE"


def _read(schema: ObjectSchema, name: str, words: Sequence[str]) -> Iterator[str]:
    for word in words:
        found = [f.name for f in schema.fields.values() if bare(word) in _forms(f)]
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
            if bare(word) in _forms(f) and f.type is FieldType.REFERENCE
        ),
        None,
    )
    yield (
        f"  account: {account}" if account else f"  {QUESTION} Which field holds the account's id?"
    )
    yield from (line[2:] for line in _key(made))
    closed = {bare(word): value for word, value in CLOSED_WORDS.items()}
    known = [
        (f.name, closed[form]) for f in schema.fields.values() for form in _forms(f) & set(closed)
    ]
    if known:
        yield f"  open: {{{known[0][0]}: [{known[0][1]}]}}"
    else:
        yield f"  {QUESTION} What makes a record of {schema.name} open?"
        yield "  # open: {THE_FIELD: [THE_VALUE]}"
    yield "  fields:"
    for name, ours in OPPORTUNITY_FIELDS.items():
        yield from _read(schema, name, WORDS[ours])


def _transform(ours: FieldSchema, theirs: FieldSchema) -> str | None:
    """The transform between two fields, "" for none needed; None where there is none."""
    match ours.type, theirs.type:
        case FieldType.TEXT, FieldType.TEXT:
            most = _LONG_TEXT_MAX if ours.name in LONG else _TEXT_MAX
            longest = min(theirs.length or most, most)
            if ours.name == "currency":
                return f"{{text: {{max: {min(3, longest)}, case: upper}}}}"
            return f"{{text: {{max: {longest}}}}}"
        case FieldType.TEXT, FieldType.PICKLIST:
            return ""
        case FieldType.PICKLIST, FieldType.PICKLIST | FieldType.TEXT:
            return ""
        case FieldType.NUMBER, FieldType.NUMBER:
            scale = 2 if theirs.scale is None else min(2, theirs.scale)
            return f"{{money: {{scale: {scale}}}}}"
        case FieldType.DATE, FieldType.DATE:
            return "date"
        case FieldType.DATE, FieldType.DATETIME:
            return "{date: {as: datetime}}"
        case FieldType.REFERENCE, FieldType.REFERENCE:
            return "reference"
        case one, other if one is other:
            return ""
        case _:
            return None


def _holds(theirs: FieldSchema, ours: FieldSchema) -> bool:
    return set(ours.options or ()) <= set(theirs.options or ())


def _forms(f: FieldSchema) -> set[str]:
    """What a field may be called: its name and label, each with and without a prefix of ours."""
    name = f.name.removesuffix("__c")
    prefix, _, tail = name.partition("_")
    own = tail if len(prefix) <= _PREFIX_MAX or prefix.casefold() == "dealreg" else ""
    return {bare(text) for text in (name, own, f.label) if text}


#: Fields whose absence in the CRM is worth a question; the others are left out.
_EXPECTED = frozenset(
    {"deal_name", "sales_stage", "amount", "currency", "expected_close_on", "account"}
)
