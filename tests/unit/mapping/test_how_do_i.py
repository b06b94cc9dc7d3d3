"""Every example of docs/how-do-i.md is a mapping, or a program, that loads and passes its checks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import config
from config.connections import load_connections
from config.programs import load_programs
from mapping.loader import load
from registration_core.program import Program
from sync.mappings.connecting import check_against_programs
from sync.wiring import catalogue

SHIPPED = Path(config.__file__).parent
PAGE = (Path(__file__).parents[3] / "docs" / "how-do-i.md").read_text(encoding="utf-8")
TASKS = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]


def examples(task: str, folder: str) -> list[tuple[str, str]]:
    """The examples of a task for a folder: name of the file, and text."""
    found = re.findall(rf"```yaml\n# {folder}/(\w+)\.yaml\n(.*?)```", task, re.DOTALL)
    return [(name, text) for name, text in found]


def dumped(data: Any, path: Path) -> str:
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(data, file)
    return path.read_text(encoding="utf-8")


def completed(name: str, example: str, path: Path) -> str:
    """The shipped file with what the example shows in the place of its own."""
    yaml = YAML()
    whole = yaml.load((SHIPPED / "mappings" / f"{name}.yaml").read_text(encoding="utf-8"))
    shown = yaml.load(example)
    return dumped({**whole, **shown}, path)


def programs_of(task: str, folder: Path) -> dict[str, Program]:
    """The shipped program, with what the task changes."""
    yaml = YAML()
    whole = yaml.load((SHIPPED / "programs" / "default.yaml").read_text(encoding="utf-8"))
    for _, text in examples(task, "programs"):
        whole.update(yaml.load(text))
    (folder / "programs").mkdir()
    dumped(whole, folder / "programs" / "default.yaml")
    names = load_connections(SHIPPED, {}).names
    return load_programs(folder, names)


def test_there_are_twelve_tasks_each_with_an_example() -> None:
    assert len(TASKS) == 12
    assert all(examples(task, "mappings") or examples(task, "programs") for task in TASKS)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: str(task).splitlines()[0][:40])
def test_an_example_loads_and_goes_together_with_its_program(task: str, tmp_path: Path) -> None:
    programs = programs_of(task, tmp_path)
    ours, groups = catalogue(programs)
    for name, example in examples(task, "mappings"):
        text = completed(name, example, tmp_path / "mapping.yaml")
        mapping = load(text, f"mappings/{name}.yaml", ours, groups)
        assert check_against_programs(mapping, programs) == ()
