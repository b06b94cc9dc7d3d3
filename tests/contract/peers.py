"""The CRMs that the contract suite runs against, and what people and bad luck do to them.

A peer is one CRM with a connector to it and a person who works in it. `MEMORY` is the in-memory
twin; the others are the stand-ins of `sandbox`, reached over HTTPS as a real org would be.
"""

from __future__ import annotations

import importlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol

from connectors.deliveries import ChangeNotice, WebhookRequest
from connectors.hubspot.pacing import Pace
from connectors.memory import MemoryConnector, MemoryFault
from connectors.memory_org import MemoryOrg
from connectors.port import (
    ConnectionSettings,
    CreateItem,
    CrmConnector,
    ObjectNeed,
    RemoteRecord,
    UpdateItem,
)
from registration_core.contracts import (
    ConnectionName,
    Fields,
    FieldSchema,
    FieldType,
    ObjectSchema,
    Value,
)
from sandbox.faults import Fault, FaultKind
from sandbox.records import Event, Json
from sandbox.serving import Running
from sandbox.stand_in import StandIn
from tests.contract.names import NAMES, Names

Wire = Mapping[str, Json]


class Timepiece:
    """The clock of every CRM and connector in the suite: the real time, plus what was skipped."""

    def __init__(self) -> None:
        self._skipped = timedelta(0)

    def __call__(self) -> datetime:
        """Tell the time."""
        return datetime.now(UTC) + self._skipped

    def skip(self, span: timedelta) -> None:
        """Let time pass at once."""
        self._skipped += span


class Org(Protocol):
    """What the suite does in a CRM as somebody else than the connector."""

    org_id: str

    def edit(self, record_id: str, fields: Wire) -> None: ...
    def remove(self, record_id: str) -> None: ...
    def lose_answer_of_create(self) -> None: ...
    def throttle(self) -> None: ...
    def heal(self) -> None: ...
    def stranger(self) -> CrmConnector: ...
    def delivery(self, record_id: str, fields: Wire) -> WebhookRequest: ...


@dataclass
class Peer:
    """One CRM under test."""

    names: Names
    connector: CrmConnector
    org: Org
    clock: Timepiece

    def new_key(self) -> str:
        """Make a registration id that no other test has."""
        return str(uuid.uuid4())

    def item(self, key: str, **fields: object) -> CreateItem:
        """Word a record to create: `text`, `money`, … instead of the CRM's own names."""
        named = self.fields(**({"text": f"Deal {key}"} | fields))
        return CreateItem(key, {self.names.key: key, **self.names.base, **named})

    def fields(self, **fields: object) -> Fields:
        """Translate the suite's names of fields to the CRM's."""
        return {getattr(self.names, name): value for name, value in fields.items()}  # type: ignore[misc]

    def create(self, **fields: object) -> tuple[str, str]:
        """Create a record through the connector and return its key and id."""
        key = self.new_key()
        (outcome,) = self.connector.create(
            self.names.object, self.names.key, [self.item(key, **fields)]
        )
        record_id = getattr(outcome, "record_id", None)
        assert isinstance(record_id, str), f"the create was answered {outcome}"
        return key, record_id

    def patch(self, record_id: str, version: str | None = None, **fields: object) -> UpdateItem:
        """Word an update in the suite's names."""
        return UpdateItem(record_id, self.fields(**fields), version)

    def read(self, record_id: str) -> RemoteRecord:
        """Read a record that must be there, with every field of the suite."""
        names = self.names
        found = self.connector.read(names.object, [record_id], names.all_fields)[record_id]
        assert isinstance(found, RemoteRecord), f"{record_id} is {found}"
        return found

    def values(self, record: RemoteRecord) -> dict[str, Value]:
        """Return a record's values under the suite's names."""
        suite = ("key", "text", "long_text", "money", "day", "choice")
        return {name: record.fields[getattr(self.names, name)] for name in suite}

    def read_values(self, record_id: str) -> dict[str, Value]:
        """Read the values of a record that must be there, under the suite's names."""
        return self.values(self.read(record_id))

    def need(self) -> ObjectNeed:
        """What `check` is asked for."""
        names = self.names
        return ObjectNeed(names.object, names.key, names.all_fields, names.all_fields)


