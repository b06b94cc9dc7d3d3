"""Signed webhooks, in a body of our own or one that Slack or Teams shows as it is.

The signature is the hex HMAC-SHA256, under the channel's secret, of `TIMESTAMP.BODY`. A receiver
compares it, refuses what is older than some minutes, and drops an id that it has seen.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import requests

from registration_core.announcing import Audience
from sync.channels.port import (
    TIMEOUT_SECONDS,
    Message,
    Undeliverable,
    Undelivered,
    Unreachable,
)

#: Answers after which the same may be taken later.
_LATER = frozenset({408, 425, 429})
#: What has a meaning in the Markdown of a card.
_MARKDOWN = re.compile(r"([\\\[\]*_`])")


def own_body(message: Message) -> Mapping[str, Any]:
    """Return the body of our own."""
    return {
        "id": message.id, "topic": message.topic, "at": message.at.isoformat(),
        "subject": message.subject, "text": message.text, "facts": dict(message.facts),
    }  # fmt: skip


def slack_body(message: Message) -> Mapping[str, Any]:
    """Return what an incoming webhook of Slack takes; its three special characters are escaped."""
    text = f"*{message.subject}*\n{message.text}"
    return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}


def teams_body(message: Message) -> Mapping[str, Any]:
    """Return what a workflow of Teams takes: one adaptive card; no link can be hidden in a fact."""
    subject, text = (_MARKDOWN.sub(r"\\\1", each) for each in (message.subject, message.text))
    blocks = [
        {"type": "TextBlock", "text": subject, "weight": "Bolder", "wrap": True},
        {"type": "TextBlock", "text": text, "wrap": True},
    ]
    card = {"type": "AdaptiveCard", "version": "1.4", "body": blocks}
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "content": card}]}


BODIES: Mapping[str, Callable[[Message], Mapping[str, Any]]] = {
    "json": own_body, "slack": slack_body, "teams": teams_body,
}  # fmt: skip


class WebhookChannel:
    """Posts each message to one address."""

    def __init__(
        self,
        name: str,
        audience: Audience,
        url: str,
        secret: str,
        body: Callable[[Message], Mapping[str, Any]],
        clock: Callable[[], datetime],
    ) -> None:
        self.name, self.audience = name, audience
        self._url, self._secret, self._body, self._clock = url, secret, body, clock

    def deliver(self, message: Message) -> None:
        """Post one message; see `Channel.deliver`."""
        body = json.dumps(self._body(message), ensure_ascii=False).encode()
        timestamp = str(int(self._clock().timestamp()))
        headers = {
            "Content-Type": "application/json",
            "X-Dealreg-Id": message.id,
            "X-Dealreg-Timestamp": timestamp,
            "X-Dealreg-Signature": signature(self._secret, timestamp, body),
        }
        try:
            with requests.post(  # as a stream: nobody waits for the body of the answer
                self._url, body, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False,
                stream=True,
            ) as answer:  # fmt: skip
                status = answer.status_code
        except requests.RequestException as error:  # its text may hold the address, a secret
            raise Unreachable(f"{self.name}: {type(error).__name__}") from None
        if status >= 500 or status in _LATER:
            raise Undelivered(f"{self.name} answered {status}.")
        if status >= 300:
            raise Undeliverable(f"{self.name} answered {status}.")


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Sign a body together with the time it is sent at."""
    signed = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"v1={signed.hexdigest()}"
