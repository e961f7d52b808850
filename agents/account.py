"""The account of model requests, as agents write and read it: what each cost, and sums of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

Dimension = Literal["day", "agent", "model", "thread", "user"]
DIMENSIONS: tuple[Dimension, ...] = ("day", "agent", "model", "thread", "user")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRequestRecord:
    """One request to a model, however it ended. `id` names it, so that it is stored once.

    `cost_usd` is None when no price is known. `error` is a short category for a failed one. `estimated` says that the
    provider did not tell the tokens (a request cut short) and they were estimated from the text.
    """

    agent: str
    model: str
    provider: str
    outcome: Literal["completed", "failed", "cancelled"]
    started_at: datetime
    duration_ms: int
    first_token_ms: int | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: Decimal | None = None
    estimated: bool = False
    error: str = ""
    id: uuid.UUID = field(default_factory=uuid.uuid4)


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageQuery:
    """Which requests to sum up, and by what. `since` ≤ time < `until`; days are UTC's.

    `everyone` asks for all users' requests: for staff only. `thread_id`: only those of this thread.
    """

    since: datetime
    until: datetime
    by: tuple[Dimension, ...] = ()
    everyone: bool = False
    thread_id: uuid.UUID | None = None
    limit: int = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageRow:
    """Sums over one group, the most expensive first. `group` has a value for each dimension asked for.

    `cost_usd` is the sum over priced requests; `unpriced` counts the others. `input_tokens` include the cached ones,
    read and written. `failed_cost_usd` is what the failed requests of it cost.
    """

    group: dict[Dimension, str]
    requests: int
    failed: int
    unpriced: int
    runs: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cost_usd: Decimal
    duration_ms: int
    cache_write_tokens: int = 0
    failed_cost_usd: Decimal = Decimal(0)
