"""Our fields and groups as a caller hands them to the loader."""

from __future__ import annotations

from registration_core.contracts import FieldSchema, ObjectSchema
from registration_core.fields import FIELDS, FieldGroup, members

OURS = ObjectSchema(
    "registration",
    fields={
        name: FieldSchema(
            name, field.type, field.label, options=field.options, required=field.filled
        )
        for name, field in FIELDS.items()
    },
)
GROUPS = {group.value: members(group) for group in FieldGroup}
