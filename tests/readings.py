"""Metrics as Prometheus reads them: of this process, or of what a server answers; and by how much they have moved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Self

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from chat import metrics

Labels = frozenset[tuple[str, str]]


class Readings:
    """Samples by name and labels. A sum of readings is what Prometheus' `sum` makes of several targets."""

    def __init__(self, families: Iterable[Metric] = ()) -> None:
        self.samples: defaultdict[tuple[str, Labels], float] = defaultdict(float)
        self.types: dict[str, str] = {}
        for family in families:
            self.types[family.name] = family.type
            for sample in family.samples:
                self.samples[sample.name, frozenset(sample.labels.items())] += sample.value

    @classmethod
    def of_text(cls, text: str) -> Readings:
        return cls(text_string_to_metric_families(text))

    @classmethod
    def here(cls, registry: CollectorRegistry = REGISTRY) -> Readings:
        """What this process has counted so far."""
        metrics.flush()
        return cls(registry.collect())

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels, among others."""
        wanted = labels.items()
        return sum(value for (found, has), value in self.samples.items() if found == name and wanted <= has)

    def __add__(self, other: Readings) -> Readings:
        total = Readings()
        total.types = self.types | other.types
        for readings in (self, other):
            for key, value in readings.samples.items():
                total.samples[key] += value
        return total

    def by_label(self, name: str, label: str) -> dict[str, float]:
        """The samples of this name, summed by one of their labels; what is 0 is left out."""
        found: defaultdict[str, float] = defaultdict(float)
        for (sample, labels), value in self.samples.items():
            if sample == name:
                found[dict(labels).get(label, "")] += value
        return {key: value for key, value in found.items() if value}

    def values(self) -> Iterator[str]:
        """All values of labels."""
        for _, labels in self.samples:
            yield from (value for _, value in labels)


class Movement:
    """How far metrics have moved since it was made. Counters and histograms: by how much; gauges are read as they are.

    moved = Movement()
    ...
    assert moved("netra_closes_total", code="4401") == 1
    """

    def __init__(self) -> None:
        self._before = Readings.here()

    def __call__(self, name: str, **labels: str) -> float:
        return Readings.here()(name, **labels) - self._before(name, **labels)

    def by_label(self, name: str, label: str) -> dict[str, float]:
        now, before = Readings.here().by_label(name, label), self._before.by_label(name, label)
        moved = {key: now.get(key, 0.0) - before.get(key, 0.0) for key in now.keys() | before.keys()}
        return {key: value for key, value in moved.items() if value}

    def again(self) -> Self:
        """From now on."""
        self._before = Readings.here()
        return self
