"""A customer as it is typed or stands in a file: its columns, its options, and how they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from cli.values import text
from registration_core.errors import InvalidInput

Parsed = TypeVar("Parsed")
Command = TypeVar("Command", bound=Callable[..., Any])

#: Columns of what may be said of a customer beside its name and country; with dashes, options. Where
#: one holds several, they stand with semicolons between.
COLUMNS = {
    "tax_id": "The customer's tax id: the surest match.",
    "duns": "The customer's D-U-N-S number.",
    "website": "The customer's website or domain.",
    "email_domains": "A domain of its people's e-mail addresses; may be repeated.",
    "aliases": "Another name of the customer; may be repeated.",
    "parent": "The name of its parent company.",
    "phone": "The customer's phone.",
    "city": "The customer's city.",
    "postcode": "The customer's postcode.",
    "region": "The customer's state, province or region.",
}
#: Longest cell that holds several, in characters.
_SEVERAL_MAX = 4000
#: Options that may be repeated, by their column.
_REPEATED = {"email_domains": "--email-domain", "aliases": "--alias"}


def options(command: Command) -> Command:
    """Give a command an option for each column; one that was not typed is None or ()."""
    for column, told in reversed(COLUMNS.items()):
        name = _REPEATED.get(column, f"--{column.replace('_', '-')}")
        command = click.option(name, column, multiple=column in _REPEATED, help=told)(command)
    return command


def cells(given: Mapping[str, object]) -> dict[str, str]:
    """Return options as the cells of a row; those that were not typed are left out."""
    from registration_core.customer_fields import joined

    return {
        name: joined(value) if isinstance(value, tuple) else str(value)
        for name, value in given.items()
        if value is not None and value != ()
    }


def read(cells: Mapping[str, str], name: str, parse: Callable[[str], Parsed]) -> Parsed:
    """Read one cell; `InvalidInput` names its column."""
    try:
        return parse(cells.get(name, ""))
    except InvalidInput as error:
        raise InvalidInput(error.message, field=name, hint=error.hint) from error


def facts(cells: Mapping[str, str]) -> dict[str, Any]:
    """Return what cells say of a customer, by the names that `Customer` has for it."""
    from registration_core.customer_fields import SEVERAL, several

    def parts(raw: str) -> tuple[str, ...]:
        return several(text(raw, _SEVERAL_MAX))

    return {
        name: read(cells, name, parts if name in SEVERAL else text)
        for name in COLUMNS
        if name in cells
    }
