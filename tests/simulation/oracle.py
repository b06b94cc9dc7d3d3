"""What must be true at the end of every story, judged without the engine's own opinion.

The oracle sees what the pretended CRMs and the store's users really did (`truth.py`), and of the
store only what a person can list: registrations, claims, checks, links, conflicts, dead letters
and the audit trail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from mapping.translate import canonical, to_store
from reconciler.merge import same
from registration_core import crm_changes
from registration_core.contracts import ConnectionName
from sync.plans.planning import REPEATS_AGAINST_A_PERSON
from tests.simulation.cases import CRMS
from tests.simulation.evidence import GROUP_OF, Evidence, declined, gather, kept
from tests.simulation.limits import neighbours
from tests.simulation.org import LATEST_SECONDS
from tests.simulation.play import Play, mapping_of
from tests.simulation.truth import TOKENS, Token, spoken, token
from tests.simulation.vendors import POISON

#: Groups that merge both ways in the stories' mappings, with their fields.
_TWO_WAY = {
    "name": ("deal_name",),
    "amount": ("amount", "currency"),
    "close": ("expected_close_on",),
}
#: Fields written in one story that may hold the value already: two workers, one late.
IDLE_MAX = 6


def judge(play: Play) -> list[str]:
    """Return every violation of a story that has come to rest, then stir it and look again."""
    seen = gather(play)
    violations = [
        *(f"I3 {each}" for each in play.unexpected),
        *_lost(play, seen),
        *_diverged(play, seen),
        *_back_and_forth(play, seen),
        *_false_conflicts(play, seen),
        *_waste(play, seen),
        *_approvals(play, seen),
        *_doubles(play, seen),
        *_reps_own(play, seen),
        *_absence(play, seen),
        *_promises(play, seen),
        *_innocents(play, seen),
        *_vanished(play, seen),
        *neighbours(play),
        *_stirred(play, seen),
    ]
    return sorted(set(violations))


def _final(play: Play, seen: Evidence) -> set[Token]:
    """Every value that stands in the end, in the store and in living records."""
    final = {
        token(ours, getattr(r, ours))
        for r in seen.registrations.values()
        for ours in TOKENS.values()
    }
    for org in play.orgs.values():
        for record in org.records("Deal"):
            final |= {token(ours, record.fields[theirs]) for theirs, ours in TOKENS.items()}
    return final


def _lost(play: Play, seen: Evidence) -> Iterator[str]:
    """I1 and I2: no user's value is gone without a trace."""
    truth = play.stage.truth
    known: set[Token] = set()
    for value in _final(play, seen) | kept(seen) | truth.given_up:
        known |= truth.ancestry(value)
    unread = {w.over: w for w in truth.sync_writes if not w.had_read}
    for value, places in sorted(truth.written_at.items()):
        if value not in known and value[1]:
            if value in unread:
                write = unread[value]
                yield f"I2 {value} of {places} was overwritten unread by {write.what} and is kept nowhere"
            else:
                yield f"I1 {value} of {places} is lost"


def _diverged(play: Play, seen: Evidence) -> Iterator[str]:
    """I3: all replicas agree, or the field is in a state that a person can list."""
    opened = {(c.link_id, c.field_group) for c in seen.conflicts if c.state == "open"}
    dead = {(x.registration_id, x.connection) for x in seen.letters if x.state == "open"}
    for link in seen.links:
        org = play.orgs[link.connection]
        record = org.record(link.object, link.record_id)
        if record is None or record.gone is not None or link.state != "active":
            if link.state == "active":
                yield f"I3 {link.connection} {link.record_id} is gone, but its link is active"
            continue
        name = ConnectionName(link.connection)
        mapping = mapping_of(name).objects["home"]
        registration = seen.registrations[link.registration_id]
        ours = canonical(mapping, crm_changes.canonical(registration, name, None)).fields
        theirs = to_store(mapping, record.fields).fields
        for group, names in (*_TWO_WAY.items(), ("stage", ("sales_stage",))):
            differ = [n for n in names if not same(ours.get(n), theirs.get(n))]
            listed = (link.id, group) in opened or (link.registration_id, link.connection) in dead
            listed = listed or declined(seen, link, {n: ours.get(n) for n in differ})
            if differ and not listed:
                shown = {n: (str(ours.get(n)), str(theirs.get(n))) for n in differ}
                yield f"I3 {registration.number} and {name} {link.record_id} differ in {shown}"
        for n in ("registration_state", "protection_ends_on"):
            listed = (link.registration_id, name) in dead or declined(seen, link, {n: ours.get(n)})
            if not same(ours.get(n), theirs.get(n)) and not listed:
                yield f"I3 {n} is {ours.get(n)} here and {theirs.get(n)} in {name}"
    yield from _unlinked(seen)
    for intent in seen.pending:
        yield f"I3 the intent {intent.id} was never settled"


