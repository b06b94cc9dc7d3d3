"""The tracked feed and the batches of the Dynamics 365 stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from sandbox.dynamics365.calls import API, Answer
from tests.unit.sandbox.dynamics365 import REP, Environment, body, code


@pytest.fixture
def env() -> Iterator[Environment]:
    environment = Environment()
    environment.org.seed()
    environment.events.clear()
    yield environment
    environment.org.store.close()


# --- change tracking

TRACK = {"prefer": "odata.track-changes,odata.maxpagesize=2"}


def follow(env: Environment, address: str) -> tuple[list[dict[str, Any]], str]:
    """Read a feed to its end; rows and the link for later."""
    rows: list[dict[str, Any]] = []
    while True:
        page = body(env.call("GET", address, **TRACK))
        rows += page["value"]
        if "@odata.deltaLink" in page:
            return rows, page["@odata.deltaLink"]
        address = page["@odata.nextLink"]


def test_the_feed_tells_changes_first_and_deletions_last(env: Environment) -> None:
    first, second, third = env.deal(), env.deal(), env.deal()
    rows, link = follow(env, "opportunities?$select=name")
    assert {row["opportunityid"] for row in rows} == {first, second, third}
    env.org.remove("opportunity", second, REP)
    passing = env.deal()
    env.org.remove("opportunity", passing, REP)
    env.org.edit("opportunity", first, {"name": "New"}, REP)
    rows, later = follow(env, link)
    assert [row.get("name") for row in rows] == ["New", None, None]
    assert [row["id"] for row in rows[1:]] == [second, passing]
    assert follow(env, link)[0] == rows
    assert follow(env, later)[0] == []


def test_a_row_changed_between_pages_comes_with_the_next_link(env: Environment) -> None:
    deals = [env.deal() for _ in range(4)]
    page = body(env.call("GET", "opportunities?$select=name", **TRACK))
    env.org.edit("opportunity", deals[3], {"name": "New"}, REP)
    _, link = follow(env, page["@odata.nextLink"])
    assert [row["name"] for row in follow(env, link)[0]] == ["New"]


def test_an_old_token_is_refused(env: Environment) -> None:
    _, link = follow(env, "opportunities?$select=name")
    env.now += timedelta(days=8)
    assert code(env.call("GET", link)) == (400, "0x80044352")


@pytest.mark.parametrize("option", ["$filter=name eq 'x'", "$orderby=name", "$top=1"])
def test_tracking_takes_no_other_option(env: Environment, option: str) -> None:
    assert env.call("GET", f"opportunities?{option}", **TRACK).status == 400


# --- batches


def batch(*parts: str) -> bytes:
    pieces = [f"--b\nContent-Type: application/http\n\n{part}\n" for part in parts]
    return ("".join(pieces) + "--b--").encode()


def send(env: Environment, content: bytes, **headers: str) -> Answer:
    return env.call(
        "POST", "$batch", content, content_type="multipart/mixed; boundary=b", **headers
    )


GOOD = f'POST {API}accounts HTTP/1.1\nContent-Type: application/json\n\n{{"name":"In a batch"}}'
BAD = f'POST {API}accounts HTTP/1.1\nContent-Type: application/json\n\n{{"nonsense":1}}'


def named(env: Environment) -> int:
    return sum(row.fields["name"] == "In a batch" for row in env.org.store.rows("account"))


@pytest.mark.parametrize(
    ("preference", "status", "written"), [("", 400, 1), ("odata.continue-on-error", 200, 2)]
)
def test_a_batch_goes_on_after_an_error_when_asked(
    env: Environment, preference: str, status: int, written: int
) -> None:
    answer = send(env, batch(GOOD, BAD, GOOD), prefer=preference)
    assert answer.status == status
    assert answer.encoded().startswith(b"--batchresponse_")
    assert named(env) == written


def test_a_change_set_is_written_and_told_whole_or_not_at_all(env: Environment) -> None:
    def change_set(*parts: str) -> bytes:
        inner = "".join(f"--c\nContent-Type: application/http\n\n{part}\n" for part in parts)
        head = "--b\nContent-Type: multipart/mixed; boundary=c\n\n"
        return f"{head}{inner}--c--\n--b--".encode()

    version = env.org.store.version
    failed = send(env, change_set(GOOD, BAD), prefer="odata.continue-on-error")
    assert failed.encoded().count(b"HTTP/1.1 ") == 1
    assert (named(env), env.events) == (0, [])
    assert env.org.store.version > version
    assert send(env, change_set(GOOD, GOOD)).encoded().count(b"HTTP/1.1 204") == 2
    assert (named(env), len(env.events)) == (2, 2)


@pytest.mark.parametrize(
    "content", [b"", b"--b\nnoise", b"--b\nContent-Type: text/plain\n\nx\n--b--"]
)
def test_a_malformed_batch_is_refused_in_json(env: Environment, content: bytes) -> None:
    assert code(send(env, content))[0] == 400
