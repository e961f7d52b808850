"""Each metric moves by exactly what was done, and by nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.db import database_sync_to_async
from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile
from django.db import connection
from django.test import AsyncClient, Client

from agents.account import ModelRequestRecord
from agents.events import AgentCompleted, AgentError, AgentEvent, AgentResponseChunk, Usage
from agents.registry import FunctionAgent
from agents.request import RunRequest
from chat import attachments, metrics, runs
from chat.attachments import AttachmentLimits
from chat.attempt_limit import AttemptLimit, Guarded
from chat.delivery import Delivery, Frame, RunPosition
from chat.errors import ChatError
from chat.event_log import EventLog, interrupted
from chat.leases import Leases
from chat.limits import CommandLimit, RateLimits, too_many_requests
from chat.metrics import MAX_NAMES, Names, SendingEvents
from chat.models import CancelledBy, ModelRequest, ProcessKind, Run
from chat.monitor import Monitor
from chat.places import Places
from chat.pool import MAX_SIZE
from chat.publisher import Publisher
from chat.rates import Rates
from chat.run_event import now
from chat.shared_redis import SharedRedis
from chat.threads import ThreadService
from netra.testing import Netra, Socket, eventually, receive, send
from tests.chat.holding import chunk, claimed, failed, post, posted
from tests.chat.test_tasks import Scripted, begin, events_of
from tests.processes import LiveRedis
from tests.readings import Movement, Readings

pytestmark = pytest.mark.usefixtures("transactional_db")


@pytest.fixture
def moved() -> Movement:
    return Movement()


@pytest.fixture
def refuses_the_handshake(configure: Callable[..., None]) -> None:
    configure(ws_reject="handshake")


@pytest.fixture
def small_window(configure: Callable[..., None]) -> None:
    configure(ws_window_bytes=4096)


@pytest.fixture
def short_patience(configure: Callable[..., None]) -> None:
    configure(ws_window_bytes=4096, ws_window_timeout=0.2)


async def until_equal(look: Callable[[], float], value: float) -> None:
    """What is counted behind the answer is counted soon."""

    async def equal() -> bool:
        return look() == value

    await eventually(equal)


# Sockets


async def test_connections_handshakes_and_closes(netra: Netra) -> None:
    ann = await netra.user("ann")
    moved = Movement()
    socket = await netra.connect(ann)
    await netra.connect(ann)
    nobody = netra.communicator()
    await nobody.connect()
    assert (await receive(nobody))["error_code"] == "NO_TOKEN"
    assert (await nobody.receive_output())["code"] == 4401
    assert Readings.here()("netra_connections", kind="socket") == 2
    assert moved.by_label("netra_handshake_seconds_count", "code") == {"OK": 2, "NO_TOKEN": 1}
    assert 0 < moved("netra_handshake_seconds_sum") < 10
    assert moved.by_label("netra_closes_total", "code") == {"4401": 1}
    await socket.disconnect()
    assert Readings.here()("netra_connections", kind="socket") == 1


@pytest.mark.usefixtures("refuses_the_handshake")
async def test_a_refusal_of_the_handshake_itself_closes_nothing(netra: Netra, moved: Movement) -> None:
    accepted, _ = await netra.communicator().connect()
    assert not accepted
    assert moved("netra_handshake_seconds_count", code="NO_TOKEN") == 1
    assert moved("netra_closes_total") == 0


async def test_commands_by_type_and_code(netra: Netra) -> None:
    socket = await netra.connect(await netra.user("ann"))
    moved = Movement()
    await send(socket, type="ping", ref="1")
    await send(socket, type="ack", cursors={})
    await send(socket, type="resume", cursors={}, ref="2")
    await send(socket, type="chat", content="A synonym", agent="nobody", ref="3")
    await send(socket, type="stop_run", run_id="6c0d1cb4-54a4-4b46-a4a3-d2b6b1a2b3c4", ref="4")
    await send(socket, type="no such thing", ref="5")
    await socket.send_to(text_data="{")
    await socket.send_to(bytes_data=b"\0")
    answers = [await receive(socket) for _ in range(7)]
    assert len(answers) == 7
    done = {(command, code): moved("netra_commands_total", command=command, code=code) for command, code in EXPECTED}
    assert done == EXPECTED
    assert moved("netra_commands_total") == sum(EXPECTED.values())


EXPECTED = {
    ("ping", "OK"): 1,
    ("ack", "OK"): 1,
    ("resume", "OK"): 1,
    ("user_message", "AGENT_NOT_FOUND"): 1,
    ("stop_run", "RUN_NOT_FOUND"): 1,
    ("unread", "UNKNOWN_TYPE"): 1,
    ("unread", "INVALID_JSON"): 1,
    ("unread", "BINARY_NOT_SUPPORTED"): 1,
}


async def test_a_command_whose_handler_has_a_bug(
    netra: Netra, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await netra.connect(await netra.user("ann"))
    moved = Movement()
    monkeypatch.setattr(ThreadService, "stop_run", lambda *_: 1 / 0)
    await send(socket, type="stop_run", run_id="6c0d1cb4-54a4-4b46-a4a3-d2b6b1a2b3c4")
    assert (await receive(socket))["error_code"] == "INTERNAL_ERROR"
    assert moved("netra_commands_total", command="stop_run", code="INTERNAL_ERROR") == 1
    assert moved("netra_commands_total") == 1


async def test_what_sockets_are_sent_is_counted_to_the_byte(netra: Netra) -> None:
    ann = await netra.user("ann")
    moved = Movement()
    asking, listening = await netra.connect(ann), await netra.connect(ann)
    texts = [json.dumps(asking.established), json.dumps(listening.established)]
    received: list[str] = []
    receive_from = Socket.receive_from

    async def kept(socket: Socket, timeout: float = 1) -> Any:  # noqa: ASYNC109 - the communicator's own
        text = await receive_from(socket, timeout=timeout)
        received.append(str(text))
        return text

    events = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Socket, "receive_from", kept)
        events = await netra.ask(asking, "Grüße aus Köln: 6 * 7?")
        while json.loads(received[-1]).get("run_id") != events[0]["run_id"] or len(received) < 2 * len(events):
            if (await receive(listening))["type"] == "agent_completed":
                break
        for socket in (asking, listening):
            await send(socket, type="ping", ref="end")
            while (await receive(socket))["type"] != "pong":
                pass
    assert moved("netra_frames_sent_total") == len(received) + len(texts)
    greetings = sum(len(json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False)) for text in texts)
    assert moved("netra_sent_bytes_total") == sum(len(text.encode()) for text in received) + greetings
    assert moved("netra_events_sent_total") == 2 * len(events)
    assert moved("netra_event_lag_seconds_count") == 2 * len(events)
    assert 0 <= moved("netra_event_lag_seconds_sum") < 2 * len(events) * 10


async def test_a_stream_is_a_connection_and_a_request(netra: Netra) -> None:
    ann = await netra.user("ann")
    moved = Movement()
    async with stream(netra, ann, "/api/events") as pieces:
        assert (await pieces.get())["status"] == 200
        assert b"stream_established" in (await piece_with(pieces, b"stream_established"))
        assert Readings.here()("netra_connections", kind="stream") == 1
        assert moved("netra_http_requests_total", route="/api/events", method="GET", status="200") == 1
        assert moved("netra_http_request_seconds_count", route="/api/events", method="GET") == 1
        socket = await netra.connect(ann)
        events = await netra.ask(socket, "help")
        await piece_with(pieces, b"agent_completed")
        assert moved("netra_events_sent_total") == 2 * len(events)
    await until_equal(lambda: Readings.here()("netra_connections", kind="stream"), 0)


@contextlib.asynccontextmanager
async def stream(netra: Netra, user: Any, path: str) -> AsyncIterator[asyncio.Queue[dict[str, Any]]]:
    """What the application sends in answer to a request for a stream; the client leaves at the end."""
    leaving = asyncio.Event()
    sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receiving() -> dict[str, Any]:
        await leaving.wait()
        return {"type": "http.disconnect"}

    headers = [*netra.headers(user), (b"host", b"testserver"), (b"accept", b"text/event-stream")]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers}
    answering = asyncio.create_task(netra.application(scope, receiving, sent.put))
    try:
        yield sent
    finally:
        leaving.set()
        await answering


async def piece_with(pieces: asyncio.Queue[dict[str, Any]], text: bytes) -> bytes:
    async with asyncio.timeout(10):
        while text not in (body := (await pieces.get()).get("body", b"")):
            pass
    return bytes(body)


async def test_a_wake_up_that_is_lost_is_one_repair(netra: Netra, monkeypatch: pytest.MonkeyPatch) -> None:
    netra.use_agents((scripted := Scripted()).agent)
    ann = await netra.user("ann")
    socket = await netra.connect(ann)
    accepted = await begin(socket)
    await scripted.pieces.put("one ")
    await receive(socket, "agent_response_chunk")
    moved = Movement()
    sending, lost = Publisher.send, asyncio.Event()

    async def lossy(publisher: Publisher, user_id: Any, message: dict[str, Any]) -> None:
        if lost.is_set():
            await sending(publisher, user_id, message)
        lost.set()

    monkeypatch.setattr(Publisher, "send", lossy)
    await scripted.pieces.put("two ")
    async with asyncio.timeout(10):
        await lost.wait()
    await scripted.pieces.put(None)
    await receive(socket, "agent_completed")
    assert len(await events_of(accepted["run_id"])) == 5
    assert moved("netra_gap_repairs_total") == 1
    # The lost one, and the one that showed that it was.
    assert moved.by_label("netra_events_sent_total", "way") == {"log": 2}
    assert moved("netra_event_lag_seconds_count", way="log") == 2


async def test_a_replay_is_no_repair_and_not_late(netra: Netra) -> None:
    ann = await netra.user("ann")
    events = await netra.ask(await netra.connect(ann), "help")
    socket = await netra.connect(ann)
    moved = Movement()
    await send(socket, type="resume", cursors={events[0]["run_id"]: 0})
    await receive(socket, "agent_completed")
    assert moved.by_label("netra_events_sent_total", "way") == {"log": len(events)}
    assert moved("netra_event_lag_seconds_count") == 0
    assert moved("netra_gap_repairs_total") == 0


@pytest.mark.parametrize(
    ("heard", "repairs"),
    [
        ([(11, 1, 1), (11, 2, 3)], False),
        ([(11, 1, 1), (11, 3, 3)], True),
        ([(11, 2, 2)], True),  # its first event was not announced
        ([(11, 1, 3), (11, 2, 3)], False),  # once more
    ],
)
def test_what_makes_a_read_a_repair(heard: list[tuple[int, int, int]], *, repairs: bool) -> None:
    delivery = Delivery(baseline=10, window_bytes=100_000)
    for number, first, last in heard:
        frames = [Frame(seq, "text", terminal=False) for seq in range(first, last + 1)]
        delivery.wake(f"run-{number}", number, frames, last_seq=last)
    read = delivery.next_read()
    assert (read is not None and read.repairs) == repairs
    if read is not None:
        delivery.log_page(read, [Frame(seq, "text", terminal=False) for seq in range(read.after_seq + 1, 3)])
        again = delivery.next_read()
        assert again is None or not again.repairs, "a repair is counted once"


def test_what_the_position_check_finds_was_not_announced() -> None:
    delivery = Delivery(baseline=10, window_bytes=100_000)
    delivery.positions(delivery.check(), [RunPosition("run-11", 11, "running", 4, 1)])
    assert (read := delivery.next_read()) is not None
    assert read.repairs


@pytest.mark.usefixtures("small_window")
async def test_a_window_that_is_full_stalls_until_it_is_acknowledged(netra: Netra) -> None:
    ann = await netra.user("ann")
    socket = await netra.connect(ann)
    moved = Movement()
    frames = await ask_much(netra, socket)
    assert moved("netra_window_stalls_total") == 1
    assert Readings.here()("netra_windows_stalled") == 1
    await send(socket, type="ack", received=len(frames) + 1, cursors={})
    await send(socket, type="ping")
    while (await receive(socket))["type"] != "pong":
        pass
    assert Readings.here()("netra_windows_stalled") == 0


@pytest.mark.usefixtures("short_patience")
async def test_a_window_that_stays_full_is_closed_with_its_code(netra: Netra, caplog: pytest.LogCaptureFixture) -> None:
    ann = await netra.user("ann")
    socket = await netra.connect(ann)
    moved = Movement()
    await ask_much(netra, socket)
    assert (await receive(socket))["error_code"] == "WINDOW_FULL"
    assert (await socket.receive_output())["code"] == 4408
    assert moved.by_label("netra_closes_total", "code") == {"4408": 1}
    [line] = [entry for entry in caplog.messages if "'refused'" in entry]
    assert "WINDOW_FULL" in line
    assert f"'{ann.pk}'" in line
    assert moved("netra_window_stalls_total") == 1
    await socket.disconnect()
    assert Readings.here()("netra_windows_stalled") == 0


async def ask_much(netra: Netra, socket: Socket) -> list[dict[str, Any]]:
    """An answer whose first piece fills a small window; nothing more comes. Returns the frames of it."""

    async def speak(request: RunRequest) -> AsyncIterator[AgentEvent]:
        yield AgentResponseChunk(agent="loud", message_id=request.message_id, text="x" * 5000)
        yield AgentCompleted(agent="loud", usage=Usage(model="none"), duration_ms=1)

    netra.use_agents(FunctionAgent("loud", "Says much", "none", speak))
    await send(socket, type="user_message", content="?")
    frames = [await receive(socket)]
    while frames[-1]["type"] != "agent_response_chunk":
        frames.append(await receive(socket))
    return frames


# Runs


async def test_a_run_from_its_question_to_its_end(netra: Netra) -> None:
    socket = await netra.connect(await netra.user("ann"))
    moved = Movement()
    events = await netra.ask(socket, "What is 6 * 7?")
    assert moved.by_label("netra_runs_begun_total", "agent") == {"assistant": 1}
    assert moved("netra_runs_ended_total", agent="assistant", outcome="completed", code="") == 1
    assert moved("netra_runs_ended_total") == 1
    assert moved("netra_run_seconds_count", agent="assistant", outcome="completed") == 1
    assert 0 < moved("netra_run_seconds_sum") < 10
    assert moved("netra_events_written_total") == len(events)


async def test_runs_that_are_executed_now(netra: Netra) -> None:
    netra.use_agents((scripted := Scripted()).agent)
    socket = await netra.connect(await netra.user("ann"))
    accepted = await begin(socket)
    async with asyncio.timeout(10):
        await scripted.waiting.wait()
    assert Readings.here()("netra_runs_held") == 1
    moved = Movement()
    await send(socket, type="stop_run", run_id=accepted["run_id"])
    await receive(socket, "agent_cancelled")
    await until_equal(lambda: Readings.here()("netra_runs_held"), 0)
    assert moved("netra_runs_ended_total", agent="scripted", outcome="cancelled", code="") == 1
    assert moved("netra_run_seconds_count", outcome="cancelled") == 1


async def test_how_runs_end(event_log: EventLog, service: ThreadService, ann: Any, moved: Movement) -> None:
    """Whoever writes the end: the holder, somebody else, or a shutdown. What nobody picked up took no time."""
    first = await claimed(event_log, (await posted(service, ann)).run_id)
    await event_log.finish(first, failed(), pending=[chunk("So")])
    second = await posted(service, ann)
    await database_sync_to_async(service.stop_run)(ann.pk, uuid.UUID(second.run_id))
    third = await claimed(event_log, (await posted(service, ann)).run_id)
    await event_log.begin_unrepeatable(third, "pay")
    await event_log.hand_back(third, reason="handed_back")
    fourth = await claimed(event_log, (await posted(service, ann)).run_id)
    await event_log.hand_back(fourth, reason="handed_back")
    ended = {
        ("failed", "MODEL_ERROR"): 1,
        ("cancelled", ""): 1,
        ("failed", interrupted("pay").error_code): 1,
    }
    found = {key: moved("netra_runs_ended_total", outcome=key[0], code=key[1]) for key in ended}
    assert found == ended
    assert moved("netra_runs_ended_total") == 3
    assert moved.by_label("netra_run_seconds_count", "outcome") == {"failed": 2}
    assert moved.by_label("netra_runs_restarted_total", "reason") == {"handed_back": 1}
    assert moved("netra_runs_begun_total") == 4

    def written() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM chat_runevent")
            return int(cursor.fetchone()[0])

    assert moved("netra_events_written_total") == await database_sync_to_async(written)()


async def test_a_lost_worker_s_run_goes_back_and_at_last_fails(
    event_log: EventLog, service: ThreadService, ann: Any, moved: Movement
) -> None:
    accepted = await posted(service, ann)
    statuses = []
    for attempt in (1, 2):
        run = await claimed(event_log, accepted.run_id)
        await sync_to_async(lose_jobs)()
        recover = database_sync_to_async(runs.recover)
        statuses.append(
            await recover(run.id, seen_claim=run.claim, max_attempts=2, stalled=1, publisher=event_log.publisher)
        )
        assert run.attempt == attempt
    assert statuses == ["queued", "failed"]
    assert moved.by_label("netra_runs_restarted_total", "reason") == {"worker_lost": 1}
    assert moved("netra_runs_ended_total", outcome="failed", code="WORKER_LOST") == 1


def lose_jobs() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs")


async def test_what_is_rolled_back_was_not(service: ThreadService, ann: Any) -> None:
    accepted = await posted(service, ann)
    moved = Movement()

    def cancel_and_change_one_s_mind() -> None:
        from django.db import transaction

        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            locked = runs.lock(uuid.UUID(accepted.run_id))
            assert locked is not None
            run = locked[1]
            runs.cancel(run, by=CancelledBy.USER, publisher=Publisher())
            raise ZeroDivisionError

    await database_sync_to_async(cancel_and_change_one_s_mind)()
    assert moved("netra_runs_ended_total") == moved("netra_events_written_total") == 0


async def test_an_agent_s_own_code_of_an_error_is_other(netra: Netra) -> None:
    async def fail(request: RunRequest) -> AsyncIterator[AgentEvent]:
        yield AgentError(agent="odd", error_code="MY_OWN", error_message="No", retryable=False)

    netra.use_agents(FunctionAgent("odd", "Fails", "none", fail))
    socket = await netra.connect(await netra.user("ann"))
    moved = Movement()
    await netra.ask(socket, "?")
    assert moved("netra_runs_ended_total", agent="odd", outcome="failed", code="other") == 1


# Models


async def test_requests_to_models_are_those_of_the_account(netra: Netra) -> None:
    socket = await netra.connect(await netra.user("ann"))
    moved = Movement()
    await netra.ask(socket, "What is 6 * 7?")
    stored = [row async for row in ModelRequest.objects.all()]
    assert stored
    for row in stored:
        assert (row.model, row.provider, row.outcome) == ("offline", stored[0].provider, "completed")
    names = {"model": "offline", "provider": stored[0].provider}
    assert moved("netra_model_request_seconds_count", **names, outcome="completed") == len(stored)
    assert moved("netra_model_first_token_seconds_count", **names) == len(stored)
    for kind in ("input", "output", "cache_read", "cache_write"):
        tokens = sum(getattr(row, f"{kind}_tokens") for row in stored)
        assert moved("netra_model_tokens_total", **names, kind=kind) == tokens
    assert moved("netra_model_cost_usd_total") == 0
    assert moved("netra_model_failures_total") == 0


def test_a_request_that_failed_and_one_without_a_price(moved: Movement) -> None:
    whole = ModelRequestRecord(
        agent="data",
        model="openai:gpt-5",
        provider="openai",
        outcome="completed",
        started_at=now(),
        duration_ms=1500,
        first_token_ms=300,
        input_tokens=1000,
        output_tokens=50,
        cache_read_tokens=400,
        cost_usd=Decimal("0.0125"),
    )
    broken = ModelRequestRecord(
        agent="data",
        model="openai:gpt-5",
        provider="openai",
        outcome="failed",
        error="rate_limit",
        started_at=now(),
        duration_ms=20,
    )
    for record in (whole, whole, broken):
        metrics.model_request(record)
    of = {"model": "openai:gpt-5", "provider": "openai"}
    assert moved("netra_model_request_seconds_count", **of, outcome="completed") == 2
    assert moved("netra_model_request_seconds_sum", **of, outcome="completed") == pytest.approx(3)
    assert moved("netra_model_request_seconds_count", **of, outcome="failed") == 1
    assert moved("netra_model_first_token_seconds_sum", **of) == pytest.approx(0.6)
    assert moved("netra_model_failures_total", **of, error="rate_limit") == 1
    assert moved("netra_model_tokens_total", **of, kind="input") == 2000
    assert moved("netra_model_tokens_total", **of, kind="cache_read") == 800
    assert moved("netra_model_cost_usd_total", **of) == pytest.approx(0.025)
    assert moved("netra_model_unpriced_requests_total", **of) == 1


def test_names_are_few_whoever_gives_them() -> None:
    names = Names()
    labels = {names.label(f"model-{number}") for number in range(10 * MAX_NAMES)}
    assert len(labels) == MAX_NAMES + 1
    assert "other" in labels
    assert names.label("model-0") == "model-0"


# Requests


async def test_requests_are_counted_by_route_never_by_path(netra: Netra) -> None:
    ann = await netra.user("ann")
    client, headers = AsyncClient(), {"Authorization": f"Bearer {netra.token(ann)}"}
    moved = Movement()
    number = "6c0d1cb4-54a4-4b46-a4a3-d2b6b1a2b3c4"
    for path in ("/api/threads", f"/api/threads/{number}", "/api/secret-plan", "/secret-plan", "/health"):
        await client.get(path, headers=headers)
    await client.generic("BREW", "/api/threads", headers=headers)
    found = {
        ("/api/threads", "GET", "200"): 1,
        ("/api/threads/<uuid:thread_id>", "GET", "404"): 1,
        ("/api/", "GET", "404"): 1,
        ("other", "GET", "404"): 1,
        ("/health", "GET", "200"): 1,
        ("/api/threads", "other", "405"): 1,
    }
    for (route, method, status), number_of in found.items():
        assert moved("netra_http_requests_total", route=route, method=method, status=status) == number_of, route
        assert moved("netra_http_request_seconds_count", route=route, method=method) == number_of
    assert moved("netra_http_requests_total") == sum(found.values())
    values = " ".join(Readings.here().values())
    assert number not in values
    assert "secret" not in values


def test_sign_ins_and_what_else_is_audited(client: Client, moved: Movement) -> None:
    get_user_model().objects.create_user("ann", password="a password of tests")
    for password in ("a password of tests", "wrong"):
        client.post("/api/auth/token", {"username": "ann", "password": password}, content_type="application/json")
    assert moved("netra_audited_total", action="sign_in", code="OK") == 1
    assert moved("netra_audited_total", action="sign_in", code="INVALID_CREDENTIALS") == 1
    assert moved("netra_audited_total") == 2


# This process


async def test_a_loop_that_was_blocked_was_late(
    event_log: EventLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("chat.monitor.LATE_SECONDS", 0.25)
    monkeypatch.setattr("chat.monitor.TICK_SECONDS", 0.01)
    monitor = Monitor(event_log.pool, connections=lambda: 0, runs=lambda: 0)
    moved = Movement()
    monitor.start(ProcessKind.WORKER)
    await asyncio.sleep(0)
    time.sleep(0.3)  # noqa: ASYNC251 - the loop is to be late
    await until_equal(lambda: float(moved("netra_event_loop_lag_seconds_sum") > 0.25), 1)
    counted = moved("netra_event_loop_lag_seconds_count")
    assert counted - moved("netra_event_loop_lag_seconds_bucket", le="0.25") >= 1
    assert "event_loop_late" in caplog.text
    await monitor.stop()


async def test_tasks_of_the_loop_are_counted(event_log: EventLog) -> None:
    monitor = Monitor(event_log.pool, connections=lambda: 0, runs=lambda: 0)
    waiting = [asyncio.create_task(asyncio.Event().wait()) for _ in range(20)]
    monitor.start(ProcessKind.WORKER)
    await until_equal(lambda: Readings.here()("netra_event_loop_tasks") > 20, True)
    await monitor.stop()
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)


async def test_a_process_tells_its_version_and_its_beginning(event_log: EventLog, settings: Any) -> None:
    monitor = Monitor(event_log.pool, connections=lambda: 0, runs=lambda: 0)
    monitor.start(ProcessKind.WORKER)
    here = Readings.here()
    assert here("netra_info", kind="worker", version=settings.VERSION) == 1
    assert here("netra_process_start_time_seconds", kind="worker") == pytest.approx(monitor.started_at.timestamp())
    await monitor.stop()


async def test_the_pools_connections_and_who_waits_for_one(event_log: EventLog) -> None:
    monitor = Monitor(event_log.pool, connections=lambda: 0, runs=lambda: 0)
    monitor.sample()
    assert Readings.here()("netra_database_pool_limit", pool="events") == MAX_SIZE
    assert Readings.here()("netra_database_pool_limit", pool="django") == 16
    async with contextlib.AsyncExitStack() as held:
        for _ in range(MAX_SIZE):
            await held.enter_async_context(event_log.pool.connection())
        waiting = asyncio.create_task(event_log.positions(1, above=0, limit=1))
        await until_equal(lambda: event_log.pool.stats().get("requests_waiting", 0), 1)
        monitor.sample()
        assert Readings.here()("netra_database_pool_connections", pool="events", state="in_use") == MAX_SIZE
        assert Readings.here()("netra_database_pool_waiting", pool="events") == 1
    await waiting
    monitor.sample()
    assert Readings.here()("netra_database_pool_connections", pool="events", state="in_use") == 0
    assert Readings.here()("netra_database_pool_connections", pool="events", state="idle") == MAX_SIZE
    assert Readings.here()("netra_database_pool_waiting", pool="events") == 0

    def in_use() -> float:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            monitor.sample()
        return Readings.here()("netra_database_pool_connections", pool="django", state="in_use")

    assert await database_sync_to_async(in_use)() >= 1


async def test_redis_is_asked_server_by_server(event_log: EventLog, settings: Any) -> None:
    monitor = Monitor(event_log.pool, connections=lambda: 0, runs=lambda: 0)
    with LiveRedis() as one, LiveRedis() as other:
        servers = [f"127.0.0.1:{redis.port}/0" for redis in (one, other)]
        settings.CHANNEL_LAYERS = {
            "default": {
                "BACKEND": "chat.redis_layer.RedisLayer",
                "CONFIG": {"hosts": [{"address": redis.url} for redis in (one, other)]},
            }
        }
        await monitor.look_at_layer()
        assert [Readings.here()("netra_redis_up", server=server) for server in servers] == [1, 1]
        other.kill()
        await monitor.look_at_layer()
        other.start()
    here = Readings.here().by_label("netra_redis_up", "server")
    assert [name for name in here if name.startswith(servers[0])]
    assert not [name for name in here if name.startswith(servers[1])]


# How it is counted


def test_the_age_of_an_event_is_that_of_its_timestamp() -> None:
    moved = Movement()
    sending = SendingEvents("wake_up")
    at = time.time() - 3
    text = json.dumps(
        {"type": "agent_thinking", "seq": 1, "timestamp": timestamp(at), "data": {"text": "é"}}, separators=(",", ":")
    )
    sending.sent(text, live_since=at - 60)
    sending.sent(text, live_since=at + 1)
    assert moved("netra_events_sent_total") == 0, "it is handed on by flush"
    sending.flush()
    sending.flush()
    assert moved("netra_events_sent_total", way="wake_up") == 2
    assert moved("netra_sent_bytes_total") == 2 * len(text.encode())
    assert moved("netra_event_lag_seconds_count") == 1
    assert moved("netra_event_lag_seconds_sum") == pytest.approx(3, abs=0.5)
    assert moved("netra_event_lag_seconds_bucket", le="2.5") == 0
    assert moved("netra_event_lag_seconds_bucket", le="5.0") == 1


def test_each_event_has_an_age_of_its_own() -> None:
    moved = Movement()
    sending = SendingEvents("wake_up")
    now = time.time()
    texts = [json.dumps({"timestamp": timestamp(at)}, separators=(",", ":")) for at in (now - 8, now - 7.5, now - 1)]
    for text in (texts[0], texts[1], texts[0], texts[2], texts[2]):
        sending.sent(text, live_since=0)
    sending.flush()
    assert moved("netra_event_lag_seconds_sum") == pytest.approx(8 + 7.5 + 8 + 1 + 1, abs=0.5)


def timestamp(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(at)) + f"{int(at % 1 * 1000):03d}Z"


def test_an_event_of_a_clock_that_is_ahead_is_not_late() -> None:
    moved = Movement()
    sending = SendingEvents("log")
    sending.sent('{"timestamp":"2999-01-01T00:00:00.000Z"}', live_since=0)
    sending.flush()
    assert moved("netra_event_lag_seconds_sum", way="log") == 0
    assert moved("netra_event_lag_seconds_bucket", way="log", le="0.001") == 1


# Limits


def until_refused(meet: Callable[[], object]) -> None:
    for _ in range(1000):
        meet()


async def test_refusals_by_the_limit_that_was_met(service: ThreadService, ann: Any, settings: Any) -> None:
    """Each is met again and again until it refuses."""
    few = {"connects_per_minute": 1, "requests_per_minute": 1, "max_attachments": 1, "runs_per_day": 11}
    settings.NETRA = settings.NETRA.model_copy(update=few)
    rates, attempts = RateLimits(Rates(SharedRedis([]))), AttemptLimit(SharedRedis([]))
    frames, places = CommandLimit(1), Places(Leases(SharedRedis([])))
    little = AttachmentLimits(file_bytes=10, per_message=1, person_bytes=10)

    def stop_and_post() -> None:
        service.stop_run(ann.pk, uuid.UUID(post(service, ann).run_id))

    def request() -> None:
        if (count := rates.request(1, "")) is not None and not count.had_room:
            raise too_many_requests(count)

    def refused(found: Sequence[Exception | None]) -> None:
        [refusal] = found
        if refusal is not None:
            raise refusal

    met: dict[str, Callable[[], object]] = {
        "attachments": lambda: post(service, ann, attachments=[uuid.uuid4() for _ in range(11)]),
        "messages": lambda: rates.message(1, 1),
        "files": lambda: rates.file(1, 1),
        "connects": lambda: refused(rates.connects([(1, "")])),
        "requests": request,
        "frames": frames.spend,
        "sign_in_attempts": lambda: attempts.spend(Guarded.SIGN_IN, "ann", "192.0.2.1"),
        "connections": lambda: async_to_sync(places.take)(1, 1),
        "open_runs": lambda: post(service, ann),
        "runs_per_day": stop_and_post,
        "attachment_space": lambda: attachments.store(ann.pk, ContentFile(b"text"), "x", little),
    }

    def meet_each() -> dict[str, dict[str, float]]:
        found = {}
        for limit, meet in met.items():
            if limit == "runs_per_day":
                Run.objects.all().delete()
            moved = Movement()
            with pytest.raises(ChatError):
                until_refused(meet)
            found[limit] = moved.by_label("netra_limit_refusals_total", "limit")
        return found

    assert await database_sync_to_async(meet_each)() == {limit: {limit: 1} for limit in met}


@pytest.mark.usefixtures("transactional_db")
async def test_commands_that_wait_are_few(netra: Netra, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.consumers.MAX_WAITING_COMMANDS", 1)
    socket = await netra.connect(await netra.user("ann"))
    moved = Movement()
    for _ in range(3):
        await send(socket, type="resume", cursors={})
    assert (await receive(socket, "error_message"))["error_code"] == "RATE_LIMITED"
    assert moved("netra_limit_refusals_total", limit="waiting_commands") >= 1
