"""Addresses of users that a mapping lists, held against the users that a CRM has."""

from __future__ import annotations

from collections.abc import Iterator

from connectors.port import CrmConnector
from mapping.nodes import Path
from mapping.schema import ADDRESS, USER, ConnectionMapping, Row
from mapping.transforms import Enum
from registration_core.errors import Problem

_CORRECT = "name the address of one active user"


def unknown_users(crm: CrmConnector, mapping: ConnectionMapping) -> tuple[Problem, ...]:
    """Tell of addresses in tables that nobody active in the CRM has, or more than one; a call or none."""
    listed = list(_listed(mapping))
    found = crm.users(list(dict.fromkeys(address for _, address in listed)))
    problems = []
    for path, address in listed:
        ids = found[address]
        if len(ids) != 1:
            who = f"{' and '.join(ids)} have" if ids else f"no active user of {crm.name} has"
            what, remedy = f"{who} the e-mail address {address}", _CORRECT
            problems.append(mapping.source.problem(path, what, remedy))
    return tuple(dict.fromkeys(problems))


def _listed(mapping: ConnectionMapping) -> Iterator[tuple[Path, str]]:
    """Return every address that a table names, with the place of its line."""
    for name, item in mapping.objects.items():
        for row in item.user.made.rows if item.user is not None else ():
            if isinstance(row.transform, Enum):
                for option, alternatives in row.transform.options:
                    yield (*_table(row, name), option), alternatives[0][0]


def _table(row: Row, name: str) -> Path:
    if row.shared:
        return ("shared", row.shared, "enum")
    return ("objects", name, "companions", USER, ADDRESS, "transform", "enum")
