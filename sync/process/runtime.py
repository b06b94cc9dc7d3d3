"""What every drain, door and command works with; built by `wiring` alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date

from dramatiq import Broker
from prometheus_client import CollectorRegistry

from connectors.port import CrmConnector
from mapping.schema import ConnectionMapping, ObjectMapping
from registration_core import crm_changes
from registration_core.contracts import ConnectionName, Mode
from registration_core.errors import ConfigurationError, NotFound, Problem
from registration_core.limits import Limits
from registration_core.model import Registration
from registration_core.program import Program, Role
from registration_core.store.database import Database
from sync.channels.port import Channel


@dataclass(frozen=True)
class Runtime:
    """The program put together: store, connections, rules."""

    database: Database
    #: Usable connections only. One whose mapping file cannot be used becomes so by `refresh`.
    connectors: Mapping[ConnectionName, CrmConnector]
    #: As far as the configuration lets each connection go; where it stands: `sync/gates/ladder.py`.
    modes: Mapping[ConnectionName, Mode]
    mappings: Mapping[ConnectionName, ConnectionMapping]
    programs: Mapping[str, Program]
    #: Why a connection is not usable, by connection; everything else runs.
    problems: Mapping[ConnectionName, tuple[Problem, ...]]
    poll_seconds: int
    #: Numbers of this process, for `/metrics`.
    registry: CollectorRegistry
    #: The broker that nudges go to; None where the store itself is watched (embedded).
    broker: Broker | None
    _close: Callable[[], None]
    #: Where a connection starts, unless as high as it may go.
    start_modes: Mapping[ConnectionName, Mode] = field(default_factory=dict)
    #: Ids of the orgs that the configuration pins connections to.
    pins: Mapping[ConnectionName, str] = field(default_factory=dict)
    #: How much may move by itself; a connection that is missing has no limits.
    limits: Mapping[ConnectionName, Limits] = field(default_factory=dict)
    #: Digests of the mapping files as this process read them; one not in force is a draft.
    drafts: Mapping[ConnectionName, str] = field(default_factory=dict)
    #: Ways to tell people, and how many days before its end a protection is announced to end.
    channels: tuple[Channel, ...] = ()
    expiring_days: tuple[int, ...] = ()
    #: When secrets end, by connection, where an admin has said so.
    secrets_end: Mapping[ConnectionName, date] = field(default_factory=dict)
    _refresh: Callable[[bool], None] = lambda first: None

    def refresh(self, *, first: bool = True) -> None:
        """Take up the mappings in force; with `first`, a file that is none yet becomes version 1."""
        self._refresh(first)

    def look_again(self) -> None:
        """Take up what makes an unusable connection usable: a mapping that was applied since."""
        if self.problems:
            self.refresh()

    def connector(self, name: str) -> CrmConnector:
        """Return a usable connection's door; `ConfigurationError` tells why it is not usable."""
        connection = ConnectionName(name)
        if connection in self.connectors:
            return self.connectors[connection]
        if connection in self.problems:
            raise ConfigurationError(f"{name} cannot be used.", self.problems[connection])
        raise NotFound(
            f"There is no connection {name}.", hint=f"One of: {', '.join(self.connectors)}."
        )

    def program(self, name: str) -> Program:
        """Return a program by name."""
        if name not in self.programs:
            raise NotFound(
                f"There is no program {name}.", hint=f"One of: {', '.join(self.programs)}."
            )
        return self.programs[name]

    def mapping_of(
        self, registration: Registration, connection: ConnectionName, standing: str = ""
    ) -> ObjectMapping | None:
        """Return how a registration stands on its object in a connection.

        None if it is only read there, or stands on an object that is not mapped. `standing` is
        the object to go by instead of the mapping's choice: a converted lead's, a write's own.
        """
        role = registration.roles.get(connection)
        if role is None or role is Role.CHECK_ONLY or connection not in self.mappings:
            return None
        mapping = self.mappings[connection]
        ours = crm_changes.canonical(
            registration, connection, self.programs.get(registration.program)
        )
        return mapping.object_for(role.value, ours, standing)

    def close(self) -> None:
        """Give connections and files back."""
        self._close()
