"""Every broken mapping is refused with located messages, and none ends in a traceback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mapping.loader import load
from registration_core.errors import ConfigurationError
from tests.unit.mapping.catalogue import GROUPS, OURS
from tests.unit.mapping.make_broken import CASES, FOLDER, broken

FILES = sorted(FOLDER.glob("*.yaml"))


def test_the_corpus_is_all_there() -> None:
    assert len(FILES) > CASES >= 200


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.stem))
def test_each_broken_file_is_told_with_line_and_remedy(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        load(text, "crm.yaml", OURS, GROUPS)
    problems = refused.value.problems
    assert problems
    for problem in problems:
        found = re.fullmatch(r"crm\.yaml:(\d+)", problem.where)
        assert found, problem
        assert 1 <= int(found[1]) <= text.count("\n") + 1
        assert problem.what
        assert problem.remedy


def test_a_file_is_made_from_its_seed_alone() -> None:
    assert broken(17) == broken(17)


@pytest.mark.parametrize(
    "text",
    ["", "- a", "\x00", "a: 2026-13-45", "a: " + "[" * 5000, "&a connection: *a", "? [a]\n: b",
     "connection: x\nobjects: &o {home: *o}\n",
     "connection: x\nobjects:\n  home: &h\n    groups: *h\n"],
    ids=lambda text: repr(text[:35]),
)  # fmt: skip
def test_yaml_that_is_no_mapping_at_all_is_told_too(text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(text, "crm.yaml", OURS, GROUPS)
    assert all(re.fullmatch(r"crm\.yaml:\d+", p.where) for p in refused.value.problems)
    assert refused.value.problems
