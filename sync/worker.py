"""Entry of production workers: `dramatiq sync.worker:broker`, any number of processes.

dramatiq imports this module in each worker process after the fork, so every process has its
own connections.
"""

from __future__ import annotations

import os

from config.logging import configure_logging
from config.settings import load_settings
from registration_core.errors import ConfigurationError
from sync.process import garbage
from sync.wiring import build

_settings = load_settings(os.environ)
configure_logging(_settings.log_format, _settings.log_level)
_runtime = build(_settings)
if _runtime.broker is None:
    raise ConfigurationError(
        "Workers of their own need DEALREG_REDIS_URL.",
        hint="Set it, or run everything in one process: dealreg serve",
    )
garbage.collect_seldom()
#: What dramatiq runs.
broker = _runtime.broker
