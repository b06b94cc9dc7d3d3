"""The audit trail: append-only, hash-chained per subject, with chained checkpoints over all heads.

Each event carries two projections, internal and partner-safe. Personal values are chained as
keyed digests and kept, with their keys, where both can be erased: an erasure leaves the chain
verifiable and nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from registration_core.store.database import UnitOfWork
from registration_core.store.tables import AuditCheckpointRow, AuditEventRow, AuditPersonalRow

_START = "0" * 64
#: How much later than its time an event may be committed.
_LATE = timedelta(hours=1)


@dataclass(frozen=True)
class Break:
    """A place where the trail does not verify."""

    subject: str
    seq: int
    what: str


def record(
    unit: UnitOfWork,
    subject: str,
    action: str,
    internal: Mapping[str, Any],
    *,
    partner: Mapping[str, Any] | None = None,
    personal: Mapping[str, str] | None = None,
) -> None:
    """Append one event to a subject's chain, in the caller's transaction.

    Holds the subject's chain until the commit, so that two writers cannot take one place in it.
    Locks are taken in the order registration, link, chain, outbox.
    """
    held = subject in unit.chains
    last, previous = unit.chains[subject] if held else _end_of_chain(unit, subject)
    seq = last + 1
    digests = {}
    for name, value in sorted((personal or {}).items()):
        key = unit.ids.secret()
        digests[name] = _digest(key, value)
        unit.session.add(
            AuditPersonalRow(subject=subject, seq=seq, name=name, value=value, key=key)
        )
    body = json.dumps(
        {
            "subject": subject,
            "seq": seq,
            "at": unit.now.astimezone(UTC).isoformat(),
            "actor": str(unit.actor),
            "verified": unit.actor.verified,
            "action": action,
            "internal": _plain(internal),
            "partner": _plain(partner or {}),
            "personal": digests,
            "previous": previous,
        },
        sort_keys=True,
        ensure_ascii=False,
    )
    digest = _hash(body)
    unit.session.add(
        AuditEventRow(subject=subject, seq=seq, at=unit.now, action=action, body=body, hash=digest)
    )
    if held:
        unit.chains[subject] = (seq, digest)
    else:
        unit.session.flush()


def hold(unit: UnitOfWork, subjects: Iterable[str]) -> None:
    """Hold many chains until the commit; `record` then asks nothing of the store for them.

    Outside of savepoints only, and no savepoint may be rolled back afterwards: what is
    remembered of a chain would be ahead of it.
    """
    wanted = sorted(set(subjects) - unit.chains.keys())
    unit.hold(*wanted)
    ends = (
        select(AuditEventRow.subject, func.max(AuditEventRow.seq).label("seq"))
        .where(AuditEventRow.subject.in_(wanted))
        .group_by(AuditEventRow.subject)
        .subquery()
    )
    found = unit.session.execute(
        select(AuditEventRow.subject, AuditEventRow.seq, AuditEventRow.hash).join(
            ends, (AuditEventRow.subject == ends.c.subject) & (AuditEventRow.seq == ends.c.seq)
        )
    )
    unit.chains |= dict.fromkeys(wanted, (0, _START))
    unit.chains |= {row.subject: (row.seq, row.hash) for row in found}


def _end_of_chain(unit: UnitOfWork, subject: str) -> tuple[int, str]:
    unit.hold(subject)
    last = unit.session.execute(
        select(AuditEventRow.seq, AuditEventRow.hash)
        .where(AuditEventRow.subject == subject)
        .order_by(AuditEventRow.seq.desc())
        .limit(1)
    ).first()
    return (last.seq, last.hash) if last else (0, _START)


def checkpoint(unit: UnitOfWork) -> int:
    """Chain a digest over the heads that moved since the last checkpoint; returns how many.

    A head is the newest event of a subject. Only those that moved are kept, so that a checkpoint
    costs what happened since the last one and not what ever happened.
    """
    last = unit.session.scalars(
        select(AuditCheckpointRow).order_by(AuditCheckpointRow.seq.desc()).limit(1)
    ).first()
    previous, seq = (last.hash, last.seq + 1) if last else (_START, 1)
    # Events may be committed a little later than their time says: look back once more.
    heads = _heads(unit.session, last.at - _LATE if last else None)
    moved = [head for head in heads if last is None or head not in last.heads]
    if moved:
        digest = _checkpoint_hash(previous, seq, unit.now, moved)
        unit.session.add(AuditCheckpointRow(seq=seq, at=unit.now, heads=moved, hash=digest))
    return len(moved)


def events(session: Session, subject: str) -> list[dict[str, Any]]:
    """Return a subject's events, oldest first, as they were recorded."""
    rows = session.scalars(
        select(AuditEventRow).where(AuditEventRow.subject == subject).order_by(AuditEventRow.seq)
    )
    return [json.loads(row.body) for row in rows]


