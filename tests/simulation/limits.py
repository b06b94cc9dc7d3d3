"""Limits that a story may not break: of time, of calls, between connections."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from tests.simulation.evidence import declined, gather, kept
from tests.simulation.play import Play
from tests.simulation.truth import TOKENS, Token, token

#: Clocks fire a slot of a poll no sooner than this after the last, give or take a tick's length.
SLOT_SECONDS_MIN = 8.0


def neighbours(play: Play) -> Iterator[str]:
    """I15, I16: a CRM's limits are kept and are its own; slots fire once however many clocks tick."""
    truth = play.stage.truth
    # A pause that the store did not keep, because it was away, is nobody's fault.
    away = {f.kind for f in play.stage.case.faults} & {"commit_lost", "commit_unknown", "poll_cut"}
    for each in truth.forbidden if not away else ():
        yield f"I15 {each}"
    for name, state in play.states.items():
        door = play.doors.get(name)
        if door is None:
            yield f"I16 {name} is no connection"
            continue
        if state.org_id not in (None, f"org-{name}"):
            yield f"I16 {name} is pinned to {state.org_id}"
        if (state.failures or state.paused_until) and not door.failed:
            yield f"I16 {name} is held up although it never failed: {state.reason}"
        if state.calls_allowed not in (None, play.stage.case.quotas.get(name)):
            yield f"I16 {name} goes by another's quota, {state.calls_allowed}"
    for kind, moments in truth.fired.items():
        for earlier, later in pairwise(moments):
            if later - earlier < SLOT_SECONDS_MIN:
                yield f"I4 the slot of {kind} was fired {later - earlier:.1f} s after the last"


def late(play: Play, edited: set[Token]) -> list[str]:
    """I7: what was just edited stands everywhere, or a person is told."""
    seen = gather(play)
    told, found = kept(seen), []
    dead = {(x.registration_id, x.connection) for x in seen.letters if x.state == "open"}
    automated = any(org.automations for org in play.orgs.values())
    for what in sorted(edited - told):
        if automated and what[0] == TOKENS["Name"]:
            continue  # somebody else writes over it at once
        written = play.stage.truth.written_at[what]
        for link in seen.links:
            record = play.orgs[link.connection].record(link.object, link.record_id)
            held = getattr(seen.registrations[link.registration_id], what[0])
            ours = token(what[0], held)
            mine = f"{link.connection} {link.record_id}" in written or ours == what
            if record is None or record.gone is not None or link.state != "active" or not mine:
                continue
            theirs = next(token(o, record.fields[t]) for t, o in TOKENS.items() if o == what[0])
            listed = (link.registration_id, link.connection) in dead
            listed = listed or declined(seen, link, {what[0]: held})
            if not (ours == theirs == what) and not listed:
                found.append(f"I7 {what} is late: {ours} here, {theirs} in {link.connection}")
    return found
