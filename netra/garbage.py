"""Python's search for cycles, in a process that keeps much for long: every connection is some dozens of objects."""

from __future__ import annotations

import gc

# By default the youngest are looked through every 700 objects, and all there is whenever a quarter more has come: with
# thousands of connections that is a large part of what a connection costs. Looking at the younger ones keeps everybody
# waiting: 50,000 objects are some 40 ms. A closed connection leaves no cycles (tests/e2e/test_closed_connections.py),
# requests over HTTP do, in Django: what of them is old is found when all there is is looked through, after a million
# more objects, if these are a quarter more.
THRESHOLDS = (10_000, 5, 20)
# Of a process that starts nearly all stays, a million objects: what little is garbage among the youngest is found.
STARTING_THRESHOLDS = (100_000, 1000, 1000)


def search_hardly() -> None:
    """For the time until `search_seldom`: a start is a tenth shorter."""
    gc.set_threshold(*STARTING_THRESHOLDS)


def search_seldom() -> None:
    """What there is now stays until the end, and is never looked through again. For the start of a process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
