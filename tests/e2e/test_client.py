"""The Python client against real servers that end, refuse and go silent."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from netra.client import ApiError, Client, EventsLost, EventStream, Session, SignedOut, Socket, run_events
from tests.clients import Account, assert_state_is_what_rest_shows, assert_whole
from tests.e2e.conftest import new_data_dir, scripted_server
from tests.live import LiveServer
from tests.processes import HOST, REPOSITORY, eventually

SLOW: dict[str, Any] = {"offline_tokens_per_second": 20}


@pytest.fixture
def server(data_dir: Path, tmp_path: Path) -> Iterator[LiveServer]:
    """One to be killed."""
    yield from scripted_server(data_dir, tmp_path, **SLOW)


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that nothing happens to."""
    for data_dir in new_data_dir():
        yield from scripted_server(data_dir, tmp_path_factory.mktemp("scripted"), **SLOW)


def client_of(server: LiveServer, account: Account) -> Client:
    return Client(server.url, username=account.username, password=account.password)


PROGRAM = """
import asyncio, sys
from netra.client import Client

async def main():
    async with Client(sys.argv[1], username=sys.argv[2], password=sys.argv[3]) as netra:
        print((await netra.ask("What is 6 * 7?"))["text"])

asyncio.run(main())
installed = {name.partition(".")[0] for name, module in sys.modules.items() if "site-packages" in str(module)}
print(*sorted(installed & {"django", "channels", "rest_framework", "psycopg", "pydantic", "procrastinate", "agents"}))
"""


def test_its_files_alone_ask_without_settings_and_without_a_database(steady: LiveServer, tmp_path: Path) -> None:
    """Those that docs/client.md names, elsewhere, in an environment that knows nothing of a server."""
    account = steady.add_user()
    shutil.copytree(REPOSITORY / "netra" / "client", tmp_path / "netra" / "client")
    (tmp_path / "chat").mkdir()
    for name in ("netra/__init__.py", "chat/__init__.py", "chat/backoff.py", "chat/fold.py", "chat/run_state.py"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, steady.url, account.username, account.password],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    answer, installed = ran.stdout.splitlines()
    assert "42" in answer
    assert installed == ""


async def test_a_program_stays_in_without_its_password_and_uses_each_refresh_token_once(steady: LiveServer) -> None:
    account = steady.add_user()
    async with Session(steady.url, username=account.username, password=account.password) as session:
        await session.token()
        session._password = None
        used = []
        for _ in range(3):
            used.append(session._refresh)
            await session.renew(await session.token())
        assert len({*used, session._refresh}) == 4
        assert (await session.request("GET", "/api/me"))["username"] == account.username
        [only] = (await session.request("GET", "/api/me/sessions"))["sessions"]
        assert (only["current"], only["kind"]) == (True, "program")


async def test_a_question_is_answered_streamed_and_shown(steady: LiveServer) -> None:
    account = steady.add_user()
    async with client_of(steady, account) as netra:
        run = await netra.ask("What is 6 * 7?")
        assert (run["status"], "42" in run["text"]) == ("completed", True)
        events = [event async for event in netra.stream("What is 6 * 7?", thread_id=run["thread_id"])]
        assert_whole(events)
        assert (await netra.session.request("GET", "/api/me"))["username"] == account.username
        over_http = [event async for event in run_events(netra.session, events[0]["run_id"])]
        assert over_http == events
    assert_state_is_what_rest_shows(steady, account, netra.state)


async def test_a_server_that_is_killed_in_mid_answer_loses_nothing(server: LiveServer) -> None:
    account = server.add_user()
    async with client_of(server, account) as netra:
        seen = []
        async for event in netra.stream("help"):
            seen.append(event)
            if event["type"] == "agent_response_chunk" and not any(e["type"] == "agent_restarted" for e in seen):
                server.kill()
                await asyncio.to_thread(server.start)
        assert_whole(seen)
        assert [event["type"] for event in seen].count("agent_restarted") == 1
    assert_state_is_what_rest_shows(server, account, netra.state)


