"""`$batch` as calls on the Web API: one after the other, change sets in one transaction.

Dataverse developer guide, "Execute batch operations using the Web API". Inside a change set `$1`
stands for the record that the operation with Content-ID 1 created: as an address, and in the
`@odata.bind` and `@odata.id` of a later body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from uuid import UUID, uuid5

from sandbox.dynamics365 import multipart
from sandbox.dynamics365.calls import Answer, Call, inner_call, refusal
from sandbox.dynamics365.engine import DynamicsOrg
from sandbox.dynamics365.errors import WebApiError
from sandbox.dynamics365.protection import ThrottledError
from sandbox.records import RecordStore

Handle = Callable[[Call], Answer]
#: "Service protection API limits": what any request may meet, a part of a batch included.
_THROTTLED = ThrottledError(
    "0x80072326", "Number of concurrent requests exceeded the limit of 52.", 7
)


class _UndoneError(Exception):
    """Takes a failed change set out of its transaction."""


def answer(org: DynamicsOrg, call: Call, handle: Handle) -> Answer:
    """Answer a batch; without continue-on-error it stops at the first refusal, and answers 400."""
    parts = multipart.parse(call.body, call.headers.get("content-type", ""))
    carry_on = call.prefers("odata.continue-on-error")
    answers: list[multipart.Part | list[multipart.Part]] = []
    failed = False
    answered: multipart.Part | list[multipart.Part]
    for place, part in enumerate(parts):
        throttled_after = org.behaviour.batch_throttled_after
        if throttled_after is not None and place >= throttled_after:
            done, answered = False, _part(refusal(_THROTTLED), "")
        elif isinstance(part, multipart.ChangeSet):
            done, answered = _change_set(call, part, org.store, handle)
        else:
            one, _ = _inner(call, part, {}, handle)
            done, answered = one.status < 400, one
        answers.append(answered)
        failed = failed or not done
        if failed and not carry_on:
            break
    name = str(uuid5(UUID(org.org_id), f"batch:{org.store.version}"))
    boundary, body = multipart.compose(answers, name)
    headers = {"Content-Type": f"multipart/mixed; boundary={boundary}"}
    return Answer(400 if failed and not carry_on else 200, body, headers)


def _change_set(
    call: Call, change_set: multipart.ChangeSet, store: RecordStore, handle: Handle
) -> tuple[bool, multipart.Part | list[multipart.Part]]:
    answers: list[multipart.Part] = []
    created: dict[str, str] = {}
    try:
        with store.transaction():
            for operation in change_set.operations:
                if operation.method == "GET":
                    raise WebApiError(400, "0x80060888", "A change set takes no GET.")
                part, entity = _inner(call, operation, created, handle)
                answers.append(part)
                if part.status >= 400:
                    raise _UndoneError
                if entity:
                    created[operation.content_id] = entity
    except _UndoneError:
        return False, answers[-1]  # one part answers for the whole set
    return True, answers


def _inner(
    call: Call, operation: multipart.Operation, created: Mapping[str, str], handle: Handle
) -> tuple[multipart.Part, str]:
    """Answer one operation; the second value is the address of the record it created."""
    try:
        answered = handle(inner_call(call, _resolved(operation, created)))
    except WebApiError as error:
        answered = refusal(error)
    return _part(answered, operation.content_id), answered.created


def _part(answered: Answer, content_id: str) -> multipart.Part:
    body = answered.encoded()
    headers = {"OData-Version": "4.0", **answered.headers}
    if body:
        headers = {"Content-Type": "application/json; odata.metadata=minimal", **headers}
    reason = HTTPStatus(answered.status).phrase
    return multipart.Part(answered.status, reason, headers, body, content_id)


def _resolved(operation: multipart.Operation, created: Mapping[str, str]) -> multipart.Operation:
    """Put addresses in the place of references to records made earlier in the change set."""
    named = re.fullmatch(r"(?:[^?]*/)?\$(\d+)((?:[/?].*)?)", operation.url)
    if named is not None:
        operation = replace(operation, url=_entity(named.group(1), created) + named.group(2))
    try:
        body = json.loads(operation.body)
    except ValueError:
        return operation  # no body, or one that its handler refuses
    if not isinstance(body, dict):
        return operation
    for name, value in body.items():
        reference = re.fullmatch(r"/?\$(\d+)", value) if isinstance(value, str) else None
        if reference is not None and name.endswith(("@odata.bind", "@odata.id")):
            body[name] = _entity(reference.group(1), created)
    return replace(operation, body=json.dumps(body).encode())


def _entity(content_id: str, created: Mapping[str, str]) -> str:
    if content_id not in created:
        message = f"Content-ID Reference: '${content_id}' does not exist in the batch context."
        raise WebApiError(400, "0x80060888", message)
    return created[content_id]
