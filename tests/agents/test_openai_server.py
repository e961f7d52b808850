"""The assistant against a real HTTP server that speaks the Chat Completions API on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import pytest
import uvicorn
from structlog.testing import capture_logs

from agents.events import AgentCompleted, AgentError, AgentEvent, AgentThinking, ToolCompleted, ToolExecuting
from agents.models.choice import Models
from agents.pydantic_agent import PydanticAgent
from agents.request import Turn
from agents.roster.assistant import ASSISTANT
from agents.supervisor import AgentSupervisor
from tests.agents.fakes import FakeServices, answer, collect, found, make_request, shapes, supervise

KEY = "sk-test-0123456789abcdef"
PATIENCE = 10.0

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]


class Served(uvicorn.Server):
    """A uvicorn server that tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


class Provider:
    """Answers by the requested model's name; remembers what it was sent."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.hanging = asyncio.Event()
        self.disconnected = asyncio.Event()

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        assert scope["path"] == "/v1/chat/completions"
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.requests.append(json.loads(body))
        self.keys.append(dict(scope["headers"])[b"authorization"].decode())
        await getattr(self, self.requests[-1]["model"])(receive, send)

    async def words(self, _receive: Any, send: Send) -> None:
        await begin(send)
        for word in ("Hello", " from", " a", " server", "."):
            await stream(send, {"content": word})
        await finish(send)

    async def reasoning(self, _receive: Any, send: Send) -> None:
        await begin(send)
        await stream(send, {"reasoning_content": "Hm, "})
        await stream(send, {"reasoning_content": "easy."})
        await stream(send, {"content": "Yes."})
        await finish(send)

    async def tool(self, _receive: Any, send: Send) -> None:
        await begin(send)
        if self.requests[-1]["messages"][-1]["role"] == "tool":
            await stream(send, {"content": "It is 434."})
            await finish(send)
            return
        await stream(send, {"content": "Let me calculate."})
        name = {"name": "calculate", "arguments": ""}
        await stream(send, {"tool_calls": [{"index": 0, "id": "call_9", "type": "function", "function": name}]})
        for piece in ('{"expression": ', '"17.5 % of', ' 2480"}'):
            await stream(send, {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        await finish(send, "tool_calls")

    async def hang(self, receive: Any, send: Send) -> None:
        await begin(send)
        await stream(send, {"content": "One moment"})
        await self.wait_for_the_client_to_go(receive)

    async def mute(self, receive: Any, _send: Send) -> None:
        await self.wait_for_the_client_to_go(receive)

    async def wait_for_the_client_to_go(self, receive: Any) -> None:
        self.hanging.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        self.disconnected.set()

    async def dropped(self, _receive: Any, send: Send) -> None:
        await begin(send)
        await stream(send, {"content": "Half an"})
        raise ConnectionAbortedError("the connection is dropped in the middle")

    async def unauthorized(self, _receive: Any, send: Send) -> None:
        message = f"Incorrect API key provided: {KEY}. Find yours in the settings."
        await refuse(send, 401, {"error": {"message": message, "code": "invalid_api_key"}})

    async def unknown(self, _receive: Any, send: Send) -> None:
        await refuse(send, 404, {"error": {"message": "no such model", "code": "model_not_found"}})

    async def limited(self, _receive: Any, send: Send) -> None:
        await refuse(send, 429, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}})

    async def failing(self, _receive: Any, send: Send) -> None:
        await refuse(send, 500, {"error": {"message": f"internal: {KEY}"}})

    async def nonsense(self, _receive: Any, send: Send) -> None:
        await begin(send)
        await send({"type": "http.response.body", "body": b"data: this is not JSON\n\n", "more_body": False})


P = TypeVar("P", bound=Provider)


async def begin(send: Send) -> None:
    headers = [(b"content-type", b"text/event-stream"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def stream(send: Send, delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> None:
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "served"}
    chunk["choices"] = [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    body = f"data: {json.dumps(chunk | more)}\n\n".encode()
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def finish(send: Send, reason: str = "stop") -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    await stream(send, {}, reason, usage=usage)
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})


async def refuse(send: Send, status: int, body: dict[str, Any]) -> None:
    # The OpenAI library repeats 429 and 5xx with pauses unless told otherwise.
    headers = [(b"content-type", b"application/json"), (b"x-should-retry", b"false"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode(), "more_body": False})


@contextlib.asynccontextmanager
async def serving(application: P, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[P]:
    """The provider as a server, to which `openai:` leads."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Served(uvicorn.Config(application, log_level="critical", lifespan="off", ws="none"))
    task = asyncio.create_task(server.serve(sockets=[listener]), name="provider")
    await server.listening.wait()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    yield application
    server.should_exit = True
    await task


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Provider]:
    async with serving(Provider(), monkeypatch) as provider:
        yield provider


async def ask(
    model_name: str, prompt: str = "A question", *, run_timeout: float = 30, **settings: Any
) -> list[AgentEvent]:
    chosen = Models(default=f"openai:{model_name}").choose("assistant")
    async with chosen.model:
        supervisor = supervise(PydanticAgent(ASSISTANT, chosen), run_timeout=run_timeout)
        return await collect(supervisor, make_request(prompt, agent="assistant", **settings))


