"""Waiting times between repeated attempts."""

from __future__ import annotations

import random
from collections.abc import Iterator


def delays(*, first: float, longest: float) -> Iterator[float]:
    """Seconds, doubling from `first` to `longest` without end, each shortened by up to half at random."""
    delay = first
    while True:
        yield delay * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
        delay = min(delay * 2, longest)