def erase(unit: UnitOfWork, subject: str) -> int:
    """Erase the personal values of a subject and their keys; the chain still verifies."""
    gone = unit.session.execute(
        delete(AuditPersonalRow)
        .where(AuditPersonalRow.subject == subject)
        .returning(AuditPersonalRow.seq)
    ).all()
    record(unit, subject, "erase personal data", {"values": len(gone)})
    return len(gone)


def verify(session: Session) -> tuple[int, list[Break]]:
    """Check every chain, every kept personal value and every checkpoint.

    Returns the number of events read and every place that does not verify.
    """
    breaks: list[Break] = []
    seen: dict[tuple[str, int], str] = {}
    digests: dict[tuple[str, int], dict[str, str]] = {}
    for row, problem in _chain(session):
        seen[row.subject, row.seq] = row.hash
        if problem:
            breaks.append(Break(row.subject, row.seq, problem))
        elif personal_digests := json.loads(row.body)["personal"]:
            digests[row.subject, row.seq] = personal_digests
    for personal in session.scalars(select(AuditPersonalRow)):
        expected = digests.get((personal.subject, personal.seq), {}).get(personal.name, "")
        if not hmac.compare_digest(expected, _digest(personal.key, personal.value)):
            breaks.append(
                Break(personal.subject, personal.seq, f"personal value {personal.name} was changed")
            )
    breaks.extend(_verify_checkpoints(session, seen))
    return len(seen), breaks


def _chain(session: Session) -> Iterator[tuple[AuditEventRow, str]]:
    subject, seq, previous = "", 0, _START
    rows = select(AuditEventRow).order_by(AuditEventRow.subject, AuditEventRow.seq)
    for row in session.scalars(rows.execution_options(yield_per=1000)):
        if row.subject != subject:
            subject, seq, previous = row.subject, 0, _START
        yield row, _event_problem(row, seq + 1, previous)
        seq, previous = row.seq, row.hash


def _event_problem(row: AuditEventRow, seq: int, previous: str) -> str:
    if row.hash != _hash(row.body):
        return "the event was changed"
    body = json.loads(row.body)
    stated = (body["subject"], body["seq"], body["action"], body["at"])
    if stated != (row.subject, row.seq, row.action, row.at.isoformat()):
        return "the event's columns were changed"
    if row.seq != seq:
        return f"event {seq} is missing"
    return "" if body["previous"] == previous else "the event does not follow the one before it"


def _verify_checkpoints(session: Session, seen: Mapping[tuple[str, int], str]) -> Iterator[Break]:
    previous = _START
    for point in session.scalars(select(AuditCheckpointRow).order_by(AuditCheckpointRow.seq)):
        if point.hash != _checkpoint_hash(previous, point.seq, point.at, point.heads):
            yield Break("checkpoint", point.seq, "the checkpoint was changed")
        previous = point.hash
        for subject, seq, head in point.heads:
            if seen.get((subject, seq)) != head:
                yield Break(
                    subject, seq, f"the event of checkpoint {point.seq} is missing or changed"
                )


def _heads(session: Session, since: datetime | None) -> list[Any]:
    query = select(AuditEventRow.subject, AuditEventRow.seq, AuditEventRow.hash).order_by(
        AuditEventRow.subject, AuditEventRow.seq
    )
    if since is not None:
        query = query.where(AuditEventRow.at >= since)
    return list(
        {row.subject: [row.subject, row.seq, row.hash] for row in session.execute(query)}.values()
    )


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, str | int | bool | list | dict | None) else str(value)
        for name, value in values.items()
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(key: str, value: str) -> str:
    return hmac.new(key.encode(), value.encode(), hashlib.sha256).hexdigest()


def _checkpoint_hash(previous: str, seq: int, at: datetime, heads: list[Any]) -> str:
    return _hash(json.dumps([previous, seq, at.astimezone(UTC).isoformat(), heads]))
