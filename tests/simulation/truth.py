"""What really happened to values: every write at every replica, and who knew what when writing.

Users write values that nobody else writes. A value's parent is what its writer saw in that field
at that moment, so that "lost" has a meaning: written by a person, and neither an ancestor of what
stands in the end nor of anything that a conflict names.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from registration_core.contracts import Value

#: A field's value, comparable over all replicas.
Token = tuple[str, str]
#: CRM fields that carry users' unique values, and their names in the store.
TOKENS = {"Name": "deal_name", "Amount": "amount", "Close": "expected_close_on"}


def token(field_name: str, value: object) -> Token:
    """Return a value as a token: `field_name` is the store's."""
    if isinstance(value, Decimal):
        return field_name, str(int(value))  # one of the CRMs keeps no decimals
    if isinstance(value, datetime):
        return field_name, value.date().isoformat()
    if isinstance(value, date):
        return field_name, value.isoformat()
    # One of the CRMs cuts names; the first two words tell them apart.
    return field_name, "" if value is None else " ".join(str(value).replace(",", "").split()[:2])


def spoken(field_name: str, text: str) -> Token:
    """Return the token of a value that the audit trail holds as text."""
    if field_name == "amount" and text not in ("", "None"):
        return token(field_name, Decimal(text))
    return token(field_name, None if text == "None" else text)


@dataclass(frozen=True)
class SyncWrite:
    """A write of the engine that changed a token field of a CRM record."""

    crm: str
    record_id: str
    what: Token
    over: Token
    #: The engine had read the value that it replaced.
    had_read: bool
    #: The writer's process had stood still between its last look and this write.
    delayed: bool


@dataclass
class Truth:
    """The record of a story, kept by the pretended CRMs and the store's users."""

    #: Values that a user wrote, and what that user saw in the field.
    parents: dict[Token, Token] = field(default_factory=dict)
    #: Where a user's value was written: `crm record` or `store deal`.
    written_at: dict[Token, list[str]] = field(default_factory=lambda: defaultdict(list))
    #: Values that a user took away knowingly (deleted or merged the record, cleared the field).
    given_up: set[Token] = field(default_factory=set)
    sync_writes: list[SyncWrite] = field(default_factory=list)
    #: Sync writes to a record: `crm record` → fields that really changed, and those that did not.
    changed: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    idle: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    #: Records that the engine made, by CRM and our key.
    made: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    #: The value of a token field that the engine last read, by `crm record field`.
    last_read: dict[str, Token] = field(default_factory=dict)
    #: When an account was marked, in virtual seconds, by (crm, tax id).
    marked_at: dict[tuple[str, str], float] = field(default_factory=dict)
    #: Options that the engine changed although both stand for the same of our stages.
    relabelled: list[str] = field(default_factory=list)
    #: When a rep opened an opportunity for an account, in virtual seconds, by CRM.
    opened_at: dict[str, float] = field(default_factory=dict)
    #: When somebody deleted every deal of a CRM.
    emptied_at: dict[str, float] = field(default_factory=dict)
    #: When the engine set out to make its first record, by CRM and our key.
    made_at: dict[tuple[str, str], float] = field(default_factory=dict)
    #: Values that a CRM's automation puts over ours, again and again.
    automatic: set[Token] = field(default_factory=set)
    #: How often they did, by CRM and value.
    automated: Counter[tuple[str, Token]] = field(default_factory=Counter)
    #: When clocks fired a slot, in virtual seconds, by the nudge.
    fired: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    #: Since when an operator has stopped a CRM, or `*`, and whether only writing.
    stopped_at: dict[str, tuple[float, bool]] = field(default_factory=dict)
    #: Calls that should not have been made: too soon after a throttling, from the reserve, or while
    #: an operator has stopped them.
    forbidden: list[str] = field(default_factory=list)
    #: Races that occurred, by name.
    probes: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def wrote(self, where: str, what: Token, over: Token) -> None:
        """Note a user's write."""
        if what == over:
            return
        if what not in self.parents and what[1]:
            self.parents[what] = over
        self.written_at[what].append(where)

    def ancestry(self, what: Token) -> set[Token]:
        """Return a value and everything that was known to whoever wrote it."""
        found: set[Token] = set()
        while what not in found:
            found.add(what)
            if what not in self.parents:
                break
            what = self.parents[what]
        return found

    def is_newer(self, one: Token, other: Token) -> bool:
        """Whether `one` was written in knowledge of `other`."""
        return one != other and other in self.ancestry(one)


def value_of(field_name: str, text: str) -> Value:
    """Return the value that a story's text stands for in a CRM field."""
    if field_name == "Amount":
        return Decimal(text)
    if field_name == "Close":
        return date.fromisoformat(text)
    return text
