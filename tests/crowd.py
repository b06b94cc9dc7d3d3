"""Very many deals at once, straight into the store: alike, linked, and agreed with their CRMs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import insert

from mapping.translate import to_crm, to_store
from registration_core import crm_changes
from registration_core.contracts import ConnectionName, Fields
from registration_core.model import Registration
from registration_core.store import repository
from registration_core.store.tables import OutboxRow, RegistrationRow
from sync.ledger.tables import LinkRow
from tests.world import HOME, MIRROR, World

#: Deals that are put into the store in one commit.
ROWS = 10_000


def fields_of(world: World, registration_id: str, connection: ConnectionName) -> Fields:
    """Return what a CRM holds of a registration that agrees, in the CRM's own names."""
    mapping = world.runtime.mappings[connection].objects["home"]
    deal = world.registration(registration_id)
    with world.database.read() as session:
        partner = repository.partner_by_id(session, deal.partner_id)
    program = world.runtime.program(deal.program)
    ours = crm_changes.canonical(deal, connection, program, partner)
    written = to_crm(mapping, ours, creating=True).fields
    return {name: written.get(name) for name in mapping.reads()}


def add(
    world: World,
    made: Registration,
    count: int,
    places: Mapping[ConnectionName, Callable[[int, str], str]],
) -> None:
    """Add so many approved deals like one that was made.

    `places` holds the connections that each is linked in: given a number and a registration's
    id, what to call its record there.
    """
    with world.database.read() as session:
        row = session.get_one(RegistrationRow, made.id)
        like = {c.key: getattr(row, c.key) for c in RegistrationRow.__mapper__.column_attrs}
    bases = {name: _base(world, made.id, name) for name in places}
    for start in range(0, count, ROWS):
        numbers = range(start, min(start + ROWS, count))
        keys = {number: world.database.ids.new() for number in numbers}
        with world.database.begin() as unit:
            unit.session.execute(insert(RegistrationRow), [
                {**like, "id": key, "number": f"DR-{number:08d}", "token": key,
                 "receipt_seq": 1_000_000 + number}
                for number, key in keys.items()
            ])  # fmt: skip
            for name, place in places.items():
                links = list(_links(world, name, place, bases[name], keys))
                unit.session.execute(insert(LinkRow), links)
                unit.session.execute(
                    insert(OutboxRow), [_done(world, name, k) for k in keys.values()]
                )


def both(world: World, count: int) -> None:
    """Add so many deals that both CRMs of the world hold."""

    def place(name: ConnectionName) -> Callable[[int, str], str]:
        org, held = world.orgs[name], fields_of(world, made.id, name)
        key = world.runtime.mappings[name].objects["home"].key
        return lambda _, registration_id: org.add("Deal", {**held, key: registration_id}, org.us)

    made = world.approved()
    add(world, made, count, {name: place(name) for name in (HOME, MIRROR)})


def _base(world: World, registration_id: str, connection: ConnectionName) -> Fields:
    mapping = world.runtime.mappings[connection].objects["home"]
    return to_store(mapping, fields_of(world, registration_id, connection)).fields


def _links(
    world: World,
    connection: ConnectionName,
    place: Callable[[int, str], str],
    base: Fields,
    keys: Mapping[int, str],
) -> Iterator[dict[str, Any]]:
    version = world.runtime.mappings[connection].version
    for number, key in keys.items():
        yield {
            "id": world.database.ids.new(), "registration_id": key, "connection": connection,
            "object": "Deal", "record_id": place(number, key), "role": "primary",
            "state": "active", "base": {**base, "registration_id": key},
            "mapping_version": version, "remote": None, "remote_version": None, "restore": None,
            "repeats": {}, "version": 1, "created_at": world.now, "changed_at": world.now,
            "converted_at": None, "reason": "",
        }  # fmt: skip


def _done(world: World, connection: ConnectionName, registration_id: str) -> dict[str, Any]:
    return {
        "registration_id": registration_id, "connection": connection, "wanted": 1, "done": 1,
        "reason": "", "state": "open", "attempts": 0, "due_at": world.now, "changed_at": world.now,
    }  # fmt: skip
