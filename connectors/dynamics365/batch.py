"""The multipart body of a `$batch` call: written here, and its answer read.

Dataverse developer guide, "Execute batch operations using the Web API".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.dynamics365.transport import Reply

BOUNDARY = "batch_dealreg"


@dataclass(frozen=True)
class Part:
    """One request inside a batch; `path` starts at the root of the host."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ChangeSet:
    """Requests that succeed or fail together; on failure one reply answers for all."""

    parts: tuple[Part, ...]


def content_type() -> str:
    """The Content-Type of the batch."""
    return f'multipart/mixed; boundary="{BOUNDARY}"'


def compose(operations: Sequence[Part | ChangeSet]) -> bytes:
    """Write a batch. JSON escapes everything beyond ASCII, so no value can look like a boundary."""
    body = b""
    for place, operation in enumerate(operations):
        body += f"--{BOUNDARY}\r\n".encode()
        if isinstance(operation, Part):
            body += _part(operation, "")
            continue
        boundary = f"changeset_{place}"
        body += f'Content-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n'.encode()
        for number, part in enumerate(operation.parts, start=1):
            body += f"--{boundary}\r\n".encode() + _part(part, str(number))
        body += f"--{boundary}--\r\n".encode()
    return body + f"--{BOUNDARY}--\r\n".encode()


def _part(part: Part, content_id: str) -> bytes:
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    if content_id:
        lines.append(f"Content-ID: {content_id}")
    lines += ["", f"{part.method} {part.path} HTTP/1.1", "Accept: application/json"]
    if part.body is not None:
        lines.append("Content-Type: application/json; type=entry")
    lines += [f"{name}: {value}" for name, value in part.headers.items()]
    body = json.dumps(part.body) if part.body is not None else ""
    return ("\r\n".join([*lines, "", ""]) + body + "\r\n").encode()


def parse(reply: Reply) -> list[Reply]:
    """Read the answers of a batch in order, those of change sets one after the other.

    `ValueError` if the body is not a complete multipart one.
    """
    return _parts(reply.body, reply.headers.get("content-type", ""))


def _parts(body: bytes, kind: str) -> list[Reply]:
    match = re.fullmatch(r'multipart/mixed\s*;.*?boundary="?([^";]+)"?.*', kind.strip())
    if match is None:
        raise ValueError("not a multipart answer")
    marker = b"--" + match.group(1).encode()
    body = body.replace(b"\r\n", b"\n")
    inner, end, _ = body.partition(marker + b"--")
    if not end:
        raise ValueError("the multipart answer is cut short")
    found: list[Reply] = []
    for piece in inner.split(marker + b"\n")[1:]:
        headers, rest = _head(piece)
        if headers.get("content-type", "").startswith("multipart/mixed"):
            found += _parts(rest, headers["content-type"])
        else:
            found.append(_reply(rest))
    return found


def _head(data: bytes) -> tuple[dict[str, str], bytes]:
    head, _, rest = data.partition(b"\n\n")
    pairs = (line.partition(":") for line in head.decode().splitlines())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}, rest


def _reply(data: bytes) -> Reply:
    line, _, rest = data.lstrip(b"\n").partition(b"\n")
    match = re.match(rb"HTTP/1\.1 (\d{3})", line)
    if match is None:
        raise ValueError("a part of the answer is not an HTTP response")
    headers, body = _head(rest)
    return Reply(int(match.group(1)), headers, body.strip())
