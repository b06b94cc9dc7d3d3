"""dramatiq middleware of our own: log context around each message, failures to the log."""

from __future__ import annotations

from typing import Any

import dramatiq
import structlog

log = structlog.get_logger()


class LogContext(dramatiq.Middleware):
    """Binds the message to every log line, and logs what escaped a drain with its traceback."""

    def before_process_message(self, _broker: dramatiq.Broker, message: Any) -> None:
        """Bind the kind of work."""
        structlog.contextvars.bind_contextvars(work=":".join(a for a in message.args if a))

    def after_process_message(
        self,
        _broker: dramatiq.Broker,
        message: Any,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        """Unbind; the store still holds what is due, so nothing is lost by the failure."""
        if exception is not None:
            log.error("work failed", message=message.message_id, exc_info=exception, result=result)
        structlog.contextvars.unbind_contextvars("work")
