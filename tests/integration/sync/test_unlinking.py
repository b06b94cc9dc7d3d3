"""Whatever was written by whom: an unlinked record gets back what others last wrote, and no more."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from connectors.port import RemoteRecord
from sync.ledger.tables import IntentRow
from sync.unlinking import _back

NOW = datetime(2026, 3, 2, tzinfo=UTC)
#: What was written in turn: capitals by us, the others by somebody else.
HISTORIES = st.lists(st.sampled_from("ABxyz"), max_size=6)


@given(before=st.sampled_from(["", "x"]), history=HISTORIES)
def test_what_goes_back_is_the_newest_value_of_others(before: str, history: list[str]) -> None:
    value, theirs, intents = before, before, list[IntentRow]()
    for written in history:
        if written.islower():
            theirs = written
        elif written != value:
            intents.append(IntentRow(before={"f": value}, payload={"f": written}))
        value = written

    record = RemoteRecord("Deal", "1", {"f": value}, None, None, NOW)
    restored, kept = _back(intents, record)
    assert {**record.fields, **restored}["f"] == theirs
    assert set(kept) == ({"f"} if intents and value.islower() else set())
