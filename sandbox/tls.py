"""The sandbox's own certificate authority: real TLS on loopback, trusted by nobody who is not told.

The authority is made once and kept in the state folder, so that a connection configured with its
`ca.pem` still trusts the stand-ins after a restart; the server certificate is issued anew each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme

from sandbox.state import write_private

#: What a client may call the stand-ins.
HOSTS = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class TlsFiles:
    """Paths of what a client must trust and of what the servers present (key and chain in one)."""

    ca_file: Path
    server_file: Path


def prepare(folder: Path) -> TlsFiles:
    """Issue a server certificate for `HOSTS` from the authority kept in `folder`, making it if new."""
    authority_key, ca_file, server_file = (
        folder / "ca.key",
        folder / "ca.pem",
        folder / "server.pem",
    )
    if authority_key.exists() and ca_file.exists():
        authority = trustme.CA.from_pem(ca_file.read_bytes(), authority_key.read_bytes())
    else:
        authority = trustme.CA(organization_name="Deal registration sandbox")
        write_private(authority_key, authority.private_key_pem.bytes())
        write_private(ca_file, authority.cert_pem.bytes())
    issued = authority.issue_cert(*HOSTS)
    write_private(server_file, issued.private_key_and_cert_chain_pem.bytes())
    return TlsFiles(ca_file, server_file)
