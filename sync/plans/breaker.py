"""What was written to a link's groups, and how often in a row: the breaker's memory.

`planning` decides when to stop; this keeps the counts on the link.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.merge import same
from registration_core.contracts import Fields, Value
from registration_core.fields import FieldGroup, group_of
from registration_core.store.types import dump_fields, load_fields


def noted(repeats: Mapping[str, Any], written: Fields) -> dict[str, Any]:
    """Return the counts after these values of ours were confirmed by the CRM."""
    after = dict(repeats)
    for group, values in _by_group(written).items():
        last, times = read(repeats).get(group, ({}, 0))
        repeated = all(n in last and same(last[n], v) for n, v in values.items())
        after[group.value] = [dump_fields(values), times + 1 if repeated else 1]
    return after


def read(repeats: Mapping[str, Any]) -> dict[FieldGroup, tuple[Fields, int]]:
    """Return the counts as a plan wants them."""
    return {FieldGroup(g): (load_fields(text), times) for g, (text, times) in repeats.items()}


def _by_group(fields: Fields) -> dict[FieldGroup, dict[str, Value]]:
    groups: dict[FieldGroup, dict[str, Value]] = {}
    for name, value in fields.items():
        groups.setdefault(group_of(name), {})[name] = value
    return groups
