"""How `dealreg mapping preview` answers: a table for people, one object for scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from cli.output import Marked, Output, words
from registration_core.contracts import Mode

if TYPE_CHECKING:
    from sync.previews.previewing import FieldPreview, Preview, Previews

_COLUMNS = {
    "number": "Number", "ours": "Our field", "store": "Ours", "theirs": "Their field",
    "crm": "Theirs", "does": "Does", "then": "Then", "why": "Why",
}  # fmt: skip


def show(out: Output, found: Previews) -> None:
    """Print what would happen, a line a field; what agrees is only counted."""
    if out.as_json:
        out.json(_answer(found))
        return
    rows = [_row(each, field) for each in found.registrations for field in each.fields]
    rows += [_waiting(each) for each in found.registrations if not each.fields and each.why]
    out.show(sorted(rows, key=lambda row: str(row["number"])), _COLUMNS)
    counted = ", ".join(f"{count} {does.value}" for does, count in found.counts().items())
    out.say(f"{len(found.registrations)} registrations in {found.connection}: {counted or 'none'}.")
    if found.rebased:
        out.say(f"{found.rebased} values are agreed on anew: their rows mean something else now.")
    if found.mode is not Mode.PUSH:
        out.say(f"Mode {found.mode.value}: nothing of it is written there.")
    for name, mode in found.held_back.items():
        out.say(f"{name} is held back at {mode.value}: nothing of it is written there.")


def _row(preview: Preview, field: FieldPreview) -> dict[str, object]:
    then = field.then
    return {
        "number": preview.job.registration.number,
        "ours": field.ours,
        "store": words(field.our_value),
        "theirs": ", ".join(field.theirs),
        "crm": ", ".join(words(value) for value in field.their_values.values()),
        "does": Marked(field.does.value),
        "then": ", ".join(words(v) for v in then.values())
        if isinstance(then, Mapping)
        else words(then),
        "why": field.why,
    }


def _waiting(preview: Preview) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(_COLUMNS, "")
    number = preview.job.registration.number
    return row | {"number": number, "does": Marked(preview.does.value), "why": preview.why}


def _answer(found: Previews) -> dict[str, object]:
    return {
        "connection": found.connection,
        "mapping_version": found.mapping_version,
        "mode": found.mode,
        "held_back": dict(found.held_back),
        "counts": found.counts(),
        "rebased": found.rebased,
        "registrations": [
            {
                "number": each.job.registration.number,
                "object": each.job.mapping.object,
                "record_id": each.job.link.record_id if each.job.link else None,
                "does": each.does,
                "why": each.why,
                "write": each.write,
                "fields": [asdict(field) for field in each.fields],
            }
            for each in found.registrations
        ],
    }
