"""The token of each connection in the store: encrypted, shared by all workers, renewed in turns.

Turns are taken by lease and not by row lock, so that no transaction is open while somebody signs
in. What the store holds was made with the credentials the connection has now: after a change of
credentials the old token counts for nothing.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Mapping, Sequence

import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from connectors.errors import AuthenticationFailed, CrmUnavailable
from connectors.tokens import Fetch, StoredToken, news
from registration_core.contracts import ConnectionName
from registration_core.store.database import Database
from sync.ledger.tables import ConnectionTokenRow
from sync.process import leases

log = structlog.get_logger()

#: How long a caller waits for another one's sign-in; a killed one holds its turn for 8 seconds.
TURN_SECONDS_MAX = 30.0
_LOOK_AGAIN_SECONDS = 0.1
_OPERATION = "sign in"


class StoredTokenVault:
    """The vault of one connection in the store; satisfies `connectors.tokens.TokenVault`."""

    def __init__(
        self,
        database: Database,
        keys: Sequence[str],
        connection: ConnectionName,
        credentials: Mapping[str, str],
    ) -> None:
        """Keep the token of `connection`, encrypted with the first of `keys`, readable with each.

        Nothing is read or written before it is asked.
        """
        self._database = database
        self._cipher = MultiFernet([Fernet(key) for key in keys])
        self._connection = connection
        told = json.dumps(sorted(credentials.items())).encode()
        self._made_with = hashlib.sha256(told).hexdigest()
        self._turn = threading.Lock()

    def renew(self, seen: StoredToken | None, fetch: Fetch) -> StoredToken:
        """Return a token that is not `seen`; see `TokenVault`."""
        with self._turn:  # threads of this process need not go to the store to wait
            give_up_at = time.monotonic() + TURN_SECONDS_MAX
            while time.monotonic() < give_up_at:
                if known := news(self._read(), seen):
                    return known
                with leases.held(self._database, f"token:{self._connection}") as lease:
                    if lease is not None:
                        return self._fetched(seen, fetch)
                time.sleep(_LOOK_AGAIN_SECONDS)
        raise CrmUnavailable(
            f"{self._connection}: another worker has been signing in for {TURN_SECONDS_MAX:.0f} "
            "seconds.",
            connection=self._connection,
            operation=_OPERATION,
        )

    def _fetched(self, seen: StoredToken | None, fetch: Fetch) -> StoredToken:
        stored = self._read()  # it may have been renewed while we waited for our turn
        if known := news(stored, seen):
            return known
        fresh = fetch(stored)
        self._write(fresh)
        return fresh

    def _read(self) -> StoredToken | None:
        with self._database.read() as session:
            row = session.get(ConnectionTokenRow, self._connection)
        if row is None or row.made_with != self._made_with:
            return None
        try:
            return StoredToken(
                access_token=self._decrypted(row.access_token),
                expires_at=row.expires_at,
                refresh_token=self._decrypted(row.refresh_token),
                details=row.details,
            )
        except InvalidToken as wrong:
            if row.refresh_token:
                # The configured one may be spent: to send it again could end the grant.
                raise AuthenticationFailed(
                    f"{self._connection}: DEALREG_TOKEN_KEY does not open the stored token.",
                    connection=self._connection,
                    operation=_OPERATION,
                    hint=(
                        "Put the key it was stored with after the new one (NEW,OLD). If that is "
                        "lost, authorize the app again and set the new refresh token."
                    ),
                ) from wrong
            log.warning(
                "stored token cannot be opened; signing in anew", connection=self._connection
            )
            return None

    def _write(self, token: StoredToken) -> None:
        with self._database.begin() as unit:
            unit.session.merge(
                ConnectionTokenRow(
                    connection=self._connection,
                    access_token=self._encrypted(token.access_token),
                    refresh_token=self._encrypted(token.refresh_token),
                    expires_at=token.expires_at,
                    details=dict(token.details),
                    made_with=self._made_with,
                    changed_at=unit.now,
                )
            )

    def _encrypted(self, text: str) -> str:
        return self._cipher.encrypt(text.encode()).decode() if text else ""

    def _decrypted(self, text: str) -> str:
        return self._cipher.decrypt(text.encode()).decode() if text else ""
