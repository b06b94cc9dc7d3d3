"""YAML files with positions, so that every problem can name its file and line.

The one place that reads YAML: duplicate keys are refused, `no` stays text, comments may stand
anywhere. Models are pydantic; `validate` turns every error of a file into one list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.parser import Parser
from ruamel.yaml.scanner import Scanner

from registration_core.errors import ConfigurationError, Problem

Model = TypeVar("Model", bound=BaseModel)

#: Largest file that is read, in bytes; a mapping with 500 fields is about 60 kB.
FILE_BYTES_MAX = 1_000_000


@dataclass(frozen=True)
class Document:
    """A parsed YAML file."""

    name: str
    data: Any
    #: What it was parsed from.
    text: str = field(default="", repr=False)

    def where(self, path: Sequence[str | int]) -> str:
        """Return `file:line` of the node at `path`, or of its nearest parent that has one."""
        node, line = self.data, 1
        for step in path:
            if isinstance(node, CommentedMap) and step in node:
                line = node.lc.key(step)[0] + 1
                node = node[step]
            elif isinstance(node, CommentedSeq) and isinstance(step, int) and step < len(node):
                line = node.lc.item(step)[0] + 1
                node = node[step]
            else:
                break
        return f"{self.name}:{line}"

    def problem(self, path: Sequence[str | int], what: str, remedy: str = "") -> Problem:
        """Word a problem at `path`."""
        return Problem(self.where(path), what, remedy)


def _reader() -> YAML:
    """A reader that keeps where everything stands, and not the comments, which nobody writes again."""
    reader = YAML(typ="rt")
    reader.Scanner, reader.Parser = Scanner, Parser
    return reader


def parse(text: str, name: str) -> Document:
    """Parse YAML text; `ConfigurationError` names the line of the first syntax error."""
    if len(text.encode()) > FILE_BYTES_MAX:
        raise ConfigurationError(f"{name} is larger than {FILE_BYTES_MAX} bytes.")
    try:
        data = _reader().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        raise ConfigurationError(f"{name} cannot be read.", [_syntax(error, where)]) from None
    except (YAMLError, ValueError, TypeError) as error:
        # Without a mark of the library's: a character YAML has not, a date that is none, a list or
        # mapping as a name, which nothing can look up.
        complex_name = re.search(r"^\s*\?", text, re.MULTILINE)
        position = getattr(error, "position", complex_name.start() if complex_name else 0)
        where = f"{name}:{text.count(chr(10), 0, position) + 1}"
        problem = Problem(
            where, "YAML cannot read this", "remove the character, or quote the value"
        )
        raise ConfigurationError(f"{name} cannot be read.", [problem]) from None
    except RecursionError:
        problem = Problem(f"{name}:1", "it is nested too deeply", "write it flatter")
        raise ConfigurationError(f"{name} cannot be read.", [problem]) from None
    if not isinstance(data, CommentedMap):
        problem = Problem(f"{name}:1", "the top level is no mapping", "write it as name: value")
        raise ConfigurationError(f"{name} must hold a mapping at its top level.", [problem])
    return Document(name, data, text)


def read(path: Path, name: str) -> Document:
    """Parse a YAML file; `ConfigurationError` if it is missing, unreadable or not YAML."""
    return parse(read_text(path, name), name)


def read_text(path: Path, name: str, create: str = "create it") -> str:
    """Read a file's text; `ConfigurationError` if it is missing or unreadable.

    `create` says how a missing one is made.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        problem = Problem(
            name, f"cannot read {path}: {why}", f"{create}, or set DEALREG_CONFIG_DIR"
        )
        raise ConfigurationError(f"{name} cannot be read.", [problem]) from error


def validate(
    document: Document, model: type[Model], context: Mapping[str, Any] | None = None
) -> Model:
    """Check a document against a model; `ConfigurationError` lists every problem with its line.

    Args:
        document: The parsed file.
        model: Its schema.
        context: What the model's validators look names up in.
    """
    try:
        return model.model_validate(document.data, context=context)
    except ValidationError as error:
        problems = problems_of(error, document)
        raise ConfigurationError(f"{document.name} cannot be used.", problems) from error


def problems_of(
    error: ValidationError, document: Document, path: Sequence[str | int] = ()
) -> list[Problem]:
    """Word every error of a model that was checked against the node at `path`.

    Values are never repeated: the node may hold a secret in the wrong place.
    """
    problems = []
    for e in error.errors():
        steps = [*path, *(step for step in e["loc"] if step != "[key]")]
        what, remedy = _said(e)
        if steps:
            what = f"{'.'.join(str(step) for step in steps)}: {what}"
        problems.append(document.problem(steps, what, remedy))
    return problems


class Unfit(ValueError):
    """A value that a model's validator refuses, with the remedy."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


#: What to do about what the library calls a mistake, by a part of its words; the first counts.
_SYNTAX = {
    "'\\t'": "indent with spaces, never with a tab",
    "cannot start any token": "quote the text",
    "mapping values are not": "write name: value, here and in the line above; quote a text that "
    "holds a colon",
    "expected ':'": "write name: value; the line above may lack its colon",
    "expected <block end>": "indent it like the lines that it belongs to, and close every bracket and "
    "quote above",
    "expected ','": "close the bracket, or put a comma between its members",
    "unexpected end": "close the quote or bracket that is open",
    "node content": "close the bracket, or write the value that is missing",
    "alias": "quote a text that begins with *, & or !",
    "escape character": "put the text in single quotes",
}


def _syntax(error: MarkedYAMLError, where: str) -> Problem:
    if isinstance(error, DuplicateKeyError):
        # The library's own wording repeats both values, which may be secrets.
        key = (error.problem or "").partition('"')[2].partition('"')[0]
        return Problem(where, f"{key!r} stands here a second time", "keep one of the two")
    what = error.problem or "not valid YAML"
    remedy = next((told for part, told in _SYNTAX.items() if part in what), "correct the YAML")
    return Problem(where, what, remedy)


def _said(error: Any) -> tuple[str, str]:
    """Return what is wrong and the remedy."""
    refused = error.get("ctx", {}).get("error")
    if isinstance(refused, Unfit):
        return refused.what, refused.remedy
    if error["type"] == "extra_forbidden":
        return "unknown field", "remove it, or correct its spelling"
    if error["type"] == "missing":
        return "it is missing", "add it"
    remedy = "add one" if error["type"] == "too_short" else ""
    return str(error["msg"]).removeprefix("Value error, "), remedy
