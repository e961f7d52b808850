"""The bearer token of a request, refused with the same codes as that of a socket."""

from __future__ import annotations

from typing import Any, cast

from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import ExpiredTokenError, InvalidToken, TokenError

from chat.auth import MAX_TOKEN_LENGTH
from chat.credential import Credential
from chat.errors import ChatError, ErrorCode
from chat.sessions import user_of
from chat.tokens import AccessToken


class BearerAuthentication(JWTAuthentication):
    """Raises ChatError with TOKEN_EXPIRED, USER_INACTIVE or INVALID_TOKEN, and simplejwt's InvalidToken."""

    def get_validated_token(self, raw_token: bytes) -> AccessToken:
        if len(raw_token) > MAX_TOKEN_LENGTH:
            raise InvalidToken("The token is not valid")
        try:
            return AccessToken(raw_token)  # type: ignore[arg-type]  # annotated as a Token, takes the encoded form
        except ExpiredTokenError:
            raise ChatError(ErrorCode.TOKEN_EXPIRED, "The token has expired") from None
        except TokenError:
            raise InvalidToken("The token is not valid") from None

    def get_user(self, validated_token: Any) -> Any:
        return user_of(validated_token)


def credential_of(request: Request) -> Credential:
    """On what the token of an authenticated request was issued."""
    return cast("Credential", Credential.of_claims(cast("AccessToken", request.auth).payload))
