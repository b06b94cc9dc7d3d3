"""What every connector owes its callers when something goes wrong, and at the webhook door."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from connectors.errors import (
    AuthenticationFailed,
    CrmUnavailable,
    RateLimited,
    WebhookRejected,
)
from connectors.port import (
    RemoteRecord,
    Written,
)
from registration_core.contracts import Condition, Value
from tests.contract.peers import Peer, SandboxPeerOrg

# --- faults


def test_a_create_whose_answer_is_lost_may_have_happened_and_is_found_once(peer: Peer) -> None:
    names, key = peer.names, peer.new_key()
    peer.org.lose_answer_of_create()
    with pytest.raises(CrmUnavailable) as caught:
        peer.connector.create(names.object, names.key, [peer.item(key)])
    assert caught.value.may_have_happened
    peer.org.heal()
    found = peer.connector.find(names.object, names.key, [key], names.all_fields)
    assert set(found) == {key}
    assert peer.connector.count(names.object, [Condition(names.key, (key,))]) == 1


def test_too_many_calls_are_told_with_a_time_to_wait(peer: Peer) -> None:
    names, key = peer.names, peer.new_key()
    peer.org.throttle()
    with pytest.raises(RateLimited) as caught:
        peer.connector.create(names.object, names.key, [peer.item(key)])
    assert caught.value.retry_after_seconds > 0
    peer.org.heal()
    assert peer.connector.find(names.object, names.key, [key], names.all_fields) == {}


def test_a_slow_write_ends_within_the_time_out_and_is_sent_once(
    remote_peer: Peer, stand_in: SandboxPeerOrg
) -> None:
    names, key, impatient = remote_peer.names, remote_peer.new_key(), stand_in.impatient()
    impatient.describe(names.object)
    impatient.find(names.object, names.key, [key], names.all_fields)
    stand_in.slow_down(2.0)
    before, began = stand_in.stand_in.journal.total, time.monotonic()
    with pytest.raises(CrmUnavailable) as caught:
        impatient.create(names.object, names.key, [remote_peer.item(key)])
    assert caught.value.may_have_happened
    assert time.monotonic() - began < 2.0
    time.sleep(2.0)
    assert stand_in.stand_in.journal.total - before == 1


def test_a_slow_read_ends_within_a_few_seconds(remote_peer: Peer, stand_in: SandboxPeerOrg) -> None:
    names, impatient = remote_peer.names, stand_in.impatient()
    impatient.describe(names.object)
    stand_in.slow_down(60.0)
    began = time.monotonic()
    with pytest.raises(CrmUnavailable):
        impatient.read(names.object, [names.unknown_id], [names.text])
    assert time.monotonic() - began < 20.0


def test_an_outage_is_unavailable(remote_peer: Peer, stand_in: SandboxPeerOrg) -> None:
    names, key = remote_peer.names, remote_peer.new_key()
    stand_in.go_down()
    with pytest.raises(CrmUnavailable):
        remote_peer.connector.create(names.object, names.key, [remote_peer.item(key)])
    with pytest.raises(CrmUnavailable):
        remote_peer.connector.find(names.object, names.key, [key], names.all_fields)


def test_an_expired_token_is_renewed_once_where_the_crm_renews(
    remote_peer: Peer, stand_in: SandboxPeerOrg
) -> None:
    names, (key, record_id) = remote_peer.names, remote_peer.create()
    stand_in.stand_in.org.expire_tokens()
    if not names.renews_tokens:
        with pytest.raises(AuthenticationFailed):
            remote_peer.connector.read(names.object, [record_id], [names.key])
        return
    (outcome,) = remote_peer.connector.update(
        names.object, [remote_peer.patch(record_id, text="After")]
    )
    assert isinstance(outcome, Written)
    stand_in.stand_in.org.expire_tokens()
    found = remote_peer.connector.find(names.object, names.key, [key], [names.text])
    assert found[key].fields[names.text] == "After"


def test_threads_that_meet_an_expired_token_sign_in_once_between_them(
    remote_peer: Peer, stand_in: SandboxPeerOrg
) -> None:
    names, (_, record_id) = remote_peer.names, remote_peer.create(text="Shared")
    before = stand_in.calls()
    if names.renews_tokens:
        stand_in.stand_in.org.expire_tokens()

    def read() -> Value:
        found = remote_peer.connector.read(names.object, [record_id], [names.text])[record_id]
        assert isinstance(found, RemoteRecord)
        return found.fields[names.text]

    with ThreadPoolExecutor(4) as pool:
        answers = [future.result() for future in [pool.submit(read) for _ in range(8)]]
    assert answers == ["Shared"] * 8
    assert stand_in.sign_ins(before) == (1 if names.renews_tokens else 0)


# --- webhooks


def test_a_webhook_tells_which_record_changed_and_for_which_org(peer: Peer) -> None:
    _, record_id = peer.create(text="Before")
    delivery = peer.connector.webhook(peer.org.delivery(record_id, {peer.names.text: "After"}))
    assert record_id in {notice.record_id for notice in delivery.notices}
    assert all(notice.event_id for notice in delivery.notices)
    assert delivery.org_id == peer.org.org_id
    assert 200 <= delivery.reply_status < 300


def test_a_webhook_without_its_secret_is_refused(peer: Peer) -> None:
    _, record_id = peer.create(text="Before")
    genuine = peer.org.delivery(record_id, {peer.names.text: "After"})
    forged = replace(
        genuine,
        headers={name: value for name, value in genuine.headers.items() if "type" in name.lower()},
        path_secret="forged",
        url=genuine.url.replace(genuine.path_secret, "forged")
        if genuine.path_secret
        else genuine.url,
    )
    with pytest.raises(WebhookRejected) as caught:
        peer.connector.webhook(forged)
    assert caught.value.status == 401


def test_the_old_secret_is_believed_beside_the_new_one_and_then_no_more(
    remote_peer: Peer, stand_in: SandboxPeerOrg
) -> None:
    _, record_id = remote_peer.create(text="Before")
    settings = stand_in.settings
    old, new = settings.webhook["secret"], "the secret from now on"
    during, after = (
        stand_in.connector(replace(settings, webhook={**settings.webhook, **secrets}))
        for secrets in ({"secret": new, "previous_secret": old}, {"secret": new})
    )
    signed_with_old = stand_in.delivery(record_id, {remote_peer.names.text: "After"})
    assert record_id in {n.record_id for n in during.webhook(signed_with_old).notices}
    with pytest.raises(WebhookRejected):
        after.webhook(signed_with_old)
