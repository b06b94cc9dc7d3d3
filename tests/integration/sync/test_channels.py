"""What the channels say on the wire, and what becomes of it when the other side does not take it."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from registration_core.announcing import Audience
from sync.channels import email, webhook
from sync.channels.email import EmailChannel
from sync.channels.port import Message, NoAddress, Undeliverable, Undelivered, Unreachable
from sync.channels.webhook import (
    WebhookChannel,
    own_body,
    signature,
    slack_body,
    teams_body,
)
from tests.world import START

MESSAGE = Message("m-1", "decided", "DR-1: Approved", "Yes <&>", {"number": "DR-1"}, "", START)


class Receiver(BaseHTTPRequestHandler):
    """Keeps what is posted and answers as it is told to."""

    got: list[tuple[dict[str, str], bytes]]
    status: int
    #: Announces a body of its answer that never comes.
    bodiless = False

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).got.append((dict(self.headers), body))
        self.send_response(self.status)
        if self.bodiless:
            self.send_header("Content-Length", "100")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def receiving() -> Iterator[tuple[type[Receiver], str]]:
    """Take what is posted, on a port of its own."""

    class Fresh(Receiver):
        got: list[tuple[dict[str, str], bytes]] = []  # noqa: RUF012 - one class per receiver
        status = 200

    server = HTTPServer(("127.0.0.1", 0), Fresh)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Fresh, f"http://127.0.0.1:{server.server_port}/hook"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def receiver() -> Iterator[tuple[type[Receiver], str]]:
    with receiving() as made:
        yield made


def test_a_webhook_is_signed_with_its_time_and_names_its_message(
    receiver: tuple[type[Receiver], str],
) -> None:
    kept, url = receiver
    WebhookChannel("hook", Audience.STAFF, url, "s3cret", own_body, lambda: START).deliver(MESSAGE)
    ((headers, body),) = kept.got
    assert headers["X-Dealreg-Id"] == "m-1"
    timestamp = headers["X-Dealreg-Timestamp"]
    assert timestamp == str(int(START.timestamp()))
    assert headers["X-Dealreg-Signature"] == signature("s3cret", timestamp, body)
    assert json.loads(body)["facts"] == {"number": "DR-1"}


@pytest.mark.parametrize(("status", "kind"), [(503, Undelivered), (429, Undelivered),
                                              (400, Undeliverable), (302, Undeliverable)])  # fmt: skip
def test_a_webhook_that_is_not_taken_says_whether_it_may_be_later(
    receiver: tuple[type[Receiver], str], status: int, kind: type[Undelivered]
) -> None:
    kept, url = receiver
    kept.status = status
    channel = WebhookChannel("hook", Audience.STAFF, url, "s", own_body, lambda: START)
    with pytest.raises(Undelivered) as raised:
        channel.deliver(MESSAGE)
    assert type(raised.value) is kind
    assert url not in str(raised.value)


def test_a_webhook_is_taken_by_its_status_and_nobody_waits_for_a_body(
    receiver: tuple[type[Receiver], str],
) -> None:
    kept, url = receiver
    kept.bodiless = True
    WebhookChannel("hook", Audience.STAFF, url, "s", own_body, lambda: START).deliver(MESSAGE)
    assert len(kept.got) == 1


def test_a_fact_hides_no_link_in_a_card() -> None:
    card = str(teams_body(replace(MESSAGE, text="for [Acme](https://evil.example)")))
    assert "[Acme]" not in card


def test_slack_and_teams_get_bodies_that_they_show() -> None:
    assert slack_body(MESSAGE) == {"text": "*DR-1: Approved*\nYes &lt;&amp;&gt;"}
    (attachment,) = teams_body(MESSAGE)["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert [block["text"] for block in attachment["content"]["body"]] == [
        "DR-1: Approved", "Yes <&>",
    ]  # fmt: skip


class MailServer(socketserver.StreamRequestHandler):
    """As much of SMTP as sending one e-mail takes; refuses the recipients it is told to."""

    mails: list[str]
    refused = ""

    def handle(self) -> None:
        self._say("220 here")
        while line := self.rfile.readline().decode().strip():
            verb = line[:4].upper()
            if verb == "RCPT" and self.refused and self.refused in line:
                self._say("550 no such mailbox")
            elif verb == "DATA":
                self._say("354 go on")
                self._read_mail()
                self._say("250 taken")
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 fine")

    def _read_mail(self) -> None:
        lines = iter(self.rfile.readline, b".\r\n")
        type(self).mails.append(b"".join(lines).decode())

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@pytest.fixture
def mail_server() -> Iterator[tuple[type[MailServer], str]]:
    class Fresh(MailServer):
        mails: list[str] = []  # noqa: RUF012 - one class per test

    with socketserver.TCPServer(("127.0.0.1", 0), Fresh) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Fresh, f"smtp://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_an_e_mail_goes_to_the_partners_own_address(
    mail_server: tuple[type[MailServer], str],
) -> None:
    kept, url = mail_server
    channel = EmailChannel("partners", Audience.PARTNER, url, "deals@vendor.example", "")
    channel.deliver(replace(MESSAGE, to="rep@acme.example"))
    (mail,) = kept.mails
    assert "To: rep@acme.example" in mail
    assert "Message-ID: <m-1.partners@vendor.example>" in mail
    assert "Subject: DR-1: Approved" in mail
    with pytest.raises(NoAddress):
        channel.deliver(MESSAGE)
    with pytest.raises(Undeliverable, match="not an e-mail address"):
        channel.deliver(replace(MESSAGE, to="rep@[acme.example"))
    kept.refused = "nobody@"
    with pytest.raises(Undeliverable, match="550"):
        channel.deliver(replace(MESSAGE, to="nobody@acme.example"))


def test_a_mail_server_that_is_away_is_tried_again() -> None:
    channel = EmailChannel("x", Audience.STAFF, "smtp://127.0.0.1:1", "a@b.example", "c@d.example")
    with pytest.raises(Unreachable):
        channel.deliver(MESSAGE)


def test_a_server_that_never_answers_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(email, "TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(webhook, "TIMEOUT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        here = f"127.0.0.1:{silent.getsockname()[1]}"
        for channel in (
            EmailChannel("x", Audience.STAFF, f"smtp://{here}", "a@b.example", "c@d.example"),
            EmailChannel("y", Audience.STAFF, f"smtps://{here}", "a@b.example", "c@d.example"),
            WebhookChannel("z", Audience.STAFF, f"http://{here}/", "s", own_body, lambda: START),
        ):
            with pytest.raises(Unreachable):
                channel.deliver(MESSAGE)
