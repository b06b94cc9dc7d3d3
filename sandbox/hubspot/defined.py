"""What a portal has defined beyond what it began with: properties and property groups.

Source: HubSpot developer documentation, "Properties guide".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace

from sandbox.hubspot.schema import OBJECT_TYPES, ObjectType, Property
from sandbox.hubspot.values import HubSpotError
from sandbox.records import RecordStore

_PROPERTIES, _GROUPS = "properties", "groups"


class Definitions:
    """The object types of one portal with the properties they have now; kept with its records."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        self._own = {name: dict(kind.properties) for name, kind in OBJECT_TYPES.items()}
        self.kinds: Mapping[str, ObjectType] = {
            name: replace(kind, properties=self._own[name]) for name, kind in OBJECT_TYPES.items()
        }
        for name, made in json.loads(store.fact(_PROPERTIES) or "{}").items():
            for each in made:
                options = tuple((value, label) for value, label in each.pop("options"))
                self._own[name][each["name"]] = Property(**each, options=options)

    def define(self, kind: ObjectType, prop: Property) -> None:
        """Add a property to a type; 409 when the name is taken."""
        if prop.name in kind.properties:
            raise HubSpotError(
                409,
                f"A property named '{prop.name}' already exists.",
                "OBJECT_ALREADY_EXISTS",
                "Properties.PROPERTY_WITH_NAME_EXISTS",
            )
        made = json.loads(self._store.fact(_PROPERTIES) or "{}")
        made.setdefault(kind.name, []).append(asdict(prop))
        self._store.set_fact(_PROPERTIES, json.dumps(made))
        self._own[kind.name][prop.name] = prop

    def take_away(self, kind: ObjectType, property_name: str) -> None:
        """Be a portal that never had a property."""
        self._own[kind.name].pop(property_name, None)
        made = json.loads(self._store.fact(_PROPERTIES) or "{}")
        left = [each for each in made.get(kind.name, []) if each["name"] != property_name]
        self._store.set_fact(_PROPERTIES, json.dumps({**made, kind.name: left}))

    def groups(self, kind: ObjectType) -> list[str]:
        """The property groups of a type: HubSpot's own, and those that were made."""
        made: dict[str, list[str]] = json.loads(self._store.fact(_GROUPS) or "{}")
        return [f"{kind.singular}information", *made.get(kind.name, [])]

    def add_group(self, kind: ObjectType, name: str) -> None:
        """Make a property group."""
        made: dict[str, list[str]] = json.loads(self._store.fact(_GROUPS) or "{}")
        made.setdefault(kind.name, []).append(name)
        self._store.set_fact(_GROUPS, json.dumps(made))
