"""The rules of the house that no other tool checks: lengths, lists that must agree, docs."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[1]
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 400
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


@cache
def _files(*suffixes: str) -> tuple[Path, ...]:
    """Every file of the project, those that git does not know yet included."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = (PROJECT / name for name in listed.stdout.splitlines())
    return tuple(path for path in paths if path.suffix in suffixes and path.exists())


@cache
def _configuration() -> dict[str, Any]:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text())


def _packages() -> set[str]:
    """Every folder at the root that can be imported."""
    return {
        path.parent.name
        for path in _files(".py")
        if path.name == "__init__.py" and path.parent.parent == PROJECT
    }


def _wanted() -> set[str]:
    """The name of every dependency, as written."""
    project = _configuration()["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return {re.split(r"[\[<>=;! ]", entry)[0] for group in groups for entry in group}


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_function_is_longer_than_a_screen() -> None:
    # A migration is a list of columns: the longer it is, the less there is to follow.
    long = [
        f"{path.relative_to(PROJECT)}:{function.lineno} {function.name}: {lines} lines"
        for path in _files(".py")
        if "migrations" not in path.parts
        for function in _functions(path)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert not long, "\n".join(long)


def test_no_module_is_longer_than_can_be_read_in_one_go() -> None:
    long = [
        f"{path.relative_to(PROJECT)}: {lines} lines"
        for path in _files(".py")
        if (lines := len(path.read_text().splitlines())) > MODULE_LINES_MAX
    ]
    assert not long, "\n".join(long)


def test_every_tool_looks_at_every_package() -> None:
    tools = _configuration()["tool"]
    packages = _packages()
    assert set(tools["mypy"]["packages"]) == packages
    assert set(tools["vulture"]["paths"]) == packages
    assert set(tools["importlinter"]["root_packages"]) == packages - {"tests"}
    assert set(tools["ruff"]["lint"]["isort"]["known-first-party"]) == packages


def test_every_dependency_is_pinned_and_no_index_is_named() -> None:
    lines = (PROJECT / "constraints.txt").read_text().splitlines()
    pins = [re.fullmatch(r"([a-z0-9-]+)==[^\s;]+( ; .+)?", line) for line in lines]
    assert [line for line, pin in zip(lines, pins, strict=True) if pin is None] == []
    pinned = {pin[1] for pin in pins if pin is not None}
    named = {name.lower().replace(".", "-") for name in _wanted()}
    assert named - pinned == set()


def test_every_dependency_has_its_reason_on_record() -> None:
    record = (PROJECT / "docs/decisions/0001-tools-and-dependencies.md").read_text()
    assert {name for name in _wanted() if f"`{name}`" not in record} == set()


@pytest.mark.parametrize("name", ["web", "worker", "checks", "clock", "release"])
def test_every_process_of_the_procfile_runs_from_the_projects_own_environment(name: str) -> None:
    lines = (PROJECT / "Procfile").read_text().splitlines()
    commands = dict(line.split(": ", 1) for line in lines)
    assert re.match(r"\.venv/bin/(dealreg|dramatiq) ", commands[name])


def test_links_between_the_documents_lead_somewhere() -> None:
    broken = [
        f"{document.relative_to(PROJECT)}: {link}"
        for document in _files(".md")
        for link in LINK.findall(CODE.sub("", document.read_text()))
        if not re.match(r"[a-z]+:|#", link)
        if not (document.parent / link.partition("#")[0]).exists()
    ]
    assert not broken, "\n".join(broken)


def test_the_documents_name_only_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    unknown = [
        f"{document.relative_to(PROJECT)}: make {target}"
        for document in _files(".md")
        for code in CODE.findall(document.read_text())
        for target in re.findall(r"\bmake ([a-z-]+)", code)
        if target not in targets
    ]
    assert not unknown, "\n".join(unknown)
