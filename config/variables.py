"""Environment variables in files, and which names hold secrets.

A text may hold `${NAME}` or `${NAME:-default}`, as in a shell: an empty variable counts as not
set. Secrets stand alone and have no default, so that none is ever written into a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_ALONE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")

_SECRET = re.compile(
    r"secret|token|password|passwd|passphrase|credential|authorization|cookie|signature"
    r"|assertion|api_?key|private_?key",
    re.IGNORECASE,
)
#: Names that speak of a secret without holding it: where it lives, when it ends, how many.
_ABOUT_A_SECRET = re.compile(r"_(url|file|id|at|seconds|count)$", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds a secret: `client_secret` does, `token_url` does not."""
    flat = name.replace("-", "_")
    return bool(_SECRET.search(flat)) and not _ABOUT_A_SECRET.search(flat)


def is_one_variable(text: str) -> bool:
    """Whether the text is `${NAME}` and nothing else: the only way to write a secret."""
    return bool(_ALONE.fullmatch(text))


@dataclass(frozen=True)
class Expansion:
    """A text with its variables filled in, and the variables that were missing."""

    text: str
    unset: tuple[str, ...] = ()


def expand(text: str, environ: Mapping[str, str]) -> Expansion:
    """Fill in the variables of a text; a missing one becomes empty and is listed in `unset`."""
    unset: list[str] = []

    def value(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        if found := environ.get(name):
            return found
        if default is None:
            unset.append(name)
        return default or ""

    return Expansion(_VARIABLE.sub(value, text), tuple(unset))
