"""YAML with positions: every problem names its file and line, and repeats no value."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.documents import FILE_BYTES_MAX, parse, read
from registration_core.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "a: [1, 2",
            (
                "x.yaml:1: expected ',' or ']', but got '<stream end>' (close the bracket, or put a comma "
                "between its members)"
            ),
        ),
        (
            "a:\n\tb: 1",
            (
                "x.yaml:2: found character '\\t' that cannot start any token (indent with spaces, never "
                "with a tab)"
            ),
        ),
        (
            "a 1\nb: 2",
            (
                "x.yaml:2: mapping values are not allowed here (write name: value, here and in the line "
                "above; quote a text that holds a colon)"
            ),
        ),
        (
            "a: 1\nb\n",
            "x.yaml:3: could not find expected ':' (write name: value; the line above may lack its colon)",
        ),
        (
            "a:\n    b: 1\n  c: 2",
            (
                "x.yaml:3: expected <block end>, but found '<block mapping start>' (indent it like the lines "
                "that it belongs to, and close every bracket and quote above)"
            ),
        ),
        (
            "a: {b: 'x}\n",
            "x.yaml:2: found unexpected end of stream (close the quote or bracket that is open)",
        ),
        (
            "a: *b",
            "x.yaml:1: found undefined alias 'b' (quote a text that begins with *, & or !)",
        ),
        (
            "a: @b",
            "x.yaml:1: found character '@' that cannot start any token (quote the text)",
        ),
        ("a: 1\nb: 2\na: hunter2", "x.yaml:3: 'a' stands here a second time (keep one of the two)"),
    ],
)
def test_a_file_that_is_not_yaml_is_told_with_the_line(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(text, "x.yaml")
    assert [str(problem) for problem in caught.value.problems] == [told]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a\n- b", "text"])
def test_the_top_level_must_be_a_mapping(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"x\.yaml must hold a mapping at its top level"):
        parse(text, "x.yaml")


def test_a_very_large_file_is_not_read() -> None:
    with pytest.raises(ConfigurationError, match="larger than 1000000 bytes"):
        parse("a: " + "x" * FILE_BYTES_MAX, "x.yaml")


def test_a_missing_file_is_told_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path / "x.yaml", "x.yaml")
    (problem,) = caught.value.problems
    assert problem.what == f"cannot read {tmp_path / 'x.yaml'}: No such file or directory"
    assert problem.remedy == "create it, or set DEALREG_CONFIG_DIR"


def test_a_place_that_has_no_line_of_its_own_takes_its_parents() -> None:
    document = parse("a:\n  b:\n    - c\n    - d: 1\n", "x.yaml")
    assert document.where(["a", "b", 1, "d"]) == "x.yaml:4"
    assert document.where(["a", "b", 7]) == "x.yaml:2"
    assert document.where(["missing"]) == "x.yaml:1"
