"""Draft what stands beside a deal: its account, contact, partner, owner and line item.

Whom a deal refers to is looked up, and the deal goes without where nobody is found: to make one is
for a person to say. Whose a new deal is and what is sold on it cannot be told from a schema, so both
are questions. Where something is open, all lines of a companion are comments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mapping.companions import REFERRING
from mapping.drafting_parts import (
    ID_LENGTH,
    QUESTION,
    best,
    commented,
    keys,
    requires,
    transform_between,
)
from mapping.drafting_words import COMPANION_WORDS, REFERENCE_WORDS, SUMMED, WRITE_IN
from mapping.schema import ACCOUNT, ADDRESS, CONTACT, LINE_ITEM, PARTNER, RECORD, USER
from registration_core.contracts import FieldSchema, FieldType, ObjectSchema

#: What a line item's product is asked for, where the CRM wants one of its price list.
_PRODUCT = "product_line"
_ONCE = "direction: push, write: on_create, transform: reference"
_LEAVE = "missing: leave    # or create: it is made; wait: the deal waits until somebody made it"
#: Where the CRM takes no deal without it.
_WAIT = "missing: wait     # until somebody made it; or create: it is made"


@dataclass
class Block:
    """One companion as lines without its indent, what is open of it, and the row that refers to it."""

    name: str
    lines: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    row: str = ""
    #: The field of the deal that refers to it.
    refers: str = ""

    def shown(self) -> Iterator[str]:
        """The lines of the file: as they are, or as comments below their questions."""
        indent = " " * 6
        yield from (f"{indent}{QUESTION} {self.name}: {each}" for each in self.asked)
        lines = [f"{self.name}:", *(f"  {line}" for line in self.lines)]
        yield from commented(indent, lines) if self.asked else (indent + each for each in lines)

    def referring(self) -> dict[str, list[str]]:
        """The row of the deal that refers to it, by its group."""
        if not self.row:
            return {}
        indent = " " * 8
        row = commented(indent, [self.row]) if self.asked else [indent + self.row]
        return {REFERRING[self.name]: list(row)}


def referred(home: ObjectSchema) -> tuple[str, ...]:
    """Return the objects whose records a deal refers to as its contact and its partner's own."""
    found = (each for name in (CONTACT, PARTNER) for each in _references(home, name))
    return tuple(dict.fromkeys(name for each in found for name in each.references[:1]))


def companions(
    home: ObjectSchema,
    accounts: ObjectSchema,
    beside: Mapping[str, ObjectSchema],
    line_items: str,
    products: Sequence[str],
    ours: ObjectSchema,
) -> list[Block]:
    """Return what may stand beside a deal, of the objects that our user sees."""
    seen = {**beside, accounts.name: accounts}
    blocks = []
    if of_account := _references(home, ACCOUNT, accounts.name):
        blocks.append(_record(ACCOUNT, accounts, accounts.name, ours, of_account))
    for name in (CONTACT, PARTNER):
        found = _references(home, name)
        on = seen.get(found[0].references[0]) if found and found[0].references else None
        if on is None:
            continue
        block = _record(name, on, accounts.name, ours, found)
        if len(found) > 1:
            which = " or ".join(each.name for each in found)
            block.asked.insert(0, f"which field of {home.name} refers to it? {which}")
        block.refers = found[0].name if len(found) == 1 else "THE_FIELD"
        block.row = f"- {{ours: {name}, theirs: {block.refers}, {_ONCE}}}"
        blocks.append(block)
    if line_items in seen:
        blocks += _line_item(seen[line_items], home, products, ours)
    return blocks + _user(home)


def _references(schema: ObjectSchema, name: str, to: str = "") -> list[FieldSchema]:
    """The fields that may refer to a companion, by the best word that finds any."""
    return best(
        schema.fields.values(),
        REFERENCE_WORDS[name],
        lambda f: f.type is FieldType.REFERENCE and f.createable and (not to or to in f.references),
    )


def _record(
    name: str,
    schema: ObjectSchema,
    accounts: str,
    ours: ObjectSchema,
    by: Sequence[FieldSchema],
) -> Block:
    """A companion that is looked up: what it would be made of, if a person says that it is."""
    block = Block(name)
    rows, used = _rows(block, schema, ours)
    if name == CONTACT:
        rows += _of_account(schema, accounts, used)
    wanted = any(f.required for f in by)
    _whole(block, schema, used, {}, rows, _WAIT if wanted else _LEAVE)
    return block


