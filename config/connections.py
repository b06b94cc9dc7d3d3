"""The connections of a deployment: `connections.yaml` with its variables filled in.

One bad connection never keeps the others from working: what is wrong inside one entry makes that
entry unusable and is told with it; only a file that cannot be read at all is refused whole.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model
from ruamel.yaml.comments import CommentedMap

from config.documents import Document, Unfit, problems_of, read
from config.settings import MAKE_A_TOKEN_KEY, TOKEN_KEY, Environment
from config.signing_in import WAYS, Kind, is_file_name, way_meant
from config.variables import expand, is_one_variable, is_secret_name
from registration_core.contracts import ConnectionName, Mode
from registration_core.errors import ConfigurationError, Problem
from registration_core.limits import Limits
from registration_core.program import HOME, MANUAL, MIRRORS, STORE

FILE_NAME = "connections.yaml"

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
#: Words that a program uses for sides, so that no connection may be called so.
_TAKEN = frozenset((STORE, HOME, MIRRORS, MANUAL))

#: What a connection is for; one object of it is held back by a person, not by the file.
REGISTRATIONS = "registrations"

_WEBHOOK: Mapping[Kind, tuple[str, ...]] = {
    Kind.SALESFORCE: ("secret",),
    Kind.DYNAMICS365: ("secret",),
    Kind.HUBSPOT: ("app_id", "secret"),
}
#: Options a webhook may have and need not.
_WEBHOOK_OPTIONAL: Mapping[Kind, tuple[str, ...]] = {
    Kind.SALESFORCE: ("previous_secret",),
    Kind.DYNAMICS365: ("previous_secret",),
    Kind.HUBSPOT: ("previous_secret", "version"),
}
#: What `version` may be: of the signature.
_WEBHOOK_VERSIONS = ("v3", "v2", "v1")


@dataclass(frozen=True)
class Connection:
    """One CRM org as an admin described it, secrets filled in and kept out of `repr`."""

    name: ConnectionName
    kind: Kind
    environment: Environment
    #: The org's own id; empty pins whichever org answers first.
    org_id: str
    #: API root without a trailing slash.
    base_url: str
    #: Token endpoint (Salesforce) or authority (Dynamics 365); empty = the connector derives it.
    token_url: str
    #: Absolute path of a PEM bundle to trust instead of the system's; empty for the system's.
    ca_file: str
    api_version: str
    credentials: Mapping[str, str] = field(repr=False)
    #: Empty when the CRM sends no webhooks here: changes are then found by the poll alone.
    webhook: Mapping[str, str] = field(repr=False)
    connect_timeout_seconds: float
    read_timeout_seconds: float
    #: How far it may go: `registrations` with all that stands beside them.
    modes: Mapping[str, Mode]
    #: Share of the CRM's call quota that only checks and people may use, in percent.
    api_budget_reserve_percent: int
    #: How much may move by itself.
    limits: Limits
    #: From this many records on, writes go as one bulk job where the CRM has one; 0 = never.
    bulk_from: int
    #: The day on which its secret or certificate ends; None where nobody has said.
    secret_expires_on: date | None


@dataclass(frozen=True)
class Connections:
    """Every connection that has been named: the usable ones, and why the others are not."""

    usable: Mapping[ConnectionName, Connection]
    unusable: Mapping[ConnectionName, tuple[Problem, ...]]

    @property
    def names(self) -> frozenset[ConnectionName]:
        """All names, usable or not: what a program may refer to."""
        return frozenset(self.usable) | frozenset(self.unusable)

    def get(self, name: str) -> Connection:
        """Return a usable connection; `ConfigurationError` says why there is none."""
        key = ConnectionName(name)
        if found := self.usable.get(key):
            return found
        if key in self.unusable:
            raise ConfigurationError(f"Connection {name} cannot be used.", self.unusable[key])
        known = ", ".join(sorted(self.names)) or "none"
        raise ConfigurationError(
            f"There is no connection {name} in {FILE_NAME}.", hint=f"Known connections: {known}."
        )


def load_connections(
    config_dir: Path, variables: Mapping[str, str], environment: Environment | None = None
) -> Connections:
    """Read `connections.yaml`.

    Args:
        config_dir: The folder it stands in.
        variables: What `${NAME}` stands for (`Settings.variables`).
        environment: What the store is (`Settings.environment`): a connection to an org of the
            other kind is unusable. None where no connection will be opened, only named.

    Raises:
        ConfigurationError: The file is missing, is not YAML, or its top level is wrong. What is
            wrong inside one connection is in the answer's `unusable` instead.
    """
    document = read(config_dir / FILE_NAME, FILE_NAME)
    entries = document.data.get("connections")
    problems = [
        document.problem([key], f"{key}: unknown field", "remove it, or correct its spelling")
        for key in document.data
        if key != "connections"
    ]
    if not isinstance(entries, CommentedMap) or not entries:
        what = "connections: it must map a name to each connection"
        problems.append(document.problem(["connections"], what, "describe at least one connection"))
    if problems:
        raise ConfigurationError(f"{FILE_NAME} cannot be used.", problems)
    usable: dict[ConnectionName, Connection] = {}
    unusable: dict[ConnectionName, tuple[Problem, ...]] = {}
    for key in entries:
        found = _connection(document, key, config_dir, variables)
        if isinstance(found, Connection) and environment not in (None, found.environment):
            what = (
                f"connections.{key}.environment: the org is {found.environment}, "
                f"but this store is {environment}"
            )
            remedy = "correct it, or DEALREG_ENVIRONMENT; never mix the two in one store"
            at = ["connections", key, "environment"]
            unusable[found.name] = (document.problem(at, what, remedy),)
        elif isinstance(found, Connection):
            usable[found.name] = found
        else:
            unusable[ConnectionName(str(key))] = found
    return Connections(usable, unusable)


def _connection(
    document: Document, key: Any, config_dir: Path, variables: Mapping[str, str]
) -> Connection | tuple[Problem, ...]:
    path = ["connections", key]
    filler = _Filler(document, variables)
    data = filler.fill(document.data["connections"][key], path)
    problems = filler.problems
    if not isinstance(key, str) or not _NAME.fullmatch(key) or key in _TAKEN:
        what = f"{key} cannot be the name of a connection"
        remedy = "use up to 40 of a-z, 0-9, - and _, a letter first; not " + ", ".join(
            sorted(_TAKEN)
        )
        problems.insert(0, document.problem(path, what, remedy))
    try:
        entry = _Entry.model_validate(data)
    except ValidationError as error:
        # Where a variable is not set, what is wrong with the empty text is no second problem.
        problems += [
            p for p in problems_of(error, document, path) if p.where not in filler.unset_at
        ]
        return _in_order(problems)
    problems += _credential_problems(document, path, entry, variables)
    problems += _webhook_problems(document, path, entry, data)
    ca_file = _file(document, [*path, "ca_file"], config_dir, entry.ca_file, problems)
    credentials = {
        name: _file(document, [*path, "credentials", name], config_dir, value, problems)
        if is_file_name(name)
        else value
        for name, value in entry.credentials.items()
    }
    if problems:
        return _in_order(problems)
    return Connection(
        name=ConnectionName(key),
        kind=entry.kind,
        environment=entry.environment,
        org_id=entry.org_id,
        base_url=entry.base_url,
        token_url=entry.token_url,
        ca_file=ca_file,
        api_version=entry.api_version,
        credentials=credentials,
        webhook=entry.webhook,
        connect_timeout_seconds=entry.connect_timeout_seconds,
        read_timeout_seconds=entry.read_timeout_seconds,
        modes={REGISTRATIONS: entry.modes.registrations},
        api_budget_reserve_percent=entry.api_budget_reserve_percent,
        bulk_from=entry.bulk_from,
        secret_expires_on=entry.secret_expires_on,
        limits=Limits(**entry.limits.model_dump()),  # type: ignore[attr-defined]
    )


def _in_order(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda p: int(p.where.rpartition(":")[2])))


def _url(text: str) -> str:
    if not text:
        return text
    parts = urlsplit(text)
    if parts.username or parts.password:
        raise Unfit("a URL must not hold a password", "move it to credentials")
    if not parts.hostname or parts.scheme not in ("https", "http"):
        raise Unfit("it is not a URL", "write https://HOST")
    if parts.scheme == "http" and not _loopback(parts.hostname):
        raise Unfit("http is allowed to this machine only", "write https://")
    return text.rstrip("/")


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _required_url(text: str) -> str:
    if not text:
        raise Unfit("it is empty", "write https://HOST")
    return _url(text)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class _Modes(_Strict):
    registrations: Mode = Mode.OBSERVE


#: The caps of `Limits`, each a number that is not negative.
_Limits = create_model(
    "_Limits",
    __base__=_Strict,
    **{cap.name: (Annotated[int, Field(ge=0)], cap.default) for cap in fields(Limits)},  # type: ignore[call-overload]
)


class _Entry(_Strict):
    kind: Kind
    environment: Environment
    org_id: str = ""
    base_url: Annotated[str, AfterValidator(_required_url)]
    token_url: Annotated[str, AfterValidator(_url)] = ""
    ca_file: str = ""
    api_version: str = ""
    credentials: dict[str, str]
    webhook: dict[str, str] = {}
    modes: _Modes = _Modes()
    limits: _Limits = _Limits()  # type: ignore[valid-type]
    api_budget_reserve_percent: Annotated[int, Field(ge=0, le=90)] = 20
    bulk_from: Annotated[int, Field(ge=0)] = 2000
    secret_expires_on: date | None = None
    connect_timeout_seconds: Annotated[float, Field(gt=0, le=120)] = 5.0
    read_timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 30.0


def _webhook_problems(
    document: Document, path: Sequence[str], entry: _Entry, data: Any
) -> list[Problem]:
    """Check the names of the webhook's options, by kind."""
    at, needed = [*path, "webhook"], _WEBHOOK[entry.kind]
    known = (*needed, *_WEBHOOK_OPTIONAL.get(entry.kind, ()))
    problems = [
        _unknown(document, [*at, name], entry.kind, known)
        for name in entry.webhook
        if name not in known
    ]
    version = entry.webhook.get("version", _WEBHOOK_VERSIONS[0])
    if version not in _WEBHOOK_VERSIONS:
        what = f"{'.'.join(at)}.version: there is no signature {version}"
        remedy = f"write one of {', '.join(_WEBHOOK_VERSIONS)}"
        problems.append(document.problem([*at, "version"], what, remedy))
    if "webhook" in data:
        problems += [_missing(document, at, n) for n in needed if n not in entry.webhook]
    return problems


