"""The state folder of a sandbox: one owner at a time, files that only their owner may read."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

#: Credentials of each stand-in, and how each is made the first time.
_MAKERS: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "salesforce": {
        "client_id": lambda: f"3MVG9{secrets.token_hex(20)}",
        "client_secret": lambda: secrets.token_hex(32).upper(),
        "webhook_secret": lambda: secrets.token_urlsafe(24),
    },
    "dynamics365": {
        "tenant_id": lambda: str(uuid.uuid4()),
        "client_id": lambda: str(uuid.uuid4()),
        "client_secret": lambda: secrets.token_urlsafe(30),
        "webhook_secret": lambda: secrets.token_urlsafe(24),
    },
    "hubspot": {
        "access_token": lambda: f"pat-na1-{uuid.uuid4()}",
        "app_id": lambda: str(1_000_000 + secrets.randbelow(9_000_000)),
        "webhook_secret": lambda: str(uuid.uuid4()),
    },
    "control": {"token": lambda: secrets.token_urlsafe(32)},
}


class StateBusyError(Exception):
    """Another sandbox is running on this state folder."""


class StateFolder:
    """A folder with everything a sandbox keeps; held until `close`, or until the process dies."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        self._lock = (path / "lock").open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise StateBusyError(
                f"another sandbox is running on {path}: stop it, or choose another folder with --state"
            ) from None

    def credentials(self) -> dict[str, dict[str, str]]:
        """Return the credentials of every stand-in and of the control door, made once, then kept."""
        file = self.path / "credentials.json"
        kept: dict[str, dict[str, str]] = json.loads(file.read_text()) if file.exists() else {}
        whole = {
            owner: {name: kept.get(owner, {}).get(name) or make() for name, make in makers.items()}
            for owner, makers in _MAKERS.items()
        }
        if whole != kept:
            write_private(file, json.dumps(whole, indent=2).encode())
        return whole

    def close(self) -> None:
        """Let another sandbox have the folder."""
        self._lock.close()


def write_private(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, readable by its owner only (mode 0600)."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
