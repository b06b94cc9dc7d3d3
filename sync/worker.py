"""Entry of production workers: `dramatiq sync.worker:broker`, any number of processes.

dramatiq imports this module in each worker process after the fork, so every process has its
own connections. A worker waits for a store that is away, and ends at one of another version.
"""

from __future__ import annotations

import os
import sys
import time

import structlog
from dramatiq import Broker

from config.logging import configure_logging
from config.settings import load_settings
from registration_core.errors import ConfigurationError, DealregError
from registration_core.store.database import Database, StoreUnavailable
from sync.process import garbage
from sync.wiring import build

#: How often it is looked whether a store is back, in seconds.
_LOOK_SECONDS = 5


def _started() -> Broker:
    settings = load_settings(os.environ)
    configure_logging(settings.log_format, settings.log_level)
    runtime = build(settings)
    if runtime.broker is None:
        raise ConfigurationError(
            "Workers of their own need DEALREG_REDIS_URL.",
            hint="Set it, or run everything in one process: dealreg serve",
        )
    _require_current(runtime.database)
    garbage.collect_seldom()
    return runtime.broker


def _require_current(database: Database) -> None:
    from migrations import standing  # Alembic logs as it is loaded, when logging is set up

    while True:
        try:
            with database.read() as session:
                stands = standing.of(standing.version_in(session.connection()))
        except StoreUnavailable as error:
            structlog.get_logger().warning("paused", part="worker", reason=error.message)
            time.sleep(_LOOK_SECONDS)
        else:
            stands.require_current()
            return


try:
    #: What dramatiq runs.
    broker = _started()
except DealregError as refused:
    sys.exit(f"error: {refused}")
