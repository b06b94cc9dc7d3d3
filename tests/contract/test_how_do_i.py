"""Every example of docs/how-do-i.md fits the live schema of the stand-in of its CRM."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mapping.check import check, objects_of
from mapping.loader import load
from sync.wiring import catalogue
from tests.contract.peers import Peer
from tests.unit.mapping.test_how_do_i import TASKS, completed, examples, programs_of

CRMS = {"salesforce": "salesforce", "dynamics": "dynamics365", "hubspot": "hubspot"}
EXAMPLES = [
    pytest.param(task, name, text, id=f"{task.partition('.')[0]} {name}")
    for task in TASKS
    for name, text in examples(task, "mappings")
]


@pytest.mark.parametrize(("task", "name", "example"), EXAMPLES)
def test_an_example_passes_mapping_check(
    task: str, name: str, example: str, tmp_path: Path, remote: Callable[[str], Peer]
) -> None:
    ours, groups = catalogue(programs_of(task, tmp_path))
    text = completed(name, example, tmp_path / "mapping.yaml")
    mapping = load(text, f"{name}.yaml", ours, groups)
    crm = remote(CRMS[name]).connector
    schemas = {each: crm.describe(each) for each in objects_of(mapping)}
    found = check(mapping, schemas, precondition=crm.capabilities.precondition)
    assert [str(problem) for problem in found.problems] == []
