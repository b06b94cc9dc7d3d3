"""What tests of the sync engine rely on in the in-memory twin, beyond the contract suite."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from connectors.deliveries import ChangeNotice, WebhookRequest
from connectors.errors import (
    AuthenticationFailed,
    CallRejected,
    CrmUnavailable,
    FeedExpired,
    RateLimited,
    WebhookRejected,
)
from connectors.memory import ABLE, SECRET_HEADER, MemoryConnector, MemoryFault
from connectors.memory_org import MemoryOrg
from connectors.port import (
    Absence,
    CreateItem,
    Gone,
    ObjectNeed,
    Refused,
    RemoteRecord,
    Stale,
    UpdateItem,
    Written,
)
from registration_core.contracts import FieldSchema, FieldType, ObjectSchema

DEAL = ObjectSchema(
    "Deal",
    "Deal",
    {
        field.name: field
        for field in (
            FieldSchema("key", FieldType.TEXT, length=36, unique=True),
            FieldSchema("name", FieldType.TEXT, length=20, required=True, history_kept=True),
            FieldSchema("amount", FieldType.NUMBER, scale=2),
            FieldSchema("closes", FieldType.DATE),
            FieldSchema("families", FieldType.MULTI_PICKLIST, options=("a", "b")),
            FieldSchema("number", FieldType.TEXT, updateable=False, createable=False),
        )
    },
)


class Clock:
    """A clock that moves a second each time it is read."""

    def __init__(self) -> None:
        self.now = datetime(2027, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Tell the time, a second later than before."""
        self.now += timedelta(seconds=1)
        return self.now


def connector(**options: object) -> MemoryConnector:
    """Build a twin on an org of its own."""
    return MemoryConnector("twin", MemoryOrg(Clock(), [DEAL]), **options)  # type: ignore[arg-type]


def create(twin: MemoryConnector, key: str, **fields: object) -> str:
    """Create a record through the connector and return its id."""
    item = CreateItem(key, {"name": "Deal", **fields})  # type: ignore[dict-item]
    (outcome,) = twin.create("Deal", "key", [item])
    assert isinstance(outcome, Written)
    return outcome.record_id


def test_two_twins_share_nothing() -> None:
    one, other = connector(), connector()
    create(one, "k")
    one.fail(MemoryFault.UNAVAILABLE)
    assert other.find("Deal", "key", ["k"], ["name"]) == {}
    assert other.calls == {"find": 1}


def test_two_connectors_to_one_org_see_the_same_records_but_count_for_themselves() -> None:
    one = connector()
    other = MemoryConnector("other", one.org)
    record_id = create(one, "k")
    assert other.find("Deal", "key", ["k"], ["name"])["k"].record_id == record_id
    assert (one.calls.total(), other.calls.total()) == (1, 1)


def test_the_same_calls_give_the_same_answers() -> None:
    def story() -> object:
        twin = connector()
        record_id = create(twin, "k")
        twin.org.edit("Deal", record_id, {"name": "Edited"})
        return twin.read("Deal", [record_id], ["name"]), twin.changes("Deal", ["name"], None)

    assert story() == story()


def test_calls_are_counted_by_method_even_when_they_fail() -> None:
    twin = connector()
    twin.fail(MemoryFault.UNAVAILABLE, "count")
    with pytest.raises(CrmUnavailable):
        twin.count("Deal", [])
    twin.count("Deal", [])
    assert twin.calls == {"count": 2}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (MemoryFault.UNAVAILABLE, CrmUnavailable),
        (MemoryFault.RATE_LIMITED, RateLimited),
        (MemoryFault.AUTHENTICATION, AuthenticationFailed),
    ],
)
def test_a_fault_before_the_effect_leaves_nothing_behind(
    fault: MemoryFault, error: type[Exception]
) -> None:
    twin = connector()
    twin.fail(fault, "create")
    with pytest.raises(error) as caught:
        create(twin, "k")
    assert getattr(caught.value, "may_have_happened", False) is False
    assert twin.count("Deal", []) == 0
    create(twin, "k")


def test_a_lost_answer_leaves_the_effect_behind() -> None:
    twin = connector()
    record_id = create(twin, "k")
    twin.fail(MemoryFault.ANSWER_LOST, "update")
    with pytest.raises(CrmUnavailable) as caught:
        twin.update("Deal", [UpdateItem(record_id, {"name": "After"})])
    assert caught.value.may_have_happened
    assert twin.org.value("Deal", record_id, "name") == "After"


