"""Runs as server-sent events, over real servers: whole, resumed, ended, refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netra.config import ServerName
from tests.clients import Account, assert_whole
from tests.e2e.conftest import new_data_dir, scripted_server
from tests.e2e.test_slow_reader import FULL_EVENTS, ended, memory, write_run
from tests.event_source import EVENTS, event_source
from tests.live import LiveServer
from tests.processes import eventually

SLOW: dict[str, Any] = {"offline_tokens_per_second": 20, "sse_keep_alive_seconds": 0.2, "sweep_seconds": 0.5}


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def slow(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server whose agents take their time, with one that asks for approvals."""
    folder = tmp_path_factory.mktemp("scripted")
    for data_dir in new_data_dir():
        yield from scripted_server(data_dir, folder, asgi_server=request.param, max_connections=6, **SLOW)


def execute(server: LiveServer, account: Account, message: str, agent: str = "assistant", **fields: Any) -> Any:
    body = {"type": agent, "message": message, **fields}
    answer = server.http("POST", "/api/agents/execute", token=account.token(), body=body)
    assert answer.status == 202, answer.body
    assert answer.headers["Location"] == f"/api/runs/{answer.body['run_id']}"
    return answer.body


async def test_an_agent_that_is_asked_answers_with_the_run_as_a_stream(slow: LiveServer) -> None:
    account = slow.add_user()
    for path, body in (
        ("/api/agents/execute", {"type": "assistant", "message": "What is 6 * 7?"}),
        ("/api/agents/assistant", {"message": "What is 6 * 7?"}),
    ):
        async with event_source(slow.url, path, token=account.token(), body=body) as stream:
            assert stream.response.status_code == 200
            assert stream.response.headers["content-type"].startswith(EVENTS)
            assert stream.response.headers["x-accel-buffering"] == "no"
            events = await stream.rest()
        assert_whole(events)
        assert stream.ids == [str(event["seq"]) for event in events]
        assert "42" in events[-1]["data"]["message"]["content"]
        assert stream.comments


async def test_a_stream_that_breaks_is_resumed_without_loss_or_repetition(slow: LiveServer) -> None:
    account = slow.add_user()
    run_id = execute(slow, account, "help")["run_id"]
    seen: list[dict[str, Any]] = []
    last_id = None
    while not seen or seen[-1]["type"] != "agent_completed":
        path = f"/api/runs/{run_id}/events"
        async with event_source(slow.url, path, token=account.token(), last_id=last_id) as stream:
            for _ in range(7):  # and leaves in the middle
                seen.append(await stream.receive())
                if seen[-1]["type"] == "agent_completed":
                    break
            last_id = stream.last_id
    assert len(seen) > 14
    assert_whole(seen)
    # Nothing is left: an EventSource that is told so stops asking.
    async with event_source(slow.url, path, token=account.token(), last_id=last_id) as stream:
        assert stream.response.status_code == 204
    page = slow.http("GET", f"{path}?limit=1000", token=account.token()).body
    assert (page["events"], page["next"], page["status"]) == (seen, None, "completed")


async def test_a_stream_ends_where_the_run_waits_and_goes_on_from_there(slow: LiveServer) -> None:
    account = slow.add_user()
    body = {"type": "scripted", "message": "I ask. & read a & read b; outcomes"}
    async with event_source(slow.url, "/api/agents/execute", token=account.token(), body=body) as stream:
        events = await stream.rest()
    assert [event["type"] for event in events][-2:] == ["approval_required"] * 2
    run_id, calls = events[0]["run_id"], [event["data"]["tool_call_id"] for event in events[-2:]]
    path = f"/api/runs/{run_id}/events"
    async with event_source(slow.url, path, token=account.token(), last_id=stream.last_id) as waiting:
        assert waiting.response.status_code == 200
        for call in calls:
            answer = slow.http(
                "POST", f"/api/runs/{run_id}/approvals/{call}", token=account.token(), body={"approved": True}
            )
            assert answer.status == 200
        rest = await waiting.rest()
    assert_whole([*events, *rest])


