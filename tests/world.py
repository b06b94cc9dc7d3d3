"""A small world for tests of the engine: a real store, pretended CRMs, a clock that tests move.

`home` is a CRM without preconditions but with field history (as Salesforce and HubSpot),
`mirror` one with preconditions (as Dynamics). Everything between is production code.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache

from prometheus_client import CollectorRegistry

from connectors.memory import ABLE, MemoryConnector
from connectors.memory_org import MemoryOrg
from mapping.loader import load
from mapping.schema import ConnectionMapping
from registration_core import fields, use_cases
from registration_core.contracts import (
    Condition,
    ConnectionName,
    FieldSchema,
    FieldType,
    Mode,
    ObjectSchema,
    Value,
)
from registration_core.fields import FieldGroup, SalesStage, members
from registration_core.model import Actor, ConflictCheck, Customer, Registration
from registration_core.program import (
    AccountList,
    Authority,
    Exclusivity,
    HomeRule,
    ListKind,
    ListTerms,
    LowRiskRule,
    Phase,
    ProductLine,
    Program,
)
from registration_core.store import repository
from registration_core.store.database import Database
from registration_core.submission import Submission
from sync import checking, clock, pull, push, runs
from sync.process.runtime import Runtime
from sync.traffic.guard import CallMetrics, GuardedConnector

HOME, MIRROR = ConnectionName("alpha"), ConnectionName("beta")
ANN = Actor("ann", "desk")
BEN = Actor("ben", "desk")
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

_MAPPING = """
connection: {name}
objects:
  home: &deal
    object: Deal
    key: Key
    groups:
      registration: [{{ours: registration_state, theirs: State, direction: push}}]
      protection:
        - {{ours: protection_state, theirs: Protection, direction: push}}
        - {{ours: protection_ends_on, theirs: Until, direction: push}}
      partner: [{{ours: partner_name, theirs: Partner, direction: push}}]
      name: [{{ours: deal_name, theirs: Name, direction: both}}]
      owner: [{{ours: owner, theirs: Owner, direction: pull}}]
      stage:
        - ours: sales_stage
          theirs: Stage
          direction: both
          transform:
            enum:
              qualifying: [Q1, Q0]
              developing: [D]
              proposing: [P]
              negotiating: [N]
              won: [Won]
              lost: [Lost]
      amount:
        - {{ours: amount, theirs: Amount, direction: both, transform: {{money: {{scale: 2}}}}}}
        - {{ours: currency, theirs: Currency, direction: both}}
      close: [{{ours: expected_close_on, theirs: Close, direction: both, transform: date}}]
      account: [{{ours: account, theirs: Account, direction: both, transform: reference}}]
  mirror: *deal
accounts:
  object: Account
  fields: {{name: Name, country: Country, city: City, website: Website, tax_id: Tax, duns: Duns, owner: Owner}}
opportunities:
  object: Deal
  account: Account
  key: Key
  open: {{Closed: [false]}}
  fields: {{name: Name, stage: Stage, amount: Amount, owner: Owner}}
"""


def _text(name: str, **more: object) -> FieldSchema:
    return FieldSchema(name=name, type=FieldType.TEXT, length=255, history_kept=True, **more)  # type: ignore[arg-type]


DEAL = ObjectSchema(
    name="Deal",
    fields={
        f.name: f
        for f in (
            _text("Key", unique=True),
            _text("Name"),
            _text("State"),
            _text("Protection"),
            _text("Partner"),
            _text("Remark"),
            _text("Currency"),
            FieldSchema("Until", FieldType.DATE, history_kept=True),
            FieldSchema("Close", FieldType.DATE, history_kept=True),
            FieldSchema("Amount", FieldType.NUMBER, scale=2, history_kept=True),
            FieldSchema("Closed", FieldType.BOOLEAN),
            FieldSchema("Owner", FieldType.REFERENCE, history_kept=True),
            FieldSchema("Account", FieldType.REFERENCE, history_kept=True),
            FieldSchema("Contact", FieldType.REFERENCE),
            FieldSchema(
                "Stage",
                FieldType.PICKLIST,
                options=("Q1", "Q0", "D", "P", "N", "Won", "Lost"),
                history_kept=True,
            ),
        )
    },
)
ACCOUNT = ObjectSchema(
    name="Account",
    fields={
        f.name: f
        for f in (
            _text("Key", unique=True),
            *map(_text, ("Name", "Country", "City", "Website", "Tax", "Duns", "Owner")),
            FieldSchema("Direct", FieldType.BOOLEAN),
            FieldSchema("House", FieldType.BOOLEAN),
            FieldSchema("NoCall", FieldType.BOOLEAN),
        )
    },
)
CONTACT = ObjectSchema(
    name="Contact",
    fields={
        f.name: f
        for f in (
            _text("Key", unique=True),
            _text("LastName", required=True),
            _text("Email"),
            FieldSchema("Account", FieldType.REFERENCE),
        )
    },
)
ITEM = ObjectSchema(
    name="Item",
    fields={
        f.name: f
        for f in (
            _text("Key", unique=True),
            FieldSchema("Deal", FieldType.REFERENCE, required=True),
            FieldSchema("Product", FieldType.PICKLIST, options=("PLAT", "SUP")),
            FieldSchema("Price", FieldType.NUMBER, scale=2),
            FieldSchema("Quantity", FieldType.NUMBER, scale=0),
        )
    },
)
_MARKS = {ListKind.DIRECT: "Direct", ListKind.HOUSE: "House", ListKind.DO_NOT_CALL: "NoCall"}
_CANARIES = {
    ListKind.DIRECT: "DE900001",
    ListKind.HOUSE: "DE900002",
    ListKind.DO_NOT_CALL: "DE900003",
}


@cache
def _loaded(name: ConnectionName) -> ConnectionMapping:
    """Return a connection's mapping as it is at first; read once, because reading YAML takes long."""
    groups = {group.value: members(group) for group in FieldGroup}
    return load(_MAPPING.format(name=name), f"{name}.yaml", fields.schema(), groups)


