"""`/metrics`: who may read it, that it asks nobody who they are, and that nothing in it is anybody's."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError
from django.test import AsyncClient, Client
from prometheus_client import REGISTRY
from pydantic import SecretStr

from chat import figures
from netra import exposition, listen_address
from netra.exposition import render
from netra.testing import Netra
from tests.processes import HOST, free_port
from tests.readings import Readings

TOKEN = "a token of tests and metrics"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
WRONG = [None, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer", "Bearer ", TOKEN, f"Basic {TOKEN}", "Bearer \xff"]


@pytest.fixture
def use(settings: Any) -> Callable[..., None]:
    def change(**changes: Any) -> None:
        settings.NETRA = settings.NETRA.model_copy(update=changes)

    return change


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the database said to an earlier test is not remembered."""
    monkeypatch.setattr(figures, "FRESH_SECONDS", 0.0)


async def get(**headers: str) -> Any:
    return await AsyncClient().get("/metrics", headers=headers)


# The view


@pytest.mark.usefixtures("transactional_db", "fresh")
async def test_in_development_it_is_open_and_has_all_that_there_is() -> None:
    answer = await get()
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    readings = Readings.of_text(answer.content.decode())
    assert readings("netra_database_up") == 1
    assert readings("process_open_fds") > 0
    assert {family.name for family in REGISTRY.collect()} <= readings.types.keys()


@pytest.mark.usefixtures("transactional_db")
async def test_it_counts_what_was_sent_just_now() -> None:
    from chat import metrics

    before = Readings.of_text((await get()).content.decode())
    metrics.ANSWERS.sent("four", 0)
    after = Readings.of_text((await get()).content.decode())
    assert after("netra_sent_bytes_total") - before("netra_sent_bytes_total") == 4


@pytest.mark.usefixtures("transactional_db")
async def test_with_a_token_only_who_has_it_reads(use: Callable[..., None]) -> None:
    for environment in ("development", "production"):
        use(metrics_token=SecretStr(TOKEN), environment=environment)
        assert (await get(**BEARER)).status_code == 200
        assert (await get(Authorization=f"bearer {TOKEN}")).status_code == 200
        for value in WRONG:
            answer = await get(**({"Authorization": value} if value is not None else {}))
            assert answer.status_code == 401, value
            assert answer["WWW-Authenticate"] == 'Bearer realm="metrics"'
            assert b"netra_" not in answer.content


async def test_outside_development_there_is_nothing_without_a_token(use: Callable[..., None]) -> None:
    use(environment="staging")
    missing = await AsyncClient().get("/nothing-is-here")
    for headers in ({}, BEARER):
        answer = await get(**headers)
        assert (answer.status_code, answer.content) == (404, missing.content)


@pytest.mark.usefixtures("transactional_db")
async def test_prometheus_asks_a_process_by_its_own_address() -> None:
    """Which is no host that is served, and no reason to refuse."""
    by_address = {"host": "172.18.0.5:8000"}
    assert (await AsyncClient().get("/health", headers=by_address)).status_code == 400
    assert (await get(**by_address)).status_code == 200


async def test_it_is_only_read() -> None:
    answer = await AsyncClient().post("/metrics")
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")


@pytest.mark.usefixtures("transactional_db", "fresh")
def test_it_asks_nobody_who_they_are(client: Client, django_assert_num_queries: Any) -> None:
    """Also who comes with a session, which the administration would look up."""
    client.cookies["sessionid"] = "whose" * 7
    with django_assert_num_queries(0):
        assert client.get("/metrics").status_code == 200
    with django_assert_num_queries(1):
        client.get("/admin/")


@pytest.mark.usefixtures("fresh")
async def test_a_scrape_answers_without_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> figures.Figures:
        raise OperationalError("connection refused")

    monkeypatch.setattr(exposition.figures, "_read", away)
    readings = Readings.of_text((await get()).content.decode())
    assert readings("netra_database_up") == 0
    assert "netra_queue_depth" not in readings.types
    assert "netra_connections" in readings.types


@pytest.mark.usefixtures("fresh")
async def test_nothing_in_it_is_anybody_s(netra: Netra) -> None:
    """After somebody has signed in, asked, and been refused: no name, id, word, token or path."""
    ann = await netra.user("ann-of-green-gables", email="ann@example.org")
    socket = await netra.connect(ann)
    events = await netra.ask(socket, "Where is the treasure?")
    client, token = AsyncClient(), netra.token(ann)
    await client.get(f"/api/threads/{events[0]['thread_id']}", headers={"Authorization": f"Bearer {token}"})
    await client.get("/t/treasure")
    text = (await sync_to_async(render)()).decode()
    assert "netra_runs_ended_total" in text
    hidden = ["ann-of", "example.org", "treasure", token, events[0]["thread_id"], events[0]["run_id"]]
    hidden += [events[-1]["data"]["message"]["id"], socket.established["connection_id"]]
    assert [value for value in hidden if value in text] == []


# A worker's


@pytest.fixture
def worker(transactional_db: None) -> Iterator[int]:
    """The port of a worker's own server."""
    port = free_port()
    end = exposition.listen(f"{HOST}:{port}")
    yield port
    end()


def ask(port: int, path: str = "/metrics", method: str = "GET", **headers: str) -> tuple[int, str]:
    with contextlib.closing(http.client.HTTPConnection(HOST, port, timeout=10)) as connection:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@pytest.mark.usefixtures("fresh")
def test_a_worker_serves_the_same_and_nothing_else(worker: int, use: Callable[..., None]) -> None:
    status, text = ask(worker)
    assert status == 200
    assert Readings.of_text(text)("netra_database_up") == 1
    assert "netra_runs_held" in text
    for path in ("/", "/metrics/x", "/api/threads", "/health"):
        assert ask(worker, path)[0] == 404
    assert ask(worker, method="POST")[0] == 405
    use(metrics_token=SecretStr(TOKEN))
    assert ask(worker, **BEARER)[0] == 200
    assert ask(worker)[0] == ask(worker, Authorization=f"Bearer {TOKEN}x")[0] == 401
    use(metrics_token=None, environment="production")
    assert ask(worker, **BEARER)[0] == 404


def test_a_port_that_is_taken_is_an_error(worker: int) -> None:
    with pytest.raises(OSError, match="in use"):
        exposition.listen(f"{HOST}:{worker}")


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("127.0.0.1:9100", ("127.0.0.1", 9100)), ("[::1]:9100", ("::1", 9100)), (":9100", ("::", 9100))],
)
def test_an_address_is_a_host_and_a_port(text: str, parsed: tuple[str, int]) -> None:
    assert listen_address.parse(text) == parsed


@pytest.mark.parametrize(
    "text", ["9100", "host", "host:", "host:0", "host:x", "host:70000", "http://host:1", "u@host:1", "host:1/x", ""]
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="address and a port"):
        listen_address.parse(text)