async def test_an_answer_is_streamed(provider: Provider) -> None:
    events = await ask("words")
    assert [event.type for event in events] == [
        "agent_started",
        "agent_thinking",
        *["agent_response_chunk"] * 5,
        "agent_completed",
    ]
    assert answer(events) == "Hello from a server."
    completed = events[-1]
    assert isinstance(completed, AgentCompleted)
    usage = completed.usage
    assert (usage.model, usage.input_tokens, usage.output_tokens, usage.requests) == ("openai:words", 11, 7, 1)


async def test_the_server_gets_the_key_the_history_and_the_tools(provider: Provider) -> None:
    history = [Turn(role="user", content="first"), Turn(role="assistant", content="answer")]
    await ask("words", "second", history=history)
    [request] = provider.requests
    assert provider.keys == [f"Bearer {KEY}"]
    assert request["stream"] is True
    assert [message["role"] for message in request["messages"]] == ["system", "user", "assistant", "user"]
    assert [message["content"] for message in request["messages"][1:]] == ["first", "answer", "second"]
    assert [tool["function"]["name"] for tool in request["tools"]] == [tool.name for tool in ASSISTANT.tools]


async def test_a_tool_call_in_pieces(provider: Provider) -> None:
    events = await ask("tool", services=FakeServices([found()]))
    assert shapes(events) == [
        "agent_started",
        "agent_thinking",
        "agent_response_chunk",
        "tool_executing",
        "tool_completed",
        "agent_thinking",
        "agent_response_chunk",
        "agent_completed",
    ]
    executing = next(event for event in events if isinstance(event, ToolExecuting))
    assert (executing.tool_call_id, executing.arguments) == ("call_9", {"expression": "17.5 % of 2480"})
    completed = next(event for event in events if isinstance(event, ToolCompleted))
    assert completed.result == {"expression": "17.5 % of 2480", "result": "434", "exact": True}
    assert answer(events) == "Let me calculate.\n\nIt is 434."
    assert '"result":"434"' in provider.requests[1]["messages"][-1]["content"]


async def test_reasoning_is_thinking(provider: Provider) -> None:
    events = await ask("reasoning")
    thoughts = [event.text for event in events if isinstance(event, AgentThinking)]
    assert (thoughts, answer(events)) == (["", "Hm, ", "easy."], "Yes.")


FAILURES = [
    ("unauthorized", "The model provider refused the API key (HTTP 401).", False),
    ("unknown", "The model provider does not know the model openai:unknown (HTTP 404).", False),
    ("limited", "The model provider is limiting requests; try again in a moment.", True),
    ("failing", "The model provider failed (HTTP 500); try again in a moment.", True),
]


@pytest.mark.parametrize(("name", "message", "retryable"), FAILURES)
async def test_a_refusal_is_told_without_what_it_echoes(
    provider: Provider, name: str, message: str, retryable: bool
) -> None:
    with capture_logs() as logs:
        events = await ask(name)
    assert events[2:] == [
        AgentError(agent="assistant", error_code="MODEL_ERROR", error_message=message, retryable=retryable)
    ]
    *repeated, line = logs
    assert (line["event"], line["error_code"]) == ("agent_run_failed", "MODEL_ERROR")
    assert [each["event"] for each in repeated] == (["model_request_repeated"] * 2 if retryable else [])
    assert len(provider.requests) == len(repeated) + 1
    assert KEY not in repr((events, logs))


async def test_a_dropped_connection_keeps_the_text_and_can_be_tried_again(provider: Provider) -> None:
    events = await ask("dropped")
    assert answer(events) == "Half an"
    assert events[-1] == AgentError(
        agent="assistant",
        error_code="MODEL_ERROR",
        error_message="The connection to the model provider failed.",
        retryable=True,
    )


async def test_a_server_that_is_not_there_is_a_model_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
    monkeypatch.setattr("openai._base_client.BaseClient._calculate_retry_timeout", lambda *_args: 0)
    events = await ask("words")
    assert events[-1] == AgentError(
        agent="assistant",
        error_code="MODEL_ERROR",
        error_message="The connection to the model provider failed.",
        retryable=True,
    )


async def test_nonsense_is_a_model_error(provider: Provider) -> None:
    error = (await ask("nonsense"))[-1]
    assert isinstance(error, AgentError)
    assert error.error_code == "MODEL_ERROR"


@pytest.mark.parametrize("name", ["hang", "mute"])
async def test_cancelling_ends_the_request_at_once(provider: Provider, name: str) -> None:
    task = asyncio.create_task(ask(name))
    await provider.hanging.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(PATIENCE):
        await provider.disconnected.wait()


@pytest.mark.parametrize("name", ["hang", "mute"])
async def test_a_server_that_hangs_times_out_the_run(provider: Provider, name: str) -> None:
    events = await ask(name, run_timeout=0.3)
    assert answer(events) in ("One moment", "")
    assert isinstance(events[-1], AgentError)
    assert events[-1].error_code == "RUN_TIMEOUT"
    async with asyncio.timeout(PATIENCE):
        await provider.disconnected.wait()


async def test_one_supervisor_serves_many_runs_at_once(provider: Provider) -> None:
    chosen = Models(default="openai:words").choose("assistant")
    async with chosen.model:
        supervisor: AgentSupervisor = supervise(PydanticAgent(ASSISTANT, chosen))
        requests = [make_request(str(number), agent="assistant") for number in range(10)]
        runs = await asyncio.gather(*(collect(supervisor, request) for request in requests))
    assert [answer(events) for events in runs] == ["Hello from a server."] * 10
    asked = sorted(int(request["messages"][-1]["content"]) for request in provider.requests)
    assert asked == list(range(10))
