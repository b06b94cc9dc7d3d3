"""The CRMs of the contract suite: `peer` is each of the four, `remote_peer` each that speaks HTTP."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import pytest

from sandbox.serving import CRMS, Running, start
from tests.contract.peers import Peer, SandboxPeerOrg, Timepiece, memory_peer, sandbox_peer


@pytest.fixture(scope="session")
def timepiece() -> Timepiece:
    """The clock that the stand-ins and their connectors share."""
    return Timepiece()


@pytest.fixture(scope="session")
def running(timepiece: Timepiece) -> Iterator[Running]:
    """The three stand-ins, seeded, on free ports."""
    started = start(None, clock=timepiece)
    yield started
    started.stop()


@pytest.fixture(scope="session")
def remote(running: Running, timepiece: Timepiece) -> Callable[[str], Peer]:
    """Each stand-in with one connector for the whole session, as a worker has."""
    return functools.cache(lambda crm: sandbox_peer(running, crm, timepiece))


@pytest.fixture(params=CRMS)
def remote_peer(request: pytest.FixtureRequest, remote: Callable[[str], Peer]) -> Iterator[Peer]:
    """A CRM on the other side of a wire, healed after each test."""
    peer = remote(request.param)
    yield peer
    peer.org.heal()


@pytest.fixture
def stand_in(remote_peer: Peer) -> SandboxPeerOrg:
    """The stand-in behind `remote_peer`."""
    assert isinstance(remote_peer.org, SandboxPeerOrg)
    return remote_peer.org


@pytest.fixture(params=["memory", *CRMS])
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    """A CRM, healed after each test."""
    if request.param == "memory":
        yield memory_peer()
        return
    peer = request.getfixturevalue("remote")(request.param)
    yield peer
    peer.org.heal()
