"""Every error that reaches a client, as one tree.

    ChatError                 a coded answer to a command; the socket stays open
    └── ConnectionRefused     a coded answer after which the socket is closed

An error carries its code and data; what is sent is made from them.
"""

from __future__ import annotations

import enum
from typing import Any


class ErrorCode(enum.StrEnum):
    """The codes of PROTOCOL section 4, for socket and REST alike."""

    NO_TOKEN = "NO_TOKEN"  # noqa: S105 - a code, not a credential
    INVALID_TOKEN = "INVALID_TOKEN"  # noqa: S105
    TOKEN_EXPIRED = "TOKEN_EXPIRED"  # noqa: S105
    TOKEN_REUSED = "TOKEN_REUSED"  # noqa: S105
    USER_INACTIVE = "USER_INACTIVE"
    ORIGIN_NOT_ALLOWED = "ORIGIN_NOT_ALLOWED"
    TOO_MANY_CONNECTIONS = "TOO_MANY_CONNECTIONS"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"

    INVALID_JSON = "INVALID_JSON"
    INVALID_MESSAGE = "INVALID_MESSAGE"
    UNKNOWN_TYPE = "UNKNOWN_TYPE"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    BINARY_NOT_SUPPORTED = "BINARY_NOT_SUPPORTED"
    THREAD_NOT_FOUND = "THREAD_NOT_FOUND"
    RUN_NOT_FOUND = "RUN_NOT_FOUND"
    MESSAGE_NOT_FOUND = "MESSAGE_NOT_FOUND"
    RUN_ACTIVE = "RUN_ACTIVE"
    RUN_COMPLETED = "RUN_COMPLETED"
    EVENTS_PRUNED = "EVENTS_PRUNED"
    AGENT_NOT_FOUND = "AGENT_NOT_FOUND"
    APPROVAL_NOT_FOUND = "APPROVAL_NOT_FOUND"
    MESSAGE_ID_CONFLICT = "MESSAGE_ID_CONFLICT"
    RATE_LIMITED = "RATE_LIMITED"
    TOO_MANY_RUNS = "TOO_MANY_RUNS"
    ALLOWANCE_USED = "ALLOWANCE_USED"
    TOO_MANY_ATTACHMENTS = "TOO_MANY_ATTACHMENTS"
    ATTACHMENT_NOT_FOUND = "ATTACHMENT_NOT_FOUND"
    ATTACHMENT_SENT = "ATTACHMENT_SENT"
    IMAGES_NOT_SUPPORTED = "IMAGES_NOT_SUPPORTED"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    WINDOW_FULL = "WINDOW_FULL"

    ATTACHMENT_TOO_LARGE = "ATTACHMENT_TOO_LARGE"
    ATTACHMENT_TYPE_NOT_SUPPORTED = "ATTACHMENT_TYPE_NOT_SUPPORTED"
    ATTACHMENT_SPACE_FULL = "ATTACHMENT_SPACE_FULL"
    INVALID_CREDENTIALS = "INVALID_CREDENTIALS"
    WRONG_PASSWORD = "WRONG_PASSWORD"  # noqa: S105
    PASSWORD_TOO_WEAK = "PASSWORD_TOO_WEAK"  # noqa: S105
    NAME_TAKEN = "NAME_TAKEN"
    REGISTRATION_CLOSED = "REGISTRATION_CLOSED"
    PASSWORD_SIGN_IN_CLOSED = "PASSWORD_SIGN_IN_CLOSED"  # noqa: S105
    EXCHANGE_NOT_OFFERED = "EXCHANGE_NOT_OFFERED"
    IDENTITY_UNKNOWN = "IDENTITY_UNKNOWN"
    RESET_NOT_OFFERED = "RESET_NOT_OFFERED"
    INVALID_RESET_LINK = "INVALID_RESET_LINK"
    NOTE_NOT_FOUND = "NOTE_NOT_FOUND"
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    NOT_ACCEPTABLE = "NOT_ACCEPTABLE"
    PRECONDITION_FAILED = "PRECONDITION_FAILED"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"

    MODEL_ERROR = "MODEL_ERROR"
    RUN_TIMEOUT = "RUN_TIMEOUT"
    WORKER_LOST = "WORKER_LOST"
    APPROVAL_EXPIRED = "APPROVAL_EXPIRED"


class CloseCode(enum.IntEnum):
    """Our own close codes: every server can send these, and daphne can send no others but 1000."""

    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    WINDOW_FULL = 4408
    DRAINING = 4412
    TOO_MANY = 4429
    SERVICE_UNAVAILABLE = 4503


class ChatError(Exception):
    """A named error with what its answer says. `retry_after` is in seconds.

    `user_id` is whom it is about, where that is known: for the audit log, and in no answer.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        retry_after: float | None = None,
        ref: str | None = None,
        user_id: Any = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = details
        self.retry_after = retry_after
        self.ref = ref
        self.user_id = user_id


class ConnectionRefused(ChatError):
    """A connection that is answered with its reason and then closed with the code that belongs to it."""

    CLOSE_CODES = {
        ErrorCode.NO_TOKEN: CloseCode.UNAUTHENTICATED,
        ErrorCode.INVALID_TOKEN: CloseCode.UNAUTHENTICATED,
        ErrorCode.TOKEN_EXPIRED: CloseCode.UNAUTHENTICATED,
        ErrorCode.USER_INACTIVE: CloseCode.FORBIDDEN,
        ErrorCode.ORIGIN_NOT_ALLOWED: CloseCode.FORBIDDEN,
        ErrorCode.TOO_MANY_CONNECTIONS: CloseCode.TOO_MANY,
        ErrorCode.RATE_LIMITED: CloseCode.TOO_MANY,
        ErrorCode.WINDOW_FULL: CloseCode.WINDOW_FULL,
        ErrorCode.SERVICE_UNAVAILABLE: CloseCode.SERVICE_UNAVAILABLE,
    }

    @property
    def close_code(self) -> CloseCode:
        return self.CLOSE_CODES[self.code]


def service_unavailable(*missing: str) -> ConnectionRefused:
    """The answer when something Netra cannot work without is not there."""
    return ConnectionRefused(
        ErrorCode.SERVICE_UNAVAILABLE,
        f"Not available at the moment: {', '.join(missing).replace('_', ' ')}",
        details={"missing": list(missing)},
        retry_after=2.0,
    )
