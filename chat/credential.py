"""What a token was issued on. No I/O."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EPOCH_CLAIM = "sessions_epoch"
PASSWORD_CLAIM = "hash_password"  # noqa: S105 - the name of a claim, which simplejwt sets
SESSION_CLAIM = "sid"


@dataclass(frozen=True, slots=True)
class Credential:
    """A token counts as long as its user has this epoch and this password, and its session has not ended.

    `epoch` grows when all sessions of the user end; `password` is the MD5 of the password's hash. Tokens of releases
    before sessions have no `session`.
    """

    epoch: int
    password: str
    session: uuid.UUID | None = None

    @classmethod
    def of_claims(cls, claims: Mapping[str, Any]) -> Credential | None:
        """None when the claims are not as our tokens have them. A token without an epoch is of the first one."""
        epoch, password = claims.get(EPOCH_CLAIM, 0), claims.get(PASSWORD_CLAIM)
        if type(epoch) is not int or not isinstance(password, str):
            return None
        try:
            session = uuid.UUID(claims[SESSION_CLAIM]) if SESSION_CLAIM in claims else None
        except (ValueError, TypeError, AttributeError):
            return None
        return cls(epoch, password, session)

    def claims(self) -> dict[str, Any]:
        """What a token of a session says of it."""
        assert self.session is not None  # noqa: S101 - no token is issued without one
        return {EPOCH_CLAIM: self.epoch, PASSWORD_CLAIM: self.password, SESSION_CLAIM: self.session.hex}
