"""The API's lists for people with few and with many rows: `python -m bench.lists`.

One server, one database, three people: with 10, 1,000 and 10,000 rows of each kind (`tests.many_rows`), and a neighbour
with 100,000, whom nobody asks about. Each round asks each list for each of them in turn, over one connection each, so
that what else the machine does meets all alike. What is compared is the fastest of the rounds, since what else the
machine does only adds to it, and as a ratio: figures of one machine mean nothing on another. Queries are counted by
asking the same views in this process.
"""

from __future__ import annotations

import http.client
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROUNDS = 25
ENOUGH = (5, 3.0)
SIZES = (10, 1000, 10_000)
NEIGHBOURS = 100_000


class Asking:
    """One person's connection to the server."""

    def __init__(self, url: str, token: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        self._headers = {"Authorization": f"Bearer {token}"}

    def seconds(self, path: str) -> float:
        """From the request to the last byte of its answer."""
        began = time.perf_counter()
        self._connection.request("GET", f"/api/{path}", headers=self._headers)
        answer = self._connection.getresponse()
        answer.read()
        assert answer.status == 200, (path, answer.status)
        return time.perf_counter() - began

    def close(self) -> None:
        self._connection.close()


def measure(url: str, people: Mapping[int, Any], lists: Mapping[int, Mapping[str, str]]) -> dict[str, dict[int, float]]:
    """Of each list the fewest seconds for each number of rows."""
    taken: dict[str, list[dict[int, float]]] = {name: [] for name in lists[SIZES[0]]}
    with ExitStack() as stack:
        asking = {size: stack.enter_context(closing(Asking(url, person.token()))) for size, person in people.items()}
        for name in taken:
            for size in SIZES:
                asking[size].seconds(lists[size][name])  # only to warm up
        for _ in range(ROUNDS):
            for name, rounds in taken.items():
                if not is_enough(rounds):
                    rounds.append({size: asking[size].seconds(lists[size][name]) for size in SIZES})
    return {name: {size: min(each[size] for each in rounds) for size in SIZES} for name, rounds in taken.items()}


def is_enough(rounds: Sequence[Mapping[int, float]]) -> bool:
    """What takes long is asked less often."""
    number, seconds = ENOUGH
    return len(rounds) >= number and sum(sum(each.values()) for each in rounds) > seconds


def queries(person: Any, lists: Mapping[str, str]) -> dict[str, int]:
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(headers={"Authorization": f"Bearer {person.token()}"})
    counted = {}
    for name, path in lists.items():
        with CaptureQueriesContext(connection) as captured:
            assert client.get(f"/api/{path}").status_code == 200, path
        counted[name] = len(captured)
    return counted


def report(times: Mapping[str, Mapping[int, float]], counted: Mapping[int, Mapping[str, int]]) -> None:
    print(f"| list | queries | {' | '.join(f'{size:,} rows' for size in SIZES)} | ratio |")
    print("|---|---|" + "---|" * len(SIZES) + "---|")
    for name, seconds in times.items():
        numbers = sorted({of_size[name] for of_size in counted.values()})
        shown = " | ".join(f"{seconds[size] * 1000:.1f} ms" for size in SIZES)
        ratio = seconds[SIZES[-1]] / seconds[SIZES[0]]
        print(f"| {name} | {'-'.join(map(str, numbers))} | {shown} | {ratio:.1f} |")


def main() -> None:
    # Told to end, it ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="netra-bench-") as folder, ExitStack() as stack:
        data_dir = Path(folder)
        data_dir.chmod(0o755)
        os.environ |= {"NETRA_DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "netra.settings"}
        from netra.postgres import EmbeddedPostgres
        from tests.clients import SECRET_KEY
        from tests.live import LiveServer

        os.environ["NETRA_SECRET_KEY"] = SECRET_KEY
        stack.enter_context(EmbeddedPostgres(data_dir))
        import django

        django.setup()
        server = stack.enter_context(LiveServer(data_dir, worker="external", ready=False))
        from django.contrib.auth import get_user_model
        from django.db import connections

        from tests.api_lists import lists_of
        from tests.many_rows import write_rows

        *asked, neighbour = server.add_users(len(SIZES) + 1)
        people = dict(zip(SIZES, asked, strict=True))
        write_rows(neighbour.id, NEIGHBOURS)
        get_user_model().objects.update(is_staff=True)
        lists = {size: lists_of(person.id, write_rows(person.id, size)) for size, person in people.items()}
        times = measure(server.url, people, lists)
        report(times, {size: queries(person, lists[size]) for size, person in people.items()})
        connections.close_all()


if __name__ == "__main__":
    main()
