"""What operators do to processes at work: the kill switch without a queue, reloads, new versions.

The processes of the Procfile, real servers and the sandbox over HTTPS.
"""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from signal import SIGHUP, SIGTERM
from urllib.parse import urlsplit

import pytest
import redis
from ruamel.yaml import YAML
from sqlalchemy import func, select, text

from benchmarks.stand import CRMS, HUBSPOT, Stand, opened, wait_until
from cli.demo.stage import DEALREG
from config import connections
from registration_core.store.tables import OutboxRow
from tests.process.work import COMMANDS, Load, differences, running

#: The switch is in force within so many seconds, and the batch in flight.
IN_FORCE_SECONDS = 5.0
#: How long each call takes while the switch is thrown.
ANSWER_SECONDS = 1.0
ENDED_WITHIN_SECONDS, AGREED_WITHIN_SECONDS = 60.0, 120.0

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with opened("postgresql", {}, poll_seconds=2) as made:
        made.webhooks(on=False)
        yield made


@pytest.fixture(scope="module")
def load(stand: Stand) -> Load:
    return Load(stand, random.Random(1))


def dealreg(stand: Stand, *line: str) -> subprocess.CompletedProcess[str]:
    """Type a command as an operator on one of the machines."""
    return subprocess.run(
        [*DEALREG, *line], env=stand.stage.environ, capture_output=True, text=True, check=False
    )


def all_calls(stand: Stand) -> int:
    return sum(stand.calls(crm) for crm in CRMS)


@contextmanager
def queue_away(stand: Stand) -> Iterator[None]:
    """Take Redis away: whoever is connected is cut off, and nobody gets through."""
    door = Path(urlsplit(stand.redis_url).path)
    with redis.Redis.from_url(stand.redis_url) as boss:
        boss.ping()
        door.rename(door.with_suffix(".away"))
        boss.client_kill_filter(_type="normal", skipme=True)
    try:
        yield
    finally:
        door.with_suffix(".away").rename(door)


@contextmanager
def slow(stand: Stand) -> Iterator[None]:
    for crm in CRMS:
        stand.control("POST", f"/crms/{crm}/faults", {"kind": "slow", "seconds": ANSWER_SECONDS})
    try:
        yield
    finally:
        for crm in CRMS:
            stand.control("DELETE", f"/crms/{crm}/faults")


def last_call(stand: Stand) -> datetime:
    """Return when the last call came that any CRM has answered."""
    answered = [stand.control("GET", f"/crms/{crm}/requests?last=1")["requests"] for crm in CRMS]
    return max(datetime.fromisoformat(each["at"]) for [each] in answered)


@contextmanager
def changing(stand: Stand, load: Load) -> Iterator[None]:
    """Change every registration again and again, so that no worker ever runs out of work."""
    over = threading.Event()

    def change() -> None:
        amount = Decimal(200_000)
        while not over.wait(0.3):
            amount += 1
            stand.change(load.ids, amount)
            load.amounts |= dict.fromkeys(load.ids, amount)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_the_switch_is_in_force_at_once_while_the_queue_is_away(stand: Stand, load: Load) -> None:
    with running(stand, ("clock", "worker-1")):
        with slow(stand), changing(stand, load):
            before = all_calls(stand)
            wait_until(lambda: all_calls(stand) > before + 2, "the first calls", 60)
            with queue_away(stand):
                before = all_calls(stand)
                wait_until(lambda: all_calls(stand) > before + 1, "calls without the queue", 20)
                stopped = dealreg(stand, "stop", "--reason", "wrong stage map")
                since = datetime.now(UTC)
                assert stopped.returncode == 0, stopped.stderr
                time.sleep(ANSWER_SECONDS * 1.5)
                calls = all_calls(stand)
                time.sleep(ANSWER_SECONDS * 3)
                assert all_calls(stand) == calls
                assert (last_call(stand) - since).total_seconds() < IN_FORCE_SECONDS
                assert stand.due() > 0
        assert dealreg(stand, "resume", "--yes").returncode == 0
        agrees(stand, load)


def test_a_new_version_and_new_files_are_taken_over_to_by_workers_under_load(
    stand: Stand, load: Load
) -> None:
    with running(stand, ("clock", "worker-1")) as processes:
        step(load, 5)
        agrees(stand, load)  # so both have started
        with upgraded(stand):
            step(load, 10)
            old = subprocess.run(
                COMMANDS["worker-2"], env=stand.stage.environ, capture_output=True, text=True,
                check=False,
            )  # fmt: skip
            assert (old.returncode, "start that one" in old.stderr) == (1, True)
            agrees(stand, load)
        step(load, 10)
        processes.start("worker-2")
        step(load, 10)
        processes.tell("worker-1", SIGTERM)
        step(load, 20)
        assert processes.ended("worker-1", ENDED_WITHIN_SECONDS) == 0
        agrees(stand, load)

        with lowered(stand, HUBSPOT):
            processes.tell("worker-2", SIGHUP)
            recorded = lambda: observed(stand, load, HUBSPOT)  # noqa: E731
            wait_until(recorded, "the lower mode", AGREED_WITHIN_SECONDS, look=1.0)
        processes.tell("worker-2", SIGHUP)
        step(load, 10)
        agrees(stand, load)


def step(load: Load, times: int) -> None:
    for _ in range(times):
        load.step()
        time.sleep(0.05)


def agrees(stand: Stand, load: Load) -> None:
    """Wait until all hold what was last done to each registration; one that is doubled raises."""
    wait_until(
        lambda: differences(stand, load) == [], "everything agrees", AGREED_WITHIN_SECONDS, look=0.3
    )


@contextmanager
def lowered(stand: Stand, crm: str) -> Iterator[None]:
    """Let the file say that nothing may be written to a CRM, but only recorded."""
    file, yaml = Path(stand.stage.environ["DEALREG_CONFIG_DIR"]) / connections.FILE_NAME, YAML()
    before = file.read_bytes()
    described = yaml.load(before)
    described["connections"][crm]["modes"]["registrations"] = "observe"
    yaml.dump(described, file)
    try:
        yield
    finally:
        file.write_bytes(before)


def observed(stand: Stand, load: Load, crm: str) -> bool:
    """Change something, and say whether a write of it to this CRM was only recorded."""
    load.step()
    waiting = select(func.count()).select_from(OutboxRow)
    waiting = waiting.where(OutboxRow.connection == crm, OutboxRow.state == "observed")
    with stand.runtime.database.read() as session:
        return bool(session.scalar(waiting))


@contextmanager
def upgraded(stand: Stand) -> Iterator[None]:
    """Bring the tables to a later version, which adds a column and a table; and then back."""
    engine = stand.runtime.database.engine
    with engine.begin() as connection:
        now = connection.scalar(text("SELECT version_num FROM alembic_version"))
        connection.execute(text("ALTER TABLE registration ADD COLUMN later TEXT"))
        connection.execute(text("CREATE TABLE later (id TEXT PRIMARY KEY)"))
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE registration DROP COLUMN later"))
            connection.execute(text("DROP TABLE later"))
            connection.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": now})
