"""Every metric of Netra with its labels and its meaning, as a table for docs/operations.md: `python -m
netra.metrics_table`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

COLUMNS = ("metric", "kind", "labels", "what it is")


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Of each metric its name as Prometheus has it, what kind it is, its labels, and its meaning."""
    from prometheus_client.metrics import MetricWrapperBase

    from chat import metrics
    from chat.figures import FiguresCollector

    for counted in vars(metrics).values():
        if isinstance(counted, MetricWrapperBase):
            (family,) = counted.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            yield name, family.type, ", ".join(counted._labelnames), family.documentation
    for family in FiguresCollector().describe():
        kind = "gauge" if family.name == "netra_database_up" else "gauge of the whole"
        yield family.name, kind, ", ".join(family._labelnames), family.documentation


def describe() -> str:
    """The table as Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {kind} | {labels} | {meaning} |" for name, kind, labels, meaning in rows()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra.settings")
    import django

    django.setup()
    sys.stdout.write(describe())
