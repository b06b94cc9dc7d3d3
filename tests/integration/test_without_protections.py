"""Take one protection of the check away, and a test of it fails: each in turn, by name.

A protection whose removal goes unnoticed is not tested. Nothing in the product knows of this: the
replacement is put in by its import path, for one run of the tests that should notice.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from registration_core import announcing, finding_claims, partner_view
from registration_core.errors import AlreadyProtected, CheckNotUsable
from registration_core.findings import FindingKind
from registration_core.ids import Ids
from registration_core.model import Finding, Reading, Registration
from registration_core.store import announcements, audit, protection
from registration_core.store.database import Database
from sync.announcing import wording
from tests.factories import (
    APPROVER,
    CONNECTIONS,
    NOW,
    add_partners,
    approve,
    at_once,
    customer,
    stored,
    submit,
)
from tests.integration import test_partner_doors as doors
from tests.unit.registration_core import test_finding_kinds as kinds
from tests.unit.registration_core import test_partner_view as leaks


def _noticed(test: Callable[[], object]) -> bool:
    """Whether a test fails."""
    try:
        test()
    except (AssertionError, ValueError, pytest.fail.Exception):
        return True
    return False


@pytest.mark.parametrize("kind", FindingKind)
def test_a_kind_that_is_not_found_any_more_is_noticed(kind: FindingKind) -> None:
    def without(*args: Any) -> tuple[Finding, ...]:
        return tuple(f for f in finding_claims.find_claims(*args) if f.kind is not kind)

    def witness() -> None:
        kinds.test_every_kind_is_found_and_says_what_follows_from_it(kind)

    assert not _noticed(witness)
    with mock.patch.object(kinds, "find_claims", without):
        assert _noticed(witness)


@pytest.mark.parametrize("field", ["deal_name", "amount", "message"])
def test_a_leak_in_any_place_of_the_partners_view_is_noticed(field: str) -> None:
    def leaking(held: Registration) -> partner_view.PartnerView:
        internal = {
            "deal_name": held.deal_name, "amount": held.amount, "message": held.customer_id,
        }  # fmt: skip
        view = partner_view.partner_view(held)
        return type(view)(**{**vars(view), field: internal[field]})

    with mock.patch.object(leaks, "partner_view", leaking), mock.patch.object(leaks, "CASES", 3):
        assert _noticed(leaks.test_a_partner_sees_the_same_whatever_is_others_in_10_000_cases)


# --- the doors of partners ----------------------------------------------------------------------


@contextlib.contextmanager
def _as_a_rep_typed_it() -> Iterator[None]:
    """Show of a deal what stands in the CRM, and not what the partner registered."""
    shown = partner_view.partner_view

    def leaking(held: Registration) -> partner_view.PartnerView:
        return shown(replace(held, registered={}))

    with (
        mock.patch.object(partner_view, "partner_view", leaking),
        mock.patch.object(announcing, "partner_view", leaking),
    ):
        yield


@contextlib.contextmanager
def _the_whole_trail() -> Iterator[None]:
    """Show partners what is recorded for staff."""
    record = audit.record

    def leaking(unit: Any, subject: str, action: str, internal: Any, **more: Any) -> None:
        record(unit, subject, action, internal, **{**more, "partner": internal})

    with mock.patch.object(audit, "record", leaking):
        yield


@contextlib.contextmanager
def _every_announcement() -> Iterator[None]:
    """Tell partners of what only staff is told: that somebody contests a claim."""
    announce = announcements.announce_action

    def leaking(*args: Any, to_partner: bool) -> None:
        announce(*args, to_partner=True)

    everybody = {topic: tuple(announcing.Audience) for topic in announcing.AUDIENCES}
    with (
        mock.patch.object(announcements, "announce_action", leaking),
        mock.patch.dict(announcing.AUDIENCES, everybody),
        mock.patch.dict(wording._PARTNER, {**wording._STAFF, **wording._PARTNER}),
    ):
        yield


@contextlib.contextmanager
def _numbers_that_count() -> Iterator[None]:
    """Number registrations one after the other, others' included."""
    numbers = (f"DR-{counted:04}-0000" for counted in itertools.count())
    with mock.patch.object(Ids, "number", side_effect=lambda: next(numbers)):
        yield