def _rows(block: Block, schema: ObjectSchema, ours: ObjectSchema) -> tuple[list[str], set[str]]:
    """The rows that find a field each, and those fields; what has to be there is asked."""
    rows, used = [], set[str]()
    for name, (words, needed) in COMPANION_WORDS[block.name].items():
        mine = ours.fields[name]
        found = best(schema.fields.values(), words, _fills(mine))
        if len(found) == 1:
            used.add(found[0].name)
            rows.append(_row(mine, found[0]))
        elif found or needed:
            which = " or ".join(f.name for f in found) or "no field looks like it"
            block.asked.append(f"{name} ({mine.label}): {which}")
            rows.append(f"- {{ours: {name}, theirs: THE_FIELD}}")
    return rows, used


def _fills(ours: FieldSchema) -> Callable[[FieldSchema], bool]:
    return lambda f: f.createable and transform_between(ours, f) is not None


def _row(ours: FieldSchema, theirs: FieldSchema) -> str:
    transform = transform_between(ours, theirs)
    if ours.name == "customer_website":
        transform = "domain" if "domain" in theirs.label.casefold() else "url"
    told = f", transform: {transform}" if transform else ""
    return f"- {{ours: {ours.name}, theirs: {theirs.name}{told}}}"


def _of_account(schema: ObjectSchema, accounts: str, used: set[str]) -> list[str]:
    """The row of a contact that says whose it is."""
    found = _references(schema, ACCOUNT, accounts)
    if len(found) != 1:
        return []
    used.add(found[0].name)
    return [f"- {{ours: {ACCOUNT}, theirs: {found[0].name}, transform: reference}}"]


def _whole(
    block: Block,
    schema: ObjectSchema,
    used: set[str],
    constants: dict[str, str],
    rows: Sequence[str],
    *words: str,
) -> None:
    """Put a companion's lines together, asking for its key and what else the CRM requires."""
    key, fitting = keys(schema)
    if not key:
        names = ", ".join(fitting) or "none yet"
        block.asked.append(
            f"which unique text field of {ID_LENGTH} characters of {schema.name} carries our id? "
            f"{names}"
        )
    for f in schema.fields.values():
        if f.required and f.createable and f.name not in used | constants.keys():
            block.asked.append(requires(schema, f))
            constants[f.name] = "THE_VALUE"
    block.lines = [f"object: {schema.name}", f"key: {key or 'THE_FIELD'}", *words]
    if constants:
        block.lines += ["on_create:", *(f"  {name}: {v}" for name, v in constants.items())]
    block.lines += ["fields:", *(f"  {row}" for row in rows)]


def _line_item(
    schema: ObjectSchema, home: ObjectSchema, products: Sequence[str], ours: ObjectSchema
) -> list[Block]:
    """What is sold, as a record that refers to the deal; nothing where none can."""
    of_deal = [f for f in schema.fields.values() if home.name in f.references and f.createable]
    if len(of_deal) != 1:
        return []
    block = Block(LINE_ITEM)
    asked = "is what is sold to stand on the deal?"
    if schema.name in SUMMED:
        asked += " Its amount is then their sum: let the row of amount say direction: "
        asked += "{create: push, update: pull}"
    block.asked.append(asked)
    rows, used = _rows(block, schema, ours)
    rows.insert(0, f"- {{ours: {RECORD}, theirs: {of_deal[0].name}, transform: reference}}")
    used.add(of_deal[0].name)
    listed = _references(schema, LINE_ITEM)
    if listed:
        used.add(listed[0].name)
        table = ", ".join(f"{each}: THE_ID" for each in products or ("THE_PRODUCT_LINE",))
        block.asked.append(f"which {listed[0].name} is each product line?")
        rows.insert(
            1, f"- {{ours: {_PRODUCT}, theirs: {listed[0].name}, transform: {{enum: {{{table}}}}}}}"
        )
    written = {
        f.name: value
        for word, value in WRITE_IN.items()
        for f in best(schema.fields.values(), (word,), lambda f: f.createable)
    }
    _whole(block, schema, used, written, rows)
    return [block]


def _user(home: ObjectSchema) -> list[Block]:
    """Who of the CRM's users gets a new deal; whose address it is, nobody but a person knows."""
    found = _references(home, USER)
    if len(found) != 1:
        return []
    asked = f"who gets a new deal ({found[0].name})? Say which field of ours has the e-mail address"
    row = f"- {{ours: {USER}, theirs: {found[0].name}, {_ONCE}}}"
    return [Block(USER, [f"{ADDRESS}: THE_FIELD"], [asked], row)]
