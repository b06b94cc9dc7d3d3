"""`connection check` for HubSpot: each set-up step proven against the account, with what to do.

Sources: HubSpot developer documentation, "Scopes", "Private apps", "Properties guide"; HubSpot
Knowledge Base, "Salesforce integration".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.errors import ConnectorError, NotPermitted
from connectors.hubspot.links import is_link, links_of
from connectors.hubspot.webhook import subscriptions
from connectors.port import ApiBudget, CheckItem, ObjectNeed, OrgIdentity
from registration_core.contracts import FieldSchema, ObjectSchema

#: HubSpot's own sync with Salesforce stamps the records of each type that it keeps (observed).
SALESFORCE_STAMP = "salesforcelastsynctime"
#: A sync that has stamped no record for so long counts as switched off.
_SYNC_QUIET = timedelta(days=7)


@dataclass(frozen=True)
class AppFacts:
    """What HubSpot says of the app behind the token; empty where it does not say."""

    app_id: str = ""
    scopes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Account:
    """The account under check: what to ask it, and what the connection says of it."""

    connection: str
    identity: Callable[[], OrgIdentity]
    app: Callable[[], AppFacts]
    describe: Callable[[str], ObjectSchema]
    sample: Callable[[ObjectNeed], object]
    #: Writes nothing to an object, and to its associations; raises what HubSpot says of it.
    probe: Callable[[ObjectNeed], None]
    #: Counts records of an object whose stamp in a property is not older than a moment.
    synced_since: Callable[[str, str, datetime], int]
    budget: Callable[[], ApiBudget | None]
    clock: Callable[[], datetime]
    webhook: Mapping[str, str]


def check(needs: Iterable[ObjectNeed], account: Account) -> Iterator[CheckItem]:
    """Prove token, app, webhooks, then each object's properties, scopes and reads, and the quota."""
    try:
        who = account.identity()
        facts = account.app()
    except ConnectorError as error:
        yield _failed("sign in", error)
        return
    yield CheckItem("sign in", ok=True, detail=f"HubSpot account {who.org_id}")
    yield _app_item(facts, account.webhook.get("app_id", ""))
    wanted = list(needs)
    yield _webhook_item(account)
    yield from _subscription_items(wanted, account)
    # Two needs of one object have much in common: what was said once is enough.
    yield from dict.fromkeys(item for need in wanted for item in _object(need, facts, account))
    yield _budget_item(account.budget())


def _object(need: ObjectNeed, facts: AppFacts, account: Account) -> Iterator[CheckItem]:
    try:
        schema = account.describe(need.object)
    except ConnectorError as error:
        yield _failed(f"describe {need.object}", error)
        return
    yield from _fields(need, schema, account.connection)
    yield _scope_item(need, facts, account)
    try:
        account.sample(need)
        yield CheckItem(f"read {need.object}", ok=True)
        if SALESFORCE_STAMP in schema.fields and need.writes:
            yield _salesforce_item(need, account)
    except ConnectorError as error:
        yield _failed(f"read {need.object}", error)


def _app_item(facts: AppFacts, configured: str) -> CheckItem:
    step = "app id"
    if not configured:
        return CheckItem(
            step,
            ok=True,
            warning=True,
            detail="webhook.app_id is not set: our own changes cannot be told from a person's",
            remedy=f"Set webhook.app_id{f' to {facts.app_id}' if facts.app_id else ''}.",
        )
    if facts.app_id and facts.app_id != configured:
        return CheckItem(
            step,
            ok=False,
            detail=f"the token belongs to app {facts.app_id}, webhook.app_id says {configured}",
            remedy=f"Set webhook.app_id to {facts.app_id}, or use the other app's token.",
        )
    return CheckItem(step, ok=True, detail=f"app {configured}")


def _webhook_item(account: Account) -> CheckItem:
    step, version = "webhooks", account.webhook.get("version", "v3")
    if not account.webhook.get("secret"):
        return CheckItem(
            step,
            ok=True,
            warning=True,
            detail="webhook.secret is not set: changes are found by the poll alone",
            remedy="Set webhook.secret to the app's client secret; a service key has none.",
        )
    if version != "v3":
        return CheckItem(
            step,
            ok=True,
            warning=True,
            detail=f"signature {version} is taken, which whoever saw a delivery can send again",
            remedy="Move to a project app, whose webhooks are signed as v3.",
        )
    return CheckItem(step, ok=True, detail=f"signature v3, at /webhooks/{account.connection}")


def _subscription_items(needs: Iterable[ObjectNeed], account: Account) -> Iterator[CheckItem]:
    """List what the app has to be subscribed to; only its developer can see what it is."""
    if not account.webhook.get("secret"):
        return
    reads: dict[str, list[str]] = {}
    for need in needs:
        if need.reads:
            reads.setdefault(need.object, []).extend(need.reads)
    for object_name, fields in reads.items():
        step = f"subscriptions to {object_name}"
        yield CheckItem(step, ok=True, detail=f"needed: {subscriptions(object_name, fields)}")


def _fields(need: ObjectNeed, schema: ObjectSchema, connection: str) -> Iterator[CheckItem]:
    """Tell of each property that is not as it has to be, and of the others in one."""
    key = [need.key_field] if need.key_field else []
    wanted = dict.fromkeys([*key, *need.reads, *need.writes])
    items = [_field_item(name, schema.fields.get(name), need, connection) for name in wanted]
    yield from filter(None, items)
    if all(item is None or item.ok for item in items):
        count = f"all {len(wanted)} are there"
        yield CheckItem(f"properties of {need.object}", ok=True, detail=count)


