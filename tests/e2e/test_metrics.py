"""What the processes of a cluster show is, summed up, what was done: before, during and after a known load."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.clients import Account, Client, connected, refusal, request
from tests.cluster import Cluster
from tests.e2e.conftest import new_data_dir
from tests.held_model import HeldModel
from tests.live import LiveServer
from tests.processes import HOST, eventually, free_port, until
from tests.readings import Readings

TOKEN = "a token of tests and metrics"
SOCKETS = 6
QUESTIONS = 4


@pytest.fixture(scope="module")
def model() -> Iterator[HeldModel]:
    with HeldModel() as model:
        yield model


@pytest.fixture(scope="module")
def cluster(model: HeldModel) -> Iterator[Cluster]:
    """Each worker shows its metrics on a port of its own. The position check is so rare that nothing is repaired."""
    for folder in new_data_dir():
        cluster = Cluster(
            folder,
            environment={"PATH": os.environ["PATH"], **model.environment},
            model="openai:held",
            metrics_token=TOKEN,
            ws_position_check_seconds=60,
            worker_heartbeat_seconds=1,
            worker_stalled_seconds=5,
            sweep_seconds=1,
        )
        for worker in cluster.workers:
            worker.configure(metrics_listen=f"{HOST}:{free_port()}")
        with cluster:
            yield cluster
        for process in cluster.netra:
            assert not process.traceback(), process.traceback()


def targets(cluster: Cluster) -> list[str]:
    listening = [f"http://{worker._settings['metrics_listen']}" for worker in cluster.workers]
    return [*(web.url for web in cluster.web), *listening]


def scrape(url: str) -> Readings:
    answer = request(url, "GET", "/metrics", token=TOKEN)
    assert answer.status == 200, answer.body
    return Readings.of_text(answer.body)


def scraped(cluster: Cluster) -> Readings:
    """What Prometheus' `sum` is over all processes."""
    total = Readings()
    for url in targets(cluster):
        total += scrape(url)
    return total


class Load:
    """Six sockets of two people, spread over the web processes, and what they have received."""

    def __init__(self, accounts: list[Account], clients: list[Client]) -> None:
        self.accounts = accounts
        self.clients = clients

    @property
    def frames(self) -> int:
        return sum(len(client.frames) for client in self.clients)

    @property
    def events(self) -> int:
        return sum("seq" in frame for client in self.clients for frame in client.frames)


