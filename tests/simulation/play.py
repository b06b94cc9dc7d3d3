"""The cast of a story: workers, clock, webhooks, CRM users, store users, admins; and the healing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from functools import cache

from prometheus_client import CollectorRegistry
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from connectors.errors import ConnectorError
from connectors.memory_org import Stored
from connectors.port import ChangeNotice
from mapping.loader import load
from mapping.schema import ConnectionMapping
from registration_core import fields, use_cases
from registration_core.contracts import ConnectionName, Mode
from registration_core.errors import DealregError
from registration_core.fields import FieldGroup, members
from registration_core.model import Customer, Registration
from registration_core.store import repository
from registration_core.store.database import StoreUnavailable
from registration_core.submission import Submission
from sync import checking, clock, dead_letters, linking, pull, push, receiving, resolving, runs
from sync.guard import CallMetrics, GuardedConnector
from sync.inbox import Notice, take_note
from sync.ledger.tables import LinkProposalRow, SyncConflictRow
from sync.runtime import Runtime
from tests import world
from tests.simulation.cases import CRMS, Act
from tests.simulation.scheduler import Actor, Killed
from tests.simulation.stage import SimDatabase, Stage
from tests.simulation.truth import TOKENS, token, value_of
from tests.simulation.vendors import SimConnector, SimOrg

#: Groups whose winner a story may draw.
_GROUPS = {
    "name": FieldGroup.NAME,
    "amount": FieldGroup.AMOUNT,
    "close": FieldGroup.CLOSE,
    "stage": FieldGroup.STAGE,
}

#: Customers by tax id.
_CUSTOMERS = {"DE100": "Nordhafen Logistik GmbH", "DE200": "Aurelia Optik AG"}


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
        stage.perform = self.perform
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
                org.add("Account", {"Name": _CUSTOMERS[tax], "Country": "DE", "Tax": tax})
            org.found_at.clear()
            org.on_change = self._changed(name)
            self.orgs[name], self.doors[name] = org, SimConnector(name, org, self.stage)
            doors[ConnectionName(name)] = GuardedConnector(self.doors[name], self.database, metrics)
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
            poll_seconds=15,
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
                clock.tick(self.runtime, self.nudge)
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

    # --- people -------------------------------------------------------------------------------

    def person(self, acts: list[Act]) -> Callable[[], None]:
        """Return the day of one person: every act at its time."""

        def live() -> None:
            for act in acts:
                wait = act.at - self.stage.scheduler.seconds
                self.stage.scheduler.pause(max(0.0, wait))
                self.perform(act)

        return live

    def perform(self, act: Act) -> None:
        """Do what somebody does; what the store or the CRM refuses is refused to that person."""
        doing = {"admin": self._administer, "desk": self._at_the_desk}.get(
            act.who, self._in_the_crm
        )
        try:
            doing(act)
        except (DealregError, ValueError) as refusal:
            self.stage.scheduler.note(f"{act.who} {act.verb} was refused: {refusal}")
        except OperationalError as error:
            self.unexpected.append(f"{act.who} {act.verb}: {error}")

    def record_of(self, name: str, deal: int) -> Stored | None:
        """Return the live record of a deal in a CRM."""
        key = self.ids.get(deal)
        return self.orgs[name].holder("Deal", "Key", key) if key else None

    def _in_the_crm(self, act: Act) -> None:
        org, args = self.orgs[act.who], act.args
        if act.verb in ("edit", "clear"):
            record = self.record_of(act.who, args["deal"])
            if record is not None:
                value = value_of(args["field"], args["value"]) if act.verb == "edit" else None
                self._edit(org, record, {args["field"]: value}, args.get("late", 0.0))
        elif act.verb in ("delete", "merge", "restore"):
            self._bury(org, act)
        elif act.verb == "mass_delete":
            for record in org.records("Deal"):
                org.remove("Deal", record.record_id, "rep")
        elif act.verb == "opportunity":
            account = org.holder("Account", "Tax", args["tax"])
            assert account is not None
            opened = {"Name": "A rep's own", "Account": account.record_id, "Closed": False}
            self.stage.truth.opened_at[act.who] = self.stage.scheduler.seconds
            org.add("Deal", {**opened, "Amount": Decimal(9900), "Stage": "D", "Currency": "EUR"})
        else:
            self._administer_crm(org, act)
        self.stage.scheduler.note(f"{act.who} {act.verb} {args}")

    def _edit(self, org: SimOrg, record: Stored, values: Mapping[str, object], late: float) -> None:
        stamp, seconds = org.clock(), self.stage.scheduler.seconds
        if late and org.habit == "stamps" and not self.stage.scheduler.is_quiet:
            if org.held_until.get(record.record_id, 0.0) > seconds:
                return  # another user's transaction holds the row
            org.held_until[record.record_id] = seconds + late
            self.stage.scheduler.pause(late)
        with org.stamped(stamp):
            org.edit("Deal", record.record_id, values, "rep")  # type: ignore[arg-type]

    def _bury(self, org: SimOrg, act: Act) -> None:
        if act.verb == "restore":
            for record in org.records("Deal", gone=True):
                if record.gone is not None and record.gone.absence == "deleted":
                    org.restore("Deal", record.record_id, "rep")
            return
        found = self.record_of(act.who, act.args["deal"])
        if found is None:
            return
        if act.verb == "merge":
            winner = org.add("Deal", {"Name": "Survivor of a merge", "Closed": False}, "rep")
            org.merge("Deal", found.record_id, winner, "rep")
        else:
            org.remove("Deal", found.record_id, "rep")

    def _administer_crm(self, org: SimOrg, act: Act) -> None:
        """Change the schema or the account lists, as an admin of the CRM."""
        if act.verb == "mark":
            account = org.holder("Account", "Tax", act.args["tax"])
            assert account is not None
            org.edit("Account", account.record_id, {act.args["mark"]: True}, "rep")
            key = org.name, act.args["tax"]
            self.stage.truth.marked_at.setdefault(key, self.stage.scheduler.seconds)
        elif act.verb == "hide_canary":
            for record in org.records("Account"):
                if record.fields[act.args["mark"]] and "Canary" in str(record.fields["Name"]):
                    org.remove("Account", record.record_id, "rep")
        else:
            org.break_schema(act.args["field"], act.args.get("option"))

    def _at_the_desk(self, act: Act) -> None:
        if act.verb == "submit":
            self._submit(act)
            return
        key = self.ids.get(act.args["deal"])
        if key is None:
            return
        if act.verb == "approve":
            checking.approve(self.runtime, key, world.BEN)
        elif act.verb == "choose_account":
            self._choose_account(act, key)
        elif act.verb == "edit":
            self._update(act, key)
        else:
            with self.database.begin(world.ANN) as unit:
                if act.verb == "withdraw":
                    use_cases.withdraw(unit, key)
                else:
                    use_cases.extend(unit, key, 10, "asked for")
        self.stage.scheduler.note(f"desk {act.verb} {act.args}")

    def _choose_account(self, act: Act, key: str) -> None:
        crm = act.args["crm"]
        account = self.orgs[crm].holder("Account", "Tax", "DE200")
        assert account is not None
        with self.database.begin(world.ANN) as unit:
            use_cases.choose_account(unit, key, ConnectionName(crm), account.record_id)
        if act.args["approve"]:
            checking.approve(self.runtime, key, world.BEN)

    def _submit(self, act: Act) -> None:
        deal, tax = act.args["deal"], act.args["tax"]
        submission = Submission(
            partner_code=act.args["partner"],
            customer=Customer(_CUSTOMERS[tax], "DE", tax_id=tax),
            deal_name=f"Deal {deal}",
            product_line="platform",
            amount=Decimal(200_000 if act.args["big"] else 5000),
            currency="EUR",
            expected_close_on=date(2026, 9, 20 + deal),
            token=f"deal {deal}",
        )
        program = self.runtime.program("default")
        for _ in range(4):  # a partner's system sends again until it has an answer
            try:
                with self.database.begin(world.ANN) as unit:
                    made, _ = use_cases.submit(unit, submission, program)
                self.ids[deal] = made.id
            except StoreUnavailable:
                self.stage.scheduler.pause(2.0)
            else:
                self.stage.scheduler.note(f"desk submit {deal} {made.number}")
                return

    def _update(self, act: Act, key: str) -> None:
        field = act.args["field"]
        ours = TOKENS.get(field, "sales_stage")
        value = value_of(field, act.args["value"])
        if field == "Stage":
            value = {
                "Q1": "qualifying",
                "Q0": "qualifying",
                "D": "developing",
                "P": "proposing",
            }.get(str(value), "negotiating")
        program = self.runtime.program("default")
        committed = False
        try:
            with self.database.begin(world.ANN) as unit:
                before = repository.registration(unit.session, key, lock=True)
                after = use_cases.update(unit, key, {ours: value}, program)
            committed = True
        except StoreUnavailable:
            with self.stage.scheduler.quietly(), self.database.read() as session:
                after = repository.registration(session, key)
            committed = after.version > before.version
            raise
        finally:
            if committed and field in TOKENS:
                was = token(ours, getattr(before, ours))
                self.stage.truth.wrote(
                    f"store {act.args['deal']}", token(ours, getattr(after, ours)), was
                )

    def _administer(self, act: Act) -> None:
        if act.verb in ("resolve", "undo"):
            state = "open" if act.verb == "resolve" else "resolved"
            with self.database.read() as session:
                row = session.scalars(
                    select(SyncConflictRow).where(SyncConflictRow.state == state)
                ).first()
            if row is not None and act.verb == "resolve":
                resolving.resolve(self.runtime, row.id, act.args["choice"], world.BEN)
            elif row is not None:
                resolving.undo(self.runtime, row.id, world.BEN)
        elif act.verb in ("accept", "reject"):
            with self.database.read() as session:
                found = session.scalars(
                    select(LinkProposalRow.id).where(LinkProposalRow.state == "proposed")
                ).first()
            if found is not None:
                decide = linking.accept if act.verb == "accept" else linking.reject
                decide(self.runtime, found, world.BEN)
        else:
            self.retry_letters()
        self.stage.scheduler.note(f"admin {act.verb} {act.args}")

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
        scheduler.start("clock", self.tick, 0.5)
        for who in sorted({act.who for act in case.acts}):
            acts = [a for a in case.acts if a.who == who and not a.ambush and a.at >= 0]
            scheduler.start(who, self.person(acts))
        scheduler.run(case.seconds)
        self.stage.faults.off = True
        self.healing = True
        scheduler.note("--- faults end, healing begins")
        for org in self.orgs.values():
            org.mend_schema()
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
            self.perform(act)
        checking.drain(self.runtime)
        for act in before:
            if act.args["big"]:  # too much for the rule: a person approves
                self.perform(Act("desk", "approve", 0.0, {"deal": act.args["deal"]}))
        for name in CRMS:
            push.drain(self.runtime, name)
        self.stage.faults.off = False
        for door in self.doors.values():
            door.calls.clear()

    def settle(self) -> bool:
        """Let time pass until nothing is due and nothing moves any more; False if it never ends."""
        self.retry_letters()
        writes, quiet = -1, 0
        for _ in range(14):
            self.stage.scheduler.jump(301)
            self.cycle()
            now = sum(door.writes for door in self.doors.values())
            quiet = quiet + 1 if now == writes and not clock.due_work(self.runtime) else 0
            if quiet >= 1:
                return True
            writes = now
        return False

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
