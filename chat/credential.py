"""What a token was issued on. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EPOCH_CLAIM = "sessions_epoch"
PASSWORD_CLAIM = "hash_password"  # noqa: S105 - the name of a claim, which simplejwt sets


@dataclass(frozen=True, slots=True)
class Credential:
    """A token counts as long as its user has this one.

    `epoch` grows when all sessions of the user end; `password` is the MD5 of the password's hash.
    """

    epoch: int
    password: str

    @classmethod
    def of_claims(cls, claims: Mapping[str, Any]) -> Credential | None:
        """None when the claims are not as our tokens have them. A token without an epoch is of the first one."""
        epoch, password = claims.get(EPOCH_CLAIM, 0), claims.get(PASSWORD_CLAIM)
        if type(epoch) is not int or not isinstance(password, str):
            return None
        return cls(epoch, password)
