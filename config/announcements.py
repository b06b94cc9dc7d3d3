"""How people are told: `announcements.yaml`, with the channels and when an end is announced.

Secrets come from the environment, as those of connections do. Without the file nobody is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from config.documents import Document, problems_of, read
from config.variables import expand, is_one_variable
from registration_core.announcing import Audience
from registration_core.errors import ConfigurationError, Problem
from registration_core.submission import is_email

FILE_NAME = "announcements.yaml"


class ChannelKind(StrEnum):
    """How a channel reaches people."""

    EMAIL = "email"
    WEBHOOK = "webhook"


class Body(StrEnum):
    """What the receiver of a webhook understands."""

    JSON = "json"
    SLACK = "slack"
    TEAMS = "teams"


@dataclass(frozen=True)
class ChannelSettings:
    """One way to reach one audience, secrets filled in and kept out of `repr`."""

    name: str
    kind: ChannelKind
    audience: Audience
    #: `smtp://USER:PASSWORD@HOST:587`, `smtps://…:465`, or where the webhook is posted.
    url: str = field(repr=False)
    #: Whom an e-mail is from, and to; without `to` it goes to the partner's own address.
    sender: str
    to: str
    #: Signs a webhook.
    secret: str = field(repr=False)
    body: Body


@dataclass(frozen=True)
class Announcements:
    """How and when people are told."""

    channels: tuple[ChannelSettings, ...] = ()
    #: So many days before its end, a protection is announced to end.
    expiring_days: tuple[int, ...] = ()


class ChannelEntry(BaseModel):
    """One channel, as it stands in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: ChannelKind
    audience: Audience
    url: str
    sender: str = ""
    to: str = ""
    secret: str = ""
    body: Body = Body.JSON


class AnnouncementsFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    expiring_days: list[Annotated[StrictInt, Field(ge=1, le=365)]] = []
    channels: dict[str, ChannelEntry] = {}


def load_announcements(config_dir: Path, variables: Mapping[str, str]) -> Announcements:
    """Read the file; nobody is told where there is none.

    Raises:
        ConfigurationError: Lists every problem with its line; values are never repeated.
    """
    if not (config_dir / FILE_NAME).is_file():
        return Announcements()
    document = read(config_dir / FILE_NAME, FILE_NAME)
    problems: list[Problem] = []
    data = _filled(document, document.data, (), variables, problems)
    try:
        entry = AnnouncementsFile.model_validate(data)
    except ValidationError as error:
        unset = {problem.where for problem in problems}
        problems += [p for p in problems_of(error, document) if p.where not in unset]
        raise ConfigurationError(f"{FILE_NAME} cannot be used.", problems) from None
    if not problems:
        problems = [
            document.problem(["channels", name, key], f"channels.{name}.{key}: {what}", remedy)
            for name, channel in entry.channels.items()
            for key, what, remedy in _wrong(channel)
        ]
    if problems:
        raise ConfigurationError(f"{FILE_NAME} cannot be used.", problems)
    channels = [ChannelSettings(name=name, **dict(c)) for name, c in entry.channels.items()]
    return Announcements(tuple(channels), tuple(sorted(entry.expiring_days)))


def _wrong(channel: ChannelEntry) -> Iterator[tuple[str, str, str]]:
    """Yield what does not go together: key, what is wrong, remedy."""
    email = channel.kind is ChannelKind.EMAIL
    if urlsplit(channel.url).scheme not in (("smtp", "smtps") if email else ("https", "http")):
        begin = "smtp:// or smtps://" if email else "https://"
        yield "url", "it is no such address", f"let the variable begin with {begin}"
    if email and not is_email(channel.sender):
        yield "sender", _address_problem(channel.sender), "say whom it is from"
    if email and not is_email(channel.to) and (channel.to or channel.audience is Audience.STAFF):
        yield "to", _address_problem(channel.to), "say whom it goes to"
    if not email and not channel.secret:
        yield "secret", "it is missing", "write ${NAME} and set that variable"


def _address_problem(text: str) -> str:
    return "it is no single, plain e-mail address" if text else "it is missing"


def _filled(
    document: Document,
    node: Any,
    path: Sequence[str | int],
    variables: Mapping[str, str],
    problems: list[Problem],
) -> Any:
    """Return a copy with every variable filled in; a secret that is written out is refused."""
    if isinstance(node, CommentedMap):
        return {k: _filled(document, v, [*path, k], variables, problems) for k, v in node.items()}
    if isinstance(node, CommentedSeq):
        return [_filled(document, v, [*path, i], variables, problems) for i, v in enumerate(node)]
    if not isinstance(node, str):
        return node
    where = ".".join(map(str, path))
    if path[-1] in ("secret", "url") and not is_one_variable(node):
        what = f"{where}: it may hold a secret and must not stand in this file"
        problems.append(document.problem(path, what, "write ${NAME} and set that variable"))
        return ""
    expansion = expand(node, variables)
    problems += [
        document.problem(path, f"{where}: variable {name} is not set or empty", "set it")
        for name in expansion.unset
    ]
    return expansion.text