def test_a_fault_can_stay_until_it_is_taken_away() -> None:
    twin = connector()
    twin.fail(MemoryFault.UNAVAILABLE, times=None)
    for _ in range(3):
        with pytest.raises(CrmUnavailable):
            twin.count("Deal", [])
    twin.recover()
    assert twin.count("Deal", []) == 0


def test_an_update_can_be_made_stale() -> None:
    twin = connector()
    record_id = create(twin, "k")
    twin.fail(MemoryFault.STALE)
    item = UpdateItem(record_id, {"name": "After"})
    assert twin.update("Deal", [item]) == (Stale(record_id),)
    assert twin.org.value("Deal", record_id, "name") == "Deal"


def test_a_race_can_be_staged_between_read_and_write() -> None:
    twin = connector()
    record_id = create(twin, "k")
    version = _record(twin, record_id).version

    def interfere(operation: str) -> None:
        if operation == "update":
            twin.org.edit("Deal", record_id, {"name": "Theirs"})

    twin.on_call = interfere
    item = UpdateItem(record_id, {"name": "Ours"}, version)
    assert twin.update("Deal", [item]) == (Stale(record_id),)
    assert twin.org.value("Deal", record_id, "name") == "Theirs"


def test_without_preconditions_an_old_version_is_overwritten_and_history_shows_it() -> None:
    twin = connector(capabilities=replace(ABLE, precondition=False))
    record_id = create(twin, "k")
    version, since = _record(twin, record_id).version, _record(twin, record_id).modified_at
    twin.org.edit("Deal", record_id, {"name": "Theirs"})
    (outcome,) = twin.update("Deal", [UpdateItem(record_id, {"name": "Ours"}, version)])
    assert isinstance(outcome, Written)
    changes = twin.history("Deal", [record_id], ["name"], since)
    assert [(c.old_value, c.value, c.by_us) for c in changes] == [
        ("Deal", "Theirs", False),
        ("Theirs", "Ours", True),
    ]


def test_an_org_without_history_hands_none_out() -> None:
    twin = connector(capabilities=replace(ABLE, history=False))
    record_id = create(twin, "k")
    twin.org.edit("Deal", record_id, {"name": "Edited"})
    assert twin.history("Deal", [record_id], ["name"], datetime(2020, 1, 1, tzinfo=UTC)) == ()


def test_the_feed_comes_in_pages_and_each_change_once() -> None:
    twin = connector(feed_page=2)
    ids = [create(twin, f"k{number}") for number in range(5)]
    cursor, seen, more = None, [], True
    while more:
        page = twin.changes("Deal", ["name"], cursor)
        seen += [record.record_id for record in page.records]
        cursor, more = page.cursor, page.more
    assert seen == ids
    assert twin.changes("Deal", ["name"], cursor).records == ()


def test_the_feed_tells_of_deletion_merge_and_restoration() -> None:
    twin = connector()
    deleted, loser, winner = (create(twin, key) for key in ("a", "b", "c"))
    cursor = twin.changes("Deal", ["name"], None).cursor
    twin.org.remove("Deal", deleted)
    twin.org.merge("Deal", loser, winner)
    page = twin.changes("Deal", ["name"], cursor)
    assert page.gone == (Gone(deleted, Absence.DELETED), Gone(loser, Absence.MERGED, winner))
    assert [record.record_id for record in page.records] == [winner]
    twin.org.restore("Deal", deleted)
    page = twin.changes("Deal", ["name"], page.cursor)
    assert [record.record_id for record in page.records] == [deleted]


def test_a_feed_that_does_not_tell_of_deletions_stays_silent() -> None:
    twin = connector(capabilities=replace(ABLE, feed_tells_deletes=False))
    record_id = create(twin, "k")
    twin.org.remove("Deal", record_id)
    page = twin.changes("Deal", ["name"], None)
    assert (page.records, page.gone) == ((), ())


@pytest.mark.parametrize("cursor", ["yesterday", ""])
def test_a_cursor_from_elsewhere_has_expired(cursor: str) -> None:
    with pytest.raises(FeedExpired):
        connector().changes("Deal", ["name"], cursor)


