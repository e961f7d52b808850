"""The Redis in which processes count together: its address in every form, and what becomes of counting without it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from chat import shared_redis
from chat.shared_redis import MOST_AT_ONCE, PAUSE_SECONDS, SharedRedis
from netra.redis_url import channels_host
from tests.processes import LiveRedis, until


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("redis://u:p@r:6380/3", {"host": "r", "port": 6380, "username": "u", "password": "p", "db": 3}),
        ("unix:///run/redis.sock", {"path": "/run/redis.sock"}),
        ("redis+sentinel://u:p@a:1,b/master/3?sentinel_password=s", {"username": "u", "password": "p", "db": 3}),
    ],
)
def test_every_form_of_address_is_understood(url: str, known: dict[str, object]) -> None:
    client = SharedRedis([channels_host(url)]).client
    assert client is not None
    pool: Any = client.connection_pool
    assert known.items() <= pool.connection_kwargs.items()
    assert pool.connection_kwargs["socket_timeout"] == 1.0
    if "sentinel" in url:
        assert pool.service_name == "master"
        asked = [sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels]
        assert [(each["host"], each["port"], each["password"]) for each in asked] == [("a", 1, "s"), ("b", 26379, "s")]


def test_one_that_is_away_is_asked_again_after_a_pause(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.monotonic()
    at = [began]
    monkeypatch.setattr(time, "monotonic", lambda: at[0])
    asked: list[str] = []
    with LiveRedis() as server:
        shared = SharedRedis([channels_host(server.url)])
        client = shared.client
        assert client is not None

        def ask() -> str:
            def there() -> str:
                asked.append("asked")
                return "shared" if client.ping() else ""

            return shared.ask(there, lambda: "here")

        assert ask() == "shared"
        server.kill()
        assert [ask() for _ in range(5)] == ["here"] * 5
        was_away = shared.is_away
        assert was_away
        assert len(asked) == 2, "and not before each count again"
        monkeypatch.undo()
        server.start()
        monkeypatch.setattr(time, "monotonic", lambda: at[0])
        at[0] += PAUSE_SECONDS
        assert ask() == "shared"
    assert not shared.is_away
    lines = [record.msg["event"] for record in caplog.records if isinstance(record.msg, dict)]
    assert lines == ["counting_redis_lost", "counting_redis_back"]


def test_more_requests_at_once_than_the_pool_has_connections_are_all_counted_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_redis, "REDIS_SECONDS", 30.0)
    requests = 3 * MOST_AT_ONCE
    with LiveRedis() as server, ThreadPoolExecutor(requests) as threads:
        shared = SharedRedis([channels_host(server.url)])
        client: Any = shared.client
        assert requests > client.connection_pool.max_connections
        asked = [
            threads.submit(shared.ask, lambda: str(client.blpop(["counts"])), lambda: "here") for _ in range(requests)
        ]
        with redis.Redis.from_url(server.url) as watching:
            until(lambda: watching.info("clients")["blocked_clients"] >= MOST_AT_ONCE, what="those that may to ask")
            watching.rpush("counts", *range(requests))
            counted = [each.result() for each in asked]
        assert "here" not in counted
        assert not shared.is_away


def test_without_one_each_process_counts_for_itself() -> None:
    shared = SharedRedis([])
    assert shared.client is None
    assert shared.ask(lambda: "shared", lambda: "here") == "here"
    assert not shared.is_away
