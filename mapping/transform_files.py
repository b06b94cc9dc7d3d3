"""Read the `transform:` of a mapping row and see that it fits the row it stands in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from mapping import table_options
from mapping.transform_options import READERS, RowContext, known, whole
from mapping.transforms import Copy, Default, Transform, Untranslatable
from registration_core.contracts import Value


def read_transform(node: Any, row: RowContext) -> Transform | None:
    """Return the transform that a file asks for, or None after telling what is wrong with it."""
    transform = _named(node, row)
    if transform is None:
        return None
    if row.ours.type not in transform.store_types:
        what = f"is not for {row.ours.name}, a {row.ours.type.value} field"
        row.tell((), f"transform {transform.name} {what}", _LIST)
        return None
    if len(row.theirs) > 1 and not transform.several:
        row.tell(
            (), f"transform {transform.name} takes one CRM field", "use an enum or join for several"
        )
        return None
    refused = transform.one_way
    if refused and row.direction not in refused.ways:
        ways = " or ".join(f"direction: {way}" for way in refused.ways)
        row.tell(
            (),
            f"{row.ours.name} may not flow {_WAY[row.direction]} with {transform.name}: "
            f"{refused.why}",
            ways,
        )
        return None
    return transform


def _named(node: Any, row: RowContext) -> Transform | None:
    if node is None:
        return Copy(row.ours.type)
    given = {node: {}} if isinstance(node, str) else node
    if not isinstance(given, Mapping) or len(given) != 1:
        row.tell((), "a transform is a word, or one word with its options", _LIST)
        return None
    name, options = next(iter(given.items()))
    reader = _READERS.get(str(name))
    if reader is None:
        meant = get_close_matches(str(name), _READERS, n=1)
        remedy = f"did you mean {meant[0]}? {_LIST}" if meant else _LIST
        row.tell((), f"unknown transform '{name}'", remedy)
        return None
    return reader(str(name), options, row)


def _default(name: str, options: Any, row: RowContext) -> Transform | None:
    """Read `default: {value: Standard, transform: {text: {max: 80}}}`."""
    if not known(name, options, ("value", "transform"), row):
        return None
    value = _constant(options.get("value"))
    if value is None:
        row.tell((name, "value"), "default needs a value of ours", "for example value: Standard")
        return None
    if row.ours.options is not None and value not in row.ours.options:
        what = f"{row.ours.name} has no option '{value}'"
        row.tell((name, "value"), what, f"one of: {', '.join(row.ours.options)}")
        return None
    inner = _named(options.get("transform"), row)
    if inner is None:
        return None
    if isinstance(inner, Default):
        row.tell((name, "transform"), "a default has one transform below it", "remove one default")
        return None
    try:
        inner.write(value, row.theirs)
    except Untranslatable as error:
        row.tell((name, "value"), f"{inner.name} cannot write '{value}': it {error}", "change it")
        return None
    return Default(value, inner)


def _constant(value: Any) -> Value:
    if isinstance(value, bool | str | date):
        return value or None if isinstance(value, str) else value
    if whole(value) or isinstance(value, float):
        return Decimal(str(value))
    return None


_READERS: dict[str, Callable[[str, Any, RowContext], Transform | None]] = {
    **READERS,
    "enum": table_options.enum,
    "multi": table_options.multi,
    "boolean": table_options.boolean,
    "default": _default,
}

#: The words a mapping file may use.
TRANSFORMS = tuple(_READERS)
_LIST = f"transforms: {', '.join(TRANSFORMS)}; see docs/mapping.md"
_WAY = {"both": "both ways", "push": "to the CRM", "pull": "from the CRM"}