class MemoryPeerOrg:
    """The in-memory twin's org, for the suite."""

    def __init__(self, org: MemoryOrg, connector: MemoryConnector) -> None:
        self._org, self._connector = org, connector
        self.org_id = org.org_id

    def edit(self, record_id: str, fields: Wire) -> None:
        """Change a record as a CRM user, who types money as text."""
        money = NAMES["memory"].money
        typed = {n: Decimal(str(v)) if n == money else v for n, v in fields.items()}
        self._org.edit("Deal", record_id, typed)  # type: ignore[arg-type]

    def remove(self, record_id: str) -> None:
        """Delete a record as a CRM user."""
        self._org.remove("Deal", record_id)

    def lose_answer_of_create(self) -> None:
        """Carry out the next create, and lose the answer."""
        self._connector.fail(MemoryFault.ANSWER_LOST, "create")

    def throttle(self) -> None:
        """Refuse every call for being one too many."""
        self._connector.fail(MemoryFault.RATE_LIMITED, times=None)

    def heal(self) -> None:
        """Take every fault away."""
        self._connector.recover()

    def stranger(self) -> CrmConnector:
        """Build a connector whose credentials are refused."""
        connector = MemoryConnector("memory", self._org)
        connector.fail(MemoryFault.AUTHENTICATION, times=None)
        return connector

    def delivery(self, record_id: str, fields: Wire) -> WebhookRequest:
        """Change a record as a CRM user and return the webhook that tells of it."""
        self.edit(record_id, fields)
        return self._connector.delivery([ChangeNotice("Deal", record_id, str(uuid.uuid4()))])


def memory_peer() -> Peer:
    """Build a peer on a new, empty twin."""
    clock = Timepiece()
    org = MemoryOrg(clock, [_memory_schema()])
    connector = MemoryConnector("memory", org, webhook_secret="a shared secret")
    return Peer(NAMES["memory"], connector, MemoryPeerOrg(org, connector), clock)


def _memory_schema() -> ObjectSchema:
    fields = (
        FieldSchema("registration_id", FieldType.TEXT, length=36, unique=True, history_kept=True),
        FieldSchema("name", FieldType.TEXT, length=120, required=True, history_kept=True),
        FieldSchema("notes", FieldType.TEXT, length=32000, history_kept=True),
        FieldSchema("amount", FieldType.NUMBER, scale=2, history_kept=True),
        FieldSchema("protected_until", FieldType.DATE, history_kept=True),
        FieldSchema("stage", FieldType.PICKLIST, options=("open", "won"), history_kept=True),
    )
    return ObjectSchema("Deal", "Deal", {field.name: field for field in fields})


CONNECTORS: Mapping[str, tuple[str, str]] = {
    "salesforce": ("connectors.salesforce.connector", "SalesforceConnector"),
    "dynamics365": ("connectors.dynamics365.connector", "DynamicsConnector"),
    "hubspot": ("connectors.hubspot.connector", "HubSpotConnector"),
}


def connect(settings: ConnectionSettings, crm: str, clock: Timepiece) -> CrmConnector:
    """Build the connector of a CRM."""
    module, name = CONNECTORS[crm]
    options = {"pace": unhurried()} if crm == "hubspot" else {}
    build = getattr(importlib.import_module(module), name)
    connector: CrmConnector = build(settings, clock, **options)
    return connector


def unhurried() -> Pace:
    """Make a pace whose waits take no time: its clock stands still but for them."""
    now = [0.0]

    def pause(seconds: float) -> None:
        now[0] += seconds

    return Pace(lambda: now[0], pause)


def settings_of(running: Running, crm: str) -> ConnectionSettings:
    """Word the settings of a connection to a stand-in."""
    stand_in = running.crms[crm]
    secrets = dict(stand_in.credentials)
    webhook = {"secret": secrets.pop("webhook_secret")}
    if "app_id" in secrets:
        webhook["app_id"] = secrets["app_id"]
    authority = running.environment()["DEALREG_SANDBOX_DYNAMICS_AUTHORITY"]
    return ConnectionSettings(
        name=ConnectionName("dynamics" if crm == "dynamics365" else crm),
        environment="sandbox",
        base_url=stand_in.url,
        token_url=authority if crm == "dynamics365" else "",
        ca_file=str(running.ca_file),
        credentials=secrets,
        webhook=webhook,
    )