def _unlinked(seen: Evidence) -> Iterator[str]:
    """A registration that was approved has a record in each CRM, or says why not."""
    linked = {(x.registration_id, x.connection) for x in seen.links}
    for row in seen.outbox:
        there = (row.registration_id, row.connection) in linked
        approved = seen.registrations[row.registration_id].state == "approved"
        if not there and row.state == "open" and approved:
            yield f"I10 {row.registration_id} has no record in {row.connection} and nothing says why"
        if row.state == "open" and row.done < row.wanted:
            yield f"I3 {row.registration_id} is still due in {row.connection}: {row.reason}"


def _back_and_forth(play: Play, seen: Evidence) -> Iterator[str]:
    """I6: nothing goes back to what it was unless a person wanted it so."""
    truth = play.stage.truth
    named = kept(seen) | truth.automatic
    for write in truth.sync_writes:
        # A CRM without preconditions cannot refuse a write that was held up; it is put right later.
        back = truth.is_newer(write.over, write.what) and not write.delayed
        if back and write.over not in named and write.what not in truth.automatic:
            yield f"I6 {write.crm} went back from {write.over} to {write.what}"
    for key, events in seen.events.items():
        by_person = {
            e["at"] for e in events if e["action"] in ("resolve sync conflict", "undo resolution")
        }
        held: dict[str, Token] = {}
        for event in events:
            changes = event["internal"].get("changes", {})  # type: ignore[attr-defined]
            for name in GROUP_OF.keys() & changes.keys():
                value = spoken(name, changes[name])
                over = held.get(name)
                if (
                    over is not None
                    and truth.is_newer(over, value)
                    and not truth.automatic & {over, value}
                    and event["at"] not in by_person
                ):
                    yield f"I6 the store went back from {over} to {value} in {key}"
                held[name] = value


def _false_conflicts(play: Play, seen: Evidence) -> Iterator[str]:
    """A conflict is kept where two people wrote, not where one wrote over what he had seen."""
    truth = play.stage.truth
    undone = {(change.registration_id, change.connection) for change, _ in seen.undone}
    links = {link.id: (link.registration_id, link.connection) for link in seen.links}
    for row in seen.conflicts:
        if links.get(row.link_id) in undone:
            continue  # what the store keeps is older than what stands there again
        for name in GROUP_OF.keys() & row.store.keys() & row.remote.keys():
            ours, theirs = token(name, row.store[name]), token(name, row.remote[name])
            asked = any(row.id in str(e["internal"]) for e in _decisions(seen))
            asked = asked or theirs in truth.automatic
            if truth.is_newer(ours, theirs) and theirs[1] and not asked:
                yield f"I6 a conflict between {ours} and {theirs}, which its writer had seen"


def _decisions(seen: Evidence) -> Iterator[dict[str, object]]:
    for events in seen.events.values():
        for event in events:
            if event["action"] in ("resolve sync conflict", "undo resolution"):
                yield event


