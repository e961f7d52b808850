"""What there is already: threads to list, messages of a thread to open, events of a run to replay, few and many.

The web page asks for the first page of a list over HTTP, and for what it missed of a run over its socket. All lists of
the API, and the queries that they make: `python -m bench.lists`.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from bench.forms import Netra
from bench.lists import Asking
from bench.load import Client
from bench.scenario import Figure, Figures, Scenario, Target
from bench.subjects import Kind, Subject
from netra.config import SERVERS

SIZES, QUICK_SIZES = (10, 1000, 10_000), (10, 100, 1000)
# Somebody else's rows, whom nobody asks about.
NEIGHBOURS, QUICK_NEIGHBOURS = 100_000, 1000
REPEATS, QUICK_REPEATS = 25, 5
REPLAYS = 5
REPLAY_SECONDS = 60.0
# What the page asks for (web/src/chat/rest.ts).
PAGE = 50
LISTS = ("thread", "threads")


def subjects() -> Sequence[Subject]:
    return [Netra("cluster", server) for server in SERVERS]


async def measure(subject: Subject, quick: bool) -> Figures:
    assert isinstance(subject, Netra)
    sizes = QUICK_SIZES if quick else SIZES
    subject.add_users(len(sizes) + 1)
    rows = [*sizes, QUICK_NEIGHBOURS if quick else NEIGHBOURS]
    people = await asyncio.to_thread(write, subject, rows)
    paths = {
        size: (f"threads/{of['long_thread']}/messages?limit={PAGE}", f"threads?limit={PAGE}&archived=false")
        for size, of in zip(sizes, people, strict=False)
    }
    figures: dict[str, float | None] = dict.fromkeys(names())
    seconds = await asyncio.to_thread(ask, subject, paths, QUICK_REPEATS if quick else REPEATS)
    for kind, size in seconds:
        figures[f"{kind}_{size}_ms"] = seconds[kind, size] * 1000
    for kind in LISTS:
        figures[f"{kind}_ratio"] = seconds[kind, sizes[-1]] / seconds[kind, sizes[0]]
    for user, (size, of) in enumerate(zip(sizes, people, strict=False)):
        taken = [await replay(subject, user, of["waiting_run"], size) for _ in range(REPLAYS)]
        figures[f"replay_{size}"] = size / statistics.median(taken)
    return {name: figures[name] for name in names()}


def names() -> list[str]:
    lists = [name for kind in LISTS for name in (*(f"{kind}_{size}_ms" for size in SIZES), f"{kind}_ratio")]
    return [*lists, *(f"replay_{size}" for size in SIZES)]


def write(subject: Netra, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Of each person so many rows of each kind, by `tests.many_rows`; what of them is asked for."""
    people = [(subject.account(user).id, number) for user, number in enumerate(rows)]
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder, "rows.json")
        code = f"from tests.many_rows import write_people; write_people({people!r}, {str(told)!r})"
        subject.web.manage("shell", "--no-imports", "--verbosity", "0", "-c", code)
        written: list[dict[str, Any]] = json.loads(told.read_text())
    return written


def ask(subject: Netra, paths: Mapping[int, tuple[str, ...]], repeats: int) -> dict[tuple[str, int], float]:
    """The median of the seconds for each list and number of rows: all of them are asked for in turn."""
    taken: dict[tuple[str, int], list[float]] = {(kind, size): [] for kind in LISTS for size in paths}
    with ExitStack() as stack:
        asking = [
            stack.enter_context(closing(Asking(subject.url, subject.account(user).token())))
            for user in range(len(paths))
        ]
        for repeat in range(repeats + 1):
            for person, size in zip(asking, paths, strict=True):
                for kind, path in zip(LISTS, paths[size], strict=True):
                    seconds = person.seconds(path)
                    if repeat:  # the first is only to warm up
                        taken[kind, size].append(seconds)
    return {which: statistics.median(seconds) for which, seconds in taken.items()}


async def replay(subject: Netra, user: int, run_id: str, events: int) -> float:
    """Seconds from `resume` to the last event of the run."""
    whole = asyncio.Event()
    seqs: list[int] = []
    ended = 0

    def hear(_kind: Kind, payload: bytes, arrived: int) -> None:
        nonlocal ended
        if (seq := seq_of(payload)) is not None:
            seqs.append(seq)
            if seq == events:
                ended = arrived
                whole.set()

    client: Client = await subject.open(user, hear)
    began = time.perf_counter_ns()
    client.send(json.dumps({"type": "resume", "cursors": {run_id: 0}}))
    async with asyncio.timeout(REPLAY_SECONDS):
        await whole.wait()
    client.close()
    assert seqs == list(range(1, events + 1)), "an event is missing, repeated or out of order"
    return (ended - began) / 1e9


def seq_of(payload: bytes) -> int | None:
    """The number of an event in its run, without reading the rest of the frame; None when it is no event."""
    start = payload.find(b'"seq":', 0, 400)
    return None if start < 0 else int(payload[start + 6 : payload.index(b",", start)])


SCENARIOS = [
    Scenario(
        name="history",
        text=f"The first page ({PAGE}) of a thread of {' / '.join(f'{size:,}' for size in SIZES)} messages and of as "
        "many threads, over HTTP, and a run's events replayed over the socket, beside somebody with "
        f"{NEIGHBOURS:,} rows of each kind. The ratio is of the largest to the smallest.",
        figures=(
            *(
                figure
                for kind, heading in zip(LISTS, ("open a thread", "list threads"), strict=True)
                for figure in (
                    *(Figure(f"{kind}_{size}_ms", f"{heading}, {size:,}", "ms", 1) for size in SIZES),
                    Figure(f"{kind}_ratio", f"{heading}: ratio", places=2),
                )
            ),
            *(Figure(f"replay_{size}", f"replay of {size:,}", "events/s") for size in SIZES),
        ),
        subjects=subjects,
        measure=measure,
        targets=[
            target
            for server in SERVERS
            for netra in [f"netra, cluster, {server}"]
            for target in (
                *(Target(f"{kind}_ratio", netra, 1.5, "at most") for kind in LISTS),
                Target(f"replay_{SIZES[-1]}", netra, 50_000),
            )
        ],
    )
]
