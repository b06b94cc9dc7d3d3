"""Whether an app may write, asked by writes with nothing in them.

Of a project app and a service key HubSpot does not tell the scopes, but it refuses what they do
not have before it looks at what is written. Source: HubSpot developer documentation, "Scopes" and
"Error handling".
"""

from __future__ import annotations

from connectors.hubspot.gateway import Gateway
from connectors.hubspot.links import is_link, links_of
from connectors.port import ObjectNeed

_NOTHING: dict[str, list[object]] = {"inputs": []}


def probe(gateway: Gateway, need: ObjectNeed) -> None:
    """Ask for every kind of write that a need takes; writes nothing.

    Raises `NotPermitted`, which names the scope that is missing, and `CallRejected` where HubSpot
    does not take a write of nothing, which proves nothing.
    """
    crm, operation = gateway.client.crm, f"write {need.object}"
    if not all(map(is_link, need.writes)):
        gateway.write(operation, crm.objects.batch_api.update, need.object, _NOTHING)
    for field in filter(is_link, need.writes):
        far = links_of(need.object)[field].far
        api = crm.associations.v4.batch_api
        gateway.write(f"{operation} with {far}", api.create, need.object, far, _NOTHING)
