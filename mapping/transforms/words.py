"""Transforms of text: length and case, phone numbers, web addresses, domains."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import ClassVar, Literal
from urllib.parse import SplitResult, urlsplit, urlunsplit

from mapping.transforms.base import OneForm, Untranslatable, trimmed

#: Digits of the shortest and the longest number told apart from a typing error; the longest by
#: ITU-T E.164, the shortest so that an extension or a short code is not taken for one.
PHONE_DIGITS = (7, 15)

_HOST = re.compile(r"(?=.{4,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Text(OneForm):
    """Trimmed text, at most `max` characters, in one case if wanted."""

    max: int
    case: Literal["upper", "lower"] | None = None
    name: ClassVar[str] = "text"

    def longest(self) -> int | None:
        return self.max

    def _form(self, text: str) -> str | None:
        if self.case:
            text = text.upper() if self.case == "upper" else text.lower()
        return trimmed(unicodedata.normalize("NFC", text)[: self.max])


@dataclass(frozen=True)
class Phone(OneForm):
    """A phone number in E.164: `+`, country calling code, number, no spaces.

    Written punctuation goes, and so does a `(0)` behind the calling code; `00` becomes `+`. A
    number without calling code gets `calling_code` after its `trunk` prefix was taken off, and is
    refused where no `calling_code` is given. Extensions, letters and numbers of an impossible
    length are refused. Whether the number exists, or fits its country's plan, is not looked at.
    """

    calling_code: str = ""
    trunk: str = ""
    name: ClassVar[str] = "phone"

    def longest(self) -> int | None:
        return PHONE_DIGITS[1] + 1

    def _form(self, text: str) -> str | None:
        bare = "".join(c for c in text if not (c.isspace() or c in "-‐‑‒–—./\u200b\u202a\u202c"))
        if bare.startswith(("+", "00", "(+")):
            bare = bare.replace("(0)", "", 1)
        digits = bare.replace("(", "").replace(")", "")
        if digits.startswith("+"):
            number = digits[1:]
        elif digits.startswith("00"):
            number = digits[2:]
        elif self.calling_code:
            national = digits.removeprefix(self.trunk)
            number = self.calling_code + national
        else:
            raise Untranslatable("has no country calling code")
        if not (number.isascii() and number.isdigit()) or number.startswith("0"):
            raise Untranslatable("is not a phone number that E.164 can write")
        if not PHONE_DIGITS[0] <= len(number) <= PHONE_DIGITS[1]:
            raise Untranslatable(f"has {len(number)} digits, which no phone number has")
        return f"+{number}"


@dataclass(frozen=True)
class Url(OneForm):
    """A web address: `https://` where no scheme was given, host in lower case, no bare slash.

    Path and query stay as they are; a fragment and the scheme's own port go. Anything but http
    and https, an address with a password in it, and a host that is no domain name are refused.
    """

    name: ClassVar[str] = "url"

    def _form(self, text: str) -> str | None:
        parts = _address(text)
        path = "" if parts.path == "/" else parts.path
        return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


@dataclass(frozen=True)
class Domain(OneForm):
    """The domain of a web or mail address, in lower case, without `www.`; a path is lost."""

    name: ClassVar[str] = "domain"

    def longest(self) -> int | None:
        return 253

    def _form(self, text: str) -> str | None:
        mail = "@" in text and "/" not in text
        host = _address(text.rpartition("@")[2] if mail else text).hostname or ""
        bare = host.removeprefix("www.")
        return bare if _HOST.fullmatch(bare) else host


def _address(text: str) -> SplitResult:
    """Split a web address and bring scheme and host into one form."""
    refusal = Untranslatable("is not a web address")
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        port, host = parts.port, (parts.hostname or "").rstrip(".")
    except ValueError:
        raise refusal from None
    if any(c.isspace() or not c.isprintable() for c in text) or parts.username is not None:
        raise refusal
    if parts.scheme not in _PORTS or not _HOST.fullmatch(_ascii(host)):
        raise refusal
    shown = _ascii(host)
    netloc = shown if port in (None, _PORTS[parts.scheme]) else f"{shown}:{port}"
    return parts._replace(netloc=netloc)


def _ascii(host: str) -> str:
    """Return a host in the form DNS uses; empty where it has none."""
    try:
        return host.lower() if host.isascii() else host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return ""
