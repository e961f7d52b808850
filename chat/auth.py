"""Tokens and users. docs/protocol.md, section 1.

HTTP requests are authenticated by `chat.api.authentication`; both accept the same tokens of the same users.
"""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from rest_framework_simplejwt.exceptions import ExpiredTokenError, TokenError

from chat.addresses import address_of_scope
from chat.allowances import limits_of
from chat.credential import Credential
from chat.errors import ConnectionRefused, ErrorCode
from chat.handshake import Authentication, check_origin, find_token
from chat.pool import on_any_thread
from chat.sessions import invalid, user_of
from chat.tokens import AccessToken

if TYPE_CHECKING:
    from chat.apps import ChatConfig

MAX_TOKEN_LENGTH = 8192


def authenticate(token: str, *, count: Callable[[Any | None], None] = lambda _: None) -> Authentication:
    """Check signature, expiry and user. One query. Raises ConnectionRefused with the code that applies.

    Before the query `count` is told whose token it is, None of one that is not valid; it may refuse.
    """
    try:
        access, expires_at = verified(token)
    except ConnectionRefused:
        count(None)
        raise
    count(access.get("user_id"))
    user = user_of(access)
    credential = Credential.of_claims(access.payload)
    assert credential is not None  # noqa: S101 - user_of() has refused otherwise
    return Authentication(
        user_id=user.pk,
        username=user.get_username(),
        expires_at=expires_at,
        credential=credential,
        limits=limits_of(user),
    )


def verified(token: str | bytes) -> tuple[AccessToken, datetime.datetime]:
    """A token that is ours, and its end. Raises ConnectionRefused with TOKEN_EXPIRED or INVALID_TOKEN."""
    if len(token) > MAX_TOKEN_LENGTH:
        raise invalid()
    try:
        access = AccessToken(token)  # type: ignore[arg-type]  # annotated as a Token, takes the encoded form
        return access, datetime.datetime.fromtimestamp(access["exp"], datetime.UTC)
    except ExpiredTokenError:
        raise ConnectionRefused(ErrorCode.TOKEN_EXPIRED, "The token has expired") from None
    except (TokenError, ValueError, TypeError, OverflowError, OSError):
        raise invalid() from None


class JWTAuthMiddleware:
    """Puts `scope["authentication"]` before the consumer: a call that authenticates, or raises ConnectionRefused.

    The consumer makes the call within its deadline, since only it can answer with a coded error. What brings a token
    is counted; what brings none is refused before anybody is asked.
    """

    def __init__(self, application: Callable[..., Awaitable[None]], chat: ChatConfig) -> None:
        self.application = application
        self.chat = chat

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        async def authentication() -> Authentication:
            check_origin(scope)
            token, address = find_token(scope), address_of_scope(scope)

            def count(user_id: Any | None) -> None:
                self.chat.rate_limits.connect(user_id, address)

            # Not on the one thread of the commands: many may connect at once, and each within the deadline.
            return await on_any_thread(lambda: authenticate(token, count=count))

        await self.application({**scope, "authentication": authentication}, receive, send)
