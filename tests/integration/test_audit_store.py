"""The audit trail: whatever is altered is found, and an erasure leaves it whole."""

from __future__ import annotations

from datetime import timedelta, timezone

import pytest
from sqlalchemy import text

from registration_core import recording, use_cases
from registration_core.model import Actor, Registration
from registration_core.store import audit
from registration_core.store.audit import Break
from registration_core.store.database import Database
from tests.factories import (
    APPROVER,
    NOW,
    SUBMITTER,
    Clock,
    add_partners,
    approve,
    submit,
)

CONTACT = {"contact_name": "Ivy Smith", "contact_email": "ivy.smith@avocet.example"}


@pytest.fixture
def made(database: Database) -> Registration:
    """A registration with three events and personal values, under one checkpoint."""
    add_partners(database, "P1")
    made = submit(database, **CONTACT)
    with database.begin(APPROVER) as unit:
        approve(unit, made)
    with database.begin(SUBMITTER) as unit:
        use_cases.withdraw(unit, made.id)
        audit.checkpoint(unit)
    return made


def _verify(database: Database) -> list[Break]:
    with database.read() as session:
        return audit.verify(session)[1]


def _tamper(database: Database, statement: str, **values: object) -> None:
    """Change rows as somebody would who may drop the triggers."""
    with database.begin() as unit:
        for table in ("audit_event", "audit_checkpoint"):
            if database.engine.dialect.name == "sqlite":
                for verb in ("update", "delete"):
                    unit.session.execute(text(f"DROP TRIGGER IF EXISTS {table}_no_{verb}"))
            else:
                unit.session.execute(text(f"DROP TRIGGER IF EXISTS {table}_append_only ON {table}"))
        changed = unit.session.execute(text(statement), values)
        assert getattr(changed, "rowcount", 0) > 0, "nothing was altered"


def test_an_untouched_trail_verifies_and_counts_its_events(
    database: Database, made: Registration
) -> None:
    with database.read() as session:
        assert audit.verify(session) == (4, [])
        events = audit.events(session, recording.subject_of(made))
    assert [e["action"] for e in events] == ["submit", "approve", "withdraw"]
    assert [e["seq"] for e in events] == [1, 2, 3]
    assert [e["actor"] for e in events] == ["sam", "anna", "sam"]


@pytest.mark.parametrize("seq", [1, 2, 3])
def test_any_altered_byte_of_an_event_is_found(
    database: Database, made: Registration, seq: int
) -> None:
    subject = recording.subject_of(made)
    with database.read() as session:
        body = session.execute(
            text("SELECT body FROM audit_event WHERE subject = :s AND seq = :q"),
            {"s": subject, "q": seq},
        ).scalar_one()
    for place in range(0, len(body), 37):
        other = body[:place] + chr(ord(body[place]) ^ 1) + body[place + 1 :]
        _tamper(
            database, "UPDATE audit_event SET body = :b WHERE subject = :s AND seq = :q",
            b=other, s=subject, q=seq,
        )  # fmt: skip
        assert Break(subject, seq, "the event was changed") in _verify(database), place


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE audit_event SET action = 'x' WHERE {second}", "the event's columns were changed"),
        ("UPDATE audit_event SET at = :later WHERE {second}", "the event's columns were changed"),
        ("UPDATE audit_event SET seq = 9 WHERE {second}", "the event's columns were changed"),
        ("UPDATE audit_event SET subject = 'x' WHERE {second}", "the event's columns were changed"),
        ("UPDATE audit_event SET hash = 'x' WHERE {second}", "the event was changed"),
        ("DELETE FROM audit_event WHERE {first}", "event 1 is missing"),
        ("DELETE FROM audit_event WHERE {second}", "event 2 is missing"),
        ("DELETE FROM audit_event WHERE {third}", "the event of checkpoint 1 is missing"),
        ("DELETE FROM audit_event WHERE subject = :s", "the event of checkpoint 1 is missing"),
        (
            "UPDATE audit_personal SET value = 'Ivy Jones' WHERE name = 'contact_name'",
            "contact_name",
        ),
        ("UPDATE audit_personal SET key = 'x' WHERE name = 'contact_name'", "contact_name"),
        ("UPDATE audit_personal SET seq = 2 WHERE name = 'contact_name'", "contact_name"),
        ("UPDATE audit_personal SET name = 'nick' WHERE name = 'contact_name'", "nick"),
        ("UPDATE audit_checkpoint SET hash = 'x'", "the checkpoint was changed"),
        ("UPDATE audit_checkpoint SET at = :later", "the checkpoint was changed"),
        ("UPDATE audit_checkpoint SET heads = '[]'", "the checkpoint was changed"),
        ("UPDATE audit_checkpoint SET seq = 2", "the checkpoint was changed"),
    ],
)
def test_whatever_is_altered_or_removed_is_found(
    database: Database, made: Registration, statement: str, told: str
) -> None:
    numbered = {
        n: f"subject = :s AND seq = {k}" for k, n in enumerate(("first", "second", "third"), 1)
    }
    values = {"s": recording.subject_of(made), "later": NOW + timedelta(hours=1)}
    wanted = statement.format(**numbered)
    used = {name: value for name, value in values.items() if f":{name}" in wanted}
    _tamper(database, wanted, **used)
    assert any(told in found.what for found in _verify(database))


