"""Which records a duplicate detection rule takes for one that it refused.

The refusal does not say, so the environment is asked with the same values. Dataverse developer
guide, "Detect duplicate data using the Web API"; Web API reference, "RetrieveDuplicates Function".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from connectors.dynamics365.errors import DUPLICATE_RULE
from connectors.dynamics365.transport import Transport
from connectors.errors import ConnectorError
from connectors.port import Outcome, Refused

#: Rows of one call that are asked about; the rest are refused without the others' ids.
ASKED_MAX = 10
_FOUND_MAX = 20
_FUNCTION = "RetrieveDuplicates(BusinessEntity=@p1,MatchingEntityName=@p2,PagingInfo=@p3)"


def is_duplicate(outcome: Outcome) -> bool:
    """Tell whether a rule refused this row."""
    return isinstance(outcome, Refused) and outcome.code == DUPLICATE_RULE


def named(
    transport: Transport, refused: Refused, table: str, primary_id: str, sent: Mapping[str, Any]
) -> Refused:
    """Return the refusal with the ids of what the rule found; or with why that cannot be told."""
    entity = {"@odata.type": f"Microsoft.Dynamics.CRM.{table}"}
    entity |= {name: value for name, value in sent.items() if "@" not in name and value is not None}
    values = (json.dumps(entity), f"'{table}'", json.dumps({"PageNumber": 1, "Count": _FOUND_MAX}))
    aliases = "&".join(f"@p{n}={quote(value)}" for n, value in enumerate(values, start=1))
    try:
        rows = transport.get_json(f"{_FUNCTION}?{aliases}", "look for duplicates")["value"]
    except ConnectorError as error:
        return replace(refused, message=f"{refused.message} Which ones: {error.message}")
    return replace(refused, duplicates=tuple(str(row[primary_id]).lower() for row in rows))
