"""The composition root: settings and files in, a `Runtime` out. The only place that wires.

Nothing is global: tests build several runtimes side by side. One connection that cannot be
used is told of in `Runtime.problems` and everything else runs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog
from dramatiq import Broker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import BrokerError
from prometheus_client import CollectorRegistry
from redis.exceptions import RedisError

from config.announcements import ChannelKind, ChannelSettings, load_announcements
from config.connections import REGISTRATIONS, Connection, load_connections
from config.documents import read_text
from config.programs import load_programs
from config.settings import Environment, Settings
from config.signing_in import Kind
from connectors.port import ConnectionSettings, CrmConnector
from connectors.tokens import MemoryTokenVault, TokenVault
from mapping.loader import load as load_mapping
from mapping.loader import read as read_file
from mapping.schema import ConnectionMapping
from registration_core import fields
from registration_core.contracts import ConnectionName, Mode, ObjectSchema
from registration_core.errors import ConfigurationError, DomainRefusal, Problem
from registration_core.fields import CanonicalField, FieldGroup, members
from registration_core.program import Program
from registration_core.store.database import Database
from sync.actors import Actors
from sync.channels.port import Channel
from sync.mappings import mapping_versions
from sync.mappings.connecting import LAGS_TO_DECIDE
from sync.process.middleware import LogContext
from sync.process.runtime import Runtime
from sync.traffic import budget
from sync.traffic.guard import CallMetrics, GuardedConnector
from sync.traffic.tokens import StoredTokenVault

log = structlog.get_logger()


def utc_now() -> datetime:
    """Return the real time."""
    return datetime.now(UTC)


def build(
    settings: Settings,
    *,
    clock: Callable[[], datetime] = utc_now,
    rng: random.Random | None = None,
    connectors: Mapping[ConnectionName, CrmConnector] | None = None,
) -> Runtime:
    """Put the program together; makes no call to a CRM and needs no running broker.

    Args:
        settings: What the environment said.
        clock: Where the time comes from.
        rng: Source of ids and keys; the operating system's where none is given.
        connectors: Doors to use instead of the ones `connections.yaml` describes, for tests.

    Raises:
        ConfigurationError: A file cannot be read at all, or no program can be loaded.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    connections = load_connections(settings.config_dir, settings.variables, settings.environment)
    programs = load_programs(settings.config_dir, connections.names)
    announcements = load_announcements(settings.config_dir, settings.variables)
    mappings, problems = load_mappings(settings.config_dir, connections.usable, programs)
    usable = connections.usable
    database = Database(settings.database_url, clock, rng or random.SystemRandom())
    registry = CollectorRegistry()
    metrics = CallMetrics(registry)
    doors = {
        name: _door(connection, database, settings, metrics, (connectors or {}).get(name))
        for name, connection in usable.items()
    }
    try:
        _require_reachable(programs, doors)
    except ConfigurationError:
        database.close()
        raise
    broker = _redis_broker(settings.redis_url) if settings.redis_url else None
    parts = _Parts(doors, mappings, {**connections.unusable, **problems})
    runtime = Runtime(
        database=database,
        connectors=parts.ready,
        modes={
            name: connection.modes.get(REGISTRATIONS, Mode.OFF)
            for name, connection in usable.items()
        },
        mappings=parts.live,
        programs=programs,
        problems=parts.refused,
        poll_seconds=settings.poll_seconds,
        registry=registry,
        broker=broker,
        _close=lambda: _close(database, broker),
        start_modes={
            name: Mode.OBSERVE
            for name, connection in usable.items()
            if connection.environment is Environment.PRODUCTION
        },
        drafts={name: mappings[name].version if name in mappings else "" for name in usable},
        _refresh=lambda first: _take_up(database, parts, programs, first=first),
        pins={name: connection.org_id for name, connection in usable.items() if connection.org_id},
        limits={name: connection.limits for name, connection in usable.items()},
        channels=tuple(_channel(each, clock) for each in announcements.channels),
        expiring_days=announcements.expiring_days,
        secrets_end={
            name: each.secret_expires_on for name, each in usable.items() if each.secret_expires_on
        },
    )
    if broker is not None:
        database.on_work = careful(Actors(broker, lambda: runtime).nudge)
    return runtime


