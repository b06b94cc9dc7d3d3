"""Reading and setting the associations of records.

HubSpot keeps them apart from records: they have calls of their own, no history, and moving one
does not move the record's modified date. Source: HubSpot developer documentation,
"Associations v4".
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from connectors.hubspot.gateway import Gateway
from connectors.hubspot.links import BECOMES, Link, links_of

#: Most records whose associations are asked for, or set, in one call.
BATCH = 100

_HUBSPOT_DEFINED = "HUBSPOT_DEFINED"


class Associations:
    """The associations of one account. Thread-safe; keeps nothing but type ids."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._lock = threading.Lock()
        self._types: dict[tuple[str, str], Mapping[str, Any]] = {}

    def read(self, object_name: str, field: str, record_ids: Sequence[str]) -> dict[str, str]:
        """Read which far record counts for each near one; without one, an id is left out."""
        link = links_of(object_name)[field]
        return {
            record_id: chosen
            for record_id, found in self._all(object_name, link.far, record_ids).items()
            if (chosen := _counting(link, found))
        }

    def near(self, object_name: str, field: str, far_ids: Sequence[str]) -> dict[str, str]:
        """Read the near records for which one of these far ones counts, each with that one."""
        link = links_of(object_name)[field]
        near: dict[str, str] = {}
        unclear: set[str] = set()
        for far_id, found in self._all(link.far, object_name, far_ids).items():
            near.update((each, far_id) for each, types in found if link.inverse in types)
            unclear.update(each for each, types in found if link.inverse not in types)
        # One that is not primary counts where it is the only one, which the far record cannot tell.
        only = self.read(object_name, field, sorted(unclear - near.keys()))
        return near | {each: far_id for each, far_id in only.items() if far_id in far_ids}

    def became(self, object_name: str, record_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Read what records were turned into: object and id; one that was not is left out."""
        link = BECOMES.get(object_name)
        if link is None or not record_ids:
            return {}
        return {
            record_id: (link.far, far)
            for record_id, found in self._all(object_name, link.far, record_ids).items()
            for far, types in found
            if link.primary in types
        }

    def inline(self, object_name: str, field: str, raw: Mapping[str, Any]) -> str | None:
        """Read the same from a record that was listed with its associations."""
        link = links_of(object_name)[field]
        listed = (raw.get("associations") or {}).get(link.far) or {}
        if ((listed.get("paging") or {}).get("next") or {}).get("after"):
            return self.read(object_name, field, [str(raw["id"])]).get(str(raw["id"]))
        ids: dict[str, set[int]] = {}
        for each in listed.get("results") or ():
            # `deal_to_company` is the primary one, `deal_to_company_unlabeled` any.
            named = str(each.get("type") or "")
            primary = bool(link.primary) and not named.endswith("_unlabeled")
            ids.setdefault(str(each["id"]), set()).update({link.primary} if primary else ())
        return _counting(link, list(ids.items()))

    def entry(self, object_name: str, field: str, far_id: str) -> dict[str, Any]:
        """Word an association of a record that is being created."""
        return {"to": {"id": far_id}, "types": [self._type(object_name, field)]}

    def clear(self, object_name: str, field: str, wanted: Mapping[str, str]) -> bool:
        """Take away what stands in the way of these far ids ("" = none); True if any was."""
        link = links_of(object_name)[field]
        # A new primary one pushes the old one aside by itself.
        ids = [near for near, far in wanted.items() if not far or not link.primary]
        removals: list[dict[str, Any]] = []
        for near, found in self._all(object_name, link.far, ids).items():
            held = [_counting(link, found)] if link.primary else [far for far, _ in found]
            stray = [{"id": far} for far in held if far and far != wanted[near]]
            if stray:
                removals.append({"from": {"id": near}, "to": stray})
        api = self._gateway.client.crm.associations.v4.batch_api
        for start in range(0, len(removals), BATCH):
            self._gateway.write(
                "remove associations",
                api.archive,
                object_name,
                link.far,
                {"inputs": removals[start : start + BATCH]},
            )
        return bool(removals)

    def inputs(
        self, object_name: str, field: str, wanted: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """Word the associations to set."""
        return [
            {"from": {"id": near}, "to": {"id": far}, "types": [self._type(object_name, field)]}
            for near, far in wanted.items()
            if far
        ]

    def _type(self, object_name: str, field: str) -> Mapping[str, Any]:
        """Return the type to set; of a custom object's only the account knows the id."""
        link = links_of(object_name)[field]
        fixed = link.primary or link.plain
        if fixed:
            return {"associationCategory": _HUBSPOT_DEFINED, "associationTypeId": fixed}
        with self._lock:
            kept = self._types.get((object_name, field))
        if kept is None:
            kept = self._unlabelled(object_name, link.far)
            with self._lock:
                self._types[object_name, field] = kept
        return kept

    def _unlabelled(self, object_name: str, far: str) -> Mapping[str, Any]:
        operation = f"read association types of {object_name}"
        path = f"/crm/v4/associations/{object_name}/{far}/labels"
        told = self._gateway.get(operation, path).body.get("results") or ()
        plain = [each for each in told if not each.get("label")]
        if not plain:
            raise self._gateway.refused(
                operation,
                f"HubSpot's {object_name} cannot be associated with {far}.",
                hint=f"Allow that association in the schema of {object_name} in HubSpot.",
            )
        return {
            "associationCategory": str(plain[0]["category"]),
            "associationTypeId": int(plain[0]["typeId"]),
        }

    def _all(
        self, object_name: str, far_object: str, record_ids: Iterable[str]
    ) -> dict[str, list[tuple[str, set[int]]]]:
        """Read every record of another object that these are associated with, and its type ids."""
        found: dict[str, list[tuple[str, set[int]]]] = {}
        pending: list[dict[str, str]] = [{"id": record_id} for record_id in record_ids]
        api = self._gateway.client.crm.associations.v4.batch_api
        while pending:
            inputs, pending = pending[:BATCH], pending[BATCH:]
            answer = self._gateway.read(
                "read associations", api.get_page, object_name, far_object, {"inputs": inputs}
            )
            for row in answer.body.get("results") or ():
                near = str(row["from"]["id"])
                for far in row.get("to") or ():
                    types = {int(each["typeId"]) for each in far.get("associationTypes") or ()}
                    found.setdefault(near, []).append((str(far["toObjectId"]), types))
                after = ((row.get("paging") or {}).get("next") or {}).get("after")
                if after:
                    pending.append({"id": near, "after": str(after)})
        return found


def _counting(link: Link, found: Sequence[tuple[str, set[int]]]) -> str | None:
    """Choose the primary one, or the only one."""
    chosen = [far for far, types in found if link.primary and link.primary in types]
    if chosen:
        return chosen[0]
    return found[0][0] if len(found) == 1 else None
