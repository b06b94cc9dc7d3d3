"""What one process is told by its environment; everything else stands in files.

The environment comes first, the env file (`KEY=VALUE` lines) fills in what it does not say.
`DEALREG_HOME` and `DEALREG_ENV_FILE` say where that file is, so they are read from the
environment alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from cryptography.fernet import Fernet

from registration_core.errors import ConfigurationError, Problem

#: The shipped `config/` folder.
SHIPPED_CONFIG_DIR = Path(__file__).resolve().parent

#: Largest env file that is read, in bytes.
ENV_FILE_BYTES_MAX = 100_000

#: The variable that holds the keys of stored tokens.
TOKEN_KEY = "DEALREG_TOKEN_KEY"  # noqa: S105 - its name

#: 32 random bytes, URL-safe base64: what Fernet takes.
MAKE_A_TOKEN_KEY = "openssl rand -base64 32 | tr +/ -_"  # noqa: S105 - a command

_BEFORE_THE_ENV_FILE = ("DEALREG_HOME", "DEALREG_ENV_FILE")

Parsed = TypeVar("Parsed")
Word = TypeVar("Word", bound=StrEnum)


class Environment(StrEnum):
    """What the admin says a store or an org is; the two are never mixed."""

    PRODUCTION = "production"
    SANDBOX = "sandbox"


class LogFormat(StrEnum):
    """Lines for people or for machines."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """The least important line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Settings:
    """The settings of one process. URLs and variables stay out of `repr`: they hold secrets."""

    #: Absolute folder of the embedded store and of what the sandbox keeps.
    home: Path
    #: SQLAlchemy URL of the store: a SQLite file or PostgreSQL by psycopg.
    database_url: str = field(repr=False)
    #: None runs the embedded broker, for one process.
    redis_url: str | None = field(repr=False)
    #: Folder of `connections.yaml`, `programs/` and `mappings/`.
    config_dir: Path
    environment: Environment
    web_host: str
    #: 0 takes any free port.
    web_port: int
    #: Where the CRMs reach the HTTP door, without a slash at the end; empty where they call it directly.
    public_url: str
    log_format: LogFormat
    log_level: LogLevel
    #: Keys that tokens of connections are kept with in the store: the first writes, each reads.
    #: Empty keeps no token in the store.
    token_keys: tuple[str, ...] = field(repr=False)
    #: Seconds between two scheduled polls of one connection.
    poll_seconds: int
    #: Threads of one worker process.
    worker_threads: int
    #: Every variable, env file included: what `${NAME}` in `connections.yaml` stands for.
    variables: Mapping[str, str] = field(repr=False)


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from an environment and its env file.

    Args:
        environ: The variables of the process, `os.environ` outside of tests.

    Raises:
        ConfigurationError: Lists every wrong value with its variable and the remedy; no value
            of a URL is repeated, as it may hold a password.
    """
    reader = _Reader()
    home = Path(environ.get("DEALREG_HOME") or ".dealreg").absolute()
    reader.variables = {**_env_file(environ, home, reader.problems), **environ}
    settings = Settings(
        home=home,
        database_url=reader.read(
            "DEALREG_DATABASE_URL", f"sqlite:///{home / 'dealreg.db'}", _database_url
        ),
        redis_url=reader.read("DEALREG_REDIS_URL", "", _redis_url),
        config_dir=reader.read("DEALREG_CONFIG_DIR", str(SHIPPED_CONFIG_DIR), _folder),
        environment=reader.read("DEALREG_ENVIRONMENT", "sandbox", _word(Environment)),
        web_host=reader.read("DEALREG_WEB_HOST", "127.0.0.1", str),
        web_port=reader.read("DEALREG_WEB_PORT", "8700", _whole(0, 65_535)),
        public_url=reader.read("DEALREG_PUBLIC_URL", "", _public_url),
        log_format=reader.read("DEALREG_LOG_FORMAT", "text", _word(LogFormat)),
        log_level=reader.read("DEALREG_LOG_LEVEL", "info", _word(LogLevel)),
        token_keys=reader.read(TOKEN_KEY, "", _token_keys),
        poll_seconds=reader.read("DEALREG_POLL_SECONDS", "30", _whole(1, 86_400)),
        worker_threads=reader.read("DEALREG_WORKER_THREADS", "4", _whole(1, 64)),
        variables=reader.variables,
    )
    if reader.problems:
        raise ConfigurationError("The settings cannot be used.", reader.problems)
    return settings


class _Reader:
    """Reads one variable after the other and gathers what is wrong with them."""

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}
        self.problems: list[Problem] = []

    def read(self, name: str, default: str, parse: Callable[[str], Parsed]) -> Parsed:
        """Return the parsed value; a wrong one becomes a problem and the default stands in."""
        try:
            return parse(self.variables.get(name, "").strip() or default)
        except _Wrong as wrong:
            self.problems.append(Problem(name, wrong.what, wrong.remedy))
            return parse(default)


class _Wrong(Exception):
    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


def _word(words: type[Word]) -> Callable[[str], Word]:
    def parse(text: str) -> Word:
        try:
            return words(text.lower())
        except ValueError as error:
            known = " or ".join(words)
            raise _Wrong(f"{text!r} is not known", f"set it to {known}") from error

    return parse


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        digits = text.isascii() and text.isdigit() and len(text) < 10
        if not (digits and least <= int(text) <= most):
            remedy = f"set it to a whole number from {least} to {most}"
            raise _Wrong(f"{text!r} is not a whole number in range", remedy)
        return int(text)

    return parse


def _folder(text: str) -> Path:
    folder = Path(text).absolute()
    if not folder.is_dir():
        raise _Wrong(
            f"there is no folder {folder}", "create it, or name the folder of connections.yaml"
        )
    return folder


def _database_url(text: str) -> str:
    scheme = urlsplit(text).scheme
    if scheme == "sqlite" and text.startswith("sqlite:///"):
        return text
    if scheme in ("postgresql", "postgres"):
        return f"postgresql+psycopg{text.removeprefix(scheme)}"
    if scheme == "postgresql+psycopg":
        return text
    raise _Wrong(
        "it is not the URL of a store",
        "use sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE",
    )


def _redis_url(text: str) -> str | None:
    if not text:
        return None
    if urlsplit(text).scheme not in ("redis", "rediss", "unix"):
        raise _Wrong("it is not a Redis URL", "use redis://HOST:PORT/0, rediss:// or unix://")
    return text


def _public_url(text: str) -> str:
    if not text:
        return ""
    wrong = _Wrong(
        "it is not an address that a CRM could call",
        "use https://HOST or https://HOST/PATH, as it stands before /webhooks in the CRM",
    )
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port  # reading the port checks it
    except ValueError as error:
        raise wrong from error
    if url.scheme not in ("http", "https") or not host or url.query or url.fragment or "@" in text:
        raise wrong
    return text.rstrip("/")


def _token_keys(text: str) -> tuple[str, ...]:
    keys = tuple(key.strip() for key in text.split(",") if key.strip())
    try:
        for key in keys:
            Fernet(key)
    except ValueError as error:
        raise _Wrong(
            "it is not a key, or not only keys with a comma between them",
            f"make one: {MAKE_A_TOKEN_KEY}",
        ) from error
    return keys


def _env_file(environ: Mapping[str, str], home: Path, problems: list[Problem]) -> dict[str, str]:
    """Read the env file: the named one, which must exist, or `<home>/env`, which need not."""
    named = environ.get("DEALREG_ENV_FILE", "")
    path = Path(named).absolute() if named else home / "env"
    if not named and not path.exists():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        where = "DEALREG_ENV_FILE" if named else "DEALREG_HOME"
        problems.append(Problem(where, f"cannot read {path}: {why}", "make it a readable file"))
        return {}
    return _parse_env(text, str(path), problems)


def _parse_env(text: str, path: str, problems: list[Problem]) -> dict[str, str]:
    if len(text) > ENV_FILE_BYTES_MAX:
        problems.append(Problem(path, f"it is larger than {ENV_FILE_BYTES_MAX} bytes"))
        return {}
    found: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.removeprefix("export ").partition("=")
        name, value, where = name.strip(), value.strip(), f"{path}:{number}"
        if not equals or not name.isidentifier():
            problems.append(Problem(where, "the line is not KEY=VALUE", "correct or remove it"))
        elif name in _BEFORE_THE_ENV_FILE:
            what = f"{name} says where this file is and cannot stand in it"
            problems.append(Problem(where, what, "set it in the environment"))
        else:
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            found[name] = value[1:-1] if quoted else value
    return found
