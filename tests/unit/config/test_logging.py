"""Log lines: one shape for ours and the libraries', UTC, no secret, no body."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog

from config.logging import configure_logging, mask_text
from config.settings import LogFormat, LogLevel


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _json_lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_json_line_holds_event_level_logger_and_utc_time() -> None:
    stream = io.StringIO()
    configure_logging(LogFormat.JSON, LogLevel.INFO, stream)
    structlog.get_logger("sync.push").info("pushed", connection="salesforce", records=3)
    (line,) = _json_lines(stream)
    stamp = datetime.fromisoformat(line.pop("timestamp"))
    assert stamp.utcoffset() == timedelta(0)
    assert line == {
        "event": "pushed",
        "level": "info",
        "logger": "sync.push",
        "connection": "salesforce",
        "records": 3,
    }


def test_lines_of_libraries_have_the_same_shape() -> None:
    stream = io.StringIO()
    configure_logging(LogFormat.JSON, LogLevel.INFO, stream)
    logging.getLogger("dramatiq.worker").warning("lost %s", "redis://:hunter2@host")
    (line,) = _json_lines(stream)
    assert line["event"] == "lost redis://:***@host"
    assert (line["level"], line["logger"]) == ("warning", "dramatiq.worker")


def test_lines_below_the_level_are_not_written() -> None:
    stream = io.StringIO()
    configure_logging(LogFormat.JSON, LogLevel.WARNING, stream)
    structlog.get_logger("a").info("quiet")
    logging.getLogger("b").info("quiet")
    structlog.get_logger("a").warning("loud")
    assert [line["event"] for line in _json_lines(stream)] == ["loud"]


@pytest.mark.parametrize("name", ["urllib3.connectionpool", "uvicorn.access", "msal.token_cache"])
def test_libraries_that_tell_urls_and_bodies_stay_quiet_even_at_debug(name: str) -> None:
    stream = io.StringIO()
    configure_logging(LogFormat.JSON, LogLevel.DEBUG, stream)
    logging.getLogger(name).info("POST /webhooks/salesforce/hunter2")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_neither_secrets_nor_bodies_are_written(log_format: LogFormat) -> None:
    stream = io.StringIO()
    configure_logging(log_format, LogLevel.INFO, stream)
    structlog.get_logger("a").info(
        "call",
        client_secret="hunter2",
        headers={"Authorization": "Bearer hunter2hunter2", "X-Id": "shown"},
        hooks=[{"webhook_secret": "hunter2"}],
        body='{"name": "hunter2"}',
        request_payload={"name": "hunter2"},
        raw=b"hunter2",
        url="https://crm.example/hook?code=hunter2&x=1",
    )
    assert "hunter2" not in stream.getvalue()
    assert "shown" in stream.getvalue()


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_a_traceback_shows_the_error_but_no_local_variable(log_format: LogFormat) -> None:
    stream = io.StringIO()
    configure_logging(log_format, LogLevel.INFO, stream)

    def fail(value: str) -> None:
        if value:
            raise ValueError("the record is odd: Bearer abcdefghijkl")

    try:
        fail("hunter2".upper())
    except ValueError:
        structlog.get_logger("a").exception("failed")
    assert "the record is odd: Bearer ***" in stream.getvalue()
    assert "HUNTER2" not in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("grant_type=x&client_secret=hunter2&y=1", "grant_type=x&client_secret=***&y=1"),
        ('{"access_token": "hunter2", "a": 1}', '{"access_token": "***", "a": 1}'),
        ("{'password': 'hunter2'}", "{'password': '***'}"),
        ("postgresql://me:hunter2@db/x", "postgresql://me:***@db/x"),
        ("reason code=DUP_ACTIVE", "reason code=DUP_ACTIVE"),
        ("https://host:8443/a@b", "https://host:8443/a@b"),
    ],
)
def test_secrets_inside_of_texts_are_masked(text: str, masked: str) -> None:
    assert mask_text(text) == masked


def test_it_may_be_called_again_to_change_the_stream() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logging(LogFormat.JSON, LogLevel.INFO, first)
    logger = structlog.get_logger("a")
    logger.info("one")
    configure_logging(LogFormat.TEXT, LogLevel.INFO, second)
    logger.info("two")
    assert "two" not in first.getvalue()
    assert "two" in second.getvalue()
    assert "one" not in second.getvalue()