def _waste(play: Play, seen: Evidence) -> Iterator[str]:
    """I4: a value is written to a record once, and again only after somebody changed it there."""
    truth = play.stage.truth
    people = sum(1 for _ in _decisions(seen)) + len(seen.undone)
    written = Counter((f"{w.crm} {w.record_id}", w.what) for w in truth.sync_writes)
    for (place, what), times in written.items():
        edits = sum(v[0] == what[0] and place in at for v, at in truth.written_at.items())
        held_up = sum(w.delayed and place == f"{w.crm} {w.record_id}" for w in truth.sync_writes)
        # Each time a person insists, the breaker lets an automation undo it as often again.
        crm = place.partition(" ")[0]
        undone = bool(play.orgs[crm].automations) * REPEATS_AGAINST_A_PERSON * (1 + people)
        # What an automation put in another CRM, again after each write there, is carried over.
        elsewhere = sum(
            n for (c, value), n in truth.automated.items() if value == what and c != crm
        )
        if times > max(1, elsewhere) + edits + people + held_up + undone:
            yield f"I4 {what} was written {times} times to {place}, where people wrote {edits} times"
    for place in truth.relabelled:
        yield f"I4 an option of {place} was replaced by another that means the same to us"
    idle, changed = sum(truth.idle.values()), sum(truth.changed.values())
    if idle > IDLE_MAX:
        yield f"I4 {idle} fields were written that held the value already ({changed} changed)"


def _approvals(play: Play, seen: Evidence) -> Iterator[str]:
    """I8: every approval stands on a complete, fresh check that began after the last change."""
    truth = play.stage.truth
    for key, events in seen.events.items():
        registration = seen.registrations[key]
        keys_changed_at = ""
        for event in events:
            if event["action"] in ("submit", "choose account"):
                keys_changed_at = str(event["at"])
            if event["action"] != "approve":
                continue
            check = seen.checks.get(str(event["internal"]["check"]))  # type: ignore[index]
            if check is None:
                yield f"I8 {registration.number} was approved on no check"
                continue
            read = {
                r["connection"] if isinstance(r, dict) else r.connection: r for r in check.readings
            }
            for name in CRMS:
                reading = read.get(ConnectionName(name))
                if reading is None or not _complete(reading):
                    yield f"I8 {registration.number} was approved although {name} was not read"
            if check.began_at < datetime.fromisoformat(keys_changed_at):
                yield f"I8 {registration.number} was approved on a check from before its change"
            began = (check.began_at - play.stage.scheduler.now()).total_seconds()
            began += play.stage.scheduler.seconds
            if event["actor"] != "ben (desk)" and "ben" not in str(event["actor"]):
                for (name, tax), at in truth.marked_at.items():
                    is_his = registration.customer.tax_id == tax
                    if is_his and at < began - LATEST_SECONDS - 1 and not check.findings:
                        yield f"I8 {registration.number} was approved unseen although {name} owns {tax}"


def _complete(reading: object) -> bool:
    value = (
        reading["complete"] if isinstance(reading, dict) else getattr(reading, "complete", False)
    )
    return bool(value)


def _doubles(play: Play, seen: Evidence) -> Iterator[str]:
    """I9: at most one record per registration and CRM was ever made, and one link stands."""
    for (crm, key), made in play.stage.truth.made.items():
        if len(made) > 1:
            yield f"I9 {crm} got {len(made)} records of {key}: {', '.join(made)}"
    for crm, org in play.orgs.items():
        keys = [r.fields["Key"] for r in org.records("Deal") if r.fields["Key"]]
        for held in sorted({str(k) for k in keys if keys.count(k) > 1}):
            yield f"I9 {crm} holds {keys.count(held)} records of {held}"


