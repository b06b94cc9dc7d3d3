"""What a person has to do about each of Salesforce's refusals, where the code alone tells.

Codes are those of the SOAP API's `StatusCode` and of "Status Codes and Error Responses" in the REST
API Developer Guide. A validation rule's or a trigger's own words are shown as they are, and need
no advice of ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_PERMISSION_SET = "in the integration user's permission set"
_SLOW = (
    "Map fewer fields (formulas cost most), narrow the lists of the program, or ask Salesforce "
    "Support for an index."
)
#: By code; `{fields}` becomes the fields the refusal names.
_ADVICE: Mapping[str, str] = {
    "API_CURRENTLY_DISABLED": "Enable the API for the org again, or ask Salesforce why it is off.",
    "API_DISABLED_FOR_ORG": "The org's edition has no API: use Enterprise, or buy API access.",
    "DUPLICATES_DETECTED": (
        "Link the record that is there, merge the two in Salesforce, or let the duplicate rule "
        "pass the integration user; nothing here gets around it."
    ),
    "DUPLICATE_EXTERNAL_ID": "Make the key field unique; then merge the records that share a key.",
    "DUPLICATE_VALUE": "Another record has this value in a unique field: correct one of the two.",
    "ENTITY_IS_DELETED": "Map to a record that still exists; this one is in the recycle bin.",
    "FIELD_INTEGRITY_EXCEPTION": "Map a value that goes with the record's other fields ({fields}).",
    "INACTIVE_OWNER_OR_USER": "Make an active user the owner, or map the owner pull only.",
    "INSUFFICIENT_ACCESS": f"Grant create and edit on the object {_PERMISSION_SET}.",
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": (
        f"Share the record that is pointed at with the integration user ({{fields}}), or grant "
        f"View All on its object {_PERMISSION_SET}."
    ),
    "INSUFFICIENT_ACCESS_OR_READONLY": (
        f"Share the record with the integration user, or grant Modify All on the object "
        f"{_PERMISSION_SET}."
    ),
    "INVALID_CROSS_REFERENCE_KEY": (
        "The record or record type that {fields} points at is not there for our user: assign the "
        "record type, or correct the mapping."
    ),
    "INVALID_CURRENCY_ISO": "Activate the currency under Manage Currencies, or map another one.",
    "INVALID_FIELD": f"Create {{fields}}, or grant read access to it {_PERMISSION_SET}.",
    "INVALID_FIELD_FOR_INSERT_UPDATE": f"Grant edit access to {{fields}} {_PERMISSION_SET}.",
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": (
        "Add the value to the picklist (and to the record type), or map it to one that is there."
    ),
    "INVALID_TYPE": f"Create the object, or grant access to it {_PERMISSION_SET}.",
    "NOT_FOUND": f"Create it, or grant access to it {_PERMISSION_SET}.",
    "NUMBER_OUTSIDE_VALID_RANGE": "Lengthen the number field ({fields}), or correct the amount.",
    "OPERATION_TOO_LARGE": _SLOW,
    "QUERY_TIMEOUT": _SLOW,
    "QUERY_TOO_COMPLICATED": _SLOW,
    "REQUEST_LIMIT_EXCEEDED": "Buy API calls, or raise DEALREG_POLL_SECONDS.",
    "REQUIRED_FIELD_MISSING": "Map {fields}, give it a constant under on_create, or a default.",
    "STORAGE_LIMIT_EXCEEDED": "The org's data storage is full: free some, or buy more.",
    "STRING_TOO_LONG": "Lengthen the field ({fields}), or cut the text in the mapping: text max.",
}


def advice(code: str, fields: Sequence[str] = ()) -> str:
    """Say what to do about a refusal; empty where its own words have to do."""
    words = _ADVICE.get(code, "")
    if not fields:
        return words.replace(" ({fields})", "").replace("{fields}", "the field")
    return words.replace("{fields}", ", ".join(fields))
