"""The keys with which tokens are signed: where they come from, and what they are called. No I/O."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence

# In a list of keys: the key derived from the secret key.
DERIVED = "derived"


def signing_keys(own: Iterable[str], secret_keys: Sequence[str]) -> tuple[str, ...]:
    """The first one signs, all verify: keys made for tokens, then those derived from secret keys, each once."""
    derived = [derived_key(secret) for secret in secret_keys]
    return tuple(dict.fromkeys([*(derived[0] if key == DERIVED else key for key in own), *derived]))


def derived_key(secret_key: str) -> str:
    """Tokens and Django's own signatures never share a key."""
    return hmac.new(secret_key.encode(), b"netra.jwt", hashlib.sha256).hexdigest()


def name_of(key: str) -> str:
    """What a token calls its key (`kid`). It tells nothing of the key."""
    return hmac.new(key.encode(), b"netra.kid", hashlib.sha256).hexdigest()[:16]
