"""Settings: the environment first, the env file below it, every wrong value told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.settings import (
    SHIPPED_CONFIG_DIR,
    Environment,
    LogFormat,
    LogLevel,
    Settings,
    load_settings,
)
from registration_core.errors import ConfigurationError


def _problems(environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    return [str(problem) for problem in caught.value.problems]


def test_an_empty_environment_gives_the_embedded_sandbox_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home = tmp_path / ".dealreg"
    assert load_settings({}) == Settings(
        home=home,
        database_url=f"sqlite:///{home}/dealreg.db",
        redis_url=None,
        config_dir=SHIPPED_CONFIG_DIR,
        environment=Environment.SANDBOX,
        web_host="127.0.0.1",
        web_port=8700,
        public_url="",
        log_format=LogFormat.TEXT,
        log_level=LogLevel.INFO,
        token_keys=(),
        poll_seconds=30,
        worker_threads=4,
        variables={},
    )


def test_every_setting_can_be_set(tmp_path: Path) -> None:
    settings = load_settings(
        {
            "DEALREG_HOME": str(tmp_path),
            "DEALREG_DATABASE_URL": "postgresql://me:pass@db/deals",
            "DEALREG_REDIS_URL": "rediss://redis:6379/1",
            "DEALREG_CONFIG_DIR": str(tmp_path),
            "DEALREG_ENVIRONMENT": "Production",
            "DEALREG_WEB_HOST": "0.0.0.0",  # noqa: S104
            "DEALREG_WEB_PORT": "0",
            "DEALREG_PUBLIC_URL": "https://deals.acme.example/dealreg/",
            "DEALREG_LOG_FORMAT": "json",
            "DEALREG_LOG_LEVEL": "WARNING",
            "DEALREG_POLL_SECONDS": " 5 ",
            "DEALREG_WORKER_THREADS": "16",
        }
    )
    assert settings.home == tmp_path
    assert settings.database_url == "postgresql+psycopg://me:pass@db/deals"
    assert settings.redis_url == "rediss://redis:6379/1"
    assert settings.config_dir == tmp_path
    assert settings.environment is Environment.PRODUCTION
    assert (settings.web_host, settings.web_port) == ("0.0.0.0", 0)  # noqa: S104
    assert settings.public_url == "https://deals.acme.example/dealreg"
    assert (settings.log_format, settings.log_level) == (LogFormat.JSON, LogLevel.WARNING)
    assert (settings.poll_seconds, settings.worker_threads) == (5, 16)


@pytest.mark.parametrize(
    "value",
    [
        "deals.acme.example",
        "ftp://deals.acme.example",
        "https://",
        "https://[half",
        "https://deals.acme.example:port",
        "https://me:hunter2@deals.acme.example",
        "https://deals.acme.example/?a=b",
        "https://deals.acme.example/#top",
    ],
)
def test_a_public_address_that_no_crm_could_call_is_refused(tmp_path: Path, value: str) -> None:
    (problem,) = _problems({"DEALREG_HOME": str(tmp_path), "DEALREG_PUBLIC_URL": value})
    assert problem == (
        "DEALREG_PUBLIC_URL: it is not an address that a CRM could call (use https://HOST or "
        "https://HOST/PATH, as it stands before /webhooks in the CRM)"
    )


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (
            "DEALREG_ENVIRONMENT",
            "staging",
            "'staging' is not known (set it to production or sandbox)",
        ),
        ("DEALREG_LOG_FORMAT", "xml", "'xml' is not known (set it to text or json)"),
        (
            "DEALREG_LOG_LEVEL",
            "loud",
            "'loud' is not known (set it to debug or info or warning or error)",
        ),
        (
            "DEALREG_WEB_PORT",
            "70000",
            "'70000' is not a whole number in range (set it to a whole number from 0 to 65535)",
        ),
        (
            "DEALREG_POLL_SECONDS",
            "0",
            "'0' is not a whole number in range (set it to a whole number from 1 to 86400)",
        ),
        (
            "DEALREG_WORKER_THREADS",
            "1.5",
            "'1.5' is not a whole number in range (set it to a whole number from 1 to 64)",
        ),
        (
            "DEALREG_DATABASE_URL",
            "mysql://me:hunter2@db/deals",
            (
                "it is not the URL of a store (use sqlite:///FILE or "
                "postgresql://USER:PASSWORD@HOST/DATABASE)"
            ),
        ),
        (
            "DEALREG_REDIS_URL",
            "https://me:hunter2@redis",
            "it is not a Redis URL (use redis://HOST:PORT/0, rediss:// or unix://)",
        ),
        (
            "DEALREG_CONFIG_DIR",
            "/nowhere/at/all",
            "there is no folder /nowhere/at/all (create it, or name the folder of connections.yaml)",
        ),
    ],
)
def test_a_wrong_value_is_told_with_its_variable_and_the_remedy(
    tmp_path: Path, name: str, value: str, told: str
) -> None:
    assert _problems({"DEALREG_HOME": str(tmp_path), name: value}) == [f"{name}: {told}"]


def test_all_wrong_values_are_told_at_once(tmp_path: Path) -> None:
    problems = _problems(
        {"DEALREG_HOME": str(tmp_path), "DEALREG_WEB_PORT": "x", "DEALREG_POLL_SECONDS": "y"}
    )
    assert [problem.partition(":")[0] for problem in problems] == [
        "DEALREG_WEB_PORT",
        "DEALREG_POLL_SECONDS",
    ]


def test_the_env_file_in_home_fills_in_what_the_environment_does_not_say(tmp_path: Path) -> None:
    (tmp_path / "env").write_text(
        "# written by hand\n\nDEALREG_WEB_PORT=1111\nexport DEALREG_POLL_SECONDS = 7\n"
        "ACME_SECRET='a=b # c'\nACME_EMPTY=\n"
    )
    settings = load_settings({"DEALREG_HOME": str(tmp_path), "DEALREG_WEB_PORT": "2222"})
    assert settings.web_port == 2222
    assert settings.poll_seconds == 7
    assert settings.variables["ACME_SECRET"] == "a=b # c"
    assert settings.variables["ACME_EMPTY"] == ""
    assert settings.variables["DEALREG_WEB_PORT"] == "2222"


def test_a_named_env_file_takes_the_place_of_the_one_in_home(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("DEALREG_WEB_PORT=1111\n")
    (tmp_path / "other").write_text("DEALREG_POLL_SECONDS=7\n")
    settings = load_settings(
        {"DEALREG_HOME": str(tmp_path), "DEALREG_ENV_FILE": str(tmp_path / "other")}
    )
    assert (settings.web_port, settings.poll_seconds) == (8700, 7)


def test_a_named_env_file_must_exist(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert _problems({"DEALREG_HOME": str(tmp_path), "DEALREG_ENV_FILE": str(missing)}) == [
        (
            f"DEALREG_ENV_FILE: cannot read {missing}: No such file or directory "
            "(make it a readable file)"
        )
    ]


def test_bad_lines_of_the_env_file_are_told_by_line_and_without_their_text(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("hunter2\nDEALREG_HOME=/elsewhere\nbad-name=hunter2\n")
    assert _problems({"DEALREG_HOME": str(tmp_path)}) == [
        f"{path}:1: the line is not KEY=VALUE (correct or remove it)",
        (
            f"{path}:2: DEALREG_HOME says where this file is and cannot stand in it "
            "(set it in the environment)"
        ),
        f"{path}:3: the line is not KEY=VALUE (correct or remove it)",
    ]


def test_no_secret_is_in_the_repr_or_in_an_error(tmp_path: Path) -> None:
    environ = {
        "DEALREG_HOME": str(tmp_path),
        "DEALREG_DATABASE_URL": "postgresql://me:hunter2@db/deals",
        "DEALREG_REDIS_URL": "redis://:hunter2@redis:6379",
        "ACME_SECRET": "hunter2",
    }
    settings = load_settings(environ)
    assert "hunter2" not in repr(settings)
    assert settings.variables["ACME_SECRET"] == "hunter2"
    bad = {**environ, "DEALREG_DATABASE_URL": "oracle://hunter2", "DEALREG_REDIS_URL": "hunter2"}
    assert "hunter2" not in "\n".join(_problems(bad))


def test_the_env_example_is_a_valid_env_file(tmp_path: Path) -> None:
    example = (SHIPPED_CONFIG_DIR / "env.example").read_text()
    lines = [line.removeprefix("# ") for line in example.splitlines() if "DEALREG_" in line]
    settings_lines = [line for line in lines if "=" in line and "CONFIG_DIR" not in line]
    (tmp_path / "env").write_text("\n".join(settings_lines))
    settings = load_settings({"DEALREG_HOME": str(tmp_path)})
    assert settings.redis_url == "redis://localhost:6379/0"
    assert settings.worker_threads == 4


def test_token_keys_are_read_newest_first_and_stay_out_of_repr(tmp_path: Path) -> None:
    new, old = "N" * 43 + "=", "O" * 43 + "="
    settings = load_settings(
        {"DEALREG_HOME": str(tmp_path), "DEALREG_TOKEN_KEY": f" {new}, {old},"}
    )
    assert settings.token_keys == (new, old)
    assert new not in repr(settings)


def test_a_token_key_that_is_none_is_refused_without_being_told(tmp_path: Path) -> None:
    (problem,) = _problems({"DEALREG_HOME": str(tmp_path), "DEALREG_TOKEN_KEY": "hunter2"})
    assert problem.startswith("DEALREG_TOKEN_KEY: it is not a key")
    assert "hunter2" not in problem
