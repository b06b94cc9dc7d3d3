"""What the integration user may see of other people's records, as the API tells it.

Object Reference for the Salesforce Platform, "PermissionSetAssignment" and "ObjectPermissions": one
permission set, with View All on every object whose records it has not been taken from.
"""

from __future__ import annotations

from sandbox.salesforce.schema import READ_ONLY, checkbox, picklist, reference, sobject

ASSIGNMENT = sobject(
    "PermissionSetAssignment",
    "Permission Set Assignment",
    "0Pa",
    (
        reference("AssigneeId", "User", **READ_ONLY),
        reference("PermissionSetId", "PermissionSet", **READ_ONLY),
    ),
)
OBJECT_PERMISSIONS = sobject(
    "ObjectPermissions",
    "Object Permissions",
    "110",
    (
        reference("ParentId", "PermissionSet", **READ_ONLY),
        picklist("SobjectType", (), 40, **READ_ONLY),
        checkbox("PermissionsViewAllRecords", **READ_ONLY),
    ),
)


def withheld(object_name: str) -> str:
    """Name the fact that an admin has taken View All on an object away; empty where he has not."""
    return f"View All withheld: {object_name}"
