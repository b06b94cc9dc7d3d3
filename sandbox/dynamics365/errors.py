"""The refusals of the Web API: HTTP status, hexadecimal code, message.

Codes: Dataverse developer guide, "Web service error codes" and "Compose HTTP requests and handle
errors".
"""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.org import SandboxError


class WebApiError(SandboxError):
    """One refusal, as the Web API words it."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


class TokenRefusedError(Exception):
    """The identity provider will not give a token."""

    def __init__(self, status: int, error: str, number: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.number = number
        self.message = message


def payload_error(set_name: str, reason: str) -> WebApiError:
    """The JSON of a write does not fit the table."""
    return WebApiError(
        400,
        "0x80048d19",
        f"Error identified in Payload provided by the user for Entity :'{set_name}', "
        f"InnerException : Microsoft.OData.ODataException: {reason}",
    )


def query_error(reason: str) -> WebApiError:
    """A query option cannot be understood."""
    return WebApiError(400, "0x80060888", reason)


def invalid_argument(reason: str) -> WebApiError:
    """A value is not one the operation takes."""
    return WebApiError(400, "0x80040203", reason)


def missing(label: str, record_id: str) -> WebApiError:
    """No row with this id."""
    return WebApiError(404, "0x80040217", f"{label} With Id = {record_id} Does Not Exist")


def stale() -> WebApiError:
    """`If-Match` names another version than the row has."""
    return WebApiError(
        412,
        "0x80060882",
        "The version of the existing record doesn't match the RowVersion property provided.",
    )


def exists() -> WebApiError:
    """`If-None-Match: *` met a row; the Web API leaves the code empty here."""
    return WebApiError(412, "", "A record with matching key values already exists.")


def duplicate_key(key: str) -> WebApiError:
    """Another row has the same values in an alternate key."""
    return WebApiError(
        412, "0x80060892", f"A record that has the attribute values for the key {key} exists."
    )


def not_permitted(user_id: str, privilege: str) -> WebApiError:
    """The user's security roles lack a privilege."""
    return WebApiError(
        403,
        "0x80040220",
        f"Principal user (Id={user_id}, type=8) is missing {privilege} privilege",
    )
