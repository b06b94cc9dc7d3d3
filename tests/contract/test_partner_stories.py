"""The partner's own account, made once for its deals and contacts, on each stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from registration_core.model import Customer
from sandbox.serving import Running
from sync import push
from sync.process.runtime import Runtime
from tests.contract.names import NAMES
from tests.contract.peers import Timepiece
from tests.contract.stories import CONNECTIONS, approved, at_home_in
from tests.contract.test_companion_stories import keyed
from tests.contract.test_companions import BESIDE

PARTNER = """\
    companions:
      contact:
        object: {names.contact}
        key: {key}
        fields:
          - {{ours: contact_name, theirs: {names.last_name}}}
          - {{ours: contact_email, theirs: {names.email}}}
          - {{ours: partner, theirs: {names.of_account}, transform: reference}}
      partner:
        object: {names.account}
        key: {key}
        fields:
          - {{ours: partner_name, theirs: {names.account_name}}}
    groups:
      details:
        - {{ours: contact, theirs: {names.deal_contact}, direction: push, write: on_create, transform: reference}}
"""


@pytest.fixture(params=CONNECTIONS)
def crm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def runtime(
    crm: str, tmp_path: Path, running: Running, sqlite_template: Path, timepiece: Timepiece
) -> Iterator[Runtime]:
    def change(text: str) -> str:
        partner = PARTNER.format(names=BESIDE[crm], key=NAMES[crm].key)
        companions, _, row = partner.partition("      details:\n")
        text = text.replace("    groups:\n", companions, 1)
        return text.replace("      details:\n", f"      details:\n{row}", 1)

    with at_home_in(crm, tmp_path, running, sqlite_template, timepiece, change) as built:
        yield built


def test_a_partner_is_made_before_its_contact(runtime: Runtime, running: Running, crm: str) -> None:
    names, connection = BESIDE[crm], CONNECTIONS[crm]
    objects = (names.account, names.contact, NAMES[crm].object)
    before = {name: set(keyed(running, crm, name)) for name in objects}
    approved(runtime, Customer("Brattholm Verft", "NO"))
    push.drain(runtime, connection)
    after = {name: set(keyed(running, crm, name)) - before[name] for name in objects}
    assert {name: len(ids) for name, ids in after.items()} == dict.fromkeys(objects, 1)
    (partner,), (contact,) = after[names.account], after[names.contact]
    assert keyed(running, crm, names.account)[partner][names.account_name] == "Acme Partners"
    read = runtime.connector(connection).read(names.contact, [contact], [names.of_account])
    assert read[contact].fields == {names.of_account: partner}  # type: ignore[union-attr]
