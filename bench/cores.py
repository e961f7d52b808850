"""Which core each part of a measurement has.

What is measured, server and worker, has the first core for itself. The load generator, PostgreSQL and Redis have the
others: on the machine of two cores that the figures come from, the second. Affinity is inherited: this process has the
others, and whatever is to be on the first is started within `on_cores(SERVER)` of tests/processes.py, or by an object
of a class there whose `cores` are `SERVER`.
"""

from __future__ import annotations

import os

# Of the machine, or of the part of it that this process was given; empty where a system has no affinity.
_AVAILABLE = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
SERVER = frozenset(_AVAILABLE[:1])
REST = frozenset(_AVAILABLE[1:] or _AVAILABLE)
APART = SERVER != REST


def stay_with_the_rest() -> None:
    """From now on this process, and what it starts, leaves the server's core alone."""
    if REST:
        os.sched_setaffinity(0, REST)


def statement() -> str:
    """For the reader of figures."""
    if not _AVAILABLE:
        return "No part has a core of its own: this system has no affinity. Figures are of all parts together."
    if not APART:
        return "All parts share the one core that there is. Figures are of all parts together."
    rest = ", ".join(map(str, sorted(REST)))
    return f"Server and worker on core {min(SERVER)}; load generator, PostgreSQL and Redis on core {rest}."
