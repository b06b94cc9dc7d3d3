"""A person's choice in a sync conflict, turned into the group's value.

To carry a resolution out: give what `resolve` returns to the store, `base_after` to the link, and
merge again. What the store now holds is then either equal to the CRM's or the only change, and
flows there. If the CRM changed once more in between, the merge notices.
"""

from __future__ import annotations

from typing import Literal

from reconciler.merge import SyncConflict, is_empty, same
from registration_core.contracts import Fields, Value
from registration_core.errors import InvalidInput


def resolve(conflict: SyncConflict, choice: Literal["ours", "theirs"] | Fields) -> Fields:
    """Return the whole group as the person wants it: ours, theirs, or values of their own.

    Own values must name every field in which the sides differ; the others keep the value both
    have. Works on settled conflicts too, to reverse them. Raises `InvalidInput` for a field that
    is not in the group, a missing field, a value of another type, and an unknown word.
    """
    if isinstance(choice, str):
        return dict(_side(conflict, choice))
    names = ", ".join(conflict.store)
    if not choice:
        raise InvalidInput(
            "No value was given for the sync conflict.", hint=f"Give a value for: {names}."
        )
    for name, value in choice.items():
        _check(conflict, name, value, names)
    differing = [n for n, v in conflict.store.items() if not same(v, conflict.remote[n])]
    for name in differing:
        if name not in choice:
            raise InvalidInput(
                f"No value was given for {name}, and the two sides differ in it.",
                field=name,
                hint=f"These fields are decided together: {', '.join(differing)}.",
            )
    return {**conflict.store, **choice}


def base_after(conflict: SyncConflict, base: Fields | None) -> Fields:
    """Return the link's base for the merge that follows a resolution.

    An open conflict left the base behind: the CRM's value now counts as seen and decided upon. A
    settled one moved the base when it was settled, so that it stands.
    """
    return {**(base or {}), **(conflict.remote if conflict.settled is None else {})}


def _side(conflict: SyncConflict, word: str) -> Fields:
    if word == "ours":
        return conflict.store
    if word == "theirs":
        return conflict.remote
    raise InvalidInput(
        f"'{word}' is not a way to resolve a sync conflict.",
        hint="Choose ours, theirs, or give values.",
    )


def _check(conflict: SyncConflict, name: str, value: Value, names: str) -> None:
    if name not in conflict.store:
        raise InvalidInput(
            f"{name} is not part of this sync conflict.",
            field=name,
            hint=f"It is about: {names}.",
        )
    if is_empty(value):
        return
    known = {type(v) for v in (conflict.store[name], conflict.remote[name]) if not is_empty(v)}
    if known and type(value) not in known:
        expected = " or ".join(sorted(kind.__name__ for kind in known))
        raise InvalidInput(
            f"{name} takes a {expected}, not a {type(value).__name__}.",
            field=name,
            hint="Write it the way the sync conflict shows it.",
        )
