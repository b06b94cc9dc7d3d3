"""The kinds of associations between object types, as data.

Source: HubSpot developer documentation, "Associations v4" (association type id values). The type
ids between a custom object and others are a portal's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.hubspot.schema import REGISTRATIONS


@dataclass(frozen=True)
class AssociationType:
    """One direction of a kind of association between two object types."""

    from_type: str
    to_type: str
    type_id: int
    inverse_id: int
    label: str | None = None
    #: At most one for each record on the `from` side.
    primary: bool = False
    category: str = "HUBSPOT_DEFINED"


def _both(
    from_type: str,
    to_type: str,
    ids: tuple[int, int],
    label: str | None = None,
    *,
    category: str = "HUBSPOT_DEFINED",
) -> tuple[AssociationType, AssociationType]:
    primary = label is not None
    return (
        AssociationType(
            from_type, to_type, ids[0], ids[1], label, primary=primary, category=category
        ),
        AssociationType(to_type, from_type, ids[1], ids[0], label, category=category),
    )


ASSOCIATION_TYPES: Mapping[int, AssociationType] = {
    kind.type_id: kind
    for kind in (
        *_both("deals", "companies", (341, 342)),
        *_both("deals", "companies", (5, 6), "Primary"),
        *_both("deals", "contacts", (3, 4)),
        *_both("contacts", "companies", (279, 280)),
        *_both("contacts", "companies", (1, 2), "Primary"),
        *_both("deals", "line_items", (19, 20)),
        *_both("leads", "contacts", (608, 609)),
        *_both("leads", "contacts", (578, 579), "Primary"),
        *_both("leads", "companies", (610, 611)),
        *_both("leads", "companies", (580, 581), "Primary"),
        *_both("leads", "deals", (1037, 1038)),
        *_both("leads", "deals", (582, 583), "Primary"),
        *_both(REGISTRATIONS.name, "companies", (71, 70), category="USER_DEFINED"),
        AssociationType("companies", "companies", 450, 450),
        AssociationType("companies", "companies", 13, 14, "Child Company"),
        AssociationType("companies", "companies", 14, 13, "Parent Company"),
    )
}

#: The type that stands for "associated, without a label", by pair of object types.
UNLABELED: Mapping[tuple[str, str], int] = {
    (kind.from_type, kind.to_type): kind.type_id
    for kind in ASSOCIATION_TYPES.values()
    if kind.label is None
}

#: Pairs as they are kept; the other way round is the inverse of it.
KEPT = tuple(dict.fromkeys((kind.from_type, kind.to_type) for kind in ASSOCIATION_TYPES.values()))


def turned(from_type: str, to_type: str) -> bool:
    """Tell whether a pair is kept the other way round."""
    return KEPT.index((to_type, from_type)) < KEPT.index((from_type, to_type))
