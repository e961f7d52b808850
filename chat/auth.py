"""Tokens and users. docs/protocol.md, section 1.

HTTP requests are authenticated by `chat.api.authentication`; both accept the same tokens of the same users.
"""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from typing import Any

from rest_framework_simplejwt.exceptions import ExpiredTokenError, TokenError

from chat.allowances import limits_of
from chat.credential import Credential
from chat.errors import ConnectionRefused, ErrorCode
from chat.handshake import Authentication, check_origin, find_token
from chat.pool import on_any_thread
from chat.sessions import invalid, user_of
from chat.tokens import AccessToken

MAX_TOKEN_LENGTH = 8192


def authenticate(token: str) -> Authentication:
    """Check signature, expiry and user. One query. Raises ConnectionRefused with the code that applies."""
    if len(token) > MAX_TOKEN_LENGTH:
        raise invalid()
    try:
        access = AccessToken(token)  # type: ignore[arg-type]  # annotated as a Token, takes the encoded form
        user = user_of(access)
        expires_at = datetime.datetime.fromtimestamp(access["exp"], datetime.UTC)
    except ExpiredTokenError:
        raise ConnectionRefused(ErrorCode.TOKEN_EXPIRED, "The token has expired") from None
    except (TokenError, ValueError, TypeError, OverflowError, OSError):
        raise invalid() from None
    credential = Credential.of_claims(access.payload)
    assert credential is not None  # noqa: S101 - user_of() has refused otherwise
    return Authentication(
        user_id=user.pk,
        username=user.get_username(),
        expires_at=expires_at,
        credential=credential,
        limits=limits_of(user),
    )


class JWTAuthMiddleware:
    """Puts `scope["authentication"]` before the consumer: a call that authenticates, or raises ConnectionRefused.

    The consumer makes the call within its deadline, since only it can answer with a coded error.
    """

    def __init__(self, application: Callable[..., Awaitable[None]]) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        async def authentication() -> Authentication:
            check_origin(scope)
            token = find_token(scope)
            # Not on the one thread of the commands: many may connect at once, and each within the deadline.
            return await on_any_thread(lambda: authenticate(token))

        await self.application({**scope, "authentication": authentication}, receive, send)
