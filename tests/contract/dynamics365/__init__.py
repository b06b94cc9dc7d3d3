"""The Dynamics 365 stand-in as its contract tests use it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from connectors.port import ChangePage, CreateItem, CrmConnector, RemoteRecord, UpdateItem, Written
from registration_core.contracts import Fields, Value
from sandbox.dynamics365.behaviour import Behaviour
from sandbox.dynamics365.engine import DynamicsOrg
from sandbox.stand_in import StandIn
from tests.contract.peers import Peer, SandboxPeerOrg

OPPORTUNITY, ACCOUNT, MIRROR = "opportunity", "account", "dr_dealregistration"
LEAD = "lead"
#: Primary column of each table.
TITLES = {OPPORTUNITY: "name", MIRROR: "dr_name", LEAD: "subject"}
KEY, REP = "dr_dealregid", "Sales Rep West"
STAGE = ("statecode", "statuscode", "actualvalue", "actualclosedate")


@dataclasses.dataclass(frozen=True)
class Crm:
    """The stand-in, its engine, and a connector to it."""

    peer: Peer
    connector: CrmConnector
    stand_in: StandIn
    org: DynamicsOrg

    def account(self, **fields: str | float | bool) -> str:
        return self.org.add(ACCOUNT, {"name": "Lapwing Ltd", **fields}, REP).id

    def create(self, object_name: str = OPPORTUNITY, **fields: Value) -> str:
        key = self.peer.new_key()
        named: Fields = {KEY: key, TITLES[object_name]: "Deal", **fields}
        (outcome,) = self.connector.create(object_name, KEY, [CreateItem(key, named)])
        assert isinstance(outcome, Written), outcome
        return outcome.record_id

    def read(self, record_id: str, *fields: str, object_name: str = OPPORTUNITY) -> RemoteRecord:
        found = self.connector.read(object_name, [record_id], fields)[record_id]
        assert isinstance(found, RemoteRecord)
        return found

    def update(
        self,
        record_id: str,
        fields: Fields,
        version: str | None = None,
        object_name: str = OPPORTUNITY,
    ) -> object:
        (outcome,) = self.connector.update(object_name, [UpdateItem(record_id, fields, version)])
        return outcome

    def stage(self, record_id: str) -> Mapping[str, object]:
        return self.read(record_id, *STAGE).fields

    def drain(self, cursor: str | None, fields: tuple[str, ...] = ("name",)) -> list[ChangePage]:
        pages = [self.connector.changes(ACCOUNT, fields, cursor)]
        while pages[-1].more:
            pages.append(self.connector.changes(ACCOUNT, fields, pages[-1].cursor))
        return pages


@contextmanager
def restored(peer: Peer) -> Iterator[Crm]:
    """The stand-in for one test; it behaves as usual again afterwards."""
    assert isinstance(peer.org, SandboxPeerOrg)
    org = peer.org.stand_in.org
    assert isinstance(org, DynamicsOrg)
    yield Crm(peer, peer.connector, peer.org.stand_in, org)
    org.behaviour = Behaviour()
    org.entra.certificate, org.entra.clock = "", org.clock
    peer.org.heal()


def fresh(crm: Crm) -> CrmConnector:
    """A connector that remembers nothing."""
    assert isinstance(crm.peer.org, SandboxPeerOrg)
    return crm.peer.org.connector(crm.peer.org.settings)