def authority(wins: Mapping[FieldGroup, str]) -> dict[FieldGroup, dict[Phase, Authority]]:
    """Return the default authority, with other winners for some groups after conversion."""
    store = Authority(frozenset({"store"}), "store")
    table = {group: dict.fromkeys(Phase, store) for group in FieldGroup}
    for group in (FieldGroup.NAME, FieldGroup.STAGE, FieldGroup.AMOUNT, FieldGroup.CLOSE):
        shared = Authority(frozenset({"store", "home", "mirrors"}), wins.get(group, "home"))
        table[group] = {Phase.REGISTERED: store, Phase.CONVERTED: shared}
    table[FieldGroup.OWNER] = dict.fromkeys(Phase, Authority(frozenset({"home"}), "home"))
    table[FieldGroup.ACCOUNT] = dict.fromkeys(
        Phase, Authority(frozenset({"store", "home"}), "home")
    )
    return table


def program(wins: Mapping[FieldGroup, str]) -> Program:
    """Return a program with one home and one mirror, and an exclusive product line."""
    return Program(
        name="default",
        version="1",
        homes=(HomeRule(HOME),),
        mirrors=(MIRROR,),
        check_only=(),
        required_connections=(HOME, MIRROR),
        freshness_seconds={HOME: 600, MIRROR: 600},
        product_lines={
            "platform": ProductLine("platform", "Platform", Exclusivity.EXCLUSIVE, 1),
            "support": ProductLine("support", "Support", Exclusivity.SHARED, 2),
        },
        lists=tuple(
            AccountList(kind, name, (Condition(mark, (True,)),), (_CANARIES[kind],))
            for name in (HOME, MIRROR)
            for kind, mark in _MARKS.items()
        ),
        list_terms={
            ListKind.HOUSE: ListTerms("house-desk"),
            ListKind.DO_NOT_CALL: ListTerms("compliance-desk"),
        },
        protection_days=90,
        currencies=frozenset({"EUR", "USD"}),
        amount_at_least=Decimal(100),
        low_risk=LowRiskRule(Decimal(100_000), "EUR", frozenset({"gold"})),
        authority=authority(wins),
    )


