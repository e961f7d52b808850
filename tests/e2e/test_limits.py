"""Limits on two web processes, under a hundred clients at once: exactly so many are let through as are allowed, and
others do not notice.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.clients import Account, Client, Frame, connected, dial, request
from tests.cluster import Cluster
from tests.e2e.conftest import new_data_dir
from tests.processes import eventually

CLIENTS = 100
CONNECTS, REQUESTS = 120, 150
BYSTANDERS = 4
MEASURED = 16
# How many times longer others may wait while a person floods the server, on two cores that the flood has as well.
WORST_RATIO = 30


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Nothing but what a test is about is limited. No process of it may write a traceback."""
    settings: dict[str, Any] = {
        "connects_per_minute": CONNECTS,
        "requests_per_minute": REQUESTS,
        "max_connections": 1000,
        "max_open_runs": 1000,
        "user_messages_per_minute": 100_000,
        "commands_per_minute": 1_000_000,
        "ws_connect_timeout": 10,
    }
    for folder in new_data_dir():
        with Cluster(folder, workers=1, **settings) as cluster:
            yield cluster
        for process in cluster.netra:
            assert not process.traceback(), process.traceback()


def person(cluster: Cluster, **allowed: int) -> Account:
    """Somebody with an allowance."""
    [account] = cluster.add_users(1, "flooding")
    with cluster.database() as connection:
        connection.execute(
            f"INSERT INTO chat_allowance (user_id{''.join(f', {name}' for name in allowed)}) "
            f"VALUES (%s{', %s' * len(allowed)})",
            (account.id, *allowed.values()),
        )
    return account


def urls(cluster: Cluster, number: int) -> list[str]:
    """Those of the web processes in turn."""
    return [web.url for web, _ in zip(itertools.cycle(cluster.web), range(number), strict=False)]


@asynccontextmanager
async def crowd(cluster: Cluster, account: Account, number: int = CLIENTS) -> AsyncIterator[list[Client]]:
    """So many sockets of one person, half of them at each process."""
    async with AsyncExitStack() as stack:

        async def join(url: str) -> Client:
            return await stack.enter_async_context(connected(url, account.token(), max_queue=None))

        yield await asyncio.gather(*map(join, urls(cluster, number)))


def outcome(frame: Frame) -> str:
    return str(frame.get("error_code", frame["type"]))


async def greetings(cluster: Cluster, account: Account, number: int) -> Counter[str]:
    """How so many handshakes at once end. Who is let in stays until all have their answer."""
    answered = asyncio.Event()
    outcomes: list[str] = []

    async def come(url: str) -> None:
        async with dial(url, token=account.token()) as client:
            first = await client.receive()
            outcomes.append(outcome(first))
            if len(outcomes) == number:
                answered.set()
            if "error_code" in first:
                assert first["retry_after"] > 0
                assert await client.closed() == 4429
            await answered.wait()

    await asyncio.gather(*map(come, urls(cluster, number)))
    return Counter(outcomes)


async def said_at_once(clients: list[Client], times: int = 1) -> list[Frame]:
    """The replies to what all of them say at the same moment."""

    async def say(client: Client) -> list[Frame]:
        return [await client.request(type="user_message", content="thanks") for _ in range(times)]

    return [reply for replies in await asyncio.gather(*map(say, clients)) for reply in replies]


def counted(replies: list[Frame]) -> Counter[str]:
    return Counter(map(outcome, replies))


# Exactly so many


async def test_of_a_hundred_messages_at_once_as_many_are_taken_as_a_minute_has(cluster: Cluster) -> None:
    account = person(cluster, messages_per_minute=40)
    async with crowd(cluster, account) as clients:
        replies = await said_at_once(clients)
        assert counted(replies) == {"message_accepted": 40, "RATE_LIMITED": 60}
        assert all(0 < reply["retry_after"] <= 60 for reply in replies if "error_code" in reply)


async def test_of_a_hundred_questions_at_once_as_many_are_taken_as_a_day_has(cluster: Cluster) -> None:
    account = person(cluster, runs_per_day=30)
    async with crowd(cluster, account) as clients:
        replies = await said_at_once(clients)
        assert counted(replies) == {"message_accepted": 30, "ALLOWANCE_USED": 70}
        told = [reply["allowance"][0] for reply in replies if "allowance" in reply]
        assert sorted(use["used"] for use in told) == list(range(24, 31)), "from four fifths on"
        [use] = (request(cluster.url, "GET", "/api/usage/allowance", token=account.token()).body["allowance"])[:1]
        assert (use["used"], use["allowed"]) == (30, 30)


async def test_of_a_hundred_questions_at_once_as_many_are_open_as_may_be(cluster: Cluster) -> None:
    account = person(cluster, open_runs=7)
    [worker] = cluster.workers
    worker.pause()
    try:
        async with crowd(cluster, account) as clients:
            assert counted(await said_at_once(clients)) == {"message_accepted": 7, "TOO_MANY_RUNS": 93}
    finally:
        worker.go_on()


async def test_of_a_hundred_sockets_at_once_as_many_are_let_in_as_a_person_may_have(cluster: Cluster) -> None:
    account = person(cluster, connections=30)
    assert await greetings(cluster, account, CLIENTS) == {"connection_established": 30, "TOO_MANY_CONNECTIONS": 70}

    async def all_places_are_free() -> bool:
        answer = await asyncio.to_thread(request, cluster.url, "GET", "/api/usage/allowance", token=account.token())
        return bool(answer.body["allowance"][-1]["used"] == 0)

    async with asyncio.timeout(30):
        while not await all_places_are_free():  # noqa: ASYNC110 - what it waits for is in Redis
            await asyncio.sleep(0.05)
    async with crowd(cluster, account, 15) as clients:
        await asyncio.gather(*(client.ping() for client in clients))