async def opened(cluster: Cluster, stack: AsyncExitStack) -> Load:
    accounts = cluster.add_users(2)
    clients = []
    for number in range(SOCKETS):
        url, account = cluster.web[number % 2].url, accounts[number // 3]
        clients.append(await stack.enter_async_context(connected(url, account.token(), max_queue=None)))
    return Load(accounts, clients)


async def test_scrapes_before_during_and_after_a_load_are_what_was_done(cluster: Cluster, model: HeldModel) -> None:
    model.hold()
    before = scraped(cluster)
    async with AsyncExitStack() as stack:
        load = await opened(cluster, stack)
        await refused(cluster)
        run_ids = [(await load.clients[3 * (n % 2)].post(f"wait {n}"))["run_id"] for n in range(QUESTIONS)]
        for number in range(QUESTIONS):
            model.until("begun", f"wait {number}")
        sign_ins(cluster, load.accounts[0])

        during = scraped(cluster)
        assert during("netra_connections", kind="socket") == SOCKETS
        assert during("netra_runs_held") == QUESTIONS
        # The same at each: not to be summed.
        for url in targets(cluster):
            # What is read from the database is kept for some seconds.
            await eventually(
                lambda at=url: scrape(at)("netra_runs", status="running", agent="assistant") == QUESTIONS,  # type: ignore[misc]
                what="the runs to be shown",
            )
            shown = scrape(url)
            assert (shown("netra_workers_alive"), shown("netra_queue_depth")) == (2, 0)
            assert (shown("netra_processes", kind="web"), shown("netra_processes", kind="worker")) == (2, 2)
            assert shown("netra_redis_up") == shown("netra_database_up") == 1

        model.release()
        for client in load.clients:
            own = run_ids[0::2] if client in load.clients[:3] else run_ids[1::2]
            for run_id in own:
                await client.events(run_id)
        await settled(cluster, load)
        after = scraped(cluster)
    assert_is_what_was_done(cluster, before, after, load)
    await eventually(lambda: scraped(cluster)("netra_connections") == 0, what="the sockets to be gone")
    assert scraped(cluster)("netra_runs_held") == 0


async def refused(cluster: Cluster) -> None:
    """Three sockets without a token at one web process, two with a wrong one at the other."""
    for _ in range(3):
        assert (await refusal(cluster.web[0].url))[1] == 4401
    for _ in range(2):
        assert (await refusal(cluster.web[1].url, token="wrong"))[1] == 4401


def sign_ins(cluster: Cluster, account: Account) -> None:
    for url, password in ((cluster.url, account.password), (cluster.web[0].url, "wrong"), (cluster.web[1].url, "no")):
        body = {"username": account.username, "password": password}
        request(url, "POST", "/api/auth/token", body=body)


async def settled(cluster: Cluster, load: Load) -> None:
    """What comes behind the last event has come, too: titles, and what is counted once a second."""

    def titled() -> bool:
        with cluster.database() as database:
            found = database.execute("SELECT count(*) FROM chat_thread WHERE title_origin = 'exchange'").fetchone()
        return found == (QUESTIONS,)

    await eventually(titled, what="the threads to be named")
    for client in load.clients:
        while sum(frame["type"] == "thread_updated" for frame in client.frames) < QUESTIONS // 2:
            await client.receive()
        await client.ping()


def assert_is_what_was_done(cluster: Cluster, before: Readings, after: Readings, load: Load) -> None:
    def moved(name: str, **labels: str) -> float:
        return after(name, **labels) - before(name, **labels)

    assert moved("netra_handshake_seconds_count", code="OK") == SOCKETS
    assert moved("netra_handshake_seconds_count", code="NO_TOKEN") == 3
    assert moved("netra_handshake_seconds_count", code="INVALID_TOKEN") == 2
    assert moved("netra_handshake_seconds_count") == SOCKETS + 5
    assert moved("netra_closes_total", code="4401") == moved("netra_closes_total") == 5
    assert moved("netra_commands_total", command="user_message", code="OK") == QUESTIONS
    assert moved("netra_commands_total", command="ping", code="OK") == SOCKETS
    assert moved("netra_frames_sent_total") == load.frames
    assert moved("netra_events_sent_total", way="wake_up") == moved("netra_events_sent_total") == load.events
    assert moved("netra_event_lag_seconds_count") == load.events
    assert moved("netra_gap_repairs_total") == 0

    assert moved("netra_runs_begun_total", agent="assistant") == QUESTIONS
    assert moved("netra_runs_ended_total", agent="assistant", outcome="completed") == QUESTIONS
    assert moved("netra_run_seconds_count") == moved("netra_runs_ended_total") == QUESTIONS
    assert moved("netra_audited_total", action="sign_in", code="OK") == 1
    assert moved("netra_audited_total", action="sign_in", code="INVALID_CREDENTIALS") == 2
    assert moved("netra_http_requests_total", route="/api/auth/token", method="POST", status="200") == 1
    assert moved("netra_http_requests_total", route="/api/auth/token", method="POST", status="401") == 2

    with cluster.database() as database:
        [events] = database.execute("SELECT count(*) FROM chat_runevent").fetchall()
        [asked] = database.execute(
            "SELECT count(*), sum(input_tokens), sum(output_tokens), count(*) - count(cost_usd) FROM chat_modelrequest"
        ).fetchall()
    assert moved("netra_events_written_total") == events[0]
    of = {"model": "openai:held"}
    assert asked == (
        moved("netra_model_request_seconds_count", **of, outcome="completed"),
        moved("netra_model_tokens_total", **of, kind="input"),
        moved("netra_model_tokens_total", **of, kind="output"),
        moved("netra_model_unpriced_requests_total", **of),
    )
    assert asked[0] == 2 * QUESTIONS, "an answer and a title each"


def test_the_proxy_shows_nothing_of_it(cluster: Cluster) -> None:
    assert request(cluster.url, "GET", "/metrics", token=TOKEN).status == 404


def test_of_a_worker_that_is_killed_the_others_know_and_its_runs_are_begun_again(
    cluster: Cluster, model: HeldModel
) -> None:
    model.hold()
    before = scraped(cluster)
    killed, other = cluster.workers
    [account] = cluster.add_users(1)
    body = {"type": "assistant", "message": "wait for whom is killed"}
    answer = request(cluster.url, "POST", "/api/agents/execute", token=account.token(), body=body)
    assert answer.status == 202, answer.body
    model.until("begun", "wait for whom is killed")
    urls = {worker: f"http://{worker._settings['metrics_listen']}" for worker in cluster.workers}
    if scrape(urls[killed])("netra_runs_held") == 0:
        killed, other = other, killed
    killed.kill()
    until(lambda: scrape(urls[other])("netra_workers_alive") == 1, what="the other to be the only worker")
    until(lambda: scrape(urls[other])("netra_runs_held") == 1, 60, what="the run to be begun again")
    web = scrape(cluster.web[0].url) + scrape(cluster.web[1].url)
    restarted = (scrape(urls[other]) + web)("netra_runs_restarted_total", reason="worker_lost")
    assert restarted - before("netra_runs_restarted_total", reason="worker_lost") == 1
    model.release()
    killed.start()
    assert scrape(urls[killed])("netra_info", kind="worker") == 1


# Several processes behind one port


class Several(LiveServer):
    """`uvicorn --workers 2`: which of the two answers is chance."""

    def _command(self) -> list[str]:
        return [*super()._command(), "--workers", "2"]

    def children(self) -> list[int]:
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [pid for pid in map(int, found) if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]


@pytest.fixture
def several(cluster: Cluster, tmp_path: Path) -> Iterator[Several]:
    server = Several(
        cluster.folder,
        form="uvicorn",
        worker="external",
        database_url=cluster.postgres.dsn,
        redis_url=cluster.redis.url,
        metrics_token=TOKEN,
        metrics_dir=tmp_path / "metrics",
    )
    server.inherited = {"PATH": os.environ["PATH"]}
    with server:
        yield server
    assert not server.traceback(), server.traceback()


async def test_several_processes_behind_one_port_show_their_sums_and_the_dead_no_sockets(
    cluster: Cluster, several: Several
) -> None:
    [account] = cluster.add_users(1)
    url = several.url

    def every(number: int = 6, **labels: str) -> set[float]:
        """What each of some scrapes shows, whoever answers it."""
        return {scrape(url)("netra_connections", **labels) for _ in range(number)}

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(url, account.token())) for _ in range(8)]
        await eventually(lambda: every() == {8}, what="all sockets to be shown by whoever answers")
        assert scrape(url)("netra_handshake_seconds_count", code="OK") == 8
        assert "process_open_fds" not in scrape(url).types
        held = Counter(pid for client in clients if (pid := owner(several, client)) is not None)
        [(killed, lost)] = held.most_common(1)
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda: every() == {8 - lost}, what="the sockets of the dead to be gone")
        assert scrape(url)("netra_handshake_seconds_count", code="OK") == 8, "what it counted still counts"
        for client in clients:
            if owner(several, client) is None:
                client.socket.transport.abort()
    await eventually(lambda: every() == {0}, what="all sockets to be gone")


def owner(server: Several, client: Client) -> int | None:
    """The process that has the other end of a socket: by its inode in /proc."""
    port = client.socket.local_address[1]
    table = Path("/proc/net/tcp").read_text().splitlines()[1:]
    ends = [line.split() for line in table]
    inodes = {f"socket:[{end[9]}]" for end in ends if int(end[2].rpartition(":")[2], 16) == port}
    for pid in server.children():
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if str(link.readlink()) in inodes:
                    return pid
    return None