@dataclass
class World:
    """Everything a test needs; time stands still until `pass_time`."""

    now: datetime
    runtime: Runtime
    orgs: dict[ConnectionName, MemoryOrg]
    doors: dict[ConnectionName, MemoryConnector]
    nudges: set[str]

    @property
    def database(self) -> Database:
        return self.runtime.database

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def submit(self, tax_id: str = "DE100", token: str = "t", **more: object) -> Registration:
        """Submit a registration by partner ACME for the customer with this tax id."""
        submission = Submission(
            partner_code="ACME",
            customer=Customer("Nordhafen Logistik GmbH", "DE", tax_id=tax_id),
            deal_name="Cold chain",
            product_line="platform",
            amount=Decimal(5000),
            currency="EUR",
            expected_close_on=date(2026, 9, 30),
            token=token,
        )
        with self.database.begin(ANN) as unit:
            made, _ = use_cases.submit(
                unit,
                replace(submission, **more),  # type: ignore[arg-type]
                self.runtime.program("default"),
            )
        return made

    def approved(self, tax_id: str = "DE100", token: str = "t", **more: object) -> Registration:
        """Submit a registration and let the rule approve it; nothing is pushed yet."""
        made = self.submit(tax_id, token, **more)
        checking.drain(self.runtime)
        return self.registration(made.id)

    def registration(self, key: str) -> Registration:
        """Read a registration."""
        with self.database.read() as session:
            return repository.registration(session, key)

    def last_check(self, key: str) -> ConflictCheck:
        """Read the last conflict check of a registration; there must be one."""
        with self.database.read() as session:
            found = repository.last_check(session, key)
        assert found is not None
        return found

    def update(self, key: str, **changes: Value) -> Registration:
        """Change a registration here in the store."""
        with self.database.begin(ANN) as unit:
            return use_cases.update(unit, key, changes, self.runtime.program("default"))

    def push(self) -> None:
        """Drain every connection's outbox."""
        for name in self.doors:
            push.drain(self.runtime, name)

    def poll(self) -> None:
        """Poll and pull every connection."""
        for name in self.doors:
            runs.poll(self.runtime, name)
            pull.drain(self.runtime, name)

    def settle(self, rounds: int = 30, seconds: float = 60.0) -> None:
        """Let time pass and everything be drained until nothing is due any more."""
        for _ in range(rounds):
            self.pass_time(seconds)
            checking.drain(self.runtime)
            self.poll()
            self.push()
            if not clock.due_work(self.runtime):
                return
        raise AssertionError(f"still due: {clock.due_work(self.runtime)}")

    @staticmethod
    def mapping_text(name: ConnectionName) -> str:
        """Return the text of a connection's mapping as it is at first."""
        return _MAPPING.format(name=name)

    def deals(self, connection: ConnectionName) -> list[str]:
        """Return the ids of the deals that exist in a CRM."""
        return [record.record_id for record in self.orgs[connection].records("Deal")]

    def deal(self, connection: ConnectionName, name: str) -> Value:
        """Return a field of the only deal in a CRM."""
        (record_id,) = self.deals(connection)
        return self.orgs[connection].value("Deal", record_id, name)

    def edit(self, connection: ConnectionName, **values: Value) -> None:
        """Change the only deal in a CRM as a salesperson."""
        (record_id,) = self.deals(connection)
        self.orgs[connection].edit("Deal", record_id, values, "rep")

    def edit_before_our_update(self, connection: ConnectionName, **values: Value) -> None:
        """Have a salesperson change the only deal right before our next update of it, once."""
        door = self.doors[connection]

        def race(operation: str) -> None:
            if operation == "update":
                door.on_call = None
                self.edit(connection, **values)

        door.on_call = race


def build(
    url: str,
    *,
    wins: Mapping[FieldGroup, str] | None = None,
    seed: int = 0,
    modes: Mapping[ConnectionName, Mode] | None = None,
) -> World:
    """Build a world on a migrated store; both CRMs know the canaries and one customer, DE100."""
    world = World(START, None, {}, {}, set())  # type: ignore[arg-type]

    def now() -> datetime:
        return world.now

    database = Database(url, now, random.Random(seed))
    database.on_work = world.nudges.update
    able = {HOME: replace(ABLE, precondition=False), MIRROR: ABLE}
    metrics = CallMetrics(CollectorRegistry())
    doors: dict[ConnectionName, GuardedConnector] = {}
    for name, capabilities in able.items():
        org = MemoryOrg(now, [DEAL, ACCOUNT, CONTACT, ITEM], org_id=f"org-{name}")
        for kind, tax_id in _CANARIES.items():
            org.add(
                "Account",
                {"Name": f"Canary {kind}", "Country": "DE", "Tax": tax_id, _MARKS[kind]: True},
            )
        org.add("Account", {"Name": "Nordhafen Logistik GmbH", "Country": "DE", "Tax": "DE100"})
        world.orgs[name] = org
        world.doors[name] = MemoryConnector(name, org, capabilities=capabilities)
        doors[name] = GuardedConnector(world.doors[name], database, metrics, sleep=world.pass_time)
    world.runtime = Runtime(
        database=database,
        connectors=doors,
        modes={name: (modes or {}).get(name, Mode.PUSH) for name in able},
        mappings={name: _loaded(name) for name in able},
        programs={"default": program(wins or {})},
        problems={},
        poll_seconds=30,
        registry=CollectorRegistry(),
        broker=None,
        _close=database.close,
    )
    with database.begin(ANN) as unit:
        use_cases.add_partner(unit, code="ACME", name="Acme Partners", tier="gold", email="")
        use_cases.add_partner(unit, code="BETA", name="Beta Partners", tier="gold", email="")
    return world


__all__ = ["ANN", "BEN", "HOME", "MIRROR", "SalesStage", "World", "build", "program"]
