"""Which associations are presented as fields of their near record, and how HubSpot names them.

`associations.companies` of a deal is its primary company. Source: HubSpot developer
documentation, "Associations v4" (type id values) and the guides of deals, leads, line items and
custom objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: How the names of these fields begin; no property of HubSpot's has a dot in its name.
PREFIX = "associations."
COMPANIES = f"{PREFIX}companies"
CONTACTS = f"{PREFIX}contacts"
DEALS = f"{PREFIX}deals"


@dataclass(frozen=True)
class Link:
    """One kind of association, seen from the near record."""

    far: str
    label: str
    #: What a search calls it.
    searched_as: str
    #: Type id of the one that counts; 0 where only an only one does.
    primary: int = 0
    #: Type id of the primary one as the far record has it; 0 = not asked from there.
    inverse: int = 0
    #: Type id that is set where there is no primary one; 0 = ask the account for it.
    plain: int = 0
    required: bool = False
    #: A listing names the primary one as documented, so that it can be read along.
    listed: bool = False
    #: It may be set anew; where False, only when its record is created.
    movable: bool = True


_COMPANY, _CONTACT = f"{PREFIX}company", f"{PREFIX}contact"
#: By object; a deal's contacts are its own, so that one is added at create and never taken away.
_LINKS: Mapping[str, Mapping[str, Link]] = {
    "deals": {
        COMPANIES: Link(
            "companies", "Primary company", _COMPANY, primary=5, inverse=6, listed=True
        ),
        CONTACTS: Link("contacts", "Only contact", _CONTACT, plain=3, movable=False),
    },
    "leads": {
        COMPANIES: Link("companies", "Primary company", _COMPANY, primary=580),
        CONTACTS: Link("contacts", "Primary contact", _CONTACT, primary=578, required=True),
    },
    "contacts": {
        COMPANIES: Link("companies", "Primary company", _COMPANY, primary=1),
    },
    "line_items": {
        DEALS: Link("deals", "Its deal", f"{PREFIX}deal", plain=20, movable=False),
    },
    "companies": {},
}
_CUSTOM: Mapping[str, Link] = {COMPANIES: Link("companies", "Only company", _COMPANY)}
#: What a record of an object becomes: the primary deal that a qualified lead was turned into.
BECOMES: Mapping[str, Link] = {
    "leads": Link("deals", "Primary deal", f"{PREFIX}deal", primary=582, movable=False),
}


def is_link(field: str) -> bool:
    """True where a field is an association and no property."""
    return field.startswith(PREFIX)


def links_of(object_name: str) -> Mapping[str, Link]:
    """Return the association fields of an object; a custom object has its company."""
    return _LINKS.get(object_name, _CUSTOM)