def _credential_problems(
    document: Document, path: Sequence[str], entry: _Entry, variables: Mapping[str, str]
) -> list[Problem]:
    """Check that the credentials are those of one way to sign in, and that it can work here."""
    at = [*path, "credentials"]
    way = way_meant(entry.kind, entry.credentials)
    known = dict.fromkeys(name for each in WAYS[entry.kind] for name in each.credentials)
    problems = []
    for name in entry.credentials:
        if name not in known:
            problems.append(_unknown(document, [*at, name], entry.kind, known))
        elif name not in way.credentials:
            what = f"{'.'.join([*at, name])}: it is not for signing in by {way.name}"
            remedy = f"remove it; that takes {', '.join(way.credentials)}"
            problems.append(document.problem([*at, name], what, remedy))
    problems += [_missing(document, at, n) for n in way.credentials if n not in entry.credentials]
    if not problems and way.token_has_to_survive and not variables.get(TOKEN_KEY):
        what = f"{'.'.join(at)}: the {way.name} is kept in the store, and there is no key for it"
        problems.append(document.problem(at, what, f"set {TOKEN_KEY}: {MAKE_A_TOKEN_KEY}"))
    return problems


def _unknown(document: Document, at: Sequence[str], kind: Kind, known: Collection[str]) -> Problem:
    what = f"{'.'.join(at)}: {kind} has no such field"
    return document.problem(at, what, f"known are {', '.join(known)}")


