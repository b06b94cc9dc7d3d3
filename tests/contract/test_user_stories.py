"""A deal that belongs to the user whom a table of territories names, on each stand-in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from connectors.port import RemoteRecord
from registration_core.model import Customer
from sandbox.serving import Running
from sync import push
from sync.ledger.tables import LinkRow
from sync.mappings.connecting import check, check_against_all
from sync.process.runtime import Runtime
from tests.contract.names import NAMES
from tests.contract.peers import Peer, Timepiece
from tests.contract.stories import CONNECTIONS, approved, at_home_in
from tests.contract.test_users import PEOPLE, hire, let_go

USER = """\
    companions:
      user:
        email: {ours: customer_country, transform: {enum: {NO: ADDRESS}}}
    groups:
"""
REFERS = """\
      owner:
        - {ours: user, theirs: OWNER, direction: push, write: on_create, transform: reference}
"""


@pytest.fixture(params=CONNECTIONS)
def crm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def address(crm: str) -> str:
    return f"oslo.{crm}@vendor.example"


@pytest.fixture
def runtime(
    crm: str,
    address: str,
    tmp_path: Path,
    running: Running,
    sqlite_template: Path,
    timepiece: Timepiece,
) -> Iterator[Runtime]:
    def change(text: str) -> str:
        text = text.replace("    groups:\n", USER.replace("ADDRESS", address), 1)
        return text.replace("      owner:\n", REFERS.replace("OWNER", PEOPLE[crm].owner), 1)

    with at_home_in(crm, tmp_path, running, sqlite_template, timepiece, change) as built:
        yield built


def owners(runtime: Runtime, crm: str) -> Mapping[str, object]:
    """Who has the deals that were made in the home, by registration."""
    names, owner = NAMES[crm], PEOPLE[crm].owner
    with runtime.database.read() as session:
        made = select(LinkRow).where(LinkRow.connection == CONNECTIONS[crm])
        links = {link.record_id: link.registration_id for link in session.scalars(made)}
    found = runtime.connector(CONNECTIONS[crm]).read(names.object, list(links), [owner])
    assert all(isinstance(each, RemoteRecord) for each in found.values())
    return {links[i]: each.fields[owner] for i, each in found.items()}  # type: ignore[union-attr]


def test_a_deal_waits_for_its_user_and_is_made_for_them(
    runtime: Runtime, remote: Callable[[str], Peer], crm: str, address: str, timepiece: Timepiece
) -> None:
    connection, peer = CONNECTIONS[crm], remote(crm)
    (unknown,) = check_against_all(runtime, connection).problems
    assert f"no active user of {connection} has the e-mail address {address}" in unknown.what
    deal = approved(runtime, Customer("Sundnes Mekaniske", "NO"))
    push.drain(runtime, connection)
    assert owners(runtime, crm) == {}

    user = hire(peer, PEOPLE[crm], address)
    try:
        assert all(item.ok for item in check(runtime, connection))
        timepiece.skip(timedelta(minutes=6))
        push.drain(runtime, connection)
        assert owners(runtime, crm) == {deal.id: user}
    finally:
        let_go(peer, PEOPLE[crm], user)
