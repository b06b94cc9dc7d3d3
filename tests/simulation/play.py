"""The cast of a story: workers, clock, webhooks, CRM users, store users, admins; and the healing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import cache

from prometheus_client import CollectorRegistry
from sqlalchemy import select

from connectors.deliveries import ChangeNotice
from connectors.errors import ConnectorError
from mapping.loader import load
from mapping.schema import ConnectionMapping
from registration_core import fields, use_cases
from registration_core.contracts import ConnectionName, Mode
from registration_core.fields import FieldGroup, members
from registration_core.model import Registration
from registration_core.store import repository
from registration_core.store.database import StoreUnavailable
from sync import checking, clock, pull, push, receiving, runs
from sync.ledger.inbox import Notice, take_note
from sync.ledger.tables import ConnectionStateRow
from sync.mappings import schema_watch
from sync.outcomes import dead_letters
from sync.process.runtime import Runtime
from sync.runs import REREAD_SECONDS
from sync.traffic.connection_state import REFUSED_PAUSE_SECONDS
from sync.traffic.guard import CallMetrics, GuardedConnector
from tests import world
from tests.simulation.cases import CRMS, Act
from tests.simulation.org import SimOrg
from tests.simulation.people import CUSTOMERS, People
from tests.simulation.scheduler import Actor, Killed
from tests.simulation.stage import SimDatabase, Stage
from tests.simulation.truth import Token
from tests.simulation.vendors import SimConnector

#: How often a connection is polled in a story.
POLL_SECONDS = 15
#: Groups whose winner a story may draw.
_GROUPS = {
    "name": FieldGroup.NAME,
    "amount": FieldGroup.AMOUNT,
    "close": FieldGroup.CLOSE,
    "stage": FieldGroup.STAGE,
}


#: From a user's edit to agreement, or to being told: two polls, a tick, and the feeds' lag.
CALM_SECONDS = 2 * POLL_SECONDS + 8 + 12


@cache
def mapping_of(name: str) -> ConnectionMapping:
    """Return a connection's mapping; read once, because reading YAML takes long."""
    groups = {group.value: members(group) for group in FieldGroup}
    text = world._MAPPING.format(name=name)
    if name == "beta":  # a CRM that keeps less: names are cut, amounts have no decimals
        text = text.replace(
            "theirs: Name, direction: both}", "theirs: Name, direction: both, transform: %s}"
        )
        text = text.replace("%s", "{text: {max: 20}}").replace("scale: 2", "scale: 0")
    return load(text, f"{name}.yaml", fields.schema(), groups)


