"""What one write brings with it: flags of a new stage, and the amount of a deal with products.

Object Reference for the Salesforce Platform, "Opportunity" (`StageName`, `Amount`,
`HasOpportunityLineItem`) and "OpportunityLineItem".
"""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.records import Json, RecordStore, Row
from sandbox.salesforce.objects import STAGES
from sandbox.salesforce.schema import SalesforceObject

_STAGES = {stage.name: stage for stage in STAGES}


def of_stage(thing: SalesforceObject, values: Mapping[str, Json]) -> dict[str, Json]:
    """A new stage brings its own closed and won flags, probability and forecast category."""
    stage = _STAGES.get(str(values.get("StageName"))) if thing.name == "Opportunity" else None
    if stage is None:
        return {}
    return {
        "IsClosed": stage.closed,
        "IsWon": stage.won,
        "Probability": values.get("Probability", float(stage.probability)),
        "ForecastCategoryName": values.get("ForecastCategoryName", stage.forecast_category),
    }


def add_product(store: RecordStore, row: Row, by: str) -> None:
    """Make the amount of a deal the sum of its products, from the first of them on."""
    if row.object != "OpportunityLineItem":
        return
    deal = store.get("Opportunity", str(row.fields["OpportunityId"]))
    if deal is None:
        return
    items = [r for r in store.rows(row.object) if r.fields.get("OpportunityId") == deal.id]
    amount = sum(_number(r.fields["Quantity"]) * _number(r.fields["UnitPrice"]) for r in items)
    store.update(deal, {"HasOpportunityLineItem": True, "Amount": round(amount, 2)}, by)


def _number(value: Json) -> float:
    return float(str(value))
