"""What partners get to see through the real doors is the same whatever others own and do.

Hundreds of registrations are taken in and decided twice: in a store where others have accounts, list
entries, registrations and claims on every customer, with a canary in each of their texts, and in one
where nobody else has anything. Commands are typed, announcements are posted over HTTP and the HTTP
door is knocked at. No canary may be in any answer, and both stores have to answer alike.
"""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import requests
from click.testing import CliRunner
from sqlalchemy import select, update

from cli.frame import Frame
from cli.main import root
from cli.processes import bind, web_server
from registration_core import protecting, use_cases
from registration_core.announcing import Audience
from registration_core.model import Actor, Registration
from registration_core.store import account_lists, protection, repository
from registration_core.store.announcements import AnnouncementRow
from registration_core.store.database import Database, UnitOfWork
from registration_core.store.tables import AuditEventRow, RegistrationRow
from sync.announcing import drain
from sync.channels.webhook import BODIES, WebhookChannel
from tests import factories
from tests.integration.others import (
    CANARY,
    FATES,
    HEAD,
    PARTNERS,
    Case,
    disturb,
    draw,
    plant,
    secret,
)
from tests.integration.sync.test_channels import Receiver, receiving
from tests.world import START, World, build
from web import app

CASES = 150
_NUMBER, _TIME = re.compile(r"DR-\w{4}-\w{4}"), re.compile(r"(\d{4}-\d\d-\d\d)[T ]\d\d:[\d:.]+")


class Ticking:
    """A clock that goes on by a millisecond whenever it is looked at, so that ids tell an order."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        """Tell the time."""
        self.now += timedelta(milliseconds=1)
        return self.now


@dataclass
class Seen:
    """Everything that partners got to see."""

    answers: list[Any] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)

    def alike(self) -> list[str]:
        """Return each answer, a number told as its place in the file, and of a time its day."""
        place = {number: f"DR-#{place}" for place, number in enumerate(self.numbers)}
        texts = (_TIME.sub(r"\1", json.dumps(answer)) for answer in self.answers)
        return [_NUMBER.sub(lambda n: place.get(n.group(), n.group()), text) for text in texts]


# --- what becomes of the partner's own ----------------------------------------------------------


def decide(unit: UnitOfWork, case: Case, held: Registration) -> None:
    """Let staff decide as the case says; what they note for themselves is a canary too."""
    number, note = held.number, secret("note", case)
    if case.fate == "review":
        use_cases.review(unit, held, note)
    elif case.fate == "reject":
        use_cases.reject(unit, number, case.reason, note)
    elif case.fate in ("ask", "answer"):
        use_cases.ask(unit, number, "Which quarter do they decide in?")
        if case.fate == "answer":
            use_cases.answer(unit, number, "In the third.")
    elif case.fate == "withdraw":
        use_cases.withdraw(unit, number)
    elif case.fate != "none":
        protection.hold_lock(unit)
        seen = account_lists.state(unit.session)
        factories.approve(unit, held, id=secret("approval", case), lists_seen=seen)
        if case.fate == "extend":
            protecting.extend(unit, number, 5, note)
        elif case.fate == "suspend":
            protecting.suspend(unit, number, note)
        elif case.fate == "cancel":
            protecting.cancel(unit, number, case.reason, note)


# --- the doors ----------------------------------------------------------------------------------


@contextmanager
def commands(world: World, home: Path) -> Iterator[Any]:
    """Type commands on the world's store, by its clock; each returns what it printed."""

    @contextmanager
    def shared(_: Frame) -> Iterator[Any]:
        yield world.database

    runner = CliRunner(env={"DEALREG_HOME": str(home)})
    with mock.patch.object(Frame, "database", shared):
        yield lambda *args: runner.invoke(root, args)


def look(world: World, home: Path, cases: Sequence[Case], *, others: bool) -> Seen:
    """Take the cases in, decide them, and return all that their partners see of it."""
    seen = Seen()
    home.mkdir()
    with ExitStack() as stack:
        typed = stack.enter_context(commands(world, home))
        posted, url = stack.enter_context(receiving())
        channel = WebhookChannel(
            "partners", Audience.PARTNER, url, "s3cret", BODIES["json"], world.database.clock
        )
        world.runtime = replace(world.runtime, channels=(channel,))
        with world.database.begin() as unit:
            for code in PARTNERS:
                use_cases.add_partner(
                    unit, code=code, name=f"Partner {code}", tier="gold", email=""
                )
        if others:
            plant(world, cases)
        _pass(world, timedelta(minutes=1))
        _take_in(typed, home, cases, seen)
        _decide_all(world, cases, seen.numbers, others=others)
        _deliver(world, posted, seen, 0)
        _pass(world, timedelta(days=92))  # what was not extended ends
        protecting.expire_all(world.database)
        _deliver(world, posted, seen, len(posted.got))
        for number in filter(None, seen.numbers):
            for noun in ("registration", "audit"):
                seen.answers.append(typed(noun, "show", number, "--as-partner", "--json").output)
        for number in [n for n in seen.numbers if n][: len(FATES)]:
            for noun in ("registration", "audit"):
                seen.answers.append(typed(noun, "show", number, "--as-partner").output)
    return seen


def _pass(world: World, span: timedelta) -> None:
    clock = world.database.clock
    assert isinstance(clock, Ticking)
    clock.now += span


