"""Workers as processes: asked to end, killed, put to sleep and woken, and their runs on another one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from netra.postgres import EmbeddedPostgres
from tests.clients import Client, Frame
from tests.e2e.conftest import new_data_dir
from tests.live import LiveServer, LiveWorker, NetraProcess
from tests.processes import eventually

SLOW: dict[str, Any] = {"worker": "external", "offline_tokens_per_second": 10}
QUICK_TO_MISS: dict[str, Any] = {"worker_heartbeat_seconds": 1.0, "worker_stalled_seconds": 4.0, "sweep_seconds": 1.0}


@pytest.fixture
def postgres() -> Iterator[EmbeddedPostgres]:
    for folder in new_data_dir():
        postgres = EmbeddedPostgres(folder)
        postgres.acquire()
        yield postgres
        postgres.release()


class Workers:
    """A server without a worker of its own, and workers beside it."""

    def __init__(self, folder: Path, postgres: EmbeddedPostgres, **settings: Any) -> None:
        given = {**SLOW, "database_url": postgres.dsn, **settings}
        self.server = LiveServer(folder, **given)
        self.workers = [LiveWorker(f"worker-{number}", folder, **given) for number in range(2)]
        self.processes: list[NetraProcess] = [self.server, *self.workers]

    def __enter__(self) -> Self:
        self.server.start()
        for worker in self.workers:
            worker.launch()
        for worker in self.workers:
            worker.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            if process.is_launched:
                process.go_on()
                process.stop()

    def registered(self) -> set[int]:
        with self.server.database() as database:
            return {worker for (worker,) in database.execute("SELECT id FROM procrastinate_workers")}

    async def busy_first(self, client: Client) -> str:
        """The first worker answers, the second is there and has looked away. Returns the run."""
        self.workers[1].pause()
        run_id: str = (await client.post("help"))["run_id"]
        await client.events(run_id, to=["agent_response_chunk"])
        self.workers[1].go_on()
        return run_id


def assert_whole(events: list[Frame]) -> None:
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "agent_completed"


def restart_in(events: list[Frame]) -> dict[str, Any]:
    [restarted] = [event["data"] for event in events if event["type"] == "agent_restarted"]
    return dict(restarted)


@pytest.mark.parametrize("signals", [1, 2])
async def test_a_worker_that_is_asked_to_end_hands_its_run_to_another(
    data_dir: Path, postgres: EmbeddedPostgres, signals: int
) -> None:
    """At once when it has no grace period, and at a second signal when it has a long one."""
    with Workers(data_dir, postgres, worker_shutdown_seconds=0 if signals == 1 else 3600) as running:
        first, second = running.workers
        async with running.server.connect(running.server.add_user()) as client:
            run_id = await running.busy_first(client)
            began = time.monotonic()
            first.process.terminate()
            if signals == 2:
                await eventually(lambda: "worker_stopping" in first.log_text(), what="the signal to be seen")
                first.process.terminate()
            await eventually(lambda: "run_started" in second.log_text(), what="the other to take over")
            print(f"taken over after {time.monotonic() - began:.2f} s")
            assert first.wait() == 0
            events = await client.events(run_id)
            assert_whole(events)
            assert restart_in(events) == {"attempt": 1, "reason": "handed_back"}
        assert not first.traceback(), first.traceback()
        assert not second.traceback(), second.traceback()


@pytest.mark.parametrize("signals", [1, 2])
async def test_a_worker_ends_when_it_is_asked_to_though_the_database_is_away(
    data_dir: Path, postgres: EmbeddedPostgres, signals: int
) -> None:
    """Its run is found later, by those who miss it."""
    with Workers(data_dir, postgres, worker_shutdown_seconds=0, **QUICK_TO_MISS) as running:
        first, second = running.workers
        async with running.server.connect(running.server.add_user()) as client:
            run_id = await running.busy_first(client)
            postgres.release()
            for _ in range(signals):
                first.process.terminate()
            assert first.wait() == 0
            assert "worker_gave_up" in first.log_text()
            postgres.acquire()
            await eventually(lambda: "run_started" in second.log_text(), what="the other to take over")
            events = await client.events(run_id)
            assert_whole(events)
            assert restart_in(events) == {"attempt": 2, "reason": "worker_lost"}


async def test_a_worker_that_is_killed_is_missed_and_its_run_repeated_elsewhere(
    data_dir: Path, postgres: EmbeddedPostgres
) -> None:
    """With the settings as they are by default: well within the thirty seconds in which it must be found."""
    with Workers(data_dir, postgres) as running:
        async with running.server.connect(running.server.add_user()) as client:
            run_id = await running.busy_first(client)
            began = time.monotonic()
            running.workers[0].kill()
            await client.events(run_id, to=["agent_restarted"])
            print(f"repeated after {time.monotonic() - began:.2f} s")
            events = await client.events(run_id)
            assert_whole(events)
            assert restart_in(events) == {"attempt": 2, "reason": "worker_lost"}


async def test_a_worker_that_slept_and_was_taken_for_lost_works_on_and_disturbs_nobody(
    data_dir: Path, postgres: EmbeddedPostgres
) -> None:
    with Workers(data_dir, postgres, **QUICK_TO_MISS) as running:
        first, second = running.workers
        server = running.server
        async with server.connect(server.add_user()) as client:
            run_id = await running.busy_first(client)
            first.pause()
            await client.events(run_id, to=["agent_restarted"])
            second.stop()
            lost = running.registered()
            second.start()  # a worker that begins removes the rows of those that are lost
            await eventually(lambda: len(running.registered() - lost) == 1, what="the worker to register")
            assert not lost & running.registered()
            await eventually(lambda: second.log_text().count("run_started") >= 2, what="the repetition to go on")
            first.go_on()
            await eventually(lambda: "run_ended" in first.log_text(), what="the task that was taken to end")
            stopped = await client.request(type="stop_run", run_id=run_id)
            assert (stopped["type"], stopped["status"]) == ("run_stopped", "cancelled")
            await eventually(
                lambda: second.log_text().count("run_ended") == second.log_text().count("run_started"),
                what="the worker that has the run to hear of it",
            )
            events = await client.events(run_id)
            assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
            assert events[-1]["type"] == "agent_cancelled"

            second.stop()
            assert_whole(await client.ask("What is 6 * 7?"))  # only the one that slept is left to answer
        for worker in running.workers:
            assert not worker.traceback(), worker.traceback()
