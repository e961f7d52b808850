"""Workers that sleep or end, and a Redis that dies, while clients are connected to several web processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients import Client, assert_state_is_what_rest_shows, assert_whole
from tests.cluster import Cluster, Link
from tests.cluster_users import one_at_each
from tests.e2e.conftest import new_data_dir
from tests.live import LiveServer, LiveWorker
from tests.processes import HOST, eventually
from tests.whereabouts import begin_on, jobs_have_ended, outcome_on, paused, run_status, told_of

SLOW = 12  # tokens a second: an answer to "help" takes eight seconds
NEVER = 3600


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Quick to notice a lost worker. The first worker reaches PostgreSQL by a link, and the second web process asks
    the log for nothing that no wake-up announces.
    """
    for folder in new_data_dir():
        cluster = Cluster(
            folder,
            offline_tokens_per_second=SLOW,
            worker_heartbeat_seconds=0.5,
            worker_stalled_seconds=3,
            sweep_seconds=0.5,
            worker_shutdown_seconds=0,
            ws_position_check_seconds=0.5,
        )
        cluster.web[1].configure(ws_position_check_seconds=NEVER)
        put_behind_link(cluster, cluster.workers[0])
        with cluster:
            yield cluster
        for process in cluster.netra:
            assert not process.traceback(), process.traceback()


def put_behind_link(cluster: Cluster, worker: LiveWorker) -> None:
    of = cluster.postgres.connection_params
    link = Link(f"{worker.name}-postgres", cluster.folder, f"unix@{of['host']}/.s.PGSQL.{of['port']}")
    cluster.links.append(link)
    worker.configure(database_url=f"postgresql://{of['user']}@{HOST}:{link.port}/{of['dbname']}")


async def test_when_redis_dies_events_come_from_the_log_and_when_it_is_back_by_wake_ups_again(
    cluster: Cluster,
) -> None:
    async with one_at_each(cluster) as (account, checking, waiting):
        run_ids = [(await checking.post("help"))["run_id"]]
        for client in (checking, waiting):
            await client.events(run_ids[0], to=["agent_response_chunk"])
        cluster.redis.kill()
        known = last_seq(cluster, run_ids[0])
        while checking.events_of(run_ids[0])[-1]["seq"] <= known:
            await checking.receive()
        assert run_status(cluster, run_ids[0]) == "running", "it comes live"
        assert_whole(await checking.events(run_ids[0]))
        run_ids.append((await waiting.post("thanks"))["run_id"])
        assert_whole(await checking.events(run_ids[1]))
        assert "agent_completed" not in {event["type"] for event in waiting.events_of(run_ids[0])}

        cluster.redis.start()
        # While a worker publishes to a Redis that is away it tries only now and then.
        run_ids.append((await waiting.post("help"))["run_id"])
        assert_whole(await checking.events(run_ids[2]))
        for run_id in run_ids:
            assert await waiting.events(run_id) == await checking.events(run_id)
        await eventually(lambda: all(map(is_whole, cluster.web)), what="the web processes to be ready")

        run_ids.append((await checking.post("help"))["run_id"])
        await waiting.events(run_ids[3], to=["agent_response_chunk"])
        assert run_status(cluster, run_ids[3]) == "running", "it comes live"
        assert await waiting.events(run_ids[3]) == await checking.events(run_ids[3])
        for client, web in zip((checking, waiting), cluster.web, strict=True):
            assert_state_is_what_rest_shows(web, account, client.state)


async def test_a_worker_that_slept_until_its_runs_were_repeated_elsewhere_writes_nothing_more_and_works_on(
    cluster: Cluster,
) -> None:
    sleeper, other = cluster.workers
    async with one_at_each(cluster) as (account, one, two):
        run_ids = await begin_on(cluster, sleeper, one, "help", "help")
        sleeper.pause()
        try:
            for run_id in run_ids:
                await again_at(one, run_id)
        finally:
            sleeper.go_on()
        for run_id in run_ids:
            assert await outcome_on(sleeper, run_id) in ("taken", "cancelled")
            assert run_status(cluster, run_id) == "running"
            assert len(told_of(other, "run_started", run_id)) == 1

        kept, stopped = run_ids
        assert (await two.request(type="stop_run", run_id=stopped))["status"] == "cancelled"
        assert await outcome_on(other, stopped) in ("cancelled", "taken")
        assert (await one.events(stopped))[-1]["type"] == "agent_cancelled"
        events = await one.events(kept)
        assert_whole(events)
        restarts = [event["data"] for event in events if event["type"] == "agent_restarted"]
        assert restarts == [{"attempt": 2, "reason": "worker_lost"}]
        assert await outcome_on(other, kept) == "completed"
        for run_id in run_ids:
            await jobs_have_ended(cluster, run_id)
            assert await two.events(run_id) == one.events_of(run_id)
        for client, web in zip((one, two), cluster.web, strict=True):
            assert_state_is_what_rest_shows(web, account, client.state)

        [run_id] = await begin_on(cluster, sleeper, two, "hello")
        assert_whole(await two.events(run_id))


async def test_what_a_worker_wrote_that_was_cut_off_from_postgresql_arrives_too_late(cluster: Cluster) -> None:
    cut_off, other = cluster.workers
    async with one_at_each(cluster) as (account, one, two):
        [run_id] = await begin_on(cluster, cut_off, one, "help")
        with paused(cluster.links):
            await again_at(one, run_id)
        assert await outcome_on(cut_off, run_id) in ("taken", "cancelled")
        assert run_status(cluster, run_id) == "running"
        events = await one.events(run_id)
        assert_whole(events)
        assert [event["data"]["attempt"] for event in events if event["type"] == "agent_started"] == [1, 2]
        assert await outcome_on(other, run_id) == "completed"
        assert await two.events(run_id) == events
        assert_state_is_what_rest_shows(cluster.web[1], account, two.state)


async def test_a_worker_that_is_asked_to_end_hands_its_run_to_another(cluster: Cluster) -> None:
    leaving, other = cluster.workers
    async with one_at_each(cluster) as (account, one, two):
        [run_id] = await begin_on(cluster, leaving, one, "help")
        leaving.process.terminate()
        for client in (one, two):
            await again_at(client, run_id)
        assert leaving.wait() == 0
        leaving.start()
        events = await one.events(run_id)
        assert_whole(events)
        restarts = [event["data"] for event in events if event["type"] == "agent_restarted"]
        assert restarts == [{"attempt": 1, "reason": "handed_back"}]
        assert await outcome_on(leaving, run_id) == "handed_back"
        assert await outcome_on(other, run_id) == "completed"
        assert await two.events(run_id) == events
        assert_state_is_what_rest_shows(cluster.web[1], account, two.state)


async def again_at(client: Client, run_id: str) -> None:
    """Return when the client has text of an attempt after the first."""
    await client.events(run_id, to=["agent_restarted"])
    while client.events_of(run_id)[-1]["type"] != "agent_response_chunk":
        await client.receive()


def last_seq(cluster: Cluster, run_id: str) -> int:
    with cluster.database() as connection:
        row = connection.execute("SELECT last_seq FROM chat_run WHERE id = %s", (run_id,)).fetchone()
    assert row is not None
    return int(row[0])


def is_whole(web: LiveServer) -> bool:
    answer = web.http("GET", "/health/ready")
    return bool(answer.status == 200 and answer.body["status"] == "ready")