def test_a_cursor_can_be_made_to_expire() -> None:
    twin = connector()
    twin.fail(MemoryFault.FEED_EXPIRED, "changes")
    with pytest.raises(FeedExpired):
        twin.changes("Deal", ["name"], "0")


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"nonsense": "x"}, "UNKNOWN_FIELD", "nonsense"),
        ({"number": "x"}, "READ_ONLY", "number"),
        ({"name": None}, "REQUIRED_FIELD_MISSING", "name"),
        ({"name": "x" * 21}, "STRING_TOO_LONG", "name"),
        ({"amount": "12"}, "INVALID_TYPE", "amount"),
        ({"closes": datetime(2027, 1, 1, tzinfo=UTC)}, "INVALID_TYPE", "closes"),
        ({"families": ("a", "c")}, "INVALID_OPTION", "families"),
        ({"key": "taken"}, "DUPLICATE_VALUE", "key"),
    ],
)
def test_a_row_that_does_not_fit_the_schema_is_refused_and_changes_nothing(
    fields: dict[str, object], code: str, field: str
) -> None:
    twin = connector()
    create(twin, "taken")
    record_id = create(twin, "k", amount=Decimal(1))
    before = _record(twin, record_id)
    item = UpdateItem(record_id, {"closes": date(2027, 1, 1), **fields})  # type: ignore[dict-item]
    (outcome,) = twin.update("Deal", [item])
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.field) == (code, field)
    assert _record(twin, record_id) == before


def test_values_are_kept_as_crms_keep_them() -> None:
    twin = connector()
    record_id = create(twin, "k", name="  Cafe\u0301 ", amount=Decimal("1.5"), families=("b", "a"))
    kept = _record(twin, record_id).fields
    assert kept["name"] == "Café"
    assert str(kept["amount"]) == "1.50"
    assert kept["families"] == ("a", "b")


def test_a_persons_edit_that_the_org_refuses_is_told() -> None:
    twin = connector()
    record_id = create(twin, "k")
    with pytest.raises(ValueError, match="name"):
        twin.org.edit("Deal", record_id, {"name": None})
    with pytest.raises(ValueError, match="name is required"):
        twin.org.add("Deal", {})
    twin.org.remove("Deal", record_id)
    with pytest.raises(ValueError, match="does not exist"):
        twin.org.edit("Deal", record_id, {"name": "x"})


def test_a_batch_over_the_limit_is_rejected_whole() -> None:
    twin = connector(capabilities=replace(ABLE, write_batch=1))
    items = [CreateItem(key, {"name": "Deal"}) for key in ("a", "b")]
    with pytest.raises(CallRejected, match="1 fit"):
        twin.create("Deal", "key", items)
    assert twin.count("Deal", []) == 0


def test_a_key_that_is_not_unique_is_rejected() -> None:
    with pytest.raises(CallRejected, match="not unique"):
        connector().find("Deal", "name", ["x"], ["name"])


def test_check_names_each_obstacle_with_its_remedy_and_warns_where_history_is_missing() -> None:
    need = ObjectNeed("Deal", "name", reads=("name", "amount", "size"), writes=("amount", "number"))
    need = replace(need, two_way=("amount",))
    items = {item.step: item for item in connector().check([need, ObjectNeed("Lead")])}
    assert items["sign in"].ok
    assert [step for step, item in items.items() if not item.ok] == [
        "Deal.size",
        "Deal.number",
        "Deal.name",
        "Lead",
    ]
    assert all(item.remedy for item in items.values() if not item.ok)
    assert items["Deal.amount"].warning


def test_the_budget_is_told_where_the_org_has_one() -> None:
    twin = connector(budget_allowed=100)
    twin.count("Deal", [])
    budget = twin.api_budget()
    assert budget is not None
    assert (budget.used, budget.allowed) == (1, 100)
    assert connector().api_budget() is None


def test_a_delivery_is_believed_only_with_the_secret_and_if_it_can_be_read() -> None:
    twin = connector(webhook_secret="s")
    genuine = twin.delivery([ChangeNotice("Deal", "deal-000001", "e1", deleted=True)])
    assert twin.webhook(genuine).notices == (
        ChangeNotice("Deal", "deal-000001", "e1", deleted=True),
    )
    assert _status(twin, replace(genuine, headers={SECRET_HEADER: "wrong"})) == 401
    assert _status(twin, replace(genuine, headers={})) == 401
    assert _status(connector(), replace(genuine, headers={SECRET_HEADER: ""})) == 401
    for body in (b"{", b"[]", b'{"org_id": "x", "notices": [{"object": "Deal"}]}'):
        assert _status(twin, replace(genuine, body=body)) == 400


def _record(twin: MemoryConnector, record_id: str) -> RemoteRecord:
    found = twin.read("Deal", [record_id], list(DEAL.fields))[record_id]
    assert isinstance(found, RemoteRecord)
    return found


def _status(twin: MemoryConnector, request: WebhookRequest) -> int:
    with pytest.raises(WebhookRejected) as caught:
        twin.webhook(request)
    return caught.value.status
