"""Tokens of an OpenID Connect provider: OpenID Connect Core 1.0, section 3.1.3.7; RFC 8725."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import jwt
from django.conf import settings

from chat.identity.claims import Identity, Presented, Refused, Speaks, Unavailable

# Of asymmetric keys only: a public key is no secret, so a token signed with it as if it were one is anybody's.
ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
LONGEST_TOKEN = 16_384
FETCH_SECONDS = 5.0
# How long a provider that did not answer is not asked again: who waits for it holds a thread.
PAUSE_SECONDS = 5.0


class OidcProvider:
    """Takes ID tokens and JWT access tokens of one issuer, for one of `audience`, signed with a key of its JWKS.

    `algorithms` may be fewer than ALGORITHMS, never others. Keys are kept for `keep_keys_seconds`, and asked for once
    more for a token that names an unknown one, at most every half minute. Raises ValueError for what cannot be meant.
    """

    speaks: Speaks = "token"

    def __init__(
        self,
        *,
        issuer: str,
        audience: str | Sequence[str],
        jwks_url: str,
        algorithms: Sequence[str] = ALGORITHMS,
        username_claim: str = "preferred_username",
        leeway_seconds: float = 30.0,
        keep_keys_seconds: float = 300.0,
    ) -> None:
        if not issuer or not audience:
            raise ValueError("issuer and audience must be given")
        if not algorithms or not set(algorithms) <= set(ALGORITHMS):
            raise ValueError(f"algorithms must be of {', '.join(ALGORITHMS)}")
        if urlsplit(jwks_url).scheme != "https" and not (settings.DEVELOPMENT and jwks_url.startswith("http://")):
            raise ValueError("jwks_url must be https://")
        self._issuer = issuer
        self._audience = [audience] if isinstance(audience, str) else list(audience)
        self._algorithms = list(algorithms)
        self._username_claim = username_claim
        self._leeway = leeway_seconds
        self._keys = _Keys(jwks_url, lifespan=keep_keys_seconds, timeout=FETCH_SECONDS)

    def identify(self, presented: Presented) -> Identity:
        token = presented.token
        if not token or len(token) > LONGEST_TOKEN:
            raise Refused("there is no token, or a too long one")
        claims = self._claims_of(token)
        return Identity(
            provider=self._issuer,
            subject=claims["sub"],
            username=_text(claims, self._username_claim),
            email=_text(claims, "email"),
        )

    def _claims_of(self, token: str) -> dict[str, Any]:
        """Verified. Raises Refused and Unavailable."""
        try:
            if jwt.get_unverified_header(token).get("alg") not in self._algorithms:
                raise Refused("the algorithm is not one of the provider's")
            return jwt.decode(
                token,
                self._keys.get_signing_key_from_jwt(token),
                algorithms=self._algorithms,
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise Refused("the token has expired", expired=True) from None
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise Refused(f"the token is not valid: {type(error).__name__}") from None


class _Keys(jwt.PyJWKClient):
    """The provider's keys. Raises PyJWKClientError for an unknown one, and Unavailable when it does not tell them."""

    _ask_again_at = 0.0

    def fetch_data(self) -> Any:
        """Under the lock of the client: of many who wait for a provider that does not answer one does so long."""
        if time.monotonic() < self._ask_again_at:
            raise Unavailable("the provider's keys could not be read a moment ago")
        try:
            return super().fetch_data()
        except (jwt.PyJWTError, ValueError, OSError) as error:
            self._ask_again_at = time.monotonic() + PAUSE_SECONDS
            raise Unavailable(f"the provider's keys cannot be read: {type(error).__name__}") from error


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""
