"""`REDIS_URL` as the channel layer takes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from channels_redis.utils import create_pool
from redis.asyncio.connection import UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelConnectionPool, SentinelManagedSSLConnection

from netra.redis_url import channels_host, split


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        ("redis://a:6379/0", ("redis://a:6379/0",)),
        ("redis://a, rediss://b/1 ,unix:///c", ("redis://a", "rediss://b/1", "unix:///c")),
        ("redis+sentinel://u:p@a:1,b:2,c/m/0", ("redis+sentinel://u:p@a:1,b:2,c/m/0",)),
        ("redis+sentinel://a,b/m,redis+sentinel://a,b/n", ("redis+sentinel://a,b/m", "redis+sentinel://a,b/n")),
        (" , ", ()),
    ],
)
def test_a_comma_that_no_scheme_follows_belongs_to_the_sentinels_before_it(
    value: str, addresses: tuple[str, ...]
) -> None:
    assert split(value) == addresses


async def test_sentinels_are_asked_for_the_master_and_each_has_its_own_credentials() -> None:
    host = channels_host("rediss+sentinel://u%40x:p%2C1@a:1,[::1]:2,b/the%20master/3?sentinel_password=s%2C2")
    assert (host["master_name"], host["sentinels"]) == ("the master", [("a", 1), ("::1", 2), ("b", 26379)])
    pool = create_pool(host)
    assert isinstance(pool, SentinelConnectionPool)
    assert pool.connection_class is SentinelManagedSSLConnection
    given = pool.connection_kwargs
    assert (given["username"], given["password"], given["db"]) == ("u@x", "p,1", 3)
    assert 0 < given["socket_timeout"] < 5
    for sentinel in pool.sentinel_manager.sentinels:
        asked = sentinel.connection_pool.connection_kwargs
        assert (asked["username"], asked["password"]) == (None, "s,2")
        assert 0 < asked["socket_timeout"] < 1, "a Sentinel that hangs leaves time to ask the next one"


async def test_without_credentials_none_are_sent() -> None:
    assert channels_host("redis+sentinel://a/m").keys().isdisjoint({"username", "password", "ssl"})


async def test_the_socket_of_a_machine_takes_no_options_of_tcp(tmp_path: Path) -> None:
    pool = create_pool(channels_host(f"unix://{tmp_path}/redis.sock?db=2"))
    connection = pool.make_connection()
    assert isinstance(connection, UnixDomainSocketConnection)
    assert (connection.path, connection.db) == (f"{tmp_path}/redis.sock", 2)


@pytest.mark.parametrize("url", ["redis://:hunter2@a:port", "redis+sentinel://:hunter2@a", "ftp://u:hunter2@a"])
def test_a_refusal_shows_nothing_of_the_address(url: str) -> None:
    with pytest.raises(ValueError, match="must look like") as refused:
        channels_host(url)
    assert "hunter2" not in str(refused.value)