def _missing(document: Document, at: Sequence[str], name: str) -> Problem:
    return document.problem(at, f"{'.'.join([*at, name])}: it is missing", "add it")


def _file(
    document: Document, at: Sequence[str], config_dir: Path, name: str, problems: list[Problem]
) -> str:
    """Return the absolute path of a file that must exist; an empty name stays empty."""
    if not name:
        return ""
    path = (config_dir / name).absolute()
    if not path.is_file():
        what = f"{'.'.join(at)}: there is no file {path}"
        problems.append(document.problem(at, what, "correct the path"))
    return str(path)


class _Filler:
    """Fills the variables of one entry in, and refuses secrets that are written out."""

    def __init__(self, document: Document, variables: Mapping[str, str]) -> None:
        self._document = document
        self._variables = variables
        self.problems: list[Problem] = []
        #: Places (`file:line`) whose variable is not set.
        self.unset_at: set[str] = set()

    def fill(self, node: Any, path: Sequence[Any]) -> Any:
        """Return a copy of the node with every text filled in."""
        if isinstance(node, Mapping):
            return {key: self.fill(child, [*path, key]) for key, child in node.items()}
        name = str(path[-1])
        if path[-2] in ("credentials", "webhook") and is_secret_name(name):
            return self._secret(node, path)
        return self._text(node, path) if isinstance(node, str) else node

    def _secret(self, node: Any, path: Sequence[Any]) -> str:
        if isinstance(node, str) and is_one_variable(node):
            return self._text(node, path)
        where = ".".join(str(step) for step in path)
        suggestion = "_".join(re.sub(r"\W", "_", str(step)).upper() for step in path[1:])
        self.problems.append(
            self._document.problem(
                path,
                f"{where}: a secret must not stand in this file",
                f"write ${{{suggestion}}}, with no default, and set that variable",
            )
        )
        return ""

    def _text(self, node: str, path: Sequence[Any]) -> str:
        expansion = expand(node, self._variables)
        for name in expansion.unset:
            where = ".".join(str(step) for step in path)
            problem = self._document.problem(
                path,
                f"{where}: variable {name} is not set or empty",
                "set it in the environment or env file",
            )
            self.problems.append(problem)
            self.unset_at.add(problem.where)
        return expansion.text
