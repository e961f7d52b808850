"""Tokens and users. docs/protocol.md, section 1.

HTTP requests are authenticated by `chat.api.authentication`; both accept the same tokens of the same users.
"""

from __future__ import annotations

import asyncio
import datetime
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rest_framework_simplejwt.exceptions import ExpiredTokenError, TokenError

from chat.addresses import address_of_scope
from chat.allowances import limits_of
from chat.arrivals import Arrival
from chat.credential import Credential
from chat.errors import ConnectionRefused, ErrorCode
from chat.handshake import Authentication, check_origin, find_token
from chat.sessions import check, invalid, user_of
from chat.together import Together
from chat.tokens import AccessToken

if TYPE_CHECKING:
    from chat.apps import ChatConfig

MAX_TOKEN_LENGTH = 8192
_USER_ID = re.compile(r"[0-9]{1,18}", re.ASCII)


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


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whose token it is, which is ours and has not expired. Whether it counts, the database knows."""

    user_id: int
    expires_at: datetime.datetime
    credential: Credential

    def authentication(self, arrival: Arrival | None) -> Authentication:
        """Raises ConnectionRefused with INVALID_TOKEN or USER_INACTIVE."""
        if arrival is None:
            raise invalid()
        check(
            self.credential,
            user_id=arrival.user_id,
            is_active=arrival.is_active,
            epoch=arrival.epoch,
            password=arrival.password,
            has_session=arrival.has_session,
        )
        return Authentication(
            user_id=arrival.user_id,
            username=arrival.username,
            expires_at=self.expires_at,
            credential=self.credential,
            limits=arrival.limits,
        )


def bearer(token: str) -> Bearer:
    """Check signature and expiry. Raises ConnectionRefused with TOKEN_EXPIRED or INVALID_TOKEN."""
    access, expires_at = verified(token)
    claimed = str(access.get("user_id"))
    credential = Credential.of_claims(access.payload)
    if credential is None or not _USER_ID.fullmatch(claimed):
        raise invalid()
    return Bearer(int(claimed), expires_at, credential)


class JWTAuthMiddleware:
    """Puts `scope["bearer"]` before the consumer: a call that tells whose token it is, or raises ConnectionRefused.

    The consumer makes the call within its deadline, since only it can answer with a coded error. What brings a token
    is counted; what brings none is refused before anybody is asked.
    """

    def __init__(self, application: Callable[..., Awaitable[None]], chat: ChatConfig) -> None:
        self.application = application
        self.chat = chat
        self._counted = Together(self._count, name="count connects", gathers=True)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        async def bearer_of_scope() -> Bearer:
            check_origin(scope)
            token, address = find_token(scope), address_of_scope(scope)
            found: Bearer | ConnectionRefused
            try:
                found = bearer(token)
            except ConnectionRefused as error:
                found = error
            user_id = found.user_id if isinstance(found, Bearer) else None
            if (refusal := await self._counted.ask((user_id, address))) is not None:
                raise refusal
            if isinstance(found, ConnectionRefused):
                raise found
            return found

        await self.application({**scope, "bearer": bearer_of_scope}, receive, send)

    async def _count(self, arriving: Sequence[tuple[Any | None, str]]) -> list[ConnectionRefused | None]:
        """On a thread, if there is anything to wait for."""
        limits = self.chat.rate_limits
        if limits.are_shared:
            return await asyncio.to_thread(limits.connects, arriving)
        return limits.connects(arriving)
