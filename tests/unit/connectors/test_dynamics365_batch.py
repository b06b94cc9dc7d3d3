"""The multipart bodies of `$batch`, judged by the standard library's mail parser."""

from __future__ import annotations

import json
from email import message_from_bytes
from email.policy import HTTP

import pytest

from connectors.dynamics365 import batch
from connectors.dynamics365.transport import Reply

PATCH = batch.Part(
    "PATCH", "/api/data/v9.2/accounts(1)", {"If-Match": "*"}, {"name": "--batch\r\n"}
)
GET = batch.Part("GET", "/api/data/v9.2/accounts(1)")


def test_a_batch_is_what_another_parser_reads() -> None:
    body = batch.compose([batch.ChangeSet((PATCH, PATCH)), GET])
    head = f"Content-Type: {batch.content_type()}\r\n\r\n".encode()
    message = message_from_bytes(head + body, policy=HTTP)
    change_set, single = message.iter_parts()
    inner = list(change_set.iter_parts())
    assert [part["Content-ID"] for part in inner] == ["1", "2"]
    text = inner[0].get_content().decode()
    assert text.startswith("PATCH /api/data/v9.2/accounts(1) HTTP/1.1\r\n")
    assert json.loads(text.partition("\r\n\r\n")[2]) == {"name": "--batch\r\n"}
    assert single.get_content().decode().startswith("GET /api/data/v9.2/accounts(1) HTTP/1.1")


ANSWER = """--batchresponse_1
Content-Type: multipart/mixed; boundary=changesetresponse_2

--changesetresponse_2
Content-Type: application/http
Content-Transfer-Encoding: binary
Content-ID: 1

HTTP/1.1 204 No Content
OData-Version: 4.0


--changesetresponse_2
Content-Type: application/http
Content-ID: 2

HTTP/1.1 201 Created
ETag: W/"7"
Content-Type: application/json

{"accountid": "1"}
--changesetresponse_2--
--batchresponse_1
Content-Type: application/http

HTTP/1.1 404 Not Found
Content-Type: application/json

{"error":{"code":"0x80040217","message":"gone"}}
--batchresponse_1--
"""


def answer(text: str) -> Reply:
    kind = "multipart/mixed; boundary=batchresponse_1"
    return Reply(200, {"content-type": kind}, text.encode())


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_answers_are_read_in_order_change_sets_included(ending: str) -> None:
    replies = batch.parse(answer(ANSWER.replace("\n", ending)))
    assert [reply.status for reply in replies] == [204, 201, 404]
    assert replies[0].body == b""
    assert replies[1].headers["etag"] == 'W/"7"'
    assert replies[1].json() == {"accountid": "1"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html></html>",
        ANSWER[: len(ANSWER) // 2],
        "--batchresponse_1\n\nnoise\n--batchresponse_1--",
    ],
)
def test_an_incomplete_answer_is_not_taken_for_a_whole_one(text: str) -> None:
    with pytest.raises(ValueError, match="answer"):
        batch.parse(answer(text))


def test_an_answer_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="multipart"):
        batch.parse(Reply(200, {"content-type": "text/html"}, b"<html>"))
