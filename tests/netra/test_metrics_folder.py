"""Several processes count in one folder: each shows the sum, of the dead only what they counted, whoever dies when."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from netra import metrics_folder
from netra.config import PROJECT_ROOT
from tests.processes import until

# What one process does: it joins the folder, counts as it is told line by line, and answers with what it shows.
COUNTING = """
import json, os, sys
from pathlib import Path
from netra import metrics_folder

folder = Path(sys.argv[1])
metrics_folder.join(folder)
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

counter = Counter("deeds", "Deeds", ["kind"])
histogram = Histogram("seconds", "Seconds", buckets=(1, 2))
gauge = Gauge("open", "Open", multiprocess_mode="livesum")
gauge.set(10)

def show():
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))
    with metrics_folder.settled(folder):
        samples = [sample for family in registry.collect() for sample in family.samples]
    return {sample.name + "".join(sample.labels.values()): sample.value for sample in samples}

print(os.getpid(), flush=True)
for line in sys.stdin:
    match line.split():
        case ["count", number]:
            counter.labels("good").inc(int(number))
            histogram.observe(int(number))
            print(0, flush=True)
        case ["show"]:
            print(json.dumps(show()), flush=True)
        case ["fork"]:
            if os.fork() == 0:
                counter.labels("good").inc(100)
                gauge.set(1)
                os.read(0, 0)
            else:
                print(0, flush=True)
"""


class Counting:
    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", COUNTING, str(folder)],
            cwd=PROJECT_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == self.process.pid

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def tell(self, line: str) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._answer()

    def shows(self) -> dict[str, float]:
        shown: dict[str, float] = self.tell("show")
        return shown

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self.process.wait()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "not made yet" / "metrics"


@pytest.fixture
def three(folder: Path) -> Iterator[list[Counting]]:
    processes = [Counting(folder) for _ in range(3)]
    yield processes
    for process in processes:
        process.end()


def test_each_shows_the_sum_of_all(three: list[Counting]) -> None:
    for number, process in enumerate(three, start=1):
        process.tell(f"count {number}")
    for process in three:
        shown = process.shows()
        assert (shown["deeds_totalgood"], shown["open"]) == (6, 30)
        assert (shown["seconds_count"], shown["seconds_sum"], shown["seconds_bucket1.0"]) == (3, 6, 1)


def test_of_one_that_is_killed_the_gauges_are_gone_and_what_it_counted_stays(
    three: list[Counting], folder: Path
) -> None:
    first, second, third = three
    for number, process in enumerate(three, start=1):
        process.tell(f"count {number}")
    for killed, gauge in ((second, 20), (third, 10)):
        killed.kill()
        for _ in range(2):
            shown = first.shows()
            assert (shown["deeds_totalgood"], shown["open"]) == (6, gauge)
            assert (shown["seconds_count"], shown["seconds_sum"], shown["seconds_bucket1.0"]) == (3, 6, 1)
        assert not list(folder.glob(f"*{killed.process.pid}*"))
    # However many die, they leave a file of each kind.
    for _ in range(3):
        (another := Counting(folder)).tell("count 1")
        another.kill()
    assert first.shows()["deeds_totalgood"] == 9
    assert {path.name for path in folder.glob("*_0.db")} == {"counter_0.db", "histogram_0.db"}
    assert len(list(folder.iterdir())) == 2 + 1 + 3 + 1


def test_one_that_sleeps_is_not_dead(three: list[Counting]) -> None:
    first, second, _ = three
    os.kill(second.process.pid, signal.SIGSTOP)
    assert first.shows()["open"] == 30
    os.kill(second.process.pid, signal.SIGCONT)
    assert second.shows()["open"] == 30


def test_what_was_left_under_the_number_of_a_new_process_is_not_its_own(folder: Path) -> None:
    """As in a container that starts again: numbers begin anew, and the folder is kept."""
    (first := Counting(folder)).tell("count 5")
    first.kill()
    with Reader(folder) as reader:
        for path in folder.glob(f"*_{first.process.pid}.db"):
            path.rename(path.with_name(path.name.replace(str(first.process.pid), str(reader.process.pid))))
        shown = reader.starts()
    assert (shown["deeds_totalgood"], shown["open"]) == (5, 10)


class Reader:
    """A process that has its number before it joins."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"input()\n{COUNTING}", str(folder)],
            cwd=PROJECT_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def starts(self) -> dict[str, float]:
        out, _ = self.process.communicate("\nshow\n")
        shown: dict[str, float] = json.loads(out.splitlines()[-1])
        return shown

    def __exit__(self, *_: object) -> None:
        self.process.wait()


def test_a_child_that_was_forked_counts_for_itself(folder: Path) -> None:
    parent = Counting(folder)
    parent.tell("count 1")
    parent.tell("fork")
    watcher = Counting(folder)
    until(lambda: watcher.shows()["deeds_totalgood"] == 101, what="the child to count")
    assert watcher.shows()["open"] == 21
    # The child, which lives, does not keep its parent alive.
    os.kill(parent.process.pid, signal.SIGKILL)
    parent.process.wait()
    assert watcher.shows()["open"] == 11
    for process in (parent, watcher):
        process.end()


def test_a_file_that_was_not_written_yet_is_nothing(folder: Path) -> None:
    process = Counting(folder)
    process.tell("count 2")
    (folder / "counter_4194305.db").touch()
    assert process.shows()["deeds_totalgood"] == 2
    process.end()


def test_who_comes_too_late_is_told(tmp_path: Path) -> None:
    """prometheus_client chooses once, when it is imported, how it counts."""
    with pytest.raises(RuntimeError, match="imported before"):
        metrics_folder.join(tmp_path)


def test_a_folder_that_cannot_be_made_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=PROJECT_ROOT,
        env=os.environ | {"NETRA_METRICS_DIR": str(tmp_path / "file" / "metrics")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("netra: NETRA_METRICS_DIR: ")
    assert ended.stderr.count("\n") == 1
