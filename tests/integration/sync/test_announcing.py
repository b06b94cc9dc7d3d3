"""People are told of what happens, once, through their channels, and no partner of another party."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from config.settings import SHIPPED_CONFIG_DIR, load_settings
from connectors.errors import ConnectorError
from connectors.memory import MemoryFault
from registration_core import disputing, protecting, use_cases
from registration_core.announcing import Audience
from registration_core.errors import InvalidInput
from registration_core.findings import ReasonCode
from registration_core.store import audit
from registration_core.store.announcements import AnnouncementRow
from sync import rounds, wiring
from sync.announcing import drain, foreseeing
from sync.channels.email import EmailChannel
from sync.channels.port import Message, NoAddress, Undeliverable, Undelivered, Unreachable
from sync.channels.webhook import WebhookChannel
from sync.outcomes import dead_letters
from sync.process import housekeeping, leases
from sync.reports.today import today
from tests.world import ANN, BEN, HOME, START, World


@dataclass
class Pretended:
    """A channel that keeps what it is given, or fails as it is told to."""

    name: str
    audience: Audience
    told: list[Message] = field(default_factory=list)
    failure: Exception | None = None
    #: Fails for this address alone; for all where it is empty.
    fails_for: str = ""

    def deliver(self, message: Message) -> None:
        if self.failure is not None and self.fails_for in message.to:
            raise self.failure
        self.told.append(message)


@pytest.fixture
def partners(world: World) -> Pretended:
    return Pretended("partners", Audience.PARTNER)


@pytest.fixture
def staff(world: World) -> Pretended:
    return Pretended("staff", Audience.STAFF)


@pytest.fixture(autouse=True)
def _channels(world: World, partners: Pretended, staff: Pretended) -> None:
    world.runtime = replace(world.runtime, channels=(partners, staff), expiring_days=(3, 14, 30))


def topics(channel: Pretended) -> list[str]:
    return [message.topic for message in channel.told]


def test_a_partner_is_told_of_receipt_and_decision_once(
    world: World, partners: Pretended, staff: Pretended
) -> None:
    made = world.approved()
    assert drain.drain(world.runtime) == 3
    assert drain.drain(world.runtime) == 0
    assert sorted(topics(partners)) == ["decided", "submitted"]
    assert topics(staff) == ["submitted"]
    decided = next(m for m in partners.told if m.topic == "decided")
    assert decided.subject == f"{made.number}: Approved"
    assert f"It is protected until {made.protection_ends_on}." in decided.text


def test_a_question_and_a_refusal_reach_the_partner_in_partner_safe_words(
    world: World, partners: Pretended
) -> None:
    made = world.submit(tax_id="DE900001")
    with world.database.begin(BEN) as unit:
        use_cases.ask(unit, made.number, "Which site?")
        use_cases.reject(unit, made.number, ReasonCode.VENDOR_ENGAGED, "direct account of Eva")
    drain.drain(world.runtime)
    assert "Which site?" in partners.told[1].text
    assert "We are already engaged" in partners.told[2].text
    assert not any("Eva" in message.text for message in partners.told)


def test_a_dispute_is_told_to_staff_and_to_no_partner(
    world: World, partners: Pretended, staff: Pretended
) -> None:
    made, rules = world.approved(), world.runtime.program("default")
    with world.database.begin(BEN) as unit:
        disputing.open_dispute(unit, made, "another partner, Beta, claims it")
        disputing.decide(unit, made.number, disputing.Verdict.KEEP, "no claim", rules)
    drain.drain(world.runtime)
    assert "dispute opened" in topics(staff)
    assert sorted(topics(partners)) == ["decided", "submitted"]  # of the approval, and no more
    assert not any("Beta" in m.text + str(m.facts) for m in (*partners.told, *staff.told))


def test_what_was_not_committed_is_not_announced(world: World, partners: Pretended) -> None:
    made = world.submit()
    with pytest.raises(InvalidInput):
        _ask_twice(world, made.number)
    drain.drain(world.runtime)
    assert topics(partners) == ["submitted"]


def _ask_twice(world: World, number: str) -> None:
    with world.database.begin(BEN) as unit:
        use_cases.ask(unit, number, "Which site?")
        use_cases.ask(unit, number, "")


def test_an_end_is_announced_at_each_of_the_days_and_anew_after_an_extension(
    world: World, partners: Pretended
) -> None:
    made = world.approved()
    days_before: list[int] = []
    for left in (31, 30, 29, 14, 3, 2):
        world.now = START + timedelta(days=90 - left)
        days_before += [left] * foreseeing.foresee_ends(world.runtime, (3, 14, 30))
    assert days_before == [30, 14, 3]
    with world.database.begin(BEN) as unit:
        protecting.extend(unit, made.number, 1, "asked for")
    assert foreseeing.foresee_ends(world.runtime, (3, 14, 30)) == 1
    with world.database.read() as session:
        events = audit.events(session, f"registration:{made.id}")
    assert sum(event["action"] == "announce the end" for event in events) == 4


def test_an_end_that_was_announced_long_before_is_not_announced_again_after_a_pruning(
    world: World, partners: Pretended
) -> None:
    made = world.approved()
    with world.database.begin(BEN) as unit:
        protecting.extend(unit, made.number, 90, "a long project")
    assert foreseeing.foresee_ends(world.runtime, (365,)) == 1
    drain.drain(world.runtime)
    world.pass_time(100 * 86_400)
    assert housekeeping.prune(world.database)["announcement"] > 0
    assert foreseeing.foresee_ends(world.runtime, (365,)) == 0
    world.pass_time(100 * 86_400)
    housekeeping.prune(world.database)
    with world.database.read() as session:
        assert session.scalars(select(AnnouncementRow)).all() == []


def test_a_protection_ends_by_itself_and_never_silently(
    world: World, partners: Pretended, staff: Pretended
) -> None:
    made = world.approved()
    world.settle()
    assert world.deal(HOME, "Until") == made.protection_ends_on
    held = {name: world.deal(HOME, name) for name in ("Name", "Stage", "Amount", "Close")}
    world.pass_time(91 * 86_400)
    with world.database.begin() as unit:
        protecting.expire_due(unit)
    world.settle()
    assert (world.deal(HOME, "Protection"), world.deal(HOME, "Until")) == ("expired", None)
    assert {name: world.deal(HOME, name) for name in held} == held
    assert world.registration(made.id).protection_ends_on == made.protection_ends_on
    drain.drain(world.runtime)
    assert "expired" in topics(partners)
    assert "expired" in topics(staff)


def test_a_connection_that_fails_again_and_again_is_told_of_once_a_day(
    world: World, staff: Pretended
) -> None:
    world.doors[HOME].fail(MemoryFault.UNAVAILABLE, times=None)
    for _ in range(foreseeing.FAILURES):
        world.pass_time(60)
        with pytest.raises(ConnectorError):
            world.runtime.connectors[HOME].count("Deal", ())
    assert foreseeing.note_trouble(world.runtime) == 1
    assert foreseeing.note_trouble(world.runtime) == 0
    drain.drain(world.runtime)
    (told,) = staff.told
    assert told.subject == f"{HOME} does not work"
    assert "the CRM is down" in told.text


def test_a_channel_that_is_away_is_tried_again_and_the_others_are_not_told_twice(
    world: World, partners: Pretended, staff: Pretended
) -> None:
    second = Pretended("second", Audience.PARTNER, failure=Undelivered("away"))
    world.runtime = replace(world.runtime, channels=(partners, second, staff))
    world.submit()
    drain.drain(world.runtime)
    second.failure = None
    assert drain.drain(world.runtime) == 0  # not before its time
    world.pass_time(60)
    assert "announce" in rounds.tick(world.runtime, lambda kinds: None)
    drain.drain(world.runtime)
    assert len(partners.told) == len(second.told) == 1
    assert partners.told[0].id == second.told[0].id


@pytest.mark.parametrize("failure", [Undelivered("away"), Undeliverable("gone"), KeyError("odd")])
def test_a_channel_that_fails_silences_no_later_one(
    world: World, partners: Pretended, failure: Exception
) -> None:
    broken = Pretended("broken", Audience.PARTNER, failure=failure)
    world.runtime = replace(world.runtime, channels=(broken, partners))
    world.submit()
    drain.drain(world.runtime)
    assert topics(partners) == ["submitted"]


def test_what_one_channel_refuses_and_another_may_take_later_is_still_sent_to_that_one(
    world: World, partners: Pretended
) -> None:
    broken = Pretended("broken", Audience.PARTNER, failure=Undeliverable("gone"))
    partners.failure = Undelivered("away")
    world.runtime = replace(world.runtime, channels=(broken, partners))
    world.submit()
    drain.drain(world.runtime)
    partners.failure = None
    world.pass_time(60)
    drain.drain(world.runtime)
    assert topics(partners) == ["submitted"]
    with world.database.read() as session:
        (letter,) = dead_letters.dead_letters(session)
    assert (letter.connection, letter.reason) == ("broken", "gone")


def test_an_announcement_that_fails_as_nobody_foresaw_is_a_dead_letter_and_the_others_are_sent(
    world: World, staff: Pretended, partners: Pretended
) -> None:
    partners.failure, partners.fails_for = AttributeError("no attribute"), "rep@acme.example"
    with world.database.begin(ANN) as unit:
        use_cases.reach_partner(unit, "ACME", "rep@acme.example")
    world.submit()
    world.submit("DE300", "u", partner_code="BETA")
    for _ in range(drain.ATTEMPTS_MAX):
        drain.drain(world.runtime)
        world.pass_time(drain.LONGEST_WAIT_SECONDS)
    assert topics(staff) == ["submitted", "submitted"]
    assert topics(partners) == ["submitted"]
    with world.database.read() as session:
        (letter,) = dead_letters.dead_letters(session)
    assert letter.reason == "partners: AttributeError, see the log"


def test_a_channel_on_which_nobody_answers_is_waited_for_once_in_a_drain(
    world: World, partners: Pretended, staff: Pretended
) -> None:
    waited: list[str] = []

    class Silent(Pretended):
        def deliver(self, message: Message) -> None:
            waited.append(message.id)
            super().deliver(message)

    silent = Silent("silent", Audience.PARTNER, failure=Unreachable("no answer"))
    world.runtime = replace(world.runtime, channels=(silent, partners, staff))
    for tax_id in ("DE100", "DE200", "DE300"):
        world.submit(tax_id, tax_id)
    drain.drain(world.runtime)
    assert len(waited) == 1
    assert len(partners.told) == len(staff.told) == 3
    silent.failure = None
    world.pass_time(drain.FIRST_WAIT_SECONDS)
    drain.drain(world.runtime)
    assert len(silent.told) == 3


def test_nothing_more_is_sent_once_another_drain_has_the_lease(
    world: World, partners: Pretended
) -> None:
    class Slow(Pretended):
        def deliver(self, message: Message) -> None:
            super().deliver(message)
            world.pass_time(leases.LEASE.total_seconds() + 1)
            with leases.held(world.database, "announce") as other:
                assert other is not None

    slow = Slow("slow", Audience.PARTNER)
    world.runtime = replace(world.runtime, channels=(slow, partners))
    world.submit()
    world.submit("DE300", "u")
    drain.drain(world.runtime)
    assert (len(slow.told), len(partners.told)) == (1, 0)
    world.runtime = replace(world.runtime, channels=(partners,))
    drain.drain(world.runtime)
    assert len(partners.told) == 2


def test_what_a_channel_refuses_for_good_is_a_dead_letter_that_can_be_tried_again(
    world: World, partners: Pretended
) -> None:
    partners.failure = Undeliverable("550 no such mailbox")
    world.submit()
    drain.drain(world.runtime)
    with world.database.read() as session:
        (letter,) = dead_letters.dead_letters(session)
    assert (letter.kind, letter.connection) == ("announce", "partners")
    assert letter.hint.endswith(f"dealreg deadletter retry {letter.id}")
    partners.failure = None
    dead_letters.retry(world.runtime, letter.id, ANN)
    drain.drain(world.runtime)
    assert topics(partners) == ["submitted"]


def test_a_partner_without_an_address_stays_untold_and_the_morning_says_so(
    world: World, partners: Pretended
) -> None:
    partners.failure = NoAddress("No e-mail address is kept of this partner.")
    world.submit()
    drain.drain(world.runtime)
    (line,) = (line for line in today(world.runtime) if line.topic == "partners not told")
    assert (line.count, line.about) == (1, partners.failure.message)


def test_without_a_channel_nothing_waits_for_one(world: World) -> None:
    world.runtime = replace(world.runtime, channels=())
    world.submit()
    drain.drain(world.runtime)
    with world.database.read() as session:
        assert set(session.scalars(select(AnnouncementRow.state))) == {"untold"}


def test_channels_and_days_come_from_the_file_that_an_admin_writes(tmp_path: Path) -> None:
    config = tmp_path / "config"
    skip = shutil.ignore_patterns("*.py", "__pycache__")
    shutil.copytree(SHIPPED_CONFIG_DIR, config, ignore=skip)
    (config / "announcements.yaml").write_text(
        "expiring_days: [14, 3]\n"
        "channels:\n"
        "  mail: {kind: email, audience: partner, url: '${MAIL}', sender: deals@vendor.example}\n"
        "  room: {kind: webhook, audience: staff, url: '${HOOK}', secret: '${KEY}', body: teams}\n"
    )
    environ = {"MAIL": "smtp://mail.example", "HOOK": "https://hook.example", "KEY": "k"}
    home = {"DEALREG_HOME": str(tmp_path), "DEALREG_CONFIG_DIR": str(config)}
    with closing(wiring.build(load_settings(home | environ))) as runtime:
        told = [(type(each), each.name, each.audience) for each in runtime.channels]
        assert told == [
            (EmailChannel, "mail", Audience.PARTNER), (WebhookChannel, "room", Audience.STAFF),
        ]  # fmt: skip
        assert runtime.expiring_days == (3, 14)
