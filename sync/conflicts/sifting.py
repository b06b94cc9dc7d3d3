"""Sync conflicts by what they are about, how old they are and what is at stake; settled in bulk."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from sqlalchemy.orm import Session

from registration_core.errors import DealregError, InvalidInput
from registration_core.model import Actor, Registration
from registration_core.store import repository
from sync.conflicts import resolving
from sync.conflicts.resolving import Conflict
from sync.process.runtime import Runtime

#: Registrations that are read in one query.
READ_AT_ONCE = 500
_WORTH = re.compile(r"(\d+(?:\.\d+)?) ?([A-Z]{3})")


@dataclass(frozen=True)
class Sieve:
    """Which conflicts are meant; what is left out lets all through."""

    connection: str = ""
    #: A field or a field group, by our name.
    field: str = ""
    older: timedelta = timedelta(0)
    #: Deals worth at least so much, in that currency; amounts are never converted.
    worth: Decimal = Decimal(0)
    currency: str = ""

    def passes(self, weighed: Weighed) -> bool:
        """Whether a conflict is meant."""
        found = weighed.conflict
        return (
            self.connection in ("", found.connection)
            and self.field in ("", found.group.value, *found.store)
            and weighed.age >= self.older
            and self.currency in ("", weighed.currency)
            and weighed.amount >= self.worth
        )


@dataclass(frozen=True)
class Weighed:
    """A sync conflict with its age and the value at stake."""

    conflict: Conflict
    number: str
    customer: str
    #: What the deal is worth here.
    amount: Decimal
    currency: str
    age: timedelta


@dataclass(frozen=True)
class Settled:
    """What became of one conflict of many."""

    conflict_id: str
    number: str
    #: Empty where it is settled; else why it still stands, and what to type.
    refused: str


def sieve(given: Iterable[str]) -> Sieve:
    """Read `KEY=VALUE` conditions; all of them have to hold.

    Keys: `connection`, `field` (or group), `older` (days), `worth` (`10000 EUR`, at least).
    """
    made: dict[str, object] = {}
    for text in given:
        key, _, value = text.partition("=")
        value = value.strip()
        worth = _WORTH.fullmatch(value.upper())
        if key in ("connection", "field") and value:
            made[key] = value
        elif key == "older" and value.isdigit():
            made["older"] = timedelta(days=int(value))
        elif key == "worth" and worth:
            made |= {"worth": Decimal(worth[1]), "currency": worth[2]}
        else:
            raise InvalidInput(
                f"{text!r} says nothing about a conflict.",
                field="where",
                hint="Write connection=NAME, field=NAME, older=DAYS, or worth='10000 EUR'.",
            )
    return Sieve(**made)  # type: ignore[arg-type]


def sift(
    session: Session, now: datetime, wanted: Sieve, *, everything: bool = False
) -> list[Weighed]:
    """Return the conflicts that are meant, oldest first; settled ones too if asked."""
    found = resolving.conflicts(session, everything=everything)
    deals: dict[str, Registration] = {}
    for at in range(0, len(found), READ_AT_ONCE):
        few = [each.registration_id for each in found[at : at + READ_AT_ONCE]]
        deals |= repository.registrations_by_id(session, few)
    weighed = [_weighed(each, deals[each.registration_id], now) for each in found]
    return [each for each in weighed if wanted.passes(each)]


def _weighed(found: Conflict, deal: Registration, now: datetime) -> Weighed:
    age = now - found.opened_at
    return Weighed(found, deal.number, deal.customer.name, deal.amount, deal.currency, age)


def values(found: Conflict, take: Literal["ours", "theirs"]) -> Mapping[str, object]:
    """Return what would stand on both sides where the sides differ."""
    chosen, other = (found.store, found.remote)[:: 1 if take == "ours" else -1]
    return {name: value for name, value in chosen.items() if value != other.get(name)}


def settle(
    runtime: Runtime, meant: Sequence[Weighed], take: Literal["ours", "theirs"], actor: Actor
) -> list[Settled]:
    """Settle each conflict as one by one, in a commit of its own; one that is refused still stands.

    So does one that has other values by now than those given here.
    """
    done = []
    for each in meant:
        refused = ""
        try:
            resolving.resolve(runtime, each.conflict.id, take, actor, seen=each.conflict)
        except DealregError as error:
            refused = " ".join(filter(None, (error.message, error.hint)))
        done.append(Settled(each.conflict.id, each.number, refused))
    return done
