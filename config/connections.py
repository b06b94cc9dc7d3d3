"""The connections of a deployment: `connections.yaml` with its variables filled in.

One bad connection never keeps the others from working: what is wrong inside one entry makes that
entry unusable and is told with it; only a file that cannot be read at all is refused whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml.comments import CommentedMap

from config.documents import Document, Unfit, problems_of, read
from config.settings import Environment
from config.variables import expand, is_one_variable, is_secret_name
from registration_core.contracts import ConnectionName, Mode
from registration_core.errors import ConfigurationError, Problem
from registration_core.program import HOME, MANUAL, MIRRORS, STORE

FILE_NAME = "connections.yaml"

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
#: Words that a program uses for sides, so that no connection may be called so.
_TAKEN = frozenset((STORE, HOME, MIRRORS, MANUAL))


class Kind(StrEnum):
    """The CRMs there is a connector for."""

    SALESFORCE = "salesforce"
    DYNAMICS365 = "dynamics365"
    HUBSPOT = "hubspot"


#: The kinds of objects that have a mode of their own.
REGISTRATIONS = "registrations"

_CREDENTIALS: Mapping[Kind, tuple[str, ...]] = {
    Kind.SALESFORCE: ("client_id", "client_secret"),
    Kind.DYNAMICS365: ("tenant_id", "client_id", "client_secret"),
    Kind.HUBSPOT: ("access_token",),
}
_WEBHOOK: Mapping[Kind, tuple[str, ...]] = {
    Kind.SALESFORCE: ("secret",),
    Kind.DYNAMICS365: ("secret",),
    Kind.HUBSPOT: ("app_id", "secret"),
}


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
    #: Mode by kind of object; today `registrations`.
    modes: Mapping[str, Mode]
    #: Share of the CRM's call quota that only checks and people may use, in percent.
    api_budget_reserve_percent: int


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
    problems += _kind_problems(document, path, entry, data)
    ca_file = str((config_dir / entry.ca_file).absolute()) if entry.ca_file else ""
    if ca_file and not Path(ca_file).is_file():
        what, remedy = f"connections.{key}.ca_file: there is no file {ca_file}", "correct the path"
        problems.append(document.problem([*path, "ca_file"], what, remedy))
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
        credentials=entry.credentials,
        webhook=entry.webhook,
        connect_timeout_seconds=entry.connect_timeout_seconds,
        read_timeout_seconds=entry.read_timeout_seconds,
        modes={REGISTRATIONS: entry.modes.registrations},
        api_budget_reserve_percent=entry.api_budget_reserve_percent,
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
    api_budget_reserve_percent: Annotated[int, Field(ge=0, le=90)] = 20
    connect_timeout_seconds: Annotated[float, Field(gt=0, le=120)] = 5.0
    read_timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 30.0


def _kind_problems(
    document: Document, path: Sequence[str], entry: _Entry, data: Any
) -> list[Problem]:
    """Check the names of the credentials and of the webhook's options, by kind."""
    problems = []
    for section, given, known in (
        ("credentials", entry.credentials, _CREDENTIALS[entry.kind]),
        ("webhook", entry.webhook, _WEBHOOK[entry.kind]),
    ):
        at = [*path, section]
        for name in given:
            if name not in known:
                what = f"{'.'.join([*at, name])}: {entry.kind} has no such field"
                remedy = f"known are {', '.join(known)}"
                problems.append(document.problem([*at, name], what, remedy))
        if section in data:
            for name in known:
                if name not in given:
                    what = f"{'.'.join([*at, name])}: it is missing"
                    problems.append(document.problem(at, what, "add it"))
    return problems


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