LEAKS = (_as_a_rep_typed_it, _the_whole_trail, _every_announcement, _numbers_that_count)


@pytest.mark.parametrize("leak", [contextlib.nullcontext, *LEAKS])
def test_a_leak_through_a_door_of_partners_is_noticed(
    migrated_sqlite_url: str, tmp_path: Path, leak: Callable[[], AbstractContextManager[None]]
) -> None:
    urls = doors.stores(migrated_sqlite_url, tmp_path)
    with leak():
        noticed = _noticed(lambda: doors.see_the_same_whatever_others_have(tmp_path, urls, 12))
    assert noticed is (leak in LEAKS)


# --- the freshness gate -------------------------------------------------------------------------

UNREAD = tuple(Reading(name, False, None, "no answer") for name in CONNECTIONS)
OLD = tuple(Reading(name, True, NOW.replace(hour=1)) for name in CONNECTIONS)


def _refuses(database: Database, readings: Iterable[Reading]) -> None:
    made = submit(database, token=f"{readings}"[:99])
    with pytest.raises(CheckNotUsable), database.begin(APPROVER) as unit:
        approve(unit, made, readings=tuple(readings))


@pytest.mark.parametrize("readings", [UNREAD, OLD], ids=["unread", "stale"])
def test_an_approval_that_does_not_ask_how_fresh_and_complete_its_check_is_is_noticed(
    database: Database, readings: tuple[Reading, ...]
) -> None:
    add_partners(database, "P1")
    _refuses(database, readings)
    with mock.patch("registration_core.use_cases.require_usable"):
        assert _noticed(lambda: _refuses(database, readings))


# --- the lock -----------------------------------------------------------------------------------


def _typed_twice(database: Database) -> tuple[Registration, Registration]:
    """Submit one customer under two spellings; no index of claims can tell that it is one."""
    add_partners(database, "P1", "P2")
    return (
        submit(database, "P1", customer=customer(name="Kestrel Avionics", website="")),
        submit(database, "P2", customer=customer(name="Kestrel Avionic", website="")),
    )


def _approve_both_at_once(database: Database, first: Registration, second: Registration) -> None:
    both_looked = threading.Barrier(2)
    look = protection._perhaps_the_same

    def slowly(*args: Any) -> Any:
        found = look(*args)
        with contextlib.suppress(threading.BrokenBarrierError):  # the lock let only one in
            both_looked.wait(0.5)
        return found

    def one(n: int) -> str:
        try:
            with database.begin(APPROVER) as unit:
                approve(unit, (first, second)[n])
        except AlreadyProtected:
            return "refused"
        return "protected"

    with mock.patch("registration_core.store.protection._perhaps_the_same", slowly):
        words, errors = at_once(2, one)
    assert errors == []
    assert sorted(words) == ["protected", "refused"]
    assert [stored(database, r).protection_state.standing for r in (first, second)].count(True) == 1


#: Where the lock is a row; on SQLite the write transaction itself is the lock.
ON_POSTGRES = pytest.mark.parametrize("migrated_url", ["postgres"], indirect=True)


@ON_POSTGRES
def test_two_approvals_at_once_are_kept_apart_by_the_lock(database: Database) -> None:
    _approve_both_at_once(database, *_typed_twice(database))


@ON_POSTGRES
def test_an_approval_that_takes_no_lock_is_noticed(database: Database) -> None:
    made = _typed_twice(database)
    with mock.patch("registration_core.store.protection.hold_lock"):
        assert _noticed(lambda: _approve_both_at_once(database, *made))


def test_the_look_for_the_same_customer_under_another_name_is_noticed(database: Database) -> None:
    first, second = _typed_twice(database)
    with database.begin(APPROVER) as unit:
        approve(unit, first)

    def second_is_refused() -> None:
        with pytest.raises(AlreadyProtected), database.begin(APPROVER) as unit:
            approve(unit, second)

    assert not _noticed(second_is_refused)
    with mock.patch("registration_core.store.protection._perhaps_the_same", return_value=[]):
        assert _noticed(second_is_refused)
