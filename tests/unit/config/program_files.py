"""A small program file, and how tests read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.programs import load_programs
from registration_core.contracts import ConnectionName
from registration_core.errors import ConfigurationError
from registration_core.program import (
    Program,
)

SALESFORCE, DYNAMICS, HUBSPOT = NAMES = tuple(
    ConnectionName(name) for name in ("salesforce", "dynamics", "hubspot")
)

GOOD = """\
connections:
  homes:
    - connection: dynamics
      countries: [DE]
    - connection: salesforce
  mirrors: [salesforce, dynamics]
  check_only: []
checks:
  required: [salesforce]
  freshness_seconds: {salesforce: 600}
product_lines:
  platform: {label: Platform, exclusivity: exclusive}
lists:
  direct:
    where:
      salesforce: {field: Type, equals: Direct, canary_tax_id: 00-1}
  house:
    owner: desk
    where:
      salesforce: {field: House__c, equals: true, canary_tax_id: 00-2}
  do_not_call:
    where:
      salesforce: {field: Dnc__c, equals: true, canary_tax_id: 00-3}
protection_days: 90
currencies: [USD, EUR]
"""


def load(folder: Path, text: str, name: str = "acme") -> Program:
    (folder / "programs").mkdir(exist_ok=True)
    (folder / "programs" / f"{name}.yaml").write_text(text)
    return load_programs(folder, NAMES)[name]


def problems(folder: Path, text: str, name: str = "acme") -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text, name)
    return [str(problem) for problem in caught.value.problems]
