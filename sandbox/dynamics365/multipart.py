"""The body of a `$batch`: parts in, parts out.

Dataverse developer guide, "Execute batch operations using the Web API". Bodies may end their lines
with CRLF or LF; answers use CRLF and start with the boundary.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sandbox.dynamics365.errors import WebApiError

OPERATIONS_MAX = 1000


@dataclass(frozen=True)
class Operation:
    """One request inside a batch; header names in lower case."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    content_id: str = ""


@dataclass(frozen=True)
class ChangeSet:
    """Operations that succeed or fail together."""

    operations: tuple[Operation, ...]


@dataclass(frozen=True)
class Part:
    """One answer inside a batch answer."""

    status: int
    reason: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    content_id: str = ""


def boundary_of(content_type: str) -> str:
    """Read the boundary of a `multipart/mixed` type; 400 when there is none."""
    match = re.fullmatch(
        r'\s*multipart/mixed\s*;.*boundary="?([^";]+)"?.*', content_type, re.IGNORECASE
    )
    if match is None:
        raise WebApiError(
            400, "0x80060888", "Content-Type must be multipart/mixed with a boundary."
        )
    return match.group(1)


def _head(data: bytes) -> tuple[dict[str, str], bytes]:
    lines, _, rest = data.lstrip(b"\n").partition(b"\n\n")
    pairs = (line.split(":", 1) for line in lines.decode().splitlines() if ":" in line)
    return {name.strip().lower(): value.strip() for name, value in pairs}, rest


def _pieces(body: bytes, boundary: str) -> list[bytes]:
    body = body.replace(b"\r\n", b"\n")
    marker = b"--" + boundary.encode()
    if not body.lstrip(b"\n").startswith(marker) or marker + b"--" not in body:
        raise WebApiError(400, "0x80060888", "The batch does not begin and end with its boundary.")
    inner = body.partition(marker + b"--")[0]
    return [piece.removeprefix(b"\n") for piece in inner.split(marker)[1:]]


def parse(body: bytes, content_type: str) -> list[Operation | ChangeSet]:
    """Read a batch; 400 when it is malformed or too long."""
    found: list[Operation | ChangeSet] = []
    for piece in _pieces(body, boundary_of(content_type)):
        headers, rest = _head(piece)
        if headers.get("content-type", "").startswith("multipart/mixed"):
            inner = _pieces(rest, boundary_of(headers["content-type"]))
            found.append(ChangeSet(tuple(_operation(*_head(one)) for one in inner)))
        else:
            found.append(_operation(headers, rest))
    count = sum(len(one.operations) if isinstance(one, ChangeSet) else 1 for one in found)
    if count > OPERATIONS_MAX:
        raise WebApiError(400, "0x80060888", f"A batch holds at most {OPERATIONS_MAX} operations.")
    return found


def _operation(outer: dict[str, str], rest: bytes) -> Operation:
    line, _, tail = rest.lstrip(b"\n").partition(b"\n")
    words = line.decode().split()
    if outer.get("content-type") != "application/http" or len(words) != 3:
        raise WebApiError(400, "0x80060888", "A part of the batch is not an HTTP request.")
    headers, body = _head(tail)
    return Operation(words[0], words[1], headers, body.strip(), outer.get("content-id", ""))


def _part_bytes(part: Part) -> bytes:
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    if part.content_id:
        lines.append(f"Content-ID: {part.content_id}")
    lines += ["", f"HTTP/1.1 {part.status} {part.reason}"]
    lines += [f"{name}: {value}" for name, value in part.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + part.body + b"\r\n"


def compose(answers: Sequence[Part | list[Part]], name: str) -> tuple[str, bytes]:
    """Write a batch answer; a list is a change set. Returns the boundary and the body."""
    boundary = f"batchresponse_{name}"
    body = b""
    for place, answer in enumerate(answers):
        body += f"--{boundary}\r\n".encode()
        if isinstance(answer, Part):
            body += _part_bytes(answer)
            continue
        inner = f"changesetresponse_{name}_{place}"
        body += f'Content-Type: multipart/mixed; boundary="{inner}"\r\n\r\n'.encode()
        body += b"".join(f"--{inner}\r\n".encode() + _part_bytes(part) for part in answer)
        body += f"--{inner}--\r\n".encode()
    return boundary, body + f"--{boundary}--\r\n".encode()