async def test_what_is_sent_while_nobody_is_there_is_taken_once(server: LiveServer) -> None:
    account = server.add_user()
    async with client_of(server, account) as netra:
        await netra.ask("Hello!")
        server.stop()
        asked = asyncio.create_task(netra.ask("What is 6 * 7?"))
        await eventually(lambda: netra._socket is None, what="the connection to be gone")
        await asyncio.to_thread(server.start)
        assert "42" in (await asked)["text"]
        message_id = str(uuid.uuid4())
        both = await asyncio.gather(*(netra.post("Once", message_id=message_id) for _ in range(2)))
        assert both[0]["run_id"] == both[1]["run_id"]
    runs = server.http("GET", "/api/runs", token=account.token()).body["runs"]
    assert len(runs) == 3


async def test_a_token_is_renewed_before_it_ends(data_dir: Path) -> None:
    with LiveServer(data_dir, access_token_minutes=0.05, offline_tokens_per_second=10) as server:  # three seconds
        account = server.add_user()
        async with client_of(server, account) as netra:
            run = await netra.ask("help")
            assert run["status"] == "completed"
            assert (run["duration_ms"] or 0) > 3500, "longer than the first token"
            await netra.session.request("GET", "/api/me")
        assert server.log_text().count("token_refreshed") >= 1
        assert "TOKEN_EXPIRED" not in server.log_text()


