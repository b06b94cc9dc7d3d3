"""`connection check` for HubSpot: each step proven against the account, with what to do about it.

Sources: HubSpot developer documentation, "Scopes", "Private apps", "Properties guide".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from connectors.errors import ConnectorError, NotPermitted
from connectors.port import ApiBudget, CheckItem, ObjectNeed, OrgIdentity
from registration_core.contracts import FieldSchema, ObjectSchema


@dataclass(frozen=True)
class AppFacts:
    """What HubSpot says of the app behind the token; empty where it does not say."""

    app_id: str = ""
    scopes: frozenset[str] = frozenset()


def check(
    needs: Iterable[ObjectNeed],
    *,
    identity: Callable[[], OrgIdentity],
    app: Callable[[], AppFacts],
    describe: Callable[[str], ObjectSchema],
    sample: Callable[[ObjectNeed], object],
    budget: Callable[[], ApiBudget | None],
    configured_app_id: str,
) -> Iterator[CheckItem]:
    """Prove the token, the app, each object's fields and reads, and the quota, in this order."""
    try:
        who = identity()
        facts = app()
    except ConnectorError as error:
        yield _failed("sign in", error)
        return
    yield CheckItem("sign in", ok=True, detail=f"HubSpot account {who.org_id}")
    yield _app_item(facts, configured_app_id)
    for need in needs:
        try:
            schema = describe(need.object)
        except ConnectorError as error:
            yield _failed(f"describe {need.object}", error)
            continue
        yield from _fields(need, schema)
        yield _scope_item(need, facts)
        try:
            sample(need)
        except ConnectorError as error:
            yield _failed(f"read {need.object}", error)
            continue
        yield CheckItem(f"read {need.object}", ok=True)
    yield _budget_item(budget())


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


def _fields(need: ObjectNeed, schema: ObjectSchema) -> Iterator[CheckItem]:
    wanted = dict.fromkeys([*([need.key_field] if need.key_field else ()), *need.reads])
    for name in dict.fromkeys([*wanted, *need.writes]):
        field = schema.fields.get(name)
        step = f"property {need.object}.{name}"
        if field is None:
            yield CheckItem(
                step,
                ok=False,
                detail=f"{need.object} has no property {name}",
                remedy="Create the property in HubSpot, or take it out of the mapping.",
            )
            continue
        yield _field_item(step, field, need)


def _field_item(step: str, field: FieldSchema, need: ObjectNeed) -> CheckItem:
    if field.name == need.key_field and not field.unique:
        return CheckItem(
            step,
            ok=False,
            detail=f"{field.name} does not demand unique values",
            remedy="Create the property anew with unique values: HubSpot cannot add that later.",
        )
    if field.name in need.writes and not field.updateable:
        return CheckItem(
            step,
            ok=False,
            detail=f"{field.name} is read-only",
            remedy="Map another property, or make the mapping pull only.",
        )
    if field.name in need.writes and not field.history_kept:
        return CheckItem(
            step,
            ok=True,
            warning=True,
            detail=f"HubSpot keeps no history of {field.name}: an overwrite cannot be proven",
        )
    return CheckItem(step, ok=True)


def _scope_item(need: ObjectNeed, facts: AppFacts) -> CheckItem:
    step = f"scopes for {need.object}"
    verbs = ("read", "write") if need.writes else ("read",)
    wanted = [f"crm.objects.{need.object}.{verb}" for verb in verbs]
    if not facts.scopes:
        return CheckItem(
            step,
            ok=True,
            warning=True,
            detail="HubSpot does not say which scopes this token has",
            remedy=f"See in HubSpot that the app has {', '.join(wanted)}.",
        )
    missing = [scope for scope in wanted if scope not in facts.scopes]
    if missing:
        return CheckItem(
            step,
            ok=False,
            detail=f"the app lacks {', '.join(missing)}",
            remedy=f"Grant the app {', '.join(missing)} in HubSpot.",
        )
    return CheckItem(step, ok=True, detail=", ".join(wanted))


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
