"""Somebody at the command line, in this process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from click.testing import CliRunner

from cli.main import root


def typed(environ: Mapping[str, str], *args: str, user: str = "eva", code: int = 0) -> Any:
    """Type a command as an operating-system user; returns its JSON answer, or its error's."""
    done = CliRunner(env={**environ, "LOGNAME": user}).invoke(root, [*args, "--json"])
    assert done.exit_code == code, (args, done.output, done.stderr)
    return json.loads(done.stdout or done.stderr)