async def test_a_connection_that_is_silent_is_given_up(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netra.client.client.REPLY_SECONDS", 0.5)
    with LiveServer(data_dir, ws_heartbeat_seconds=0.2) as server:
        async with client_of(server, server.add_user()) as netra:
            first = netra._socket
            server.pause()
            await eventually(lambda: netra._socket is not first, what="the dead connection to be noticed")
            server.go_on()
            monkeypatch.undo()
            assert (await netra.ask("Hello!"))["status"] == "completed"


async def test_a_person_allows_and_stops_what_a_run_does(steady: LiveServer) -> None:
    account = steady.add_user()
    async with client_of(steady, account) as netra:
        run = await netra.ask("I ask. & write a; outcomes", agent="scripted")
        assert run["status"] == "awaiting_approval"
        [(call, asked)] = run["approvals"].items()
        assert asked["arguments"] == {"text": "a"}
        run_id = next(iter(netra.state.runs))
        await netra.resolve(run_id, call, approved=True)
        assert "a is written" in (await netra.ended(run_id))["text"]
        with pytest.raises(ApiError) as refused:
            await netra.resolve(run_id, call, approved=False)
        assert refused.value.code == "APPROVAL_NOT_FOUND"
        accepted = await netra.post("help")
        assert await netra.stop(accepted["run_id"]) == "cancelled"
        assert (await netra.ended(accepted["run_id"]))["status"] == "cancelled"


async def test_who_is_not_let_in_is_told(steady: LiveServer) -> None:
    account = steady.add_user()
    with pytest.raises(ApiError) as wrong:
        async with Client(steady.url, username=account.username, password="wrong"):
            pass
    assert (wrong.value.code, wrong.value.status) == ("INVALID_CREDENTIALS", 401)
    with pytest.raises(Exception, match="not valid any more"):
        async with Client(steady.url, token="nonsense"):
            pass
    async with client_of(steady, account) as netra:
        with pytest.raises(ApiError) as refused:
            await netra.post("Hello!", agent="nobody")
        assert refused.value.code == "AGENT_NOT_FOUND"
        with pytest.raises(ApiError) as missing:
            await netra.session.request("GET", f"/api/runs/{uuid.uuid4()}")
        assert (missing.value.code, missing.value.status) == ("RUN_NOT_FOUND", 404)
        assert missing.value.correlation_id


async def test_a_deactivated_person_is_told_and_not_let_in_again(steady: LiveServer) -> None:
    account = steady.add_user()
    async with client_of(steady, account) as netra:
        await netra.ask("Hello!")
        with steady.database() as database:
            database.execute("UPDATE auth_user SET is_active = false WHERE id = %s", [account.id])
        assert netra._socket is not None
        netra._socket.connection.transport.abort()
        with pytest.raises(ApiError) as refused:
            await netra.ask("Hello!")
        assert refused.value.code == "USER_INACTIVE"


async def test_tokens_of_one_person_are_renewed_once(steady: LiveServer) -> None:
    account, before = steady.add_user(), steady.log_text().count("signed_in")
    async with Session(steady.url, username=account.username, password=account.password) as session:
        token = await session.token()
        await asyncio.gather(*(session.renew(token) for _ in range(10)))
        assert await session.token() != token
    assert steady.log_text().count("signed_in") == before + 1
    assert token not in steady.log_text()


async def test_a_question_that_was_answered_long_ago_is_not_asked_again(steady: LiveServer) -> None:
    account = steady.add_user()
    message_id = str(uuid.uuid4())
    async with client_of(steady, account) as netra:
        first = await netra.ask("What is 6 * 7?", message_id=message_id)
    async with client_of(steady, account) as netra:
        assert await netra.ask("What is 6 * 7?", message_id=message_id) == first
        assert_whole([event async for event in netra.events(first["id"])])
        for lost in (str(uuid.uuid4()), await a_deleted_run(netra), await a_pruned_run(netra, steady)):
            with pytest.raises(EventsLost):
                await netra.ended(lost)
            with pytest.raises(EventsLost):
                await anext(netra.events(lost))
    runs = steady.http("GET", "/api/runs", token=account.token()).body["runs"]
    assert [run["input_message_id"] for run in runs].count(message_id) == 1


async def a_deleted_run(netra: Client) -> str:
    run = await netra.ask("What is 6 * 7?")
    await netra.session.request("DELETE", f"/api/threads/{run['thread_id']}")
    return run["id"]


async def a_pruned_run(netra: Client, server: LiveServer) -> str:
    """Its client has forgotten it, and its server its events."""
    run = await netra.ask("What is 6 * 7?")
    with server.database() as database:
        database.execute("DELETE FROM chat_runevent WHERE run_id = %s", [run["id"]])
    del netra.state.runs[run["id"]]
    return run["id"]


async def test_runs_that_are_kept_no_more_are_fetched_again(
    steady: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netra.client.kept.KEPT_ENDED_RUNS", 1)
    async with client_of(steady, steady.add_user()) as netra:
        first = await netra.post("What is 6 * 7?")
        for _ in range(3):
            await netra.ask("What is 6 * 7?")
        assert first["run_id"] not in netra.state.runs
        assert (await netra.ended(first["run_id"]))["status"] == "completed"
        assert_whole([event async for event in netra.events(first["run_id"])])
        assert len(netra.state.runs) == 1


async def test_messages_of_a_thread_wait_for_each_other_and_those_of_others_do_not(
    steady: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    send = Socket.send

    async def recorded(self: Socket, **frame: Any) -> None:
        if frame["type"] == "user_message":
            order.append(frame["content"])
        await send(self, **frame)

    monkeypatch.setattr(Socket, "send", recorded)
    async with client_of(steady, steady.add_user()) as netra:
        thread = {"thread_id": (await netra.ask("What is 6 * 7?"))["thread_id"]}
        order.clear()

        async def post(content: str, **fields: Any) -> int:
            accepted = await netra.post(content, **fields)
            order.append(f"{content} is accepted")
            return int(accepted["run_number"])

        posts = (post("one", **thread), post("two", **thread), post("three", **thread), post("elsewhere"))
        one, two, three, _ = await asyncio.gather(*posts)
    assert one < two < three
    assert order.index("elsewhere") < order.index("one is accepted")
    in_thread = [line for line in order if "elsewhere" not in line]
    assert in_thread == ["one", "one is accepted", "two", "two is accepted", "three", "three is accepted"]


async def test_what_is_too_large_is_refused_and_costs_no_connection(steady: LiveServer) -> None:
    async with client_of(steady, steady.add_user()) as netra:
        first = netra._socket
        accepted = await netra.post("ж" * 30_000)  # 60 KB; escaped it would be 180
        await netra.stop(accepted["run_id"])
        for length in (70_000, 17_000_000):
            with pytest.raises(ApiError) as refused:
                await netra.post("x" * length)
            assert refused.value.code == "MESSAGE_TOO_LARGE"
        assert netra._socket is first


async def test_who_waits_is_told_that_the_client_was_closed(steady: LiveServer) -> None:
    async with client_of(steady, steady.add_user()) as netra:
        run = await netra.ask("Read https://example.org")
        assert run["status"] == "awaiting_approval"
        waiting = asyncio.create_task(netra.ended(run["id"]))
        await netra.command(type="ping")
        assert not waiting.done()
    with pytest.raises(SignedOut, match="was closed"):
        await waiting
    assert netra.established is not None
    left = f"code=1000 connection_id={netra.established['connection_id']}"
    await eventually(lambda: left in steady.log_text(), what="the server to notice, and to take it for no error")


async def test_a_server_that_takes_no_token_is_not_asked_for_ever(
    steady: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signing in works, and each token is refused: the clocks of the servers differ, or their keys."""
    account, given = steady.add_user(), []

    async def expired(session: Session) -> str:
        given.append(account.token(exp=1))
        return given[-1]

    async def renewed(session: Session, old: str | None) -> None:
        assert old == given[-1]

    monkeypatch.setattr(Session, "token", expired)
    monkeypatch.setattr(Session, "renew", renewed)
    with pytest.raises(ApiError) as refused:
        async with client_of(steady, account):
            pass
    assert refused.value.code == "TOKEN_EXPIRED"
    assert len(given) == 4


async def test_a_token_that_cannot_be_renewed_just_now_is_renewed_later(
    steady: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, answers = steady.add_user(), [httpx.ConnectError("refused"), ApiError("HTTP_ERROR", "502", status=502)]
    renew = Session.renew

    async def sometimes(session: Session, old: str | None) -> None:
        if answers:
            raise answers.pop()
        await renew(session, old)

    monkeypatch.setattr(Session, "renew", sometimes)
    netra = client_of(steady, account)
    netra.session._access = account.token(exp=1)
    async with netra:
        assert (await netra.ask("What is 6 * 7?"))["status"] == "completed"
    assert not answers


class _Elsewhere(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


async def test_an_address_that_is_not_netras_is_told() -> None:
    with ThreadingHTTPServer((HOST, 0), _Elsewhere) as other:
        threading.Thread(target=other.serve_forever, args=(0.05,), name="elsewhere").start()
        try:
            with pytest.raises(ApiError) as refused:
                async with Client(f"http://{HOST}:{other.server_port}", username="ann", password="x"):
                    pass
        finally:
            await asyncio.to_thread(other.shutdown)
    assert (refused.value.code, refused.value.status) == ("HTTP_ERROR", 404)


async def test_a_stream_goes_on_after_the_end_of_its_server_and_stops_for_a_person(server: LiveServer) -> None:
    account = server.add_user()
    async with Session(server.url, username=account.username, password=account.password) as session:
        body = {"message": "I ask. & write a; help; outcomes"}
        run_id = (await session.request("POST", "/api/agents/scripted", json=body))["run_id"]
        seen = [event async for event in run_events(session, run_id)]
        assert seen[-1]["type"] == "approval_required"
        path = f"/api/runs/{run_id}/approvals/{seen[-1]['data']['tool_call_id']}"
        await session.request("POST", path, json={"approved": True})
        async for event in run_events(session, run_id, after=seen[-1]["seq"]):
            seen.append(event)
            if event["type"] == "approval_resolved":
                server.kill()
                starting = asyncio.create_task(asyncio.to_thread(server.start))
        await starting
        assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))
        # What was allowed is done once: when the tool had begun as the server was killed, the run has failed.
        assert seen[-1]["type"] == "agent_completed" or seen[-1]["data"]["error_code"] == "WORKER_LOST"
        with pytest.raises(ApiError) as missing:
            await anext(run_events(session, str(uuid.uuid4())))
        assert missing.value.code == "RUN_NOT_FOUND"
    async with Session(server.url, token=account.token(exp=1)) as session:
        with pytest.raises(SignedOut):
            await anext(run_events(session, run_id))


async def test_a_stream_is_read_as_the_standard_says() -> None:
    text = 'retry: 5\n\n: still there\r\n\rid: 1\rdata: {\r\ndata: "a": "b\u2028c\u0085"}\n\nid:2\n\ndata: {}\nx: y'
    pieces = [bytes([byte]) for byte in text.encode()]

    async def slowly() -> Any:
        for piece in pieces:
            yield piece

    for content in (slowly(), text.encode()):
        stream = EventStream(httpx.Response(200, content=content))
        comment, event = [event async for event in stream.events()]
        assert comment.comment == "still there"
        assert (event.frame, event.id) == ({"a": "b\u2028c\u0085"}, "1")
        assert stream.last_id == "2"
