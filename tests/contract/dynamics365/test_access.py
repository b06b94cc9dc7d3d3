"""Signing in to Dynamics 365, and who is let in."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from connectors.dynamics365.connector import DynamicsConnector
from connectors.errors import (
    AuthenticationFailed,
    CrmUnavailable,
    NotPermitted,
    RateLimited,
)
from connectors.port import (
    CreateItem,
    ObjectNeed,
)
from connectors.tokens import MemoryTokenVault
from sandbox.faults import Fault, FaultKind
from tests.contract.dynamics365 import (
    ACCOUNT,
    KEY,
    OPPORTUNITY,
    Crm,
    fresh,
)
from tests.contract.peers import SandboxPeerOrg


def test_a_missing_application_user_is_a_missing_permission(crm: Crm) -> None:
    crm.org.behaviour.application_user = False
    with pytest.raises(NotPermitted, match="application user"):
        fresh(crm).identity()
    (problem,) = fresh(crm).check([ObjectNeed(ACCOUNT, None, ("name",))])
    assert "application user" in problem.remedy


def test_a_refused_sign_in_names_the_number_and_never_the_secret(crm: Crm) -> None:
    with pytest.raises(AuthenticationFailed, match="AADSTS7000215") as caught:
        crm.peer.org.stranger().identity()
    assert "not-the-secret" not in f"{caught.value}{caught.value.__cause__}"


@dataclasses.dataclass(frozen=True)
class Certificate:
    """A self-signed certificate in the three ways an admin may keep it."""

    public: str
    pem: Path
    locked_pem: Path
    pfx: Path


PASSWORD = "open sesame"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dealreg")])
    start = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    public = made.public_bytes(Encoding.PEM)
    locked = BestAvailableEncryption(PASSWORD.encode())
    files = {
        "plain.pem": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + public,
        "locked.pem": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked) + public,
        "locked.pfx": pkcs12.serialize_key_and_certificates(b"dealreg", key, made, None, locked),
    }
    folder = tmp_path_factory.mktemp("certificate")
    for file, body in files.items():
        (folder / file).write_bytes(body)
    return Certificate(public.decode(), *(folder / file for file in files))


def by_certificate(crm: Crm, file: Path, password: str = "") -> DynamicsConnector:
    assert isinstance(crm.peer.org, SandboxPeerOrg)
    settings = crm.peer.org.settings
    proof = {"certificate_file": str(file)} | (
        {"certificate_password": password} if password else {}
    )
    kept = {name: settings.credentials[name] for name in ("tenant_id", "client_id")}
    # Assertions are stamped by the machine's clock, which tests do not turn.
    crm.org.entra.clock = lambda: datetime.now(UTC)
    connector = crm.peer.org.connector(dataclasses.replace(settings, credentials=kept | proof))
    assert isinstance(connector, DynamicsConnector)
    return connector


@pytest.mark.parametrize(
    ("kept_as", "password"), [("pem", ""), ("locked_pem", PASSWORD), ("pfx", PASSWORD)]
)
def test_a_certificate_signs_in_instead_of_a_secret(
    crm: Crm, certificate: Certificate, kept_as: str, password: str
) -> None:
    crm.org.entra.certificate = certificate.public
    connector = by_certificate(crm, getattr(certificate, kept_as), password)
    assert connector.identity().org_id == crm.org.org_id


def test_a_certificate_that_was_not_uploaded_is_refused_with_what_to_do(
    crm: Crm, certificate: Certificate
) -> None:
    with pytest.raises(AuthenticationFailed, match="AADSTS700027") as caught:
        by_certificate(crm, certificate.pem).identity()
    assert "upload the certificate" in caught.value.hint


@pytest.mark.parametrize("kept_as", ["public only", "locked_pem", "pfx", "nowhere"])
def test_a_certificate_that_cannot_be_used_is_told_without_calling_anybody(
    crm: Crm, certificate: Certificate, kept_as: str, tmp_path: Path
) -> None:
    file = tmp_path / "public.pem"
    if kept_as == "public only":
        file.write_text(certificate.public)
    elif kept_as != "nowhere":
        file = getattr(certificate, kept_as)
    with pytest.raises(AuthenticationFailed) as caught:
        by_certificate(crm, file, "wrong" if kept_as in ("locked_pem", "pfx") else "").identity()
    assert "certificate_file" in caught.value.hint


def test_workers_that_share_a_vault_sign_in_once(crm: Crm) -> None:
    assert isinstance(crm.peer.org, SandboxPeerOrg)
    clock, vault = crm.peer.clock, MemoryTokenVault()
    workers = [DynamicsConnector(crm.peer.org.settings, clock, vault) for _ in range(3)]
    before = crm.peer.org.calls()
    for worker in workers:
        worker.identity()
    assert crm.peer.org.sign_ins(before) == 1
    crm.org.expire_tokens()
    for worker in workers:
        worker.count(ACCOUNT, [])
    assert crm.peer.org.sign_ins(before) == 2
    clock.skip(timedelta(minutes=56))
    for worker in workers:
        worker.count(ACCOUNT, [])
    assert crm.peer.org.sign_ins(before) == 3


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("path", ["openid-configuration", "token"])
def test_a_sign_in_service_that_is_down_is_an_outage(crm: Crm, path: str, cut: bool) -> None:
    crm.stand_in.faults.add(Fault(FaultKind.DOWN, path=path, cut=cut))
    connector = fresh(crm)
    with pytest.raises(CrmUnavailable) as caught:
        connector.create(OPPORTUNITY, KEY, [CreateItem("k", {KEY: "k", "name": "X"})])
    assert not caught.value.may_have_happened
    crm.stand_in.faults.clear()
    assert connector.identity().org_id == crm.org.org_id


@pytest.mark.parametrize("path", ["openid-configuration", "token"])
def test_a_sign_in_service_that_asks_to_slow_down_is_given_its_time(crm: Crm, path: str) -> None:
    crm.stand_in.faults.add(Fault(FaultKind.THROTTLED, path=path, seconds=42))
    connector = fresh(crm)
    with pytest.raises(RateLimited, match="sign-in service") as caught:
        connector.identity()
    assert caught.value.retry_after_seconds == 42
    crm.stand_in.faults.clear()
    assert connector.identity().org_id == crm.org.org_id


def test_nothing_happened_where_nobody_listens(crm: Crm) -> None:
    assert isinstance(crm.peer.org, SandboxPeerOrg)
    settings = dataclasses.replace(
        crm.peer.org.settings, base_url="https://127.0.0.1:1", connect_timeout_seconds=1
    )
    connector = DynamicsConnector(settings, lambda: datetime.now(UTC))
    with pytest.raises(CrmUnavailable) as caught:
        connector.create(OPPORTUNITY, KEY, [CreateItem("k", {KEY: "k"})])
    assert not caught.value.may_have_happened


def test_only_the_given_authority_is_trusted(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
    assert fresh(crm).identity().org_id == crm.org.org_id


def test_definitions_are_read_once_and_a_count_is_one_call(crm: Crm) -> None:
    connector = fresh(crm)
    connector.identity()
    before = crm.stand_in.journal.total
    connector.identity()
    connector.count(ACCOUNT, [])
    described = crm.stand_in.journal.total
    connector.count(ACCOUNT, [])
    assert described - before == 3  # table definition, set names, one page
    assert crm.stand_in.journal.total - described == 1
    budget = connector.api_budget()
    assert budget is not None
    assert 0 < budget.used < budget.allowed
