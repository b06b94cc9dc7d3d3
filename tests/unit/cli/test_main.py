"""The root command: options anywhere, one wording of errors, nothing loaded before it is used."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import NOUNS, root
from registration_core.errors import ConfigurationError, Problem
from registration_core.store import repository
from tests.unit.cli.conftest import Dealreg, answer

#: What a command that has nothing to do with a CRM, a queue or the web must not load.
HEAVY = (
    "connectors", "hubspot", "msal", "simple_salesforce", "dramatiq", "uvicorn", "starlette",
    "alembic",
)  # fmt: skip


def _python(code: str, home: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, with the home of a test."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        env=os.environ | {"DEALREG_HOME": str(home)} | environ,
        cwd=Path(__file__).parents[3],
        check=False,
    )


def test_help_lists_every_noun_and_loads_none_of_them() -> None:
    code = (
        "import sys; from cli.main import root; root(['--help'], standalone_mode=False);"
        "print([m for m in sys.modules if m.split('.')[0] in "
        f"{(*HEAVY, 'rich', 'sqlalchemy', 'pydantic', 'config', 'sync')}])"
    )
    done = _python(code, Path("/nowhere"))
    *help_lines, loaded = done.stdout.splitlines()
    assert loaded == "[]"
    assert all(any(line.split()[:1] == [noun] for line in help_lines) for noun in NOUNS)


def test_listing_partners_loads_no_crm_client(home: Path) -> None:
    code = (
        "import sys; from cli.main import root; root(['partner', 'list'], standalone_mode=False);"
        f"print([m for m in sys.modules if m.split('.')[0] in {HEAVY}])"
    )
    assert _python(code, home).stdout.splitlines()[-1] == "[]"


def test_a_terminal_that_cannot_show_a_letter_gets_an_escape_and_no_crash(
    dealreg: Dealreg, home: Path
) -> None:
    dealreg("partner", "add", "lodz", "--name", "Łódź Systems")
    code = (
        "import sys; sys.argv = ['dealreg', 'partner', 'list']; from cli.main import main; main()"
    )
    done = _python(code, home, PYTHONIOENCODING="cp1252")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u0141" in done.stdout
    code = code.replace("'list'", "'list', '--json'")
    done = _python(code, home, PYTHONIOENCODING="cp1252")
    assert json.loads(done.stdout)[0]["name"] == "Łódź Systems"


@pytest.mark.parametrize(
    "line",
    [
        ("--json", "--actor", "rita", "registration", "withdraw", "NUMBER"),
        ("registration", "--json", "withdraw", "--actor", "rita", "NUMBER"),
        ("registration", "withdraw", "NUMBER", "--json", "--actor", "rita"),
    ],
)
def test_options_of_every_command_may_stand_anywhere(
    dealreg: Dealreg, number: str, line: tuple[str, ...]
) -> None:
    done = dealreg(*(number if word == "NUMBER" else word for word in line))
    assert answer(done) == {"number": number, "state": "withdrawn"}
    events = answer(dealreg("audit", "show", number, "--json"))
    assert events[-1]["actor"].startswith("rita@")
    assert events[-1]["verified"] is False


@pytest.mark.parametrize(
    "line",
    [
        ("nonsense",),
        ("partner", "nonsense"),
        ("partner", "add"),
        ("partner", "add", "acme"),
        ("registration", "update", "DR-2222-2222"),
        ("registration", "list", "--state", "sleeping"),
        ("approval", "reject", "DR-2222-2222", "--reason", "BECAUSE"),
        ("conflict", "resolve", "01234567"),
        ("conflict", "resolve", "01234567", "--take", "ours", "--set", "amount=1"),
        ("serve", "--sandbox", "--only", "web"),
    ],
)
def test_a_line_that_is_not_understood_exits_with_2(
    dealreg: Dealreg, line: tuple[str, ...]
) -> None:
    done = dealreg(*line)
    assert done.exit_code == 2
    assert "Usage:" in done.stderr


def test_a_refusal_is_told_on_standard_error_with_what_to_type_next(dealreg: Dealreg) -> None:
    done = dealreg("registration", "show", "DR-2222-2222")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr == (
        "error: There is no registration DR-2222-2222.\nType: dealreg registration list\n"
    )


def test_a_script_gets_the_refusal_as_json(dealreg: Dealreg) -> None:
    done = dealreg("registration", "show", "DR-2222-2222", "--json")
    assert (done.exit_code, done.stdout) == (1, "")
    assert json.loads(done.stderr) == {
        "error": {
            "code": "not_found",
            "message": "There is no registration DR-2222-2222.",
            "hint": "Type: dealreg registration list",
            "problems": [],
        }
    }


def test_every_problem_of_the_settings_is_told_at_once(home: Path) -> None:
    environ = {"DEALREG_HOME": str(home), "DEALREG_WEB_PORT": "many", "DEALREG_LOG_LEVEL": "loud"}
    done = CliRunner(env=environ).invoke(root, ["partner", "list"])
    assert done.exit_code == 1
    assert "DEALREG_WEB_PORT" in done.stderr
    assert "DEALREG_LOG_LEVEL" in done.stderr


def test_a_configuration_error_keeps_its_places_in_json(
    dealreg: Dealreg, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise ConfigurationError("Not usable.", [Problem("a.yaml:3", "it is odd", "mend it")])

    monkeypatch.setattr(repository, "partners", broken)
    problems = json.loads(dealreg("partner", "list", "--json").stderr)["error"]["problems"]
    assert problems == [{"where": "a.yaml:3", "what": "it is odd", "remedy": "mend it"}]


@pytest.mark.parametrize(
    ("version", "remedy"), [("0030", "dealreg db upgrade"), ("9999", "start that one")]
)
@pytest.mark.parametrize("line", ["db check", "db rebaseline", "clock", "serve"])
def test_a_store_of_another_version_is_refused_with_what_to_do(
    tmp_path: Path, version: str, remedy: str, line: str
) -> None:
    environ = {"DEALREG_HOME": str(tmp_path), "DEALREG_REDIS_URL": "redis://127.0.0.1:1"}
    environ["DEALREG_WEB_PORT"] = "0"
    with closing(sqlite3.connect(tmp_path / "dealreg.db")) as store:
        store.execute("CREATE TABLE alembic_version (version_num TEXT)")
        store.execute("INSERT INTO alembic_version VALUES (?)", [version])
        store.commit()
    done = CliRunner(env=environ).invoke(root, line.split())
    assert done.exit_code == 1
    assert f"The store is at {version}, this program wants" in done.output + done.stderr
    assert remedy in done.output + done.stderr


def test_a_store_that_a_later_version_has_upgraded_is_not_upgraded_by_this_one(
    tmp_path: Path,
) -> None:
    runner = CliRunner(env={"DEALREG_HOME": str(tmp_path)})
    assert runner.invoke(root, ["db", "upgrade"]).exit_code == 0
    with closing(sqlite3.connect(tmp_path / "dealreg.db")) as store:
        store.execute("UPDATE alembic_version SET version_num = '9999'")
        store.commit()
    done = runner.invoke(root, ["db", "upgrade"])
    assert (done.exit_code, "start that one" in done.stderr) == (1, True)


def test_a_store_without_tables_says_how_to_make_them(tmp_path: Path) -> None:
    runner = CliRunner(env={"DEALREG_HOME": str(tmp_path / "new")})
    done = runner.invoke(root, ["partner", "list"])
    assert done.exit_code == 1
    assert "dealreg db upgrade" in done.stderr
    assert runner.invoke(root, ["db", "upgrade"]).exit_code == 0
    assert runner.invoke(root, ["partner", "list"]).exit_code == 0


@pytest.fixture
def _bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("went wrong with client_secret=hunter2hunter2\nand more")

    monkeypatch.setattr(repository, "partners", broken)


@pytest.mark.usefixtures("_bug")
def test_what_nobody_foresaw_is_told_in_a_line_without_a_traceback(dealreg: Dealreg) -> None:
    done = dealreg("partner", "list")
    assert done.exit_code == 1
    assert "RuntimeError" in done.stderr
    assert "--debug" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.usefixtures("_bug")
def test_debug_shows_where_it_came_from_and_still_no_secret(dealreg: Dealreg) -> None:
    done = dealreg("partner", "list", "--debug")
    assert "Traceback" in done.stderr
    assert "hunter2" not in done.stderr


def test_db_check_fails_on_a_store_of_another_version(dealreg: Dealreg, home: Path) -> None:
    assert answer(dealreg("db", "check", "--json"))["ok"] is True
    (home / "dealreg.db").unlink()
    done = dealreg("db", "check", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["current"] is None
    assert not (home / "dealreg.db").exists()
    shutil.rmtree(home)
    made = answer(dealreg("db", "upgrade", "--json"))
    assert made["before"] is None
    assert answer(dealreg("db", "current", "--json")) == {
        "current": made["after"],
        "wanted": made["after"],
    }


def test_the_match_keys_are_made_anew_on_demand_and_by_an_upgrade_that_needs_it(
    dealreg: Dealreg, home: Path
) -> None:
    assert answer(dealreg("db", "upgrade", "--json"))["match_keys_of"] is None
    with sqlite3.connect(home / "dealreg.db") as store:
        store.execute("INSERT INTO match_key_count (key, accounts) VALUES (-2, 0)")
    assert answer(dealreg("db", "upgrade", "--json"))["match_keys_of"] == 0
    assert answer(dealreg("db", "upgrade", "--json"))["match_keys_of"] is None
    done = dealreg("db", "reindex")
    assert done.stdout == "The match keys of 0 accounts were made anew.\n"


@pytest.mark.parametrize(
    "line",
    [
        ("partner", "list"), ("registration", "list"), ("approval", "list"), ("protection", "list"),
        ("link", "list"), ("conflict", "list"), ("deadletter", "list"), ("sync", "runs"),
        ("protection", "expire"),
    ],
)  # fmt: skip
def test_an_empty_list_says_what_to_type_next_and_is_an_empty_list_for_scripts(
    dealreg: Dealreg, line: tuple[str, ...]
) -> None:
    done = dealreg(*line)
    assert done.exit_code == 0
    assert "dealreg " in done.stdout
    empty = answer(dealreg(*line, "--json"))
    assert empty in ([], {"proposals": [], "links": []})


def test_a_partners_address_can_be_changed(dealreg: Dealreg, number: str) -> None:
    assert answer(dealreg("partner", "reach", "northwind", "rep@nw.example", "--json"))[
        "email"
    ] == ("rep@nw.example")
    assert "not an e-mail" in dealreg("partner", "reach", "northwind", "nowhere").output
    (known,) = answer(dealreg("partner", "list", "--json"))
    assert known["email"] == "rep@nw.example"
