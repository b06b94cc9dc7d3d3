"""What stands beside a deal in the small world of tests: its mapping, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from connectors.port import ChangePage
from mapping.check import check
from mapping.loader import load
from registration_core import fields
from registration_core.contracts import FieldSchema, FieldType
from registration_core.fields import FieldGroup, members
from registration_core.model import Customer, Registration
from registration_core.store.tables import OutboxRow
from sync import checking
from sync.outcomes import dead_letters
from tests.world import ACCOUNT, CONTACT, DEAL, HOME, ITEM, World

COMPANIONS = """
    companions:
      account:
        object: Account
        key: Key
        fields:
          - {ours: customer_name, theirs: Name}
          - {ours: customer_country, theirs: Country}
      contact:
        object: Contact
        key: Key
        fields:
          - {ours: contact_name, theirs: LastName}
          - {ours: contact_email, theirs: Email}
          - {ours: account, theirs: Account, transform: reference}
      line_item:
        object: Item
        key: Key
        on_create: {Quantity: 1}
        fields:
          - {ours: record, theirs: Deal, transform: reference}
          - {ours: product_line, theirs: Product, transform: {enum: {platform: PLAT}}}
          - {ours: amount, theirs: Price, transform: {money: {scale: 2}}}
    groups:
      details:
        - {ours: contact, theirs: Contact, direction: push, write: on_create, transform: reference}
"""


def text(change: Callable[[str], str] = str) -> str:
    companions = change(COMPANIONS).strip("\n")
    start = World.mapping_text(HOME)
    return start.replace("    groups:", companions, 1).replace("  mirror: *deal", MIRRORED)


MIRRORED = """  mirror:
    object: Deal
    key: Key
    groups:
      name: [{ours: deal_name, theirs: Name}]"""


def use(world: World, change: Callable[[str], str] = str) -> None:
    ours, groups = fields.schema(), {group.value: members(group) for group in FieldGroup}
    mapping = load(text(change), "alpha.yaml", ours, groups)
    schemas = {schema.name: schema for schema in (DEAL, ACCOUNT, CONTACT, ITEM)}
    assert check(mapping, schemas).problems == ()
    world.runtime.mappings[HOME] = mapping  # type: ignore[index]


def approved(
    world: World,
    *,
    email: str = "buyer@fjordkraft.example",
    tax_id: str = "",
    product_line: str = "platform",
) -> Registration:
    registration = world.submit(
        customer=Customer("Fjordkraft Elektro AS", "NO", tax_id=tax_id),
        token=product_line,
        product_line=product_line,
        contact_name="Buyer",
        contact_email=email,
    )
    checking.drain(world.runtime)
    return world.registration(registration.id)


def records(world: World, name: str) -> list[dict[str, object]]:
    return [dict(each.fields) for each in world.orgs[HOME].records(name)]


def made(world: World, name: str) -> list[dict[str, object]]:
    return [each for each in records(world, name) if each["Key"]]


def waits(world: World, registration: Registration) -> str:
    with world.database.read() as session:
        return session.get_one(OutboxRow, (registration.id, HOME)).reason


ORDER = ("Account", "Contact", "Deal", "Item")


def lag(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the account feed tell of no account that we made."""
    door = world.doors[HOME]
    changes = door.changes

    def lagging(object_name: str, names: Sequence[str], cursor: str | None) -> ChangePage:
        page = changes(object_name, [*names, "Key"], cursor)
        told = tuple(each for each in page.records if not each.fields["Key"])
        return replace(page, records=told)

    monkeypatch.setattr(door, "changes", lagging)


def letter(world: World) -> dead_letters.DeadLetter:
    with world.database.read() as session:
        (found,) = dead_letters.dead_letters(session)
    return found


def demand(world: World, object_name: str, *, required: bool) -> None:
    """Let an admin of the CRM require a field that no row fills, or require it no more."""
    org = world.orgs[HOME]
    org.define(object_name, [FieldSchema("Code", FieldType.TEXT)])
    schema = org.schemas[object_name]
    code = replace(schema.fields["Code"], required=required)
    org.schemas[object_name] = replace(schema, fields={**schema.fields, "Code": code})