class Play:
    """One story on its stage."""

    def __init__(self, stage: Stage, database: SimDatabase) -> None:
        self.stage, self.database = stage, database
        self.orgs: dict[str, SimOrg] = {}
        self.doors: dict[str, SimConnector] = {}
        self.queue: deque[str] = deque()
        self.idle: list[Actor] = []
        self.busy: dict[str, str] = {}
        self.ids: dict[int, str] = {}
        self.healing = False
        #: The CRMs send no notices any more: what remains are polls.
        self.deaf = False
        self.unexpected: list[str] = []
        #: What all workers knew of each connection when the faults ended.
        self.states: dict[str, ConnectionStateRow] = {}
        self.people = People(self)
        stage.perform = self.people.perform
        stage.scheduler.kills = self._dies
        database.enter(stage)
        database.on_work = self.nudge
        self.runtime = self._build()

    def _build(self) -> Runtime:
        doors: dict[ConnectionName, GuardedConnector] = {}
        metrics = CallMetrics(CollectorRegistry())
        for name in CRMS:
            org = SimOrg(
                name, self.stage, self.stage.case.habits[name], [world.DEAL, world.ACCOUNT]
            )
            for kind, tax_id in world._CANARIES.items():
                mark = world._MARKS[kind]
                org.add(
                    "Account",
                    {"Name": f"Canary {kind}", "Country": "DE", "Tax": tax_id, mark: True},
                )
            for tax in ("DE100", "DE200"):
                org.add("Account", {"Name": CUSTOMERS[tax], "Country": "DE", "Tax": tax})
            org.found_at.clear()
            org.on_change = self._changed(name)
            self.orgs[name], self.doors[name] = org, SimConnector(name, org, self.stage)
            doors[ConnectionName(name)] = GuardedConnector(
                self.doors[name], self.database, metrics, sleep=self.stage.scheduler.pause
            )
        wins = {_GROUPS[group]: winner for group, winner in self.stage.case.wins.items()}
        with self.database.begin(world.ANN) as unit:
            for code in ("ACME", "BETA"):
                use_cases.add_partner(unit, code=code, name=f"{code} Inc.", tier="gold", email="")
        return Runtime(
            database=self.database,
            connectors=doors,
            modes=dict.fromkeys(doors, Mode.PUSH),
            mappings={name: mapping_of(name) for name in doors},
            programs={"default": world.program(wins)},
            problems={},
            poll_seconds=POLL_SECONDS,
            registry=CollectorRegistry(),
            broker=None,
            _close=lambda: None,
        )

    # --- queue, workers, clock ----------------------------------------------------------------

    def nudge(self, kinds: set[str]) -> None:
        """Send a message per kind of work: some get lost, doubled, or are flushed with the rest."""
        if self.healing:
            return
        for kind in sorted(kinds):
            struck = self.stage.faults.strike("queue")
            if "queue_flushed" in struck:
                self.queue.clear()
                continue
            if "nudge_dropped" in struck:
                continue
            self.queue.extend([kind] * (2 if "nudge_doubled" in struck else 1))
        while self.queue and self.idle:
            self.stage.scheduler.wake(self.idle.pop(), self.stage.rng.random() * 0.02)
            break

    def work(self) -> None:
        """Take messages until the story ends; a failed message is dropped, as dramatiq does."""
        me = self.stage.scheduler.current
        assert me is not None
        while True:
            while not self.queue:
                if self.healing:
                    return
                self.idle.append(me)
                self.stage.scheduler.sleep_forever()
            kind = self.queue.popleft()
            if self.queue and self.idle:
                self.stage.scheduler.wake(self.idle.pop())
            self.busy[me.name] = kind
            try:
                self.do(kind)
            finally:
                self.busy.pop(me.name, None)

    def do(self, kind: str) -> None:
        """Do one message's work; what escapes it is a defect unless the store was away."""
        verb, _, connection = kind.partition(":")
        me = self.stage.scheduler.current
        assert me is not None
        self.stage.doing[me.name] = verb
        self.stage.scheduler.note(f"begins {kind}")
        try:
            if verb == "push":
                push.drain(self.runtime, connection)
            elif verb == "pull":
                pull.drain(self.runtime, connection)
            elif verb == "poll":
                runs.poll(self.runtime, connection)
            elif verb == "schema":
                schema_watch.look(self.runtime, connection)
            else:
                checking.drain(self.runtime)
        except StoreUnavailable:
            self.stage.scheduler.note(f"store was away during {kind}")
        except Killed:
            raise
        except Exception as error:  # noqa: BLE001 - every other escape is reported as a violation
            self.unexpected.append(f"{kind} failed with {type(error).__name__}: {error}")
            self.stage.scheduler.note(f"unexpected: {self.unexpected[-1]}")

    def _dies(self, actor: Actor) -> bool:
        if not actor.name.startswith("worker"):
            return False
        if "killed" not in self.stage.faults.strike(f"worker {self.stage.step()}"):
            return False
        self._start_worker(f"{actor.name.partition('.')[0]}.{self.stage.scheduler.steps}", 1.0)
        return True

    def _start_worker(self, name: str, after: float) -> None:
        self.stage.scheduler.start(name, self.work, after)

    def tick(self) -> None:
        """Tick until the story ends."""
        while not self.healing:
            try:
                for kind in clock.tick(self.runtime, self.nudge):
                    if kind.startswith("poll"):
                        self.stage.truth.fired[kind].append(self.stage.scheduler.seconds)
            except StoreUnavailable:
                self.stage.scheduler.note("store was away during a tick")
            self.stage.scheduler.pause(self.stage.case.tick)

    # --- webhooks -----------------------------------------------------------------------------

    def _changed(self, name: str) -> Callable[[str, str], None]:
        def tell(object_name: str, record_id: str) -> None:
            if self.healing:
                return
            struck = self.stage.faults.strike("notice")
            self.deaf = self.deaf or "notices_off" in struck
            if self.deaf or "notice_dropped" in struck:
                return
            after = struck.get("notice_late", 0.0) + self.stage.rng.uniform(0.0, 0.5)
            notice = ChangeNotice(object_name, record_id, f"event-{len(self.stage.scheduler.log)}")
            for _ in range(2 if "notice_doubled" in struck else 1):
                self.stage.scheduler.start(
                    f"hook-{name}", lambda: self._deliver(name, notice), after
                )

        return tell

    def _deliver(self, name: str, notice: ChangeNotice) -> None:
        request = self.doors[name].delivery([notice])
        for _ in range(3):
            try:
                receiving.receive(self.runtime, name, request)
            except StoreUnavailable:
                self.stage.scheduler.pause(5.0)
            else:
                return

    def retry_letters(self) -> None:
        """Try every open dead letter again, as an admin does once the cause is mended."""
        with self.database.read() as session:
            letters = dead_letters.dead_letters(session)
        for letter in letters:
            dead_letters.retry(self.runtime, letter.id, world.BEN)

    def registration(self, key: str) -> Registration:
        """Read a registration."""
        with self.database.read() as session:
            return repository.registration(session, key)

    # --- the story ----------------------------------------------------------------------------

    def perform_all(self) -> None:
        """Run the story up to its end, let running work end, and heal."""
        case, scheduler = self.stage.case, self.stage.scheduler
        self._open()
        for number in range(case.workers):
            self._start_worker(f"worker{number}", 0.0)
        for number in range(case.clocks):
            scheduler.start(f"clock{number}", self.tick, 0.5)
        for who in sorted({act.who for act in case.acts}):
            acts = [a for a in case.acts if a.who == who and not a.ambush and a.at >= 0]
            scheduler.start(who, self.people.person(acts))
        scheduler.run(case.seconds)
        self.stage.faults.off = True
        self.healing = True
        with self.database.read() as session:
            self.states = {r.connection: r for r in session.scalars(select(ConnectionStateRow))}
        for door in self.doors.values():
            door.used = 0
        scheduler.note("--- faults end, healing begins")
        for org in self.orgs.values():
            org.mend_schema()
        for act in case.acts:
            if act.verb == "stop":
                self.people.perform(replace(act, verb="resume"))
        scheduler.run(case.seconds + 120)
        if self.busy:
            self.unexpected.append(f"still busy long after the faults ended: {self.busy}")

    def _open(self) -> None:
        """Submit what was submitted before the story, have it approved and linked; no faults yet."""
        before = [act for act in self.stage.case.acts if act.at < 0]
        if not before:
            return
        self.stage.faults.off = True
        for act in before:
            self.people.perform(act)
        checking.drain(self.runtime)
        for act in before:
            if act.args["big"]:  # too much for the rule: a person approves
                self.people.perform(Act("desk", "approve", 0.0, {"deal": act.args["deal"]}))
        for name in CRMS:
            push.drain(self.runtime, name)
        self.stage.faults.off = False
        for door in self.doors.values():
            door.calls.clear()

    def settle(self) -> bool:
        """Let time pass until nothing is due and nothing moves any more; False if it never ends."""
        self.retry_letters()
        self.stage.scheduler.jump(REREAD_SECONDS[False] + 1)
        for name in CRMS:
            if schema_watch.due(self.runtime, ConnectionName(name)):
                schema_watch.look(self.runtime, name)
        quiet = 0
        for _ in range(12):
            writes = [door.writes for door in self.doors.values()]
            self.cycle()
            moved = writes != [door.writes for door in self.doors.values()]
            self.stage.scheduler.jump(REFUSED_PAUSE_SECONDS + 1)
            due = clock.due_work(self.runtime)
            quiet = 0 if moved or due - {"check"} else quiet + 1
            # A check of what cannot be read completely is repeated for ever.
            if quiet and (not due or quiet > 1):
                return True
        return False

    def calm(self, late: Callable[[set[Token]], list[str]]) -> list[str]:
        """Let somebody edit in calm; returns what `late` says of the edits when time is up."""
        if not self.stage.case.calm:
            return []
        scheduler, truth = self.stage.scheduler, self.stage.truth
        self.queue.clear()
        self.idle.clear()
        self.healing, self.deaf = False, self.stage.case.calm_is_deaf
        scheduler.note("--- an edit in calm")
        known = set(truth.parents)
        for number in range(2):
            self._start_worker(f"calm{number}", 0.0)
        scheduler.start("clock", self.tick, 0.1)
        (act,) = self.stage.case.calm
        scheduler.start(act.who, lambda: self.people.perform(act), act.at)
        scheduler.run(scheduler.seconds + CALM_SECONDS)
        found = late(set(truth.parents) - known)
        self.healing = True
        while self.idle:
            scheduler.wake(self.idle.pop())
        scheduler.run(scheduler.seconds + 60)
        return found

    def redeliver(self, name: str, record_id: str) -> None:
        """Deliver a notice again, long after."""
        with self.database.begin() as unit:
            take_note(unit, ConnectionName(name), [Notice("Deal", record_id)], "webhook")

    def cycle(self) -> None:
        """Do everything once, in order, without a queue."""
        try:
            checking.drain(self.runtime)
            for name in CRMS:
                runs.poll(self.runtime, name)
                pull.drain(self.runtime, name)
            for name in CRMS:
                push.drain(self.runtime, name)
        except ConnectorError as error:
            self.unexpected.append(f"a CRM failed after healing: {error}")


__all__ = ["Play", "mapping_of"]
