"""The bearer token of a request, refused with the same codes as that of a socket."""

from __future__ import annotations

from typing import Any, cast

from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication

from chat.api.rate_limit import count_request
from chat.auth import verified
from chat.credential import Credential
from chat.errors import ChatError
from chat.sessions import user_of
from chat.tokens import AccessToken


class BearerAuthentication(JWTAuthentication):
    """Raises ChatError with TOKEN_EXPIRED, USER_INACTIVE or INVALID_TOKEN."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """Also raises ChatError with RATE_LIMITED: before the one query."""
        header = self.get_header(request)
        raw_token = None if header is None else self.get_raw_token(header)
        if raw_token is None:
            count_request(request, None)
            return None
        try:
            token = self.get_validated_token(raw_token)
        except ChatError:
            count_request(request, None)
            raise
        count_request(request, token.get("user_id"))
        return self.get_user(token), token

    def get_validated_token(self, raw_token: bytes) -> AccessToken:
        return verified(raw_token)[0]

    def get_user(self, validated_token: Any) -> Any:
        return user_of(validated_token)


def credential_of(request: Request) -> Credential:
    """On what the token of an authenticated request was issued."""
    return cast("Credential", Credential.of_claims(cast("AccessToken", request.auth).payload))