def _require_reachable(
    programs: Mapping[str, Program], doors: Mapping[ConnectionName, CrmConnector]
) -> None:
    """Refuse programs that take answers for fresh only while no CRM can have given them."""
    problems = [
        Problem(
            f"programs/{program.name}.yaml",
            f"checks.freshness_seconds.{name}: {limit}, but its answers lag by {lag} seconds, "
            "so no check could ever be complete",
            f"write {name}: {LAGS_TO_DECIDE * lag}, or more",
        )
        for program in programs.values()
        for name in program.required_connections
        if name in doors
        and (limit := program.freshness_seconds[name])
        <= (lag := doors[name].capabilities.lag_seconds)
    ]
    if problems:
        raise ConfigurationError("The programs cannot be used.", problems)


def _channel(settings: ChannelSettings, clock: Callable[[], datetime]) -> Channel:
    if settings.kind is ChannelKind.EMAIL:
        from sync.channels.email import EmailChannel

        return EmailChannel(
            settings.name, settings.audience, settings.url, settings.sender, settings.to
        )
    from sync.channels.webhook import BODIES, WebhookChannel

    body = BODIES[settings.body]
    return WebhookChannel(
        settings.name, settings.audience, settings.url, settings.secret, body, clock
    )


class _Parts:
    """What a process works with by connection; changes when another mapping is in force."""

    def __init__(
        self,
        doors: Mapping[ConnectionName, CrmConnector],
        mappings: Mapping[ConnectionName, ConnectionMapping],
        refused: Mapping[ConnectionName, tuple[Problem, ...]],
    ) -> None:
        self._doors = doors
        self.ready = {name: door for name, door in doors.items() if name in mappings}
        self.live, self.refused = dict(mappings), dict(refused)

    def behind(self, known: Mapping[ConnectionName, str]) -> list[ConnectionName]:
        """Return the connections for which another mapping is in force than is worked with."""
        now = {name: self.live[name].version if name in self.live else "" for name in self._doors}
        return [name for name, version in now.items() if known.get(name, version) != version]

    def take(self, name: ConnectionName, mapping: ConnectionMapping) -> None:
        """Work with a mapping; a connection whose file cannot be used is usable by it."""
        self.live[name] = mapping
        self.refused.pop(name, None)
        self.ready.setdefault(name, self._doors[name])


def _take_up(
    database: Database, parts: _Parts, programs: Mapping[str, Program], *, first: bool
) -> None:
    """Put the mappings that are in force in the place of what this process works with."""
    with database.read() as session:
        known = mapping_versions.digests(session)
        texts = {name: mapping_versions.versions(session, name)[0] for name in parts.behind(known)}
    for name, version in texts.items():
        file = f"mappings/{name}.yaml, version {version.number}"
        try:
            parts.take(name, load_mapping(version.text, file, *catalogue(programs)))
        except ConfigurationError as error:  # a program lost a field; what is there goes on
            log.warning("mapping in force cannot be used", connection=name, problems=error.problems)
    for name in sorted(parts.live.keys() - known.keys()) if first else ():
        try:
            with database.begin() as unit:
                mapping_versions.put_in_force(unit, parts.live[name], seen=0)
        except DomainRefusal:
            log.info("another process made version 1", connection=name)


@contextmanager
def unmapped(
    settings: Settings, name: str, *, clock: Callable[[], datetime] = utc_now
) -> Iterator[CrmConnector]:
    """Open one connection that needs no mapping yet, to read what its CRM says of its objects."""
    connections = load_connections(settings.config_dir, settings.variables, settings.environment)
    database = Database(settings.database_url, clock, random.SystemRandom())
    try:
        metrics = CallMetrics(CollectorRegistry())
        yield _door(connections.get(name), database, settings, metrics)
    finally:
        database.close()


def _door(
    connection: Connection,
    database: Database,
    settings: Settings,
    metrics: CallMetrics,
    given: CrmConnector | None = None,
) -> GuardedConnector:
    return GuardedConnector(
        given or _connector(connection, database, settings.token_keys),
        database,
        metrics,
        connection.org_id or None,
        connection.api_budget_reserve_percent,
    )


def careful(nudge: Callable[[set[str]], None]) -> Callable[[set[str]], None]:
    """Make a nudge that cannot fail a commit that has happened: the sweep finds the work anyway."""

    def sent(kinds: set[str]) -> None:
        try:
            nudge(kinds)
        except (BrokerError, RedisError, OSError) as error:
            log.warning("nudge lost", kinds=sorted(kinds), reason=str(error))

    return sent


