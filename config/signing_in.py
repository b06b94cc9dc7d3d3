"""The kinds of CRM there is a connector for, and the credentials each can sign in with."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The CRMs there is a connector for."""

    SALESFORCE = "salesforce"
    DYNAMICS365 = "dynamics365"
    HUBSPOT = "hubspot"


@dataclass(frozen=True)
class Way:
    """One way to sign in to a kind of CRM, told by the credentials that are given."""

    name: str
    #: All of them are needed, and none of another way may stand beside them.
    credentials: tuple[str, ...]
    #: The CRM replaces what it signs in with: the store has to keep it, which takes a key.
    token_has_to_survive: bool = False

    def distance(self, given: Collection[str]) -> int:
        """Count the names that would have to be added or removed."""
        return len(set(self.credentials) ^ set(given))


WAYS: Mapping[Kind, tuple[Way, ...]] = {
    Kind.SALESFORCE: (
        Way("client credentials", ("client_id", "client_secret")),
        Way("JWT bearer", ("client_id", "username", "private_key_file")),
        Way(
            "refresh token",
            ("client_id", "client_secret", "refresh_token"),
            token_has_to_survive=True,
        ),
    ),
    Kind.DYNAMICS365: (
        Way("client secret", ("tenant_id", "client_id", "client_secret")),
        Way("certificate", ("tenant_id", "client_id", "certificate_file")),
        Way(
            "certificate behind a password",
            ("tenant_id", "client_id", "certificate_file", "certificate_password"),
        ),
    ),
    Kind.HUBSPOT: (
        Way("static token", ("access_token",)),
        Way(
            "refresh token",
            ("client_id", "client_secret", "refresh_token"),
            token_has_to_survive=True,
        ),
    ),
}


def way_meant(kind: Kind, given: Collection[str]) -> Way:
    """Return the way that the given credentials come closest to; the first of equals."""
    return min(WAYS[kind], key=lambda way: way.distance(given))


def is_file_name(credential: str) -> bool:
    """Tell whether a credential is the path of a file, relative to `connections.yaml`."""
    return credential.endswith("_file")