def _field_item(
    name: str, field: FieldSchema | None, need: ObjectNeed, connection: str
) -> CheckItem | None:
    step = f"property {need.object}.{name}"
    if field is None:
        return CheckItem(
            step,
            ok=False,
            detail=f"{need.object} has no property {name}",
            remedy=f"Type: dealreg connection provision {connection}; or correct the mapping.",
        )
    if field.name == need.key_field and not field.unique:
        return CheckItem(
            step,
            ok=False,
            detail=f"{field.name} does not demand unique values",
            remedy="Create the property anew with unique values: HubSpot cannot add that later.",
        )
    if field.name in need.writes and not (field.updateable or field.createable):
        return CheckItem(
            step,
            ok=False,
            detail=f"{field.name} is read-only",
            remedy="Map another property, or make the mapping pull only.",
        )
    if field.name in need.two_way and not field.history_kept:
        return CheckItem(
            step,
            ok=True,
            warning=True,
            detail=f"HubSpot keeps no history of {field.name}: an overwrite cannot be proven",
        )
    return None


def scopes_for(need: ObjectNeed) -> list[str]:
    """Name the scopes that a need takes; an association takes those of both sides."""
    verbs = ("read", "write") if need.writes else ("read",)
    scopes = [f"crm.objects.{_area(need.object)}.{verb}" for verb in verbs]
    if need.object != "leads":  # whose definitions have no scope of their own
        scopes.append(f"crm.schemas.{_area(need.object)}.read")
    for field, link in links_of(need.object).items():
        if field in need.reads:
            scopes.append(f"crm.objects.{link.far}.read")
        if field in need.writes:
            scopes.append(f"crm.objects.{link.far}.write")
    if need.names_users:
        scopes.append("crm.objects.owners.read")
    return list(dict.fromkeys(scopes))


def _area(object_name: str) -> str:
    """What scopes call an object: all custom ones have one name."""
    standard = ("deals", "companies", "contacts", "leads", "line_items", "products")
    return object_name if object_name in standard else "custom"


def _scope_item(need: ObjectNeed, facts: AppFacts, account: Account) -> CheckItem:
    step, wanted = f"scopes for {need.object}", scopes_for(need)
    if not facts.scopes:
        return _probed(step, need, wanted, account)
    missing = [scope for scope in wanted if scope not in facts.scopes]
    if missing:
        return CheckItem(
            step,
            ok=False,
            detail=f"the app lacks {', '.join(missing)}",
            remedy=f"Grant the app {', '.join(missing)} in HubSpot.",
        )
    return CheckItem(step, ok=True, detail=", ".join(wanted))


def _probed(step: str, need: ObjectNeed, wanted: Sequence[str], account: Account) -> CheckItem:
    """Find out by a write of nothing what HubSpot does not tell; reading is found out by reading."""
    untold = "HubSpot does not say which scopes this token has"
    try:
        account.probe(need)
    except NotPermitted as error:
        return _failed(step, error)
    except ConnectorError as error:
        return CheckItem(
            step,
            ok=True,
            warning=True,
            detail=f"{untold}, and took no write of nothing: {error.message}",
            remedy=f"See in HubSpot that the app has {', '.join(wanted)}.",
        )
    proof = "; a write of nothing was taken" if need.writes else ""
    return CheckItem(step, ok=True, detail=f"{untold}{proof}")


def _salesforce_item(need: ObjectNeed, account: Account) -> CheckItem:
    """Tell of HubSpot's own sync with Salesforce, and refuse to write on both sides of it."""
    step = f"Salesforce sync of {need.object}"
    since = account.clock() - _SYNC_QUIET
    if not account.synced_since(need.object, SALESFORCE_STAMP, since):
        return CheckItem(step, ok=True, detail="HubSpot's own has been quiet for a week")
    twice = [f for f in need.written_elsewhere.get("salesforce", ()) if not is_link(f)]
    if twice:
        return CheckItem(
            step,
            ok=False,
            detail=(
                f"HubSpot's own sync carries {need.object} to and from Salesforce, and both sides "
                f"are written from here: {', '.join(twice)}"
            ),
            remedy=(
                "Map these in one of the two CRMs only, or keep the records of registrations out "
                "of HubSpot's Salesforce sync and switch it off for them."
            ),
        )
    return CheckItem(
        step,
        ok=True,
        warning=True,
        detail=f"HubSpot's own sync carries {need.object} to and from Salesforce",
        remedy="Write their fields on one side of it only.",
    )


def _budget_item(budget: ApiBudget | None) -> CheckItem:
    step = "API budget"
    if budget is None:
        return CheckItem(step, ok=True, warning=True, detail="HubSpot told no daily quota")
    left = budget.allowed - budget.used
    return CheckItem(
        step,
        ok=left > 0,
        detail=f"{budget.used} of {budget.allowed} calls used today",
        remedy="" if left > 0 else "Wait for the account's midnight, or raise its API limit.",
    )


def _failed(step: str, error: ConnectorError) -> CheckItem:
    fallback = "Grant the missing scope." if isinstance(error, NotPermitted) else "Try again later."
    return CheckItem(step, ok=False, detail=error.message, remedy=error.hint or fallback)
