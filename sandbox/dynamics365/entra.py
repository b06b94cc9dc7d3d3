"""Microsoft Entra for one tenant with one app registration: tokens by client credentials.

Microsoft identity platform, "The OAuth 2.0 client credentials flow" and "Microsoft identity
platform application authentication certificate credentials". A secret or a signed assertion proves
the app; refusals carry the numbers that Entra gives.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import NAMESPACE_URL, uuid5

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sandbox.dynamics365.errors import TokenRefusedError
from sandbox.records import Clock

TOKEN_LIFE = timedelta(seconds=3599)
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIFE_MAX_SECONDS = 24 * 3600


class Entra:
    """The sign-in service of one tenant; tokens live in memory."""

    def __init__(self, clock: Clock, credentials: Mapping[str, str], org_id: str) -> None:
        self.clock, self._credentials, self._org_id = clock, credentials, org_id
        self._tokens: dict[str, datetime] = {}
        self._assertions_seen: set[str] = set()
        #: PEM of the certificate that was uploaded to the app registration; empty for none.
        self.certificate = ""

    def stands(self, token: str) -> bool:
        """Tell whether a token was given out and still lasts."""
        expires_at = self._tokens.get(token)
        return expires_at is not None and expires_at > self.clock()

    def expire_all(self) -> None:
        """Make every access token handed out so far worthless."""
        self._tokens = dict.fromkeys(self._tokens, self.clock())

    def answer(
        self, tenant: str, form: Mapping[str, str], endpoint: str
    ) -> tuple[int, dict[str, object]]:
        """Answer a request to the token endpoint at `endpoint`: status and JSON."""
        try:
            token = self._issue(tenant, form, endpoint)
        except TokenRefusedError as refused:
            trace = str(uuid5(NAMESPACE_URL, f"{self.clock().isoformat()}:{refused.number}"))
            return refused.status, {
                "error": refused.error,
                "error_description": f"{refused.message} Trace ID: {trace}",
                "error_codes": [refused.number],
                "timestamp": self.clock().strftime("%Y-%m-%d %H:%M:%SZ"),
                "trace_id": trace,
                "correlation_id": trace,
            }
        life = int(TOKEN_LIFE.total_seconds())
        given = {"expires_in": life, "ext_expires_in": life, "access_token": token}
        return 200, {"token_type": "Bearer", **given}

    def _issue(self, tenant: str, form: Mapping[str, str], endpoint: str) -> str:
        good = self._credentials
        if form.get("grant_type") != "client_credentials":
            message = "AADSTS70003: The app requested an unsupported grant type."
            raise TokenRefusedError(400, "unsupported_grant_type", 70003, message)
        if tenant != good["tenant_id"]:
            message = f"AADSTS90002: Tenant '{tenant}' not found."
            raise TokenRefusedError(400, "invalid_request", 90002, message)
        client_id, scope = form.get("client_id", ""), form.get("scope", "")
        if client_id != good["client_id"]:
            message = (
                f"AADSTS700016: Application with identifier '{client_id}' was not found in the "
                "directory."
            )
            raise TokenRefusedError(400, "unauthorized_client", 700016, message)
        self._prove(form, endpoint)
        if not scope.endswith("/.default"):
            message = f"AADSTS70011: The scope '{scope}' is not valid."
            raise TokenRefusedError(400, "invalid_scope", 70011, message)
        issued = f"{self._org_id}:{len(self._tokens)}:{self.clock().isoformat()}"
        digest = hmac.new(good["client_secret"].encode(), issued.encode(), hashlib.sha256)
        token = base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")
        self._tokens[token] = self.clock() + TOKEN_LIFE
        return token

    def _prove(self, form: Mapping[str, str], endpoint: str) -> None:
        if "client_assertion" in form:
            if form.get("client_assertion_type") != _ASSERTION:
                message = "AADSTS50027: The type of the client assertion is not valid."
                raise TokenRefusedError(400, "invalid_request", 50027, message)
            self._check_assertion(form["client_assertion"], endpoint)
            return
        given, good = form.get("client_secret", ""), self._credentials["client_secret"]
        if not hmac.compare_digest(given.encode(), good.encode()):
            message = (
                "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in "
                "the request is the client secret value, not the client secret ID."
            )
            raise TokenRefusedError(401, "invalid_client", 7000215, message)

    def _check_assertion(self, assertion: str, endpoint: str) -> None:
        """Check signature, certificate, audience, life, and that it is used once."""
        certificate = self._certificate()
        client_id = self._credentials["client_id"]
        try:
            head = jwt.get_unverified_header(assertion)
            thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(SHA256())).decode()
            # msal leaves the padding on.
            if str(head.get("x5t#S256")).rstrip("=") != thumbprint.rstrip("="):
                raise jwt.InvalidTokenError("another certificate")
            key = certificate.public_key().public_bytes(
                Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
            )
            # Times are held against the clock of the stand-in, not the machine's.
            claims = jwt.decode(
                assertion,
                key,
                algorithms=["PS256"],
                audience=endpoint,
                issuer=client_id,
                options={
                    "require": ["aud", "iss", "sub", "exp", "jti"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.PyJWTError as error:
            message = f"AADSTS700027: The certificate or signature cannot be verified: {error}."
            raise TokenRefusedError(401, "invalid_client", 700027, message) from error
        life = int(claims["exp"]) - self.clock().timestamp()
        if not 0 < life <= _ASSERTION_LIFE_MAX_SECONDS or claims["sub"] != client_id:
            message = "AADSTS700024: Client assertion is not within its valid time range."
            raise TokenRefusedError(401, "invalid_client", 700024, message)
        if claims["jti"] in self._assertions_seen:
            message = "AADSTS7000214: The assertion was used before."
            raise TokenRefusedError(401, "invalid_client", 7000214, message)
        self._assertions_seen.add(claims["jti"])

    def _certificate(self) -> x509.Certificate:
        if not self.certificate:
            message = "AADSTS700027: The certificate is not registered for the application."
            raise TokenRefusedError(401, "invalid_client", 700027, message)
        return x509.load_pem_x509_certificate(self.certificate.encode())


def discovery(base: str, tenant: str) -> dict[str, object]:
    """The OpenID configuration of a tenant, which msal reads before it signs in."""
    root = f"{base}/{tenant}"
    return {
        "token_endpoint": f"{root}/oauth2/v2.0/token",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
        "issuer": f"{root}/v2.0",
        "jwks_uri": f"{root}/discovery/v2.0/keys",
        "response_types_supported": ["code"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }
