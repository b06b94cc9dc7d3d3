"""How large a batch grows and shrinks."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from connectors.dynamics365 import batch
from connectors.dynamics365.pacing import LEAST, LONGEST, OPERATIONS_MAX, START, Pace
from connectors.dynamics365.transport import Reply
from connectors.dynamics365.writing import BYTES_MAX, RowWrite, Writer
from connectors.port import Deferred, Stale

QUICK = timedelta(milliseconds=500)


def test_quick_answers_double_the_batch_up_to_what_dataverse_takes() -> None:
    pace = Pace()
    sizes = []
    for _ in range(5):
        pace.note(pace.size, QUICK)
        sizes.append(pace.size)
    assert sizes == [200, 400, 800, 1000, 1000]


def test_a_batch_that_took_too_long_shrinks_to_what_fits() -> None:
    pace = Pace()
    pace.note(100, timedelta(seconds=20))
    assert pace.size == 25


def test_a_few_records_say_nothing_of_many() -> None:
    pace = Pace()
    pace.note(5, QUICK)
    assert pace.size == START


def test_a_batch_that_was_too_long_leaves_half_of_itself_for_good() -> None:
    pace = Pace()
    pace.note_too_large(60)
    pace.note(30, QUICK)
    assert pace.size == 30
    for _ in range(5):
        pace.note_too_large(pace.size)
    assert pace.size == LEAST


def test_one_row_that_is_too_long_by_itself_is_not_held_against_later_batches() -> None:
    pace = Pace()
    for operations in (100, 50, 25, 12, 6, 3, 1):
        pace.note_too_large(operations)
    for _ in range(7):
        pace.note(pace.size, QUICK)
    assert pace.size == OPERATIONS_MAX


def test_a_batch_without_an_answer_halves_the_next() -> None:
    pace = Pace()
    pace.note_no_answer()
    assert pace.size == START // 2


@given(st.lists(st.tuples(st.integers(1, OPERATIONS_MAX), st.floats(0, 120)), max_size=30))
def test_it_stays_between_its_limits_and_ends_within_them_where_time_is_steady(
    answers: list[tuple[int, float]],
) -> None:
    pace = Pace()
    for operations, seconds in answers:
        pace.note(operations, timedelta(seconds=seconds))
        assert LEAST <= pace.size <= OPERATIONS_MAX
    each = timedelta(milliseconds=80)
    for _ in range(10):
        pace.note(pace.size, pace.size * each)
    assert pace.size * each <= LONGEST


class Answering:
    """A transport whose batches are all stale."""

    def write_batch(self, body: bytes, *_: object) -> Reply:
        parts = body.count(b"PATCH ")
        one = "--b\nContent-Type: application/http\n\nHTTP/1.1 412 Precondition Failed\n\n{}\n"
        answer = (one * parts + "--b--\n").encode()
        return Reply(200, {"content-type": "multipart/mixed; boundary=b"}, answer)


def test_what_does_not_fit_into_a_batch_waits_for_the_next() -> None:
    row = RowWrite((batch.Part("PATCH", "/x"),), (), "1", "x", "id")
    writer = Writer(Answering(), "dynamics", Pace())  # type: ignore[arg-type]
    outcomes = writer.send([row] * (OPERATIONS_MAX + 2), "update")
    assert [type(each) for each in outcomes] == [Stale] * OPERATIONS_MAX + [Deferred] * 2
    assert {each.tried for each in outcomes if isinstance(each, Deferred)} == {False}


def test_long_texts_fill_a_batch_before_its_thousand_operations() -> None:
    notes = {"description": "x" * 100_000}
    row = RowWrite((batch.Part("PATCH", "/x", {}, notes),), (), "1", "x", "id")
    writer = Writer(Answering(), "dynamics", Pace())  # type: ignore[arg-type]
    outcomes = writer.send([row] * 100, "update")
    sent = outcomes.count(Stale("1"))
    assert 0 < sent * row.bytes_at_most <= BYTES_MAX < (sent + 2) * row.bytes_at_most
    assert [type(each) for each in outcomes[sent:]] == [Deferred] * (100 - sent)


def test_a_row_that_is_longer_than_a_batch_goes_alone() -> None:
    whole = {"description": "x" * BYTES_MAX}
    row = RowWrite((batch.Part("PATCH", "/x", {}, whole),), (), "1", "x", "id")
    writer = Writer(Answering(), "dynamics", Pace())  # type: ignore[arg-type]
    first, *_ = writer.send([row, row, row], "update")
    assert first == Stale("1")