async def test_all_runs_of_a_person_are_one_stream_that_is_resumed(slow: LiveServer) -> None:
    account, other = slow.add_users(2)
    token = account.token()
    seen: list[dict[str, Any]] = []
    async with event_source(slow.url, "/api/events", token=token) as stream:
        first = await stream.receive()
        assert (first["type"], first["last_run_number"], first["open_runs"]) == ("stream_established", 0, [])
        run_ids = [execute(slow, account, "help")["run_id"] for _ in range(2)]
        execute(slow, other, "help")
        while len([frame for frame in seen if "seq" in frame]) < 9:
            seen.append(await stream.receive())
        last_id = stream.last_id
    run_ids.append(execute(slow, account, "What is 6 * 7?")["run_id"])  # while nobody looks
    ended: set[str] = set()
    async with event_source(slow.url, "/api/events", token=token, last_id=last_id) as stream:
        assert (await stream.receive())["type"] == "stream_established"
        assert set((await stream.receive("resumed"))["runs"]) == set(run_ids)
        while ended != set(run_ids):
            seen.append(await stream.receive())
            if seen[-1]["type"] == "agent_completed":
                ended.add(seen[-1]["run_id"])
        last_id = stream.last_id
    assert last_id == "3"
    for run_id in run_ids:
        assert_whole([frame for frame in seen if frame.get("run_id") == run_id])
    assert {frame["run_id"] for frame in seen if "run_id" in frame} == set(run_ids)
    assert "thread_created" in {frame["type"] for frame in seen}


async def test_a_stream_begins_with_the_open_runs(slow: LiveServer) -> None:
    account = slow.add_user()
    run_id = execute(slow, account, "help")["run_id"]
    async with event_source(slow.url, "/api/events", token=account.token()) as stream:
        [open_run] = (await stream.receive())["open_runs"]
        assert open_run["run_id"] == run_id
        await stream.receive("agent_completed")
        assert_whole([frame for frame in stream.frames if frame.get("run_id") == run_id])


async def test_who_leaves_stops_nothing_and_holds_nothing(slow: LiveServer) -> None:
    account = slow.add_user()
    body = {"type": "assistant", "message": "help"}
    run_ids = []
    for _ in range(8):  # more than may be open at the same time
        async with event_source(slow.url, "/api/agents/execute", token=account.token(), body=body) as stream:
            run_ids.append((await stream.receive())["run_id"])
    runs = [f"/api/runs/{run_id}" for run_id in run_ids]

    def all_completed() -> bool:
        return all(slow.http("GET", run, token=account.token()).body["status"] == "completed" for run in runs)

    await eventually(all_completed, what="the runs that nobody watches to end")


async def test_too_many_streams_are_refused_until_one_ends(slow: LiveServer) -> None:
    account = slow.add_user()
    token = account.token()
    async with asyncio.TaskGroup() as group:
        opened = asyncio.Semaphore(0)
        close = asyncio.Event()

        async def hold() -> None:
            async with event_source(slow.url, "/api/events", token=token) as stream:
                await stream.receive()
                opened.release()
                await close.wait()

        for _number in range(6):
            group.create_task(hold())
        for _number in range(6):
            await opened.acquire()
        async with event_source(slow.url, "/api/events", token=token) as refused:
            assert refused.response.status_code == 429
            assert refused.response.headers["retry-after"]
            await refused.response.aread()
            assert refused.response.json()["error_code"] == "TOO_MANY_CONNECTIONS"
        close.set()

    def accepted() -> bool:
        return slow.http("GET", "/api/me", token=token).status == 200

    await eventually(accepted, what="an answer")
    async with event_source(slow.url, "/api/events", token=token) as stream:
        await stream.receive()


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/api/events", {}, 401, "NO_TOKEN"),
        ("/api/events", {"Authorization": "Bearer nonsense"}, 401, "INVALID_TOKEN"),
        ("/api/events", {"last-event-id": "x"}, 400, "INVALID_MESSAGE"),
        ("/api/events", {"last-event-id": "1;2"}, 400, "INVALID_MESSAGE"),
        ("/api/runs/00000000-0000-4000-8000-000000000000/events", {}, 404, "RUN_NOT_FOUND"),
        ("/api/runs/{run}/events", {"last-event-id": "-1"}, 400, "INVALID_MESSAGE"),
        ("/api/runs/{run}/events", {"last-event-id": "9999"}, 400, "INVALID_MESSAGE"),
        ("/api/runs/{run}/events", {"Host": "evil.example"}, 400, "INVALID_MESSAGE"),
        ("/api/runs/{foreign}/events", {}, 404, "RUN_NOT_FOUND"),
    ],
)
async def test_what_cannot_be_streamed_is_an_ordinary_error(
    slow: LiveServer, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    account, other = slow.add_users(2)
    run, foreign = execute(slow, account, "Hello!")["run_id"], execute(slow, other, "Hello!")["run_id"]
    token = None if code in ("NO_TOKEN", "INVALID_TOKEN") else account.token()
    async with event_source(slow.url, path.format(run=run, foreign=foreign), token=token, headers=headers) as stream:
        await stream.response.aread()
        body = stream.response.json()
    assert (stream.response.status_code, body["error_code"]) == (status, code)
    assert body.keys() == {"error_code", "error_message", "details", "correlation_id"}
    assert stream.response.headers["x-correlation-id"] == body["correlation_id"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"type": "assistant"}, 400, "INVALID_MESSAGE"),
        ({"message": "Hello!"}, 400, "INVALID_MESSAGE"),
        ([], 400, "INVALID_MESSAGE"),
        ({"type": "nobody", "message": "Hello!"}, 404, "AGENT_NOT_FOUND"),
        ({"type": "assistant", "message": ""}, 400, "INVALID_MESSAGE"),
        ({"type": "assistant", "message": "x\x00"}, 400, "INVALID_MESSAGE"),
        ({"type": "assistant", "message": "x" * 70_000}, 413, "MESSAGE_TOO_LARGE"),
        ({"type": "assistant", "message": "x" * 1_000_000}, 413, "MESSAGE_TOO_LARGE"),
    ],
)
async def test_a_bad_question_is_refused_alike_with_and_without_a_stream(
    slow: LiveServer, body: Any, status: int, code: str
) -> None:
    account = slow.add_user()
    async with event_source(slow.url, "/api/agents/execute", token=account.token(), body=body) as stream:
        await stream.response.aread()
    assert (stream.response.status_code, stream.response.json()["error_code"]) == (status, code)
    plain = slow.http("POST", "/api/agents/execute", token=account.token(), body=body)
    assert (plain.status, plain.body["error_code"]) == (status, code)


