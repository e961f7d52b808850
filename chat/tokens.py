"""Tokens, and the key ring by which they are signed and verified.

One key signs; tokens of all keys of the ring are good, so that a key can be replaced while tokens of the one before are
about. A token names its key (`kid`, RFC 7515, section 4.1.4).
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Sequence
from typing import Any

import jwt
from django.conf import settings
from jwt.algorithms import HMACAlgorithm
from jwt.utils import base64url_encode
from rest_framework_simplejwt import tokens
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError

from chat.signing_keys import name_of

ALGORITHM = "HS256"
# What the header of a token of ours has. Whatever else is in one (`jku`, `jwk`, `x5u`, `crit`) is not of our making.
_HEADER = {"alg", "typ", "kid"}


class _KnownKey(HMACAlgorithm):
    """PyJWT looks anew at each token whether the key may be a certificate or JSON: a third of what a token costs."""

    def prepare_key(self, key: str | bytes) -> bytes:
        return key if isinstance(key, bytes) else super().prepare_key(key)


class VerifyingKey(jwt.PyJWK):
    """Of the ring. Raises jwt.InvalidKeyError for what is no secret."""

    def __init__(self, secret: str) -> None:
        algorithm = _KnownKey(HMACAlgorithm.SHA256)
        super().__init__({"kty": "oct", "k": base64url_encode(algorithm.prepare_key(secret)).decode()}, ALGORITHM)
        self.Algorithm = algorithm


class KeyRing(TokenBackend):
    """The first key signs."""

    def __init__(self, keys: Sequence[str]) -> None:
        super().__init__(ALGORITHM, keys[0])
        self._signing_name = name_of(keys[0])
        self._keys = {name_of(key): VerifyingKey(key) for key in keys}
        # All tokens of a key have the same header, so few are read.
        self._key_of_header = functools.lru_cache(maxsize=64)(self._read_header)

    def encode(self, payload: dict[str, Any]) -> str:
        header = {"kid": self._signing_name}
        return jwt.encode(payload, self.prepared_signing_key, algorithm=self.algorithm, headers=header)

    def get_verifying_key(self, token: Any) -> VerifyingKey:
        """Raises TokenBackendError for a key that is not of the ring, and PyJWT's errors for what is no token."""
        encoded: bytes = token.encode() if isinstance(token, str) else token
        if (key := self._key_of_header(encoded.partition(b".")[0])) is not None:
            return key
        # Tokens of releases before key rings do not say.
        signing = self._keys[self._signing_name]
        return next((key for key in self._keys.values() if self._has_signed(key, token)), signing)

    def _read_header(self, segment: bytes) -> VerifyingKey | None:
        """The key that it names, None when it names none."""
        header = jwt.get_unverified_header(segment + b"..")
        if not header.keys() <= _HEADER:
            raise TokenBackendError("The header is not of a token of ours")
        if "kid" not in header:
            return None
        if (key := self._keys.get(header["kid"])) is None:
            raise TokenBackendError("The key is not of this ring")
        return key

    def _has_signed(self, key: VerifyingKey, token: Any) -> bool:
        try:
            jwt.PyJWS().decode(token, key, algorithms=[self.algorithm])
        except jwt.InvalidTokenError:
            return False
        return True


_ring_of = functools.lru_cache(maxsize=4)(KeyRing)


def key_ring() -> KeyRing:
    return _ring_of(settings.TOKEN_KEYS)


class AccessToken(tokens.AccessToken):
    """Opens requests and sockets, for minutes."""

    @property
    def token_backend(self) -> KeyRing:
        return key_ring()


class RefreshToken(tokens.RefreshToken):
    """Is exchanged for the next access token and the next refresh token.

    One without a session is of a release before sessions, and may be on that release's list of tokens that ended.
    """

    access_token_class = AccessToken

    @property
    def token_backend(self) -> KeyRing:
        return key_ring()


def seconds(moment: datetime.datetime) -> int:
    """A time as claims have it. The part of a second that has begun is left out."""
    return int(moment.timestamp())
