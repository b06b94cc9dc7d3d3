"""Where a connector keeps the token of its connection, and how workers take turns to renew it.

A connector holds the token it uses and asks the vault only when it has none or when the CRM no
longer takes it: a sign-in then happens once for all threads and processes that share the vault,
and a refresh token that the CRM replaced is kept before anybody uses what came with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class StoredToken:
    """A token as a vault keeps it."""

    access_token: str = field(repr=False)
    #: The CRM's word for when it ends; None where it says nothing and refuses one day.
    expires_at: datetime | None = None
    #: The one to renew with next, where the way to sign in has one; else empty.
    refresh_token: str = field(default="", repr=False)
    #: What else came with it and is no secret, such as the address it is for.
    details: Mapping[str, str] = field(default_factory=dict)


#: Signs in and returns the new token; is given the stored one, for its refresh token.
Fetch = Callable[[StoredToken | None], StoredToken]


class TokenVault(Protocol):
    """The stored token of one connection."""

    def renew(self, seen: StoredToken | None, fetch: Fetch) -> StoredToken:
        """Return a token that is not `seen`: the stored one, or what `fetch` gets.

        `seen` is the token the CRM refused or that is about to end; None when there is none yet.
        Only one caller of a connection fetches at a time, the others get what it got. What
        `fetch` returns is stored before it is returned; when it raises, nothing is changed.
        Raises what `fetch` raises, and `CrmUnavailable` when another caller takes too long.
        """


class MemoryTokenVault:
    """A vault that lasts as long as its process: for tests, and where no token has to survive."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._stored: StoredToken | None = None

    def renew(self, seen: StoredToken | None, fetch: Fetch) -> StoredToken:
        """Return a token that is not `seen`; see `TokenVault`."""
        with self._turn:
            known = news(self._stored, seen)
            if known is None:
                known = self._stored = fetch(self._stored)
            return known


def news(stored: StoredToken | None, seen: StoredToken | None) -> StoredToken | None:
    """Return the stored token if it is one that the caller has not seen fail."""
    if stored is not None and (seen is None or stored.access_token != seen.access_token):
        return stored
    return None
