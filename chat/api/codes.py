"""What each error code of the API means. Those that a socket has, too, mean the same there."""

from __future__ import annotations

from typing import Any

from chat.asyncapi.codes import ERRORS
from chat.errors import ErrorCode
from chat.file_kinds import SUPPORTED

MEANINGS: dict[ErrorCode, str] = {
    **ERRORS,
    ErrorCode.NO_TOKEN: "The request has no token.",
    ErrorCode.INVALID_TOKEN: "The token is not one of this server's, or its session has ended.",
    ErrorCode.TOKEN_EXPIRED: "The access token has expired: get a newer one.",
    ErrorCode.TOKEN_REUSED: "The refresh token was exchanged before, and not just now: its session has ended.",
    ErrorCode.USER_INACTIVE: "The user may not sign in any more.",
    ErrorCode.INVALID_CREDENTIALS: "The user name or the password is wrong.",
    ErrorCode.WRONG_PASSWORD: "The password is not that of the account.",
    ErrorCode.PASSWORD_TOO_WEAK: "The new password is not accepted: `details.problems` say why.",
    ErrorCode.NAME_TAKEN: "Somebody has this name, or one that looks the same.",
    ErrorCode.REGISTRATION_CLOSED: "People cannot register by themselves here.",
    ErrorCode.PASSWORD_SIGN_IN_CLOSED: "Passwords are not taken here: people sign in at an identity provider.",
    ErrorCode.EXCHANGE_NOT_OFFERED: "This server knows of no identity provider.",
    ErrorCode.IDENTITY_UNKNOWN: "Nobody here is linked to this identity, and new people are not taken by themselves.",
    ErrorCode.RESET_NOT_OFFERED: "This server sends no mails, so it cannot reset passwords: ask who runs it.",
    ErrorCode.INVALID_RESET_LINK: "The link is not valid, was used, or has expired: ask for another one.",
    ErrorCode.NOTE_NOT_FOUND: "The person has no such note.",
    ErrorCode.SESSION_NOT_FOUND: "The person has no such session, or it has ended.",
    ErrorCode.ORIGIN_NOT_ALLOWED: "Pages of this origin may not sign in here.",
    ErrorCode.FORBIDDEN: "Only staff may ask for this.",
    ErrorCode.INVALID_JSON: "The body is no JSON.",
    ErrorCode.INVALID_MESSAGE: "Something in the request is missing or wrong: `error_message`, `details.problems`.",
    ErrorCode.MESSAGE_TOO_LARGE: "The body, or the message in it, has too many bytes.",
    ErrorCode.ATTACHMENT_TOO_LARGE: "The file has more than `details.max_attachment_bytes` bytes.",
    ErrorCode.ATTACHMENT_TYPE_NOT_SUPPORTED: "The content of the file is none of `details.supported`.",
    ErrorCode.ATTACHMENT_SPACE_FULL: "The person's files would take more than `details.max_bytes` bytes together.",
    ErrorCode.NOT_FOUND: "There is nothing at this path.",
    ErrorCode.METHOD_NOT_ALLOWED: "The path has other methods: those of the header `Allow`.",
    ErrorCode.NOT_ACCEPTABLE: "The answer has none of the forms that the header `Accept` names.",
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: "The body is not of the type that is read here.",
    ErrorCode.PRECONDITION_FAILED: "It has changed since: read it again.",
    ErrorCode.EVENTS_PRUNED: "These events are not kept any more: read the messages instead.",
    ErrorCode.RUN_COMPLETED: "The run has its answer: regenerate it to have another.",
    ErrorCode.ALLOWANCE_USED: "What the person may use in a day is used up: `details`. It begins anew after as many "
    "seconds as `Retry-After` says.",
    ErrorCode.RATE_LIMITED: "Too many requests, messages or attempts: go on after as many seconds as "
    "`Retry-After` says.",
    ErrorCode.INTERNAL_ERROR: "A fault of the server: `correlation_id` is in its log.",
}

# What `details` have, by example. Those of other codes are empty.
DETAILS: dict[ErrorCode, dict[str, Any]] = {
    ErrorCode.INVALID_MESSAGE: {"problems": [{"field": "title", "problem": "input should be a valid string"}]},
    ErrorCode.PASSWORD_TOO_WEAK: {"problems": [{"field": "password", "problem": "this password is too common."}]},
    ErrorCode.SERVICE_UNAVAILABLE: {"missing": ["database"]},
    ErrorCode.AGENT_NOT_FOUND: {"agents": ["assistant", "triage", "data", "optimization"]},
    ErrorCode.APPROVAL_NOT_FOUND: {"approved": True, "by": "user"},
    ErrorCode.RUN_ACTIVE: {"run_ids": ["0d9b3c52-7d0b-4a3e-8f5e-2b0f5f4c9e21"]},
    ErrorCode.MESSAGE_TOO_LARGE: {"max_message_bytes": 65_536},
    ErrorCode.ALLOWANCE_USED: {"limit": "tokens_per_day", "used": 100_512, "allowed": 100_000, "resets_in": 18_000},
    ErrorCode.TOO_MANY_ATTACHMENTS: {"max_attachments": 10},
    ErrorCode.IMAGES_NOT_SUPPORTED: {"agents": ["assistant"]},
    ErrorCode.ATTACHMENT_TOO_LARGE: {"max_attachment_bytes": 10_485_760},
    ErrorCode.ATTACHMENT_TYPE_NOT_SUPPORTED: {"supported": list(SUPPORTED)},
    ErrorCode.ATTACHMENT_SPACE_FULL: {"max_bytes": 1_073_741_824, "used_bytes": 1_073_741_000},
}


def example(code: ErrorCode) -> dict[str, Any]:
    """The error as a client may receive it."""
    return {
        "error_code": code.value,
        "error_message": MEANINGS[code],
        "details": DETAILS.get(code, {}),
        "correlation_id": "5f1d3c9a7b2e4860",
    }
