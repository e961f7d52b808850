"""The administration with 1,000,000 events: `python -m bench.administration`.

One database with 20,000 runs of 500 people in 5,000 threads, 1,000,000 events, 40,000 requests to models and 200,000
entries of the audit log (`tests.many_people`). Each page is asked for by a superuser in this process, so that what is
measured is the administration's own: the queries, the time that the database took for them, and the whole time. The
fastest of the rounds counts. The plans of all queries are looked at: a table with more than `LARGE` rows that is read
from its beginning on, and not only until a page is full, is named.

With `--write` the table in docs/administration.md is written anew.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUNS = 20_000
ROUNDS = 5
LARGE = 4_000
DOCUMENT = Path(__file__).parent.with_name("docs") / "administration.md"


@dataclass(frozen=True, slots=True)
class Cost:
    queries: int
    sql_ms: float
    whole_ms: float
    read_whole: list[str]


def measure(client: Any, path: str) -> Cost:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    best: Cost | None = None
    statements: list[str] = []
    for _ in range(ROUNDS):
        with CaptureQueriesContext(connection) as captured:
            began = time.perf_counter()
            answer = client.get(f"/admin/{path}")
            whole = (time.perf_counter() - began) * 1000
        assert answer.status_code == 200, (path, answer.status_code)
        sql = sum(float(query["time"]) for query in captured) * 1000
        statements = [query["sql"] for query in captured]
        if best is None or sql < best.sql_ms:
            best = Cost(len(captured), sql, whole, [])
    assert best is not None
    return Cost(best.queries, best.sql_ms, best.whole_ms, sorted(set(read_from_the_beginning(statements))))


def read_from_the_beginning(statements: list[str]) -> Iterator[str]:
    """The large tables that a plan reads row by row, and throws away or adds up more than it hands on."""
    from django.db import connection

    for statement in statements:
        if not statement.lstrip("( \n").upper().startswith(("SELECT", "WITH")):
            continue
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.replace('%', '%%')}", [])
            [plan] = cursor.fetchone()
        loaded = json.loads(plan) if isinstance(plan, str) else plan
        for node in nodes_of(loaded[0]["Plan"]):
            read = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
            if node["Node Type"] == "Seq Scan" and read > LARGE:
                yield f"{node['Relation Name']} ({read:,.0f} rows)"


def nodes_of(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes_of(child)


def report(costs: Mapping[str, Cost]) -> str:
    lines = ["| page | queries | SQL | whole | reads row by row |", "|---|---|---|---|---|"]
    for name, cost in costs.items():
        read = ", ".join(cost.read_whole)
        lines.append(f"| {name} | {cost.queries} | {cost.sql_ms:.0f} ms | {cost.whole_ms:.0f} ms | {read} |")
    return "\n".join(lines)


def main() -> None:
    # Told to end, it ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="netra-bench-") as folder, ExitStack() as stack:
        data_dir = Path(folder)
        data_dir.chmod(0o755)
        os.environ |= {"NETRA_DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "netra.settings"}
        from netra.postgres import EmbeddedPostgres

        stack.enter_context(EmbeddedPostgres(data_dir))
        import django

        django.setup()
        from django.contrib.auth import get_user_model
        from django.core.management import call_command
        from django.db import connections
        from django.test import Client

        from tests.administered_pages import pages_of
        from tests.many_people import write_deployment

        call_command("migrate", verbosity=0)
        client = Client()
        client.force_login(get_user_model().objects.create_superuser("root"))
        began = time.perf_counter()
        deployment = write_deployment(RUNS)
        print(f"Written in {time.perf_counter() - began:.0f} s.", file=sys.stderr)
        table = report({name: measure(client, path) for name, path in pages_of(deployment).items()})
        connections.close_all()
    print(table)
    if "--write" in sys.argv:
        text = DOCUMENT.read_text()
        DOCUMENT.write_text(re.sub(r"\| page \| queries .*?(?=\n\n|\Z)", lambda _: table, text, flags=re.DOTALL))


if __name__ == "__main__":
    main()
