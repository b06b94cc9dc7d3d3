"""Makes the files below `broken/`: a good mapping with one thing wrong, over and over.

Type `python -m tests.unit.mapping.make_broken`. The seed decides everything; a file that happens
to be a usable mapping is left out. Files that stand for a mistake once found are kept by hand and
begin with `found_`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

from mapping.loader import load
from registration_core.errors import ConfigurationError
from tests.unit.mapping.catalogue import GROUPS, OURS

FOLDER = Path(__file__).parent / "broken"
CASES = 240
_BASE = """\
connection: crm
shared:
  owners: {enum: {DE: "005A", AT: "005A", "*": "005B"}}
objects:
  lead:
    role: home
    when: {registration_state: [submitted], sales_stage: [qualifying, developing]}
    object: Lead
    key: Dealreg_Id__c
    groups:
      name:
        - {ours: deal_name, theirs: Company, direction: {create: push, update: pull}, emptied: keep}
      details:
        - {ours: customer_country, theirs: OwnerId, direction: push, write: on_create, transform: $owners}
        - expression: 'at_least(amount, "1000") ? upper(customer_name) : "small"'
          theirs: Title
          write: if_empty
  home:
    object: Opportunity
    key: Dealreg_Id__c
    first_link: {amount: ask, name: fill_empty}
    on_create: {LeadSource: Partner}
    companions:
      account:
        object: Account
        key: Customer_Id__c
        missing: wait
        fields:
          - {ours: customer_name, theirs: Name}
      contact:
        object: Contact
        key: Dealreg_Id__c
        fields:
          - {ours: contact_email, theirs: Email}
          - {ours: account, theirs: AccountId, transform: reference}
      line_item:
        object: Product
        key: Dealreg_Id__c
        on_create: {Quantity: 1}
        fields:
          - {ours: record, theirs: DealId, transform: reference}
    groups:
      name:
        - {ours: deal_name, theirs: Name, transform: {text: {max: 120}}}
      stage:
        - ours: sales_stage
          theirs: [State, Stage]
          transform:
            enum:
              qualifying: [["0", "0"], ["0", "9"]]
              developing: ["0", "1"]
              proposing: ["0", "2"]
              negotiating: ["0", "3"]
              won: ["1", "*"]
              lost: ["2", "*"]
      amount:
        - {ours: amount, theirs: Amount, transform: {money: {scale: 2}}}
      close:
        - {ours: expected_close_on, theirs: Close, transform: {date: {as: datetime, zone: UTC}}}
      details:
        - {ours: contact, theirs: ContactId, direction: push, write: on_create, transform: reference}
        - {ours: description, theirs: Phone, direction: push, transform: {phone: {calling_code: '49'}}}
accounts:
  object: Account
  fields: {name: Name, country: Country}
opportunities:
  object: Opportunity
  account: AccountId
  key: Dealreg_Id__c
  open: {IsClosed: [false]}
  fields: {name: Name}
"""
_ODD = (
    "[]", "{}", "null", "~", "-1", "0.5", "1e400", "true", "2026-01-01", "''", '"\\u0000"', "[1, [2]]",
    "{a: {b: c}}", "&x 1", "*x", "!!python/object:os.system x", "!!binary aGk=", "|", "'", '"', "{", "[",
    "no", "🙂", "x" * 300, ".nan", "0x1F", "? a", "<<: *x", "@", "`", "%YAML 9",
)  # fmt: skip

_Lines = list[str]


def _drop(lines: _Lines, rng: random.Random) -> _Lines:
    at = rng.randrange(len(lines))
    return lines[:at] + lines[at + 1 :]


def _double(lines: _Lines, rng: random.Random) -> _Lines:
    at = rng.randrange(len(lines))
    return lines[: at + 1] + lines[at:]


def _swap(lines: _Lines, rng: random.Random) -> _Lines:
    one, two = rng.sample(range(len(lines)), 2)
    lines[one], lines[two] = lines[two], lines[one]
    return lines


def _indent(lines: _Lines, rng: random.Random) -> _Lines:
    at = rng.randrange(len(lines))
    lines[at] = rng.choice((" ", "    ", "\t")) + lines[at]
    return lines


def _misspell(lines: _Lines, rng: random.Random) -> _Lines:
    at = rng.choice([n for n, line in enumerate(lines) if re.search(r"[a-z]{4,}", line)])
    word = rng.choice(re.findall(r"[a-z_]{4,}", lines[at]))
    cut = rng.randrange(1, len(word))
    lines[at] = lines[at].replace(word, word[: cut - 1] + word[cut:] + "x", 1)
    return lines


def _odd(lines: _Lines, rng: random.Random) -> _Lines:
    at = rng.choice([n for n, line in enumerate(lines) if ": " in line])
    parts = lines[at].split(": ")
    which = rng.randrange(1, len(parts))
    tail = re.search(r"[,}\]]+[^,}\]]*$", parts[which])
    parts[which] = rng.choice(_ODD) + (tail[0] if tail else "")
    lines[at] = ": ".join(parts)
    return lines


def _cut(lines: _Lines, rng: random.Random) -> _Lines:
    text = "\n".join(lines)
    return text[: rng.randrange(1, len(text))].split("\n")


def _letter(lines: _Lines, rng: random.Random) -> _Lines:
    text = "\n".join(lines)
    at = rng.randrange(len(text))
    return (text[:at] + rng.choice("{}[]:,'\"#&*!|>%@`\t\x07-? ") + text[at + 1 :]).split("\n")


_WAYS: tuple[Callable[[_Lines, random.Random], _Lines], ...] = (
    _drop, _double, _swap, _indent, _misspell, _odd, _odd, _cut, _letter,
)  # fmt: skip


def broken(seed: int) -> tuple[str, str]:
    """Return a name and a text that cannot be used as a mapping."""
    rng = random.Random(seed)
    while True:
        way = rng.choice(_WAYS)
        text = "\n".join(way(_BASE.splitlines(), rng)) + "\n"
        try:
            load(text, "crm.yaml", OURS, GROUPS)
        except ConfigurationError:
            return way.__name__.strip("_"), text


def main() -> None:
    """Write the files."""
    for old in FOLDER.glob("*.yaml"):
        if not old.name.startswith("found_"):
            old.unlink()
    seen: set[str] = set()
    seed = 0
    while len(seen) < CASES:
        seed += 1
        way, text = broken(seed)
        if text not in seen:
            seen.add(text)
            (FOLDER / f"{len(seen):03}_{way}.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
