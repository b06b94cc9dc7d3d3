"""`/metrics`: this process's counters, and how the store stands at the moment of the scrape.

Labels are names of connections, operations and states, never anything of a customer.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sync.process.runtime import Runtime
from sync.reports.status import ConnectionStatus, Status, status
from web.health import STORE_AWAY


class Metrics:
    """The numbers of one app."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._registry = CollectorRegistry()
        self.deliveries = Counter(
            "dealreg_webhook_deliveries",
            "Webhook deliveries answered",
            ("connection", "status"),
            registry=self._registry,
        )

    def text(self) -> bytes:
        """Word every number for Prometheus; with the store away, the counters alone."""
        try:
            standing: Status | None = status(self._runtime)
        except STORE_AWAY:
            standing = None
        gauges = CollectorRegistry()
        gauges.register(_Gauges(standing, self._runtime.database.clock()))
        registries = (self._runtime.registry, self._registry, gauges)
        return b"".join(generate_latest(registry) for registry in registries)


class _Gauges(Collector):
    """One reading of the store."""

    def __init__(self, standing: Status | None, now: datetime) -> None:
        self._standing, self._now = standing, now

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        found = self._standing
        yield _gauge("store_up", "1 while the store answers", float(found is not None))
        if found is None:
            return
        yield _gauge("checks_due", "Conflict checks that are due", found.checks_due)
        yield _gauge(
            "open_conflicts", "Sync conflicts that wait for a person", found.open_conflicts
        )
        yield _gauge("link_proposals", "Links that wait for a person", found.link_proposals)
        yield _gauge("dead_letters", "Dead letters that wait for a person", found.dead_letters)
        registrations = GaugeMetricFamily(
            "dealreg_registrations", "Registrations by state", labels=["state"]
        )
        for state, count in sorted(found.registrations.items()):
            registrations.add_metric([state], count)
        yield registrations
        yield from self._of_connections(found.connections)

    def _of_connections(self, connections: tuple[ConnectionStatus, ...]) -> Iterator[Metric]:
        families = {
            "connection_usable": "0 if the connection's configuration keeps it from being used",
            "connection_paused": "1 while a failure keeps the connection paused",
            "outbox_due": "Records to be written",
            "outbox_waiting": "Records to be written that wait for something else first",
            "outbox_dead": "Records to be written that became dead letters",
            "inbox_due": "Records that may have changed in the CRM and were not read since",
            "orphaned_links": "Links whose record the CRM lost",
            "accounts_age_seconds": "Age of the account data, by the CRM's clock",
        }
        gauges = {
            name: GaugeMetricFamily(f"dealreg_{name}", text, labels=["connection"])
            for name, text in families.items()
        }
        for each in connections:
            for name, value in self._numbers(each).items():
                gauges[name].add_metric([each.name], value)
        yield from gauges.values()

    def _numbers(self, connection: ConnectionStatus) -> dict[str, float]:
        until = connection.paused_until
        numbers: dict[str, float] = {
            "connection_usable": not connection.problems,
            "connection_paused": until is not None and until > self._now,
            "outbox_due": connection.outbox_due,
            "outbox_waiting": connection.outbox_waiting,
            "outbox_dead": connection.outbox_dead,
            "inbox_due": connection.inbox_due,
            "orphaned_links": connection.orphaned_links,
        }
        if (
            connection.accounts_as_of is not None
        ):  # nothing is known of an age before the first poll
            age = (self._now - connection.accounts_as_of).total_seconds()
            numbers["accounts_age_seconds"] = max(age, 0.0)
        return numbers


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"dealreg_{name}", text, value=value)
