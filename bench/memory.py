"""How long this machine takes to reach memory: what its neighbours leave of the caches that they share.

Python's speed depends on it several times more than on the processor's clock, and it changes from day to day on the
same kind of machine, so each row of a table has it.
"""

from __future__ import annotations

import functools
import itertools
import time
from array import array

FAR, NEAR = 2**21, 2**9  # places of eight bytes: 16 MB, of which caches of a core hold little, and 4 KB
STEPS = 100_000
TRIES = 3
# x -> (1 + 4k) x + 1 goes through all places of a power of two before it comes back (Hull and Dobell, 1962).
_MULTIPLIER = 1_664_525


def step_ns() -> float:
    """Nanoseconds that a step to anywhere in 16 MB takes more than one within 4 KB; each says where the next one is."""
    return max(0.0, _time_of(FAR) - _time_of(NEAR))


def _time_of(places: int) -> float:
    table = _table(places)
    best = float("inf")
    place = 0
    for _ in range(TRIES):
        began = time.perf_counter_ns()
        for _ in itertools.repeat(None, STEPS):
            place = table[place]
        best = min(best, (time.perf_counter_ns() - began) / STEPS)
    return best


@functools.cache
def _table(places: int) -> array[int]:
    return array("q", ((_MULTIPLIER * place + 1) % places for place in range(places)))
