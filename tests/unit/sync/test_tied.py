"""What shares a mark is in one group, and what shares none with a group is not in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sync.proposals.tied import tied

MARKS = st.dictionaries(
    st.integers(0, 20), st.frozensets(st.integers(0, 12), max_size=3), max_size=12
)


@given(MARKS)
def test_groups_share_nothing_and_cannot_be_told_apart_further(
    marks: dict[int, frozenset[int]],
) -> None:
    groups = tied(marks)
    assert sorted(thing for group in groups for thing in group) == sorted(marks)
    for group in groups:
        held = frozenset[int]().union(*(marks[thing] for thing in group))
        others = [marks[thing] for thing in marks if thing not in group]
        assert all(held.isdisjoint(each) for each in others)
        reached, before = {group[0]}, set[int]()
        while reached != before:
            before = set(reached)
            near = frozenset[int]().union(*(marks[thing] for thing in reached))
            reached |= {thing for thing in group if marks[thing] & near}
        assert reached == set(group)