def test_events_that_changed_places_are_found(database: Database, made: Registration) -> None:
    for old, new in ((2, 90), (3, 2), (90, 3)):
        _tamper(
            database, "UPDATE audit_event SET seq = :new WHERE seq = :old AND subject = :s",
            new=new, old=old, s=recording.subject_of(made),
        )  # fmt: skip
    assert _verify(database)


def test_an_event_that_was_rewritten_with_a_fitting_hash_is_found_by_the_next_one(
    database: Database, made: Registration
) -> None:
    subject = recording.subject_of(made)
    for seq, told in ((2, "does not follow"), (3, "is missing or changed")):
        with database.read() as session:
            body = session.execute(
                text("SELECT body FROM audit_event WHERE subject = :s AND seq = :q"),
                {"s": subject, "q": seq},
            ).scalar_one()
        forged = body.replace('"verified": false', '"verified": true')
        _tamper(
            database, "UPDATE audit_event SET body = :b, hash = :h WHERE subject = :s AND seq = :q",
            b=forged, h=audit._hash(forged), s=subject, q=seq,
        )  # fmt: skip
        assert any(told in found.what for found in _verify(database))


def test_a_checkpoint_covers_every_subject_that_moved_and_is_not_repeated(
    database: Database, made: Registration
) -> None:
    with database.begin() as unit:
        assert audit.checkpoint(unit) == 0
        use_cases.add_partner(unit, code="P2", name="Two", tier="gold", email="")
        assert audit.checkpoint(unit) == 1
    with database.read() as session:
        rows = session.execute(text("SELECT count(*) FROM audit_checkpoint")).scalar_one()
    assert (rows, _verify(database)) == (2, [])
    _tamper(database, "DELETE FROM audit_checkpoint WHERE seq = 1")
    assert Break("checkpoint", 2, "the checkpoint was changed") in _verify(database)


def test_personal_values_are_kept_beside_the_trail_and_not_in_it(
    database: Database, made: Registration
) -> None:
    with database.read() as session:
        bodies = session.execute(text("SELECT body FROM audit_event")).scalars().all()
        kept = session.execute(text("SELECT name, value, key FROM audit_personal")).all()
    assert {row.name: row.value for row in kept} == CONTACT
    assert len({row.key for row in kept}) == 2
    for value in (*CONTACT.values(), "Ivy", *(row.key for row in kept)):
        assert not any(value in body for body in bodies)


def test_an_erasure_takes_values_and_keys_away_and_leaves_the_trail_whole(
    database: Database, made: Registration
) -> None:
    other = submit(database, token="t2", **CONTACT)
    with database.begin(Actor("privacy-desk")) as unit:
        assert audit.erase(unit, recording.subject_of(made)) == 2
        assert audit.erase(unit, recording.subject_of(made)) == 0
    with database.read() as session:
        kept = session.execute(text("SELECT subject FROM audit_personal")).scalars().all()
        assert audit.verify(session) == (7, [])
        last = audit.events(session, recording.subject_of(made))[-1]
    assert set(kept) == {recording.subject_of(other)}
    assert (last["action"], last["actor"]) == ("erase personal data", "privacy-desk")


def test_equal_personal_values_leave_different_digests(
    database: Database, made: Registration
) -> None:
    other = submit(database, token="t2", **CONTACT)
    with database.read() as session:
        first, second = (
            audit.events(session, recording.subject_of(about))[0] for about in (made, other)
        )
    assert first["personal"].keys() == second["personal"].keys() == CONTACT.keys()
    assert not set(first["personal"].values()) & set(second["personal"].values())


def test_an_event_is_part_of_the_transaction_it_tells_of(
    database: Database, made: Registration
) -> None:
    with pytest.raises(RuntimeError):
        _record_and_fail(database)
    with database.read() as session:
        assert audit.verify(session) == (4, [])


def _record_and_fail(database: Database) -> None:
    with database.begin() as unit:
        audit.record(unit, "partner:x", "never", {})
        raise RuntimeError


def test_the_clocks_zone_does_not_matter(database: Database, clock: Clock) -> None:
    clock.now = NOW.astimezone(timezone(timedelta(hours=-5)))
    add_partners(database, "P1")
    with database.begin() as unit:
        audit.checkpoint(unit)
    assert _verify(database) == []
