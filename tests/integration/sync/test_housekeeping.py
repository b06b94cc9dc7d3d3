"""What is too old goes, what a decision rests on stays, and a person can be erased."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import func, inspect, select, text

from connectors.memory import MemoryFault
from registration_core.errors import InvalidInput
from registration_core.matching import Organisation
from registration_core.model import Customer
from registration_core.store import audit, erasure, match_index, repository
from registration_core.store.tables import ConflictCheckRow, RegistrationRow
from sync import checking, push
from sync.ledger.tables import DeadLetterRow, IntentRow, LinkRow, SyncRunRow
from sync.process import housekeeping
from tests.factories import account
from tests.world import ANN, HOME, MIRROR, World

YEAR = 365 * 86_400
MAIL, NAME = "jo.sample@nordhafen.example", 'Jo "the boss" Sämple'


def count(world: World, table: type) -> int:
    with world.database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_settled_writes_and_runs_go_after_ninety_days_and_the_deal_stays(world: World) -> None:
    made = world.approved()
    world.settle()
    assert count(world, IntentRow) == 2
    assert not any(housekeeping.prune(world.database).values())

    world.pass_time(YEAR)
    deleted = housekeeping.prune(world.database)
    assert deleted["intent"] == 2
    assert count(world, IntentRow) == count(world, SyncRunRow) == 0
    assert count(world, LinkRow) == 2
    assert count(world, ConflictCheckRow) == 1  # complete: a decision rests on it
    assert world.registration(made.id).number == made.number


def test_a_write_without_an_answer_is_never_pruned(world: World) -> None:
    world.approved()
    world.doors[HOME].fail(MemoryFault.ANSWER_LOST, "create")
    push.drain(world.runtime, HOME)
    world.pass_time(YEAR)
    housekeeping.prune(world.database)
    with world.database.read() as session:
        assert {i.state for i in session.scalars(select(IntentRow))} == {"pending"}


def test_incomplete_checks_go_but_for_the_newest(world: World) -> None:
    world.doors[MIRROR].fail(MemoryFault.UNAVAILABLE, times=None)
    world.submit()
    for _ in range(3):
        world.pass_time(3600)
        checking.drain(world.runtime)
    before = count(world, ConflictCheckRow)
    world.pass_time(YEAR)
    assert housekeeping.prune(world.database)["conflict_check"] == before - 1
    assert count(world, ConflictCheckRow) == 1


def test_an_erased_contact_is_found_in_no_table_and_the_audit_still_verifies(world: World) -> None:
    made = world.submit(contact_name=NAME, contact_email=MAIL)
    with world.database.begin(ANN) as unit:
        unit.session.add(
            DeadLetterRow(
                id=unit.ids.new(), kind="push", connection=HOME, registration_id=made.id,
                object="Deal", record_id=None, payload={"Contact": NAME, "Mail": MAIL.upper()},
                code="x", reason=f"{MAIL} is not taken", hint="", state="open",
                created_at=unit.now, settled_at=None,
            )
        )  # fmt: skip
    assert found(world) != set()

    with world.database.begin(ANN) as unit:
        rows = erasure.erase(unit, [MAIL, NAME])
    assert {"registration", "dead_letter", "audit_personal"} <= rows.keys()
    assert found(world) == set()
    with world.database.read() as session:
        assert audit.verify(session)[1] == []
        letter = session.scalars(select(DeadLetterRow)).one()
        assert letter.payload == {"Contact": "[erased]", "Mail": "[erased]"}
        assert repository.registration(session, made.id).contact_email == "[erased]"
        assert session.scalars(select(RegistrationRow.deal_name)).one() == made.deal_name


PHONES = [
    "+49 40 123 456 78", "0049 (40) 123.456.78", "040/12345678", "+494012345678", "(040) 1234 5678 ext. 9",
]  # fmt: skip


@pytest.mark.parametrize("typed", PHONES)
@pytest.mark.parametrize("asked", PHONES[:3])
def test_an_erased_phone_is_found_in_no_way_that_it_is_written_in_and_by_no_key(
    world: World, typed: str, asked: str
) -> None:
    world.orgs[HOME].add("Account", {"Name": "Nordhafen Logistik", "Country": "DE"})
    org = Customer("Nordhafen Logistik", "DE", phone=typed, postcode="20457")
    first = world.approved(customer=org)
    second = world.approved(customer=org, token="t2", partner_code="BETA")
    with world.database.begin(ANN) as unit:
        repository.put_accounts(unit.session, [account(phone=typed, name="Nordhafen")])
        unit.session.add(
            DeadLetterRow(
                id=unit.ids.new(), kind="push", connection=HOME, registration_id=first.id,
                object="Deal", record_id=None, payload={"Phone": typed, "Amount": "7 of 12345679"},
                code="x", reason="", hint="", state="open", created_at=unit.now, settled_at=None,
            )
        )  # fmt: skip
    wanted = Organisation("Somebody Else", phone=typed)
    with world.database.read() as session:
        assert match_index.search_registrations(session, wanted) != []
        assert match_index.search(session, wanted) != []
        (rival, *_) = repository.last_check(session, second.id).findings  # type: ignore[union-attr]
    assert "phone +" in rival.evidence["for"]

    with world.database.begin(ANN) as unit:
        rows = erasure.erase(unit, [asked])

    assert {"account", "audit_personal", "conflict_check", "registration"} <= rows.keys()
    with world.database.read() as session:
        assert match_index.search_registrations(session, wanted) == []
        assert match_index.search(session, wanted) == []
        names = inspect(session.connection()).get_table_names()
        dumps = "".join(str(session.execute(text(f'SELECT * FROM "{n}"')).all()) for n in names)  # noqa: S608
        assert audit.verify(session)[1] == []
        assert repository.registration(session, first.id).customer.name == org.name
    assert "12345678" not in re.sub(r"[ ()./-]", "", dumps)
    assert "7 of 12345679" in dumps


def test_an_erased_customer_is_found_by_no_key_of_its_name(world: World) -> None:
    world.submit(customer=Customer("Jo Sämple", "DE", aliases=("Sämple Trading",)))
    with world.database.begin(ANN) as unit:
        erasure.erase(unit, ["jo sämple", "Sämple Trading"])
    with world.database.read() as session:
        for name in ("Jo Sämple", "Sämple Trading"):
            assert match_index.search_registrations(session, Organisation(name)) == []
        keys = str(session.execute(text("SELECT value FROM customer_key")).all())
    assert "sample" not in keys


def found(world: World) -> set[str]:
    """Return the tables that hold the person, read as plain text."""
    with world.database.read() as session:
        names = inspect(session.connection()).get_table_names()
        dumps = {n: str(session.execute(text(f'SELECT * FROM "{n}"')).all()).lower() for n in names}  # noqa: S608
    return {name for name, dump in dumps.items() if MAIL in dump or "sämple" in dump}


def test_a_text_too_short_to_mean_one_person_is_refused(world: World) -> None:
    with world.database.begin(ANN) as unit, pytest.raises(InvalidInput, match="too short"):
        erasure.erase(unit, ["Jo"])
