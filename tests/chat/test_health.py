"""Which parts are there, and what is said when one is not: over HTTP, at start-up and on the socket."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from django.apps import apps
from django.core import checks
from django.db import connection, connections
from django.test import AsyncClient

from agents.apps import AgentsConfig
from chat.apps import ChatConfig
from netra.redis_url import channels_host
from netra.testing import Netra, eventually, receive, send

READY, HEALTH = "/health/ready", "/health"


@pytest.fixture
def without_worker(configure: Callable[..., None]) -> None:
    configure(worker="external")


@pytest.fixture
def without_model(configure: Callable[..., None]) -> None:
    """As a deployment with a mistake in NETRA_MODEL starts."""
    configure(model="no-such-provider:model")


@pytest.fixture
def without_layer(settings: Any) -> None:
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "chat.redis_layer.RedisLayer",
            "CONFIG": {"hosts": [channels_host("redis://127.0.0.1:1/0")]},
        }
    }


@pytest.fixture
def database_away(transactional_db: None) -> Iterator[Callable[[], Any]]:
    """What takes the database away: its address then is a folder in which no server listens."""
    given = dict(connection.settings_dict)

    def leave() -> None:
        connections.close_all()
        connection.close_pool()  # type: ignore[attr-defined]  # of the PostgreSQL backend

    with tempfile.TemporaryDirectory() as empty:

        async def take_away() -> None:
            connection.settings_dict["HOST"] = empty
            pool = {**given["OPTIONS"]["pool"], "timeout": 0.3}
            connection.settings_dict["OPTIONS"] = {**given["OPTIONS"], "pool": pool}
            await sync_to_async(leave)()
            # Opened again, it has the address of then.
            await chat().event_log.pool.close()

        yield take_away
        connection.settings_dict.update(given)
        leave()


async def ready() -> tuple[int, dict[str, Any]]:
    answer = await AsyncClient().get(READY)
    return answer.status_code, json.loads(answer.content)


def chat() -> ChatConfig:
    return cast("ChatConfig", apps.get_app_config("chat"))


def agents() -> AgentsConfig:
    return cast("AgentsConfig", apps.get_app_config("agents"))


EVERYTHING = dict.fromkeys(("agent_supervisor", "thread_service", "worker", "database", "channel_layer"), "ready")


# Over HTTP


async def worker_is_up() -> None:
    def beats() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT EXISTS (SELECT 1 FROM procrastinate_workers)")
            return bool(cursor.fetchone()[0])

    await eventually(database_sync_to_async(beats))


@pytest.mark.usefixtures("layer")
async def test_with_all_its_parts_the_server_is_ready(netra: Netra) -> None:
    await worker_is_up()
    assert await ready() == (200, {"status": "ready", "services": EVERYTHING})


@pytest.mark.usefixtures("without_worker")
async def test_without_a_worker_it_is_degraded_and_still_ready(netra: Netra) -> None:
    assert await ready() == (200, {"status": "degraded", "services": EVERYTHING | {"worker": "degraded"}})


@pytest.mark.usefixtures("without_worker")
async def test_a_worker_whose_heartbeat_is_old_is_none(netra: Netra) -> None:
    def beat(seconds_ago: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM procrastinate_workers")
            cursor.execute(
                "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - make_interval(secs => %s))",
                [seconds_ago],
            )

    for seconds_ago, state in ((60, "degraded"), (1, "ready")):
        await database_sync_to_async(beat)(seconds_ago)
        assert (await ready())[1]["services"]["worker"] == state


@pytest.mark.usefixtures("without_layer")
async def test_without_its_channel_layer_it_is_degraded_and_still_ready(netra: Netra) -> None:
    await worker_is_up()
    assert await ready() == (200, {"status": "degraded", "services": EVERYTHING | {"channel_layer": "degraded"}})


@pytest.mark.usefixtures("without_worker")
async def test_without_its_database_it_is_not_ready(netra: Netra, database_away: Callable[[], Any]) -> None:
    await database_away()
    services = EVERYTHING | {"worker": "degraded", "database": "missing"}
    assert await ready() == (503, {"status": "unavailable", "services": services, "missing": ["database"]})


@pytest.mark.usefixtures("without_model", "without_worker")
async def test_without_its_supervisor_it_is_not_ready(netra: Netra) -> None:
    missing = ["agent_supervisor", "thread_service"]
    status, body = await ready()
    assert (status, body["status"], body["missing"]) == (503, "unavailable", missing)
    assert {name for name, state in body["services"].items() if state == "missing"} == set(missing)


@pytest.mark.usefixtures("without_worker")
async def test_without_its_thread_service_it_is_not_ready(netra: Netra) -> None:
    netra.chat.thread_service = None
    status, body = await ready()
    assert (status, body["missing"]) == (503, ["thread_service"])
    assert body["services"] == EVERYTHING | {"thread_service": "missing", "worker": "degraded"}


@pytest.mark.usefixtures("without_worker")
async def test_while_it_goes_away_it_is_not_ready(netra: Netra) -> None:
    netra.chat.connections.drain(0)
    assert await ready() == (503, {"status": "draining"})
    netra.chat.connections.open()
    assert (await ready())[0] == 200


@pytest.mark.usefixtures("without_model", "without_worker")
async def test_everything_that_is_missing_is_named(netra: Netra, database_away: Callable[[], Any]) -> None:
    await database_away()
    assert (await ready())[1]["missing"] == ["agent_supervisor", "thread_service", "database"]


@pytest.mark.usefixtures("without_model", "without_worker")
async def test_health_asks_nothing_of_others(netra: Netra, database_away: Callable[[], Any]) -> None:
    await database_away()
    for path in (HEALTH, f"{HEALTH}/"):
        answer = await AsyncClient().get(path)
        body = json.loads(answer.content)
        assert answer.status_code == 200
        assert (body["status"], body["service"], body["environment"]) == ("healthy", "netra", "development")
        assert body["uptime_seconds"] >= 0


# At start-up


@pytest.mark.usefixtures("db")
def test_with_all_its_parts_no_check_complains(configure: Callable[..., None]) -> None:
    configure()
    assert checks.run_checks() == []


@pytest.mark.usefixtures("without_model", "db")
def test_the_checks_name_the_supervisor_and_the_thread_service() -> None:
    found = {message.id: message for message in checks.run_checks()}
    assert found.keys() == {"agents.E001", "chat.E001"}
    assert "no-such-provider" in found["agents.E001"].msg
    assert "NETRA_MODEL" in str(found["agents.E001"].hint)
    assert all(message.is_serious() for message in found.values())


@pytest.mark.usefixtures("db")
def test_a_thread_service_that_is_missing_alone_is_named(configure: Callable[..., None]) -> None:
    configure()
    chat().thread_service = None
    assert [message.id for message in checks.run_checks()] == ["chat.E001"]


# On the socket


async def refused(netra: Netra, user: Any) -> dict[str, Any]:
    """The one frame of a socket that is then closed with 4503."""
    socket = netra.communicator(headers=netra.headers(user))
    accepted, _ = await socket.connect(timeout=5)
    assert accepted
    frame = await receive(socket)
    assert await socket.receive_output(timeout=5) == {
        "type": "websocket.close",
        "code": 4503,
        "reason": "SERVICE_UNAVAILABLE",
    }
    assert (frame["type"], frame["error_code"]) == ("error_message", "SERVICE_UNAVAILABLE")
    assert frame["retry_after"] > 0
    for name in frame["details"]["missing"]:
        assert name.replace("_", " ") in frame["error_message"]
    return frame


@pytest.mark.usefixtures("without_model", "without_worker")
async def test_a_socket_learns_that_the_supervisor_is_missing(netra: Netra) -> None:
    frame = await refused(netra, await netra.user("ann"))
    assert frame["details"] == {"missing": ["agent_supervisor", "thread_service"]}


@pytest.mark.usefixtures("without_worker")
async def test_a_socket_learns_that_the_thread_service_is_missing(netra: Netra) -> None:
    netra.chat.thread_service = None
    frame = await refused(netra, await netra.user("ann"))
    assert frame["details"] == {"missing": ["thread_service"]}


@pytest.mark.usefixtures("without_worker")
async def test_a_socket_learns_that_the_database_is_missing(netra: Netra, database_away: Callable[[], Any]) -> None:
    ann = await netra.user("ann")
    await database_away()
    frame = await refused(netra, ann)
    assert frame["details"] == {"missing": ["database"]}


@pytest.mark.usefixtures("without_worker")
async def test_a_service_that_goes_missing_closes_the_open_socket_at_the_next_command(netra: Netra) -> None:
    socket = await netra.connect(await netra.user("ann"))
    netra.chat.thread_service = None
    await send(socket, type="user_message", content="Hello", ref="r")
    frame = await receive(socket, "error_message")
    assert (frame["error_code"], frame["details"]) == ("SERVICE_UNAVAILABLE", {"missing": ["thread_service"]})
    assert (await socket.receive_output(timeout=5))["code"] == 4503


@pytest.mark.usefixtures("without_worker")
async def test_a_database_that_goes_away_leaves_the_socket_open(netra: Netra, database_away: Callable[[], Any]) -> None:
    socket = await netra.connect(await netra.user("ann"))
    await database_away()
    await send(socket, type="user_message", content="Hello", ref="r")
    frame = await receive(socket, "error_message")
    assert (frame["error_code"], frame["ref"]) == ("SERVICE_UNAVAILABLE", "r")
    assert frame["details"] == {"missing": ["database"]}
    await send(socket, type="ping", ref="still here")
    assert (await receive(socket, "pong"))["ref"] == "still here"


@pytest.mark.usefixtures("without_layer", "without_worker")
async def test_without_worker_and_layer_the_socket_opens_and_says_so(netra: Netra) -> None:
    socket = await netra.connect(await netra.user("ann"))
    assert socket.established["services"] == EVERYTHING | {"channel_layer": "degraded", "worker": "degraded"}


# Over REST


@pytest.mark.usefixtures("without_worker")
async def test_rest_says_503_and_names_the_database(netra: Netra, database_away: Callable[[], Any]) -> None:
    ann = await netra.user("ann")
    token = netra.token(ann)
    await database_away()
    answer = await AsyncClient().get("/api/threads", headers={"Authorization": f"Bearer {token}"})
    body = json.loads(answer.content)
    assert (answer.status_code, body["error_code"]) == (503, "SERVICE_UNAVAILABLE")
    assert body["details"] == {"missing": ["database"]}
    assert int(answer["Retry-After"]) > 0


@pytest.mark.usefixtures("without_model", "without_worker")
async def test_rest_says_503_and_names_the_services(netra: Netra) -> None:
    token = netra.token(await netra.user("ann"))
    answer = await AsyncClient().get("/api/threads", headers={"Authorization": f"Bearer {token}"})
    body = json.loads(answer.content)
    assert (answer.status_code, body["error_code"]) == (503, "SERVICE_UNAVAILABLE")
    assert body["details"] == {"missing": ["agent_supervisor", "thread_service"]}