class SandboxPeerOrg:
    """A stand-in, for the suite."""

    #: Requests that create records, and not those that sign in.
    WRITES: Mapping[str, str] = {
        "salesforce": r"/composite/sobjects",
        "dynamics365": r"\$batch",
        "hubspot": r"/batch/create",
    }
    #: Requests that sign in and get a token.
    SIGN_IN = r"/oauth2/(v2\.0/)?token$"
    #: Every request but signing in.
    CALLS = r"^(?!.*(oauth|openid|token))"

    def __init__(self, stand_in: StandIn, settings: ConnectionSettings, clock: Timepiece) -> None:
        self.stand_in, self.settings, self._clock = stand_in, settings, clock
        self.org_id = stand_in.org.org_id
        self._names = NAMES[stand_in.crm]

    def edit(self, record_id: str, fields: Wire) -> None:
        """Change a record as a sales rep."""
        self.stand_in.org.edit(self._names.object, record_id, fields, self._names.user)

    def merge_accounts(self, loser_name: str, winner_name: str) -> tuple[str, str]:
        """Add two accounts as a sales rep and merge the first into the second; return both ids."""
        org, user, accounts = self.stand_in.org, self._names.user, self._names.accounts
        assert accounts is not None
        loser, winner = (
            org.add(accounts.object, {accounts.name: name}, user).id
            for name in (loser_name, winner_name)
        )
        org.merge(accounts.object, loser, winner, user)
        return loser, winner

    def remove(self, record_id: str) -> None:
        """Delete a record as a sales rep."""
        self.stand_in.org.remove(self._names.object, record_id, self._names.user)

    def lose_answer_of_create(self) -> None:
        """Carry out the next create, and cut the connection before the answer."""
        path = self.WRITES[self.stand_in.crm]
        self.stand_in.faults.add(Fault(FaultKind.DROP_ANSWER, "POST", path, remaining=1))

    def throttle(self) -> None:
        """Refuse every call for being one too many, in the vendor's own words."""
        self.stand_in.faults.add(Fault(FaultKind.THROTTLED, path=self.CALLS, seconds=7))

    def slow_down(self, seconds: float) -> None:
        """Answer every call late."""
        self.stand_in.faults.add(Fault(FaultKind.SLOW, path=self.CALLS, seconds=seconds))

    def go_down(self) -> None:
        """Answer every call with 503."""
        self.stand_in.faults.add(Fault(FaultKind.DOWN, path=self.CALLS))

    def calls(self) -> int:
        """Return how many calls there were so far."""
        return self.stand_in.journal.total

    def sign_ins(self, since: int) -> int:
        """Count the sign-ins after so many calls."""
        made = self.stand_in.journal.last(self.calls() - since)
        return sum(bool(re.search(self.SIGN_IN, entry.path)) for entry in made)

    def heal(self) -> None:
        """Take every fault away; an expired static token is accepted again."""
        self.stand_in.faults.clear()
        access = getattr(self.stand_in.org, "access", None)
        if access is not None:
            access.reissue()

    def stranger(self) -> CrmConnector:
        """Build a connector whose secrets are wrong."""
        secret = "access_token" if "access_token" in self.settings.credentials else "client_secret"
        credentials = {**self.settings.credentials, secret: "not-the-secret"}
        return self.connector(replace(self.settings, credentials=credentials))

    def impatient(self) -> CrmConnector:
        """Build a connector that waits half a second for an answer."""
        return self.connector(replace(self.settings, read_timeout_seconds=0.5))

    def connector(self, settings: ConnectionSettings) -> CrmConnector:
        """Build a connector of its own."""
        return connect(settings, self.stand_in.crm, self._clock)

    def delivery(self, record_id: str, fields: Wire) -> WebhookRequest:
        """Change a record as a sales rep and return the webhook that tells of it."""
        events: list[Event] = []
        self.stand_in.org.store.on_event(events.append)
        self.edit(record_id, fields)
        ours = [event for event in events if event.record_id == record_id]
        sent = self.stand_in.org.deliveries(ours, "http://127.0.0.1:8700")
        assert sent, f"{self.stand_in.crm} has no webhook for {json.dumps(dict(fields))}"
        door = sent[0].url.split("/webhooks/", 1)[1].partition("/")[2]
        return WebhookRequest(
            method="POST",
            url=sent[0].url,
            headers=sent[0].headers,
            body=sent[0].body,
            received_at=self._clock(),
            path_secret=door.partition("?")[0],
        )


def sandbox_peer(running: Running, crm: str, clock: Timepiece) -> Peer:
    """Build a peer on a running stand-in."""
    settings = settings_of(running, crm)
    org = SandboxPeerOrg(running.crms[crm], settings, clock)
    return Peer(NAMES[crm], org.connector(settings), org, clock)
