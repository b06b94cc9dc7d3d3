"""How the demo tells its story and fails; that the story holds is `tests/acceptance`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.demo import narration, stage, story
from cli.demo.crms import Crms, Unanswered
from cli.demo.scene import Cast, Scene, StepFailed
from cli.demo.terminal import Terminal
from cli.main import root
from registration_core.errors import DealregError


@pytest.fixture
def cast(home: Path) -> Cast:
    """A cast on an empty store, with no stage around it."""
    terminal = Terminal({"DEALREG_HOME": str(home)})
    return Cast(terminal, Crms(terminal), home, lambda: None, patience_seconds=0.2)


@pytest.fixture
def stageless(monkeypatch: pytest.MonkeyPatch, cast: Cast) -> None:
    """Lets `dealreg demo` play without processes."""

    @contextmanager
    def opened(_: stage.Stage) -> Iterator[Cast]:
        yield cast

    monkeypatch.setattr(story, "opened", opened)


def holds(scene: Scene) -> None:
    scene.type("partner add acme --name Acme", "a partner is added")


def fails(scene: Scene) -> None:
    scene.see("the moon", "cheese", "rock", held=False)


def play_steps(monkeypatch: pytest.MonkeyPatch, *acts: object) -> None:
    steps = tuple(
        story.Step(number, f"step {number}", act)  # type: ignore[arg-type]
        for number, act in enumerate(acts, start=1)
    )
    monkeypatch.setattr(story, "STEPS", steps)


@pytest.mark.usefixtures("stageless")
def test_a_story_that_holds_ends_with_0_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    play_steps(monkeypatch, holds)
    monkeypatch.setattr("cli.demo.tempfile.mkdtemp", lambda prefix: _made(tmp_path / prefix))

    result = CliRunner().invoke(root, ["demo"])

    assert result.exit_code == 0, result.output
    assert "dealreg partner add acme --name Acme" in result.output
    assert not list(tmp_path.glob("dealreg-demo-*"))


@pytest.mark.usefixtures("stageless")
def test_a_story_that_fails_ends_with_1_names_the_step_and_keeps_its_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    play_steps(monkeypatch, holds, fails, holds)
    monkeypatch.setattr("cli.demo.tempfile.mkdtemp", lambda prefix: _made(tmp_path / prefix))

    result = CliRunner().invoke(root, ["demo"])

    assert result.exit_code == 1
    assert "Step 2 failed: the moon" in result.output
    assert "3. step 3" not in result.output
    assert (tmp_path / "dealreg-demo-").is_dir()


@pytest.mark.usefixtures("stageless")
def test_scripts_get_one_json_value_with_every_assertion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    play_steps(monkeypatch, holds, fails)

    told = json.loads(CliRunner().invoke(root, ["demo", "--json"]).stdout)

    assert told["failed"] is True
    assert [step["failed"] for step in told["steps"]] == [False, True]
    assert told["steps"][1]["rows"][0]["seen"] == "rock"


def test_a_command_that_ends_with_another_code_fails_the_step(cast: Cast) -> None:
    scene = Scene(cast)
    with pytest.raises(StepFailed, match="exit code 1, not 0: There is no registration DR-0"):
        scene.type("registration show DR-0", "it is there")


def test_what_never_comes_is_awaited_only_so_long(cast: Cast) -> None:
    scene = Scene(cast)
    with pytest.raises(StepFailed, match="saw 1, for 0 s"):
        scene.await_("a number", "2", lambda: 1, lambda found: found == 2)
    assert [row.held for row in scene.rows] == [False]


def test_waiting_ends_at_once_when_a_process_is_gone(cast: Cast) -> None:
    def broken() -> None:
        raise stage.StageError("serve ended by itself.")

    cast.require_running = broken
    with pytest.raises(DealregError, match="ended by itself"):
        Scene(cast).await_("a number", "2", lambda: 1, lambda found: found == 2)


def test_a_reading_command_that_fails_says_why(cast: Cast) -> None:
    with pytest.raises(Unanswered, match="There is no sandbox here"):
        cast.crms.records("salesforce", "Account")


def test_the_callers_settings_reach_nobody_on_the_stage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DEALREG_DATABASE_URL", "postgresql://somebody/else")
    monkeypatch.setenv("DEALREG_HOME", "/somewhere/else")

    environ = stage.Stage(tmp_path).environ

    assert environ["DEALREG_HOME"] == str(tmp_path)
    assert "DEALREG_DATABASE_URL" not in environ


@pytest.mark.parametrize(("encoding", "mark"), [("utf-8", "✓"), ("cp1252", "ok"), ("ascii", "ok")])
def test_marks_are_words_where_the_terminal_has_no_check_mark(encoding: str, mark: str) -> None:
    assert narration.marks(encoding)[0] == mark


def _made(folder: Path) -> str:
    folder.mkdir()
    return str(folder)