async def test_a_stream_ends_with_its_token(slow: LiveServer) -> None:
    account = slow.add_user()
    async with event_source(slow.url, "/api/events", token=account.token(exp=int(time.time()) + 2)) as stream:
        frames = await stream.rest()
    assert frames[-1]["error_code"] == "TOKEN_EXPIRED"


async def test_a_deleted_thread_ends_the_stream_of_its_run(slow: LiveServer) -> None:
    account = slow.add_user()
    body = {"type": "assistant", "message": "help"}
    async with event_source(slow.url, "/api/agents/execute", token=account.token(), body=body) as stream:
        thread_id = (await stream.receive())["thread_id"]
        assert slow.http("DELETE", f"/api/threads/{thread_id}", token=account.token()).status == 204
        frames = await stream.rest()
    assert frames[-1]["type"] in ("agent_cancelled", "error_message")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("asgi_server", ["daphne", "uvicorn"])
async def test_a_reader_that_does_not_read_costs_the_server_no_memory(data_dir: Path, asgi_server: ServerName) -> None:
    with LiveServer(data_dir, asgi_server=asgi_server, sweep_seconds=3600.0, ws_window_timeout=600.0) as server:
        account = server.add_user()
        first = execute(server, account, "Hello!")["run_id"]
        await eventually(lambda: ended(server, first), what="a run that others can be like")
        run_id = write_run(server, account, events=FULL_EVENTS)  # 50 MB
        path = f"/api/runs/{run_id}/events"
        async with event_source(server.url, path, token=account.token()) as stream:
            await stream.receive()
            before = memory(server)
            # What the server would send, it would have sent by the time that others are answered many times.
            for _ in range(100):
                assert server.http("GET", "/health/ready").status == 200
            grown = memory(server) - before
            assert grown < 12 * 1024 * 1024, grown
            frames = await stream.rest()
        assert [frame["seq"] for frame in frames] == list(range(1, FULL_EVENTS + 1))


async def test_a_server_that_goes_away_says_so_and_another_goes_on(data_dir: Path) -> None:
    with LiveServer(data_dir, **SLOW) as server:
        account = server.add_user()
        body = {"type": "assistant", "message": "help"}
        async with event_source(server.url, "/api/agents/execute", token=account.token(), body=body) as stream:
            run_id = (await stream.receive("agent_response_chunk"))["run_id"]
            server.process.terminate()
            frames = await stream.rest()
        assert frames[-1]["type"] == "server_draining"
        events = frames[:-1]
        assert server.wait() == 0
        server.start()
        path = f"/api/runs/{run_id}/events"
        async with event_source(server.url, path, token=account.token(), last_id=stream.last_id) as stream:
            events += await stream.rest()
        assert_whole(events)


def test_a_person_without_a_stream_is_told_to_ask_for_one(slow: LiveServer) -> None:
    account = slow.add_user()
    answer = slow.http("GET", "/api/events", token=account.token())
    assert (answer.status, answer.body["error_code"]) == (406, "NOT_ACCEPTABLE")
