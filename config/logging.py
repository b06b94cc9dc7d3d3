"""One shape for every log line, ours and the libraries', without secrets and without bodies.

Our modules log by `structlog.get_logger()`, with names and ids as key words. `run`, `connection`
and other context that is bound with `structlog.contextvars` is on every line of a thread.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from config.settings import LogFormat, LogLevel
from config.variables import is_secret_name

MASK = "***"

#: Deepest nesting that is looked through; what lies deeper is not logged.
DEPTH_MAX = 5

_BODY = re.compile(r"(^|_)(body|payload|content)$", re.IGNORECASE)

#: Secrets inside of texts: headers, forms, query strings, JSON, and URLs with a password.
_IN_TEXT = (
    (re.compile(r"\b(Bearer|Basic) +[A-Za-z0-9._~+/!=-]{6,}"), rf"\1 {MASK}"),
    (
        re.compile(
            r"\b((?:access_|refresh_|id_)?token|client_secret|client_assertion|assertion|secret"
            r"|password|api_?key|signature)"
            r"(=|['\"]\s*:\s*['\"])[^&\s'\",}]+",
            re.IGNORECASE,
        ),
        rf"\1\2{MASK}",
    ),
    (re.compile(r"([?&](?:code|sig)=)[^&\s'\"]+"), rf"\1{MASK}"),
    (re.compile(r"(://[^/\s:@]*):[^/\s@]+@"), rf"\1:{MASK}@"),
)

#: Least important level that is taken from these, whatever is asked for: their lower levels
#: tell URLs with secrets in them (the path of a webhook, a query) and bodies.
_QUIET = {
    "alembic": logging.WARNING,  # tells of its own parts as it is loaded
    "hubspot": logging.WARNING,
    "httpx": logging.WARNING,
    "msal": logging.WARNING,
    "requests": logging.WARNING,
    "simple_salesforce": logging.WARNING,
    "urllib3": logging.WARNING,
    "uvicorn.access": logging.WARNING,
}


def configure_logging(
    log_format: LogFormat, log_level: LogLevel, stream: TextIO | None = None
) -> None:
    """Send all logging of this process to one stream; may be called again to change it.

    Args:
        log_format: Aligned text for people, or one JSON object a line for machines.
        log_level: The least important line that is written.
        stream: Where to; standard error, so that a command's output stays its own.
    """
    target = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                without_secrets,
                _renderer(log_format, target),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(log_level.upper())
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _renderer(log_format: LogFormat, target: TextIO) -> Processor:
    if log_format is LogFormat.JSON:
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    # The default formatter of tracebacks prints local variables, and so secrets.
    return structlog.dev.ConsoleRenderer(
        colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def without_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask secrets and leave bodies out; the last step before a line is written."""
    return {key: _safe(key, value, 0) for key, value in event.items()}


def _safe(name: str, value: object, depth: int) -> object:
    """Return what may be logged of a value under this name."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if is_secret_name(name):
        return MASK
    if isinstance(value, (bytes, bytearray)) or (_BODY.search(name) and isinstance(value, str)):
        return f"<{len(value)} {'characters' if isinstance(value, str) else 'bytes'} not logged>"
    if _BODY.search(name) or depth > DEPTH_MAX:
        return "<not logged>"
    if isinstance(value, Mapping):
        return {str(key): _safe(str(key), child, depth + 1) for key, child in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_safe(name, child, depth + 1) for child in value]
    return mask_text(str(value))


def mask_text(text: str) -> str:
    """Mask what looks like a secret inside a text."""
    for pattern, replacement in _IN_TEXT:
        text = pattern.sub(replacement, text)
    return text
