"""YAML files with positions, so that every problem can name its file and line.

The one place that reads YAML: duplicate keys are refused, `no` stays text, comments may stand
anywhere. Models are pydantic; `validate` turns every error of a file into one list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError

from registration_core.errors import ConfigurationError, Problem

Model = TypeVar("Model", bound=BaseModel)

#: Largest file that is read, in bytes; a mapping with 500 fields is about 60 kB.
FILE_BYTES_MAX = 1_000_000


@dataclass(frozen=True)
class Document:
    """A parsed YAML file."""

    name: str
    data: Any

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


def parse(text: str, name: str) -> Document:
    """Parse YAML text; `ConfigurationError` names the line of the first syntax error."""
    if len(text.encode()) > FILE_BYTES_MAX:
        raise ConfigurationError(f"{name} is larger than {FILE_BYTES_MAX} bytes.")
    try:
        data = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        problem = Problem(where, error.problem or "not valid YAML", "correct the YAML")
        raise ConfigurationError(f"{name} cannot be read.", [problem]) from error
    if not isinstance(data, CommentedMap):
        raise ConfigurationError(f"{name} must hold a mapping at its top level.")
    return Document(name, data)


def validate(document: Document, model: type[Model]) -> Model:
    """Check a document against a model; `ConfigurationError` lists every problem with its line."""
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        problems = [
            document.problem(
                e["loc"],
                f"{'.'.join(str(step) for step in e['loc'])}: {_said(e)}",
                _remedy(e["type"]),
            )
            for e in error.errors()
        ]
        raise ConfigurationError(f"{document.name} cannot be used.", problems) from error


def _said(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown field"
    return str(error["msg"]).removeprefix("Value error, ")


def _remedy(kind: str) -> str:
    return {
        "extra_forbidden": "remove it, or correct its spelling",
        "missing": "add it",
    }.get(kind, "")
