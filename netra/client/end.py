"""How a connection ended, and what follows from it: docs/protocol.md, section 4. No I/O."""

from __future__ import annotations

import random
from dataclasses import dataclass

from netra.client.session import ApiError

BAD_TOKEN = frozenset({"NO_TOKEN", "INVALID_TOKEN", "TOKEN_EXPIRED"})
# What is not here is answered by another connection.
UNAUTHENTICATED, DRAINING, TOO_MANY = 4401, 4412, 4429
BACK_OFF_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class End:
    """The token that the connection had, its close code if there was one, and the error that refused it."""

    token: str | None = None
    code: int | None = None
    error: ApiError | None = None

    @property
    def for_the_token(self) -> bool:
        refused = self.error is not None and self.error.code in BAD_TOKEN
        return refused or self.code == UNAUTHENTICATED

    def pause(self, backoff: float, *, draining_seconds: float) -> float:
        """Seconds until the next attempt, of which `backoff` is the share of those that failed before.

        `draining_seconds`: over how long a server that goes away wants its clients to spread.
        """
        if self.code == DRAINING:
            return random.uniform(0, draining_seconds)  # noqa: S311 - spreads load, guards nothing
        if self.error is not None and self.error.retry_after:
            return max(backoff, self.error.retry_after * random.uniform(1, 1.5))  # noqa: S311
        return max(backoff, BACK_OFF_SECONDS) if self.code == TOO_MANY else backoff