async def test_a_person_opens_as_many_sockets_as_a_minute_has(cluster: Cluster) -> None:
    account = person(cluster)
    number = CONNECTS + 40
    assert await greetings(cluster, account, number) == {"connection_established": CONNECTS, "RATE_LIMITED": 40}


async def test_a_person_is_answered_as_often_as_a_minute_has(cluster: Cluster) -> None:
    account = person(cluster)
    token = account.token()

    def ask(url: str) -> list[Any]:
        return [request(url, "GET", "/api/me", token=token) for _ in range(2)]

    pairs = await asyncio.gather(*(asyncio.to_thread(ask, url) for url in urls(cluster, CLIENTS)))
    answers = [answer for pair in pairs for answer in pair]
    assert Counter(answer.status for answer in answers) == {200: REQUESTS, 429: 2 * CLIENTS - REQUESTS}
    left = sorted(int(answer.headers["RateLimit"].split(";")[1][2:]) for answer in answers if answer.status == 200)
    assert left == list(range(REQUESTS)), "each answer told another number"
    assert all(1 <= int(answer.headers["Retry-After"]) <= 60 for answer in answers if answer.status == 429)


# Nobody else notices


def look_on(urls: list[str], tokens: list[str]) -> dict[str, float]:
    """The median of the seconds that a message and a request of others take: run by a process that has its own clients
    and does nothing else.
    """
    return asyncio.run(_look_on(urls, tokens))


async def _look_on(urls: list[str], tokens: list[str]) -> dict[str, float]:
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(connected(url, token, max_queue=None))
            for url, token in zip(urls, tokens, strict=True)
        ]
        seconds: dict[str, list[float]] = {"message": [], "request": []}
        for number in range(MEASURED):
            place = number % len(urls)
            began = time.perf_counter()
            await sockets[place].post("thanks")
            posted = time.perf_counter()
            assert request(urls[place], "GET", "/api/me", token=tokens[place]).status == 200
            seconds["message"].append(posted - began)
            seconds["request"].append(time.perf_counter() - posted)
    return {what: statistics.median(each) for what, each in seconds.items()}


async def test_others_are_not_refused_and_hardly_wait_while_somebody_floods(cluster: Cluster) -> None:
    flooding = person(cluster, messages_per_minute=5, connections=200)
    places, tokens = urls(cluster, BYSTANDERS), [account.token() for account in cluster.add_users(BYSTANDERS)]
    over = asyncio.Event()
    replies: Counter[str] = Counter()

    async def flood(client: Client) -> None:
        while not over.is_set():
            replies[outcome(await client.request(type="user_message", content="more"))] += 1

    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        async with crowd(cluster, flooding) as clients:
            calm = await loop.run_in_executor(pool, look_on, places, tokens)
            floods = [asyncio.create_task(flood(client)) for client in clients]
            flooded = await loop.run_in_executor(pool, look_on, places, tokens)
            over.set()
            await asyncio.gather(*floods)
    assert replies == {"message_accepted": 5, "RATE_LIMITED": replies["RATE_LIMITED"]}
    assert replies["RATE_LIMITED"] > CLIENTS
    print(f"refused meanwhile: {replies['RATE_LIMITED']}")
    ratios = {what: seconds / calm[what] for what, seconds in flooded.items()}
    for what, seconds in flooded.items():
        print(
            f"a {what} of others: {calm[what] * 1000:.1f} ms, in the flood {seconds * 1000:.1f} ms: {ratios[what]:.1f}"
        )
    assert max(ratios.values()) < WORST_RATIO, f"others take so many times as long: {ratios}"


# Without Redis


async def test_when_redis_is_killed_in_the_middle_each_process_counts_and_service_goes_on(cluster: Cluster) -> None:
    flooding, [other] = person(cluster, messages_per_minute=10, connections=60), cluster.add_users(1)
    async with crowd(cluster, flooding, 50) as clients:
        flood = asyncio.create_task(said_at_once(clients, times=6))
        await eventually(lambda: sum(len(client.frames) for client in clients) > 100, what="the flood to begin")
        cluster.redis.kill()
        try:
            outcomes = counted(await flood)
            assert outcomes.keys() == {"message_accepted", "RATE_LIMITED"}
            assert 10 <= outcomes["message_accepted"] <= 30, "those of before, and those of each process"
            alone = person(cluster, messages_per_minute=10, connections=20)
            async with crowd(cluster, alone, 40) as others:
                assert counted(await said_at_once(others)) == {"message_accepted": 20, "RATE_LIMITED": 20}
            async with connected(cluster.web[0].url, other.token()) as client:
                await client.ask("thanks")
            assert request(cluster.web[1].url, "GET", "/api/me", token=other.token()).headers["RateLimit"]
        finally:
            cluster.redis.start()
    async with asyncio.timeout(30):
        while True:
            back = person(cluster, messages_per_minute=10)
            async with crowd(cluster, back, 30) as clients:
                outcomes = counted(await said_at_once(clients))
            if outcomes == {"message_accepted": 10, "RATE_LIMITED": 20}:
                break
