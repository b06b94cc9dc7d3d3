"""The webhook sender: what it sends, when it tries again, when it stays silent."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sandbox.hubspot.webhooks import signature_v3
from sandbox.serving import Running, start
from sandbox.stand_in import StandIn

REP = "Sales Rep East"
FIELDS = {
    "salesforce": ("Opportunity", "Name"),
    "dynamics365": ("opportunity", "name"),
    "hubspot": ("deals", "dealname"),
}
#: What takes a delivery of each vendor.
TAKEN = {
    "salesforce": (200, b"<Ack>true</Ack>"),
    "dynamics365": (200, b""),
    "hubspot": (204, b""),
}


class Receiver:
    """A webhook door that answers as it is told and keeps what it got."""

    def __init__(self) -> None:
        #: Answers to come, in order; the last one stays.
        self.answers: list[tuple[int, bytes]] = [(200, b"")]
        self.got: list[tuple[str, bytes]] = []
        self.headers: list[dict[str, str]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((self.path, body))
                receiver.headers.append(dict(self.headers))
                answers = receiver.answers
                status, content = answers.pop(0) if len(answers) > 1 else answers[0]
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    listening = Receiver()
    yield listening
    listening.close()


@pytest.fixture(scope="module")
def running(receiver: Receiver) -> Iterator[Running]:
    started = start(None, webhook_base=receiver.url)
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def _fresh(receiver: Receiver, running: Running) -> None:
    senders = [stand_in.webhooks for stand_in in running.crms.values()]
    for sender in senders:
        sender.switch(on=False)
    # What another test's delivery leaves behind late would be counted as this test's.
    wait_until(lambda: not any(sender.waiting() for sender in senders), "what is under way to end")
    for sender in senders:
        sender.switch(on=True)
    receiver.got.clear()
    receiver.headers.clear()
    receiver.answers = [(200, b"")]


def add_deal(stand_in: StandIn, name: str) -> str:
    """Add an opportunity as a sales rep."""
    wire = {
        "salesforce": {"Name": name, "StageName": "Prospecting", "CloseDate": "2027-06-30"},
        "dynamics365": {"name": name},
        "hubspot": {"dealname": name, "dealstage": "contractsent"},
    }[stand_in.crm]
    return stand_in.org.add(FIELDS[stand_in.crm][0], wire, REP).id


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Wait a few seconds for something that happens in the background."""
    deadline = time.monotonic() + 8
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.01)


def test_every_attempt_of_hubspots_says_its_number_and_is_signed_anew(
    running: Running, receiver: Receiver
) -> None:
    stand_in = running.crms["hubspot"]
    receiver.answers = [(401, b""), (500, b""), (200, b"")]
    add_deal(stand_in, "Told three times")
    wait_until(lambda: len(receiver.got) == 3, "the third attempt")
    secret, attempts, stamps = stand_in.credentials["webhook_secret"], [], []
    for (path, body), headers in zip(receiver.got, receiver.headers, strict=True):
        events, stamp = json.loads(body), headers["X-HubSpot-Request-Timestamp"]
        attempts.append({event["attemptNumber"] for event in events})
        stamps.append(int(stamp))
        signed = signature_v3(secret, "POST", f"{receiver.url}{path}", body, stamp)
        assert headers["X-HubSpot-Signature-v3"] == signed
    assert attempts == [{0}, {1}, {2}]
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize("crm", FIELDS)
def test_what_a_person_does_is_told_to_the_door_of_that_connection(
    crm: str, running: Running, receiver: Receiver
) -> None:
    stand_in = running.crms[crm]
    receiver.answers = [TAKEN[crm]]
    record_id = add_deal(stand_in, f"Told by {crm}")
    wait_until(lambda: len(receiver.got) > 0 and stand_in.webhooks.waiting() == 0, "a delivery")
    connection = "dynamics" if crm == "dynamics365" else crm
    assert all(path.startswith(f"/webhooks/{connection}") for path, _ in receiver.got)
    assert record_id.encode() in b"".join(body for _, body in receiver.got)
    assert all(attempt.taken for attempt in stand_in.webhooks.attempts()[-1:])


def test_salesforce_tries_again_until_the_message_is_acknowledged(
    running: Running, receiver: Receiver
) -> None:
    receiver.answers = [(200, b"thanks, but no Ack"), (500, b""), TAKEN["salesforce"]]
    add_deal(running.crms["salesforce"], "Acknowledged late")
    wait_until(lambda: len(receiver.got) == 3, "the third attempt")
    assert len({body for _, body in receiver.got}) == 1
    wait_until(lambda: running.crms["salesforce"].webhooks.waiting() == 0, "the end")


def test_some_messages_of_salesforce_come_twice_and_some_are_overtaken(
    running: Running, receiver: Receiver
) -> None:
    stand_in = running.crms["salesforce"]
    receiver.answers = [TAKEN["salesforce"]]
    stand_in.org.add("Account", {"Name": "Told first"}, REP)
    add_deal(stand_in, "Told late")
    stand_in.org.add("Deal_Registration__c", {"Name": "Told twice"}, REP)
    wait_until(lambda: len(receiver.got) == 4 and stand_in.webhooks.waiting() == 0, "all of it")

    bodies = [body for _, body in receiver.got]
    told = [re.findall(rb'type="sf:(\w+)"', body) for body in bodies]
    registration, deal = [b"Deal_Registration__c"], [b"Opportunity"]
    assert told == [[b"Account"], registration, deal, registration]
    assert bodies[1] == bodies[3]


@pytest.mark.parametrize(("status", "attempts"), [(400, 1), (500, 1), (503, 2)])
def test_dynamics_tries_once_more_after_an_outage_only(
    status: int, attempts: int, running: Running, receiver: Receiver
) -> None:
    stand_in = running.crms["dynamics365"]
    receiver.answers = [(status, b"")]
    before = len(stand_in.webhooks.attempts())
    add_deal(stand_in, f"Answered {status}")
    wait_until(
        lambda: len(receiver.got) == attempts and stand_in.webhooks.waiting() == 0,
        "the last attempt",
    )
    assert len(stand_in.webhooks.attempts()) == before + attempts
    time.sleep(0.2)
    assert len(receiver.got) == attempts


def test_what_happens_while_webhooks_are_off_is_never_told(
    running: Running, receiver: Receiver
) -> None:
    stand_in = running.crms["dynamics365"]
    stand_in.webhooks.switch(on=False)
    lost = add_deal(stand_in, "Lost")
    stand_in.webhooks.switch(on=True)
    told = add_deal(stand_in, "Told")
    wait_until(lambda: told in str(receiver.got), "the second delivery")
    assert lost not in str(receiver.got)


def test_seeding_an_org_tells_nobody(receiver: Receiver) -> None:
    started = start(None, webhook_base=receiver.url)
    waiting = [stand_in.webhooks.waiting() for stand_in in started.crms.values()]
    started.stop()
    assert waiting == [0, 0, 0]
    assert receiver.got == []
