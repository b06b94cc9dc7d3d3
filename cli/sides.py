"""The sides of a sync conflict, a row for each field: for the plain commands and the full screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cli.output import Marked, words

if TYPE_CHECKING:
    from sync.conflicts.resolving import Conflict


def side_by_side(found: Conflict) -> list[Mapping[str, object]]:
    """Return a row for each field; a value that differs from the base is marked."""
    base, chosen = found.base or {}, found.chosen or {}

    def side(values: Mapping[str, object], name: str) -> str:
        value = words(values.get(name))
        return value if name in base and value == words(base[name]) else Marked(value)

    return [
        {
            "field": name, "base": words(base.get(name)), "ours": side(found.store, name),
            "theirs": side(found.remote, name), "chosen": words(chosen.get(name)),
        }
        for name in dict.fromkeys((*found.store, *found.remote))
    ]  # fmt: skip
