"""What bounds a request to a model: its time, its repetitions, its size."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelLimits:
    """Times are in seconds.

    `silence_seconds` bounds the wait for each event after the first. Of `attempts`, each waits about twice as long
    as the one before it, from `first_pause_seconds` to `longest_pause_seconds`; a provider that asks for more than
    `longest_retry_after_seconds` is not waited for. Without `context_tokens` each model has what is known of it.
    """

    connect_seconds: float = 5.0
    first_token_seconds: float = 60.0
    silence_seconds: float = 60.0
    attempts: int = 3
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 8.0
    longest_retry_after_seconds: float = 30.0
    context_tokens: int | None = None