def _take_in(typed: Any, home: Path, cases: Sequence[Case], seen: Seen) -> None:
    """Import the cases, and type some again, right and wrong, as a partner's staff would."""
    file = home / "deals.csv"
    file.write_text("\n".join([HEAD, *(case.row() for case in cases)]) + "\n")
    told = typed("registration", "import", str(file), "--json")
    rows = json.loads(told.stdout)
    number_at = {row["line"]: row["number"] for row in rows["registered"]}
    seen.numbers = [number_at.get(line, "") for line, _ in enumerate(cases, 2)]
    seen.answers += [rows, typed("registration", "import", str(file)).output]
    case = cases[0]
    for changes in ({}, {"currency": "ZZZ"}, {"partner": "nobody"}, {"close": "2020-01-01"}):
        given = {
            "partner": case.partner, "customer": case.customer, "country": "US",
            "tax-id": case.tax_id, "deal": "Another", "product": "support", "amount": "7000",
            "currency": "USD", "close": "2026-09-30", "token": "again",
        } | changes  # fmt: skip
        options = [part for name, value in given.items() for part in (f"--{name}", value)]
        for _ in range(2):
            answered = typed("registration", "submit", *options, "--json")
            seen.answers.append(answered.output)
            if answered.exit_code == 0:
                number = json.loads(answered.stdout)["number"]
                seen.numbers += [number] if number not in seen.numbers else []


def _decide_all(
    world: World, cases: Sequence[Case], numbers: Sequence[str], *, others: bool
) -> None:
    """Let staff decide every case, and others disturb each before and after."""
    with world.database.begin(Actor(secret("staff"), host=secret("host"))) as unit:
        protection.hold_lock(unit)
        for case, number in zip(cases, numbers, strict=False):
            if number:
                held = repository.registration(unit.session, number, lock=True)
                decide(unit, case, held)
                if others:
                    disturb(unit, case, repository.registration(unit.session, number, lock=True))


def _deliver(world: World, posted: type[Receiver], seen: Seen, before: int) -> None:
    """Post what is due for the partners, and keep what is told of their own registrations."""
    with world.database.begin() as unit:  # all else waits, which costs no time
        own = select(RegistrationRow.id).where(RegistrationRow.number.in_(seen.numbers))
        due = AnnouncementRow.registration_id.in_(own) & (AnnouncementRow.audience == "partner")
        unit.session.execute(update(AnnouncementRow).where(~due).values(state="untold"))
    while drain.drain(world.runtime):
        pass
    for headers, body in posted.got[before:]:
        message = json.loads(body)
        assert headers["X-Dealreg-Id"] == message.pop("id")  # a digest that nobody can read
        seen.answers.append([sorted(headers), message])


def knock(world: World, numbers: Sequence[str]) -> str:
    """Return what the HTTP door answers to somebody without any secret."""
    answers = []
    with bind("127.0.0.1", 0) as listener, web_server(app.build(world.runtime), listener):
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        paths = ["/", "/healthz", "/readyz", "/metrics", "/webhooks", "/registrations"]
        paths += [
            f"/{place}/{number}" for place in ("registrations", "webhooks") for number in numbers
        ]
        with requests.Session() as session:
            session.trust_env = False
            for path in paths:
                for method in ("GET", "POST"):
                    got = session.request(method, base + path, timeout=20)
                    answers.append(f"{method} {got.status_code} {dict(got.headers)} {got.text}")
    return "\n".join(answers)


@contextmanager
def two_worlds(url: str, other_url: str) -> Iterator[tuple[World, World]]:
    """Open the store with others' claims, and the one without."""
    with ExitStack() as stack:
        worlds = []
        for seed, address in enumerate((url, other_url)):
            world = build(address)
            stack.callback(world.runtime.close)
            database = Database(address, Ticking(), random.Random(seed))
            stack.callback(database.close)
            world.runtime = replace(world.runtime, database=database)
            worlds.append(world)
        yield worlds[0], worlds[1]


def see_the_same_whatever_others_have(folder: Path, urls: Sequence[str], count: int) -> None:
    """Fail where anything of others shows, in a text, a count, an order or an identifier."""
    cases = draw(count)
    with two_worlds(*urls) as (crowded, alone):
        seen = look(crowded, folder / "crowded", cases, others=True)
        unseen = look(alone, folder / "alone", cases, others=False)
        text = json.dumps(seen.answers, default=str) + knock(crowded, seen.numbers[:3])
        assert [
            text[max(0, m.start() - 90) : m.end() + 40] for m in re.finditer(CANARY, text)
        ] == []
        assert "87654321" not in text
        assert [
            pair for pair in zip(seen.alike(), unseen.alike(), strict=True) if pair[0] != pair[1]
        ] == []
        for numbers in (seen.numbers, unseen.numbers):
            given = [number for number in numbers if number]
            assert given not in (sorted(given), sorted(given, reverse=True)), "they tell an order"
        with crowded.database.read() as session:
            trail = "".join(session.scalars(select(AuditEventRow.body)))
        assert all(secret(what) in trail for what in ("dispute", "host")), "they were really there"


def stores(migrated_sqlite_url: str, folder: Path) -> tuple[str, str]:
    """Return two stores; one kind is enough, what is shown is the same on both."""
    other = folder / "other.db"
    shutil.copy(Path(migrated_sqlite_url.removeprefix("sqlite:///")), other)
    return migrated_sqlite_url, f"sqlite:///{other}"


def test_partners_see_the_same_through_every_door_whatever_others_have_and_do(
    migrated_sqlite_url: str, tmp_path: Path
) -> None:
    see_the_same_whatever_others_have(tmp_path, stores(migrated_sqlite_url, tmp_path), CASES)
