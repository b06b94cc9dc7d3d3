"""E-mail over SMTP, always encrypted, unless the server is this machine."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

from registration_core.announcing import Audience
from registration_core.submission import is_email
from sync.channels.port import (
    TIMEOUT_SECONDS,
    Message,
    NoAddress,
    Undeliverable,
    Undelivered,
    Unreachable,
)

_PORTS = {"smtp": 587, "smtps": 465}
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})


class EmailChannel:
    """Sends each message as one e-mail: to the partner it is for, or to a fixed address."""

    def __init__(self, name: str, audience: Audience, url: str, sender: str, to: str) -> None:
        self.name, self.audience = name, audience
        self._url, self._sender, self._to = urlsplit(url), sender, to

    def deliver(self, message: Message) -> None:
        """Send one e-mail; see `Channel.deliver`."""
        to = self._to or message.to
        if not to:
            raise NoAddress("No e-mail address is kept of this partner.")
        if not is_email(to):
            raise Undeliverable(
                f"{to!r} is not an e-mail address.",
                hint="Correct it: dealreg partner reach CODE EMAIL.",
            )
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = self._sender, to, message.subject
        mail["Date"] = format_datetime(message.at)
        mail["Message-ID"] = f"<{message.id}.{self.name}@{self._sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"  # no out-of-office answers (RFC 3834)
        mail.set_content(message.text)
        try:
            with self._server() as server:
                server.send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            (code, why), *_ = error.recipients.values()
            kind = Undeliverable if code >= 500 else Undelivered
            raise kind(
                f"The mail server refused {to}: {code} {why.decode(errors='replace')}"
            ) from error
        except smtplib.SMTPServerDisconnected as error:  # it did not answer in time, too
            raise self._failure(Unreachable, error) from error
        except smtplib.SMTPException as error:
            raise self._failure(Undelivered, error) from error
        except OSError as error:
            raise self._failure(Unreachable, error) from error

    def _failure(self, kind: type[Undelivered], error: OSError) -> Undelivered:
        return kind(f"The mail server {self._url.hostname}: {error}")

    def _server(self) -> smtplib.SMTP:
        host, scheme = self._url.hostname or "", self._url.scheme
        port, context = self._url.port or _PORTS[scheme], ssl.create_default_context()
        if scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                host, port, timeout=TIMEOUT_SECONDS, context=context
            )
        else:
            server = smtplib.SMTP(host, port, timeout=TIMEOUT_SECONDS)
            if host not in _HERE:
                server.starttls(context=context)
        if self._url.username:
            server.login(unquote(self._url.username), unquote(self._url.password or ""))
        return server