def _reps_own(play: Play, seen: Evidence) -> Iterator[str]:
    """Law 5: where a rep had opened an opportunity for the account, a person decides first."""
    truth = play.stage.truth
    restored = any(act.verb == "restore" for act in play.stage.case.acts)
    for (crm, key), at in truth.made_at.items():
        opened, emptied = truth.opened_at.get(crm), truth.emptied_at.get(crm)
        registration = seen.registrations.get(key)
        if opened is None or registration is None or registration.customer.tax_id != "DE100":
            continue
        if emptied is not None and opened < emptied <= at and not restored:
            continue  # the rep's own was deleted with the rest before ours was made
        decided = any(e["action"] == "rejected link" for e in seen.events[key])
        moved = any(e["action"] == "choose account" for e in seen.events[key])
        if crm == CRMS[0] and opened + LATEST_SECONDS + 1 < at and not (decided or moved):
            yield f"law 5: {crm} got a record of {registration.number} beside a rep's own"


def _absence(play: Play, seen: Evidence) -> Iterator[str]:
    """I13: a record that is gone empties nothing here."""
    for registration in seen.registrations.values():
        if not registration.deal_name or registration.amount is None:
            yield f"I13 {registration.number} lost its name or amount"


def _vanished(play: Play, seen: Evidence) -> Iterator[str]:
    """I17: a field that an admin took away is not taken for one that somebody emptied."""
    emptying = {"clear", "merge", "opportunity"}  # or linking a record that never had a value
    if any(act.verb in emptying for act in play.stage.case.acts):
        return
    for row in seen.conflicts:
        for name in GROUP_OF.keys() & row.store.keys() & row.remote.keys():
            if row.remote[name] is None and row.store[name] is not None:
                yield f"I17 {name} in {row.connection} reads as empty, although nobody emptied it"


def _promises(play: Play, seen: Evidence) -> Iterator[str]:
    """Law 7: at most one standing claim per customer and exclusive line. Law 12: the trail verifies."""
    standing: dict[tuple[str, str], list[str]] = {}
    for claim in seen.claims:
        if claim.state == "standing":
            registration = seen.registrations[claim.registration_id]
            place = registration.customer.tax_id, claim.product_line
            standing.setdefault(place, []).append(registration.number)
    for (tax, line), numbers in standing.items():
        if len(numbers) > 1:
            yield f"law 7: {tax} and {line} are protected for {' and '.join(numbers)}"
    for registration in seen.registrations.values():
        has = any(
            c.registration_id == registration.id and c.state == "standing" for c in seen.claims
        )
        if (
            registration.protection_state.standing
            and not has
            and registration.dispute_state == "none"
        ):
            yield f"law 7: {registration.number} is {registration.protection_state} without a claim"
    for each in seen.broken:
        yield f"law 12: {each}"


def _innocents(play: Play, seen: Evidence) -> Iterator[str]:
    """I11: a row that a CRM refuses takes nobody else down."""
    for letter in seen.letters:
        poison = POISON in str(letter.payload.get("Name", ""))
        if letter.code == "crm_rejected" and letter.kind == "push" and not poison:
            shared = play.stage.case.deals > 1
            if shared and not any(a.verb.startswith("remove") for a in play.stage.case.acts):
                yield f"I11 {letter.registration_id} is a dead letter for another row's fault"


def _stirred(play: Play, seen: Evidence) -> Iterator[str]:
    """I5 and I4: every notice and job delivered again changes nothing and writes nothing."""
    writes = {name: door.writes for name, door in play.doors.items()}
    versions = {key: r.version for key, r in seen.registrations.items()}
    kept = len(seen.conflicts)
    for name, org in play.orgs.items():
        for record in org.records("Deal", gone=True):
            play.redeliver(name, record.record_id)
    play.stage.scheduler.jump(20)
    play.cycle()
    after = gather(play)
    for name, door in play.doors.items():
        if door.writes != writes[name]:
            yield f"I4 {name} was written {door.writes - writes[name]} times at rest"
    for key, version in versions.items():
        if after.registrations[key].version != version:
            yield f"I5 {key} moved at rest, from version {version}"
    if len(after.conflicts) != kept:
        yield f"I5 {len(after.conflicts) - kept} conflicts were opened at rest"


__all__ = ["judge"]