@contextmanager
def nudging(database: Database, redis_url: str) -> Iterator[None]:
    """Nudge workers after commits of a process that has the store alone, as some commands do."""
    broker = _redis_broker(redis_url)
    database.on_work = careful(Actors(broker, _no_runtime).nudge)
    try:
        yield
    finally:
        broker.close()


def _no_runtime() -> Runtime:
    raise AssertionError("this process only nudges; it works on nothing")


def _redis_broker(url: str) -> RedisBroker:
    # No Retries and no TimeLimit: when work is due again stands on its row.
    return RedisBroker(url=url, middleware=[LogContext()])  # type: ignore[no-untyped-call]


def _close(database: Database, broker: Broker | None) -> None:
    if broker is not None:
        broker.close()
    database.close()


def load_mappings(
    config_dir: Path, names: Iterable[ConnectionName], programs: Mapping[str, Program]
) -> tuple[dict[ConnectionName, ConnectionMapping], dict[ConnectionName, tuple[Problem, ...]]]:
    """Read the mapping files of these connections; the second value says which cannot be used."""
    mappings: dict[ConnectionName, ConnectionMapping] = {}
    problems: dict[ConnectionName, tuple[Problem, ...]] = {}
    for name in names:
        mapping, found = read_mapping(config_dir, name, programs)
        if found or mapping is None:
            problems[name] = found
        else:
            mappings[name] = mapping
    return mappings, problems


def read_mapping(
    config_dir: Path, name: ConnectionName, programs: Mapping[str, Program]
) -> tuple[ConnectionMapping | None, tuple[Problem, ...]]:
    """Read as much of a connection's mapping file as there is, with what is wrong with the rest."""
    file = f"mappings/{name}.yaml"
    try:
        text = read_text(config_dir / file, file, f"type dealreg mapping init {name}")
    except ConfigurationError as error:
        return None, error.problems
    mapping, found = read_file(text, file, *catalogue(programs))
    if mapping is not None and mapping.connection != name:  # copied, and left unchanged
        what = f"it says it is of {mapping.connection}"
        problem = mapping.source.problem(("connection",), what, f"connection: {name}")
        found = (*found, problem)
    return mapping, found


def catalogue(
    programs: Mapping[str, Program],
) -> tuple[ObjectSchema, dict[str, tuple[str, ...]]]:
    """Return our fields and their groups, those that only a program has included."""
    custom = [
        CanonicalField(f.name, f.type, FieldGroup.DETAILS, f.label, f.options)
        for program in programs.values()
        for f in program.custom_fields.values()
    ]
    ours = fields.schema(custom)
    groups = {group.value: members(group) for group in FieldGroup}
    groups[FieldGroup.DETAILS.value] += tuple(f.name for f in custom)
    return ours, groups


def _connector(
    connection: Connection, database: Database, token_keys: Sequence[str]
) -> CrmConnector:
    """Build the connector of a kind; imports its client library only now.

    With a key, its token is shared by all workers; without one, each process signs in by itself.
    """
    clock, vault = database.clock, _vault(connection, database, token_keys)
    settings = ConnectionSettings(
        name=connection.name,
        environment=connection.environment.value,
        base_url=connection.base_url,
        token_url=connection.token_url,
        ca_file=connection.ca_file,
        api_version=connection.api_version,
        credentials=connection.credentials,
        webhook=connection.webhook,
        connect_timeout_seconds=connection.connect_timeout_seconds,
        read_timeout_seconds=connection.read_timeout_seconds,
        bulk_from=connection.bulk_from,
    )
    if connection.kind is Kind.SALESFORCE:
        from connectors.salesforce.connector import SalesforceConnector

        return SalesforceConnector(settings, clock, vault)
    if connection.kind is Kind.DYNAMICS365:
        from connectors.dynamics365.connector import DynamicsConnector

        return DynamicsConnector(settings, clock, vault)
    from connectors.hubspot.connector import HubSpotConnector
    from connectors.hubspot.pacing import Pace

    turns = budget.SearchTurns(database, connection.name)
    return HubSpotConnector(settings, clock, vault, Pace(turn=turns.take))


def _vault(connection: Connection, database: Database, token_keys: Sequence[str]) -> TokenVault:
    if not token_keys:
        return MemoryTokenVault()
    return StoredTokenVault(database, token_keys, connection.name, connection.credentials)
