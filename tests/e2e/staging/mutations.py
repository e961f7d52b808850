"""For each of the priority-1 checks a fault of the server that it finds. `test_mutations.py` shows that it does.

A fault is put into a process of the server by replacing one function of it, before it serves anybody.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from django.conf import settings

import chat.api.agents
import chat.api.messages
import chat.api.supervisor
import chat.auth
import chat.posting
import chat.protocol
import chat.run_event
import chat.run_writer
import chat.streams.runs
from agents.events import AgentError, AgentThinking
from agents.supervisor import AgentSupervisor
from chat.arrivals import Arrivals
from chat.connection import Connection
from chat.consumers import ChatConsumer
from chat.delivery import Delivery
from chat.limits import RateLimits
from chat.models import Message, Run, Thread
from chat.own_runs import OwnRuns
from chat.own_threads import OwnThreads
from chat.protocol import MessageAccepted, RunStopped
from chat.run_writer import RunWriter
from chat.threads import ThreadService
from chat.token_clock import TokenClock
from chat.wake_ups import WAKE_UP


@dataclasses.dataclass(frozen=True, slots=True)
class Mutation:
    """`what` is wrong with the server, and a part of what the failed check says."""

    check: str
    what: str
    apply: Callable[[], None]
    shown: str


MUTATIONS: dict[str, Mutation] = {}


def mutation(check: str, what: str, shown: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def add(apply: Callable[[], None]) -> Callable[[], None]:
        MUTATIONS[check[:3]] = Mutation(f"test_{check}_real", what, apply, shown)
        return apply

    return add


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put in a function's place what `make` makes of it."""
    setattr(owner, name, make(getattr(owner, name)))


# Sockets --------------------------------------------------------------------------------------------------------


@mutation("001_websocket_connection", "`connection_established` comes after 2.5 s", "assert seconds < 2")
def _late_greeting() -> None:
    def late(accept: Any) -> Any:
        async def wrapped(self: Any) -> None:
            await asyncio.sleep(2.5)
            await accept(self)

        return wrapped

    replace(ChatConsumer, "accept", late)


@mutation("002_websocket_authentication", "signatures and expiry are not verified", "[wrong signature]")
def _no_signature() -> None:
    replace(chat.auth, "AccessToken", lambda token_type: lambda token: token_type(token, verify=False))


@mutation(
    "003_websocket_message_send",
    "a handler raises on the first message, and nobody catches it",
    "ConnectionClosedError",
)
def _raising_handler() -> None:
    async def dispatch(self: Any, message: dict[str, Any]) -> None:
        if '"content"' in message.get("text", ""):
            raise RuntimeError("an injected fault")
        await self.handle(message)

    replace(ChatConsumer, "dispatch", lambda _: dispatch)


@mutation(
    "004_websocket_concurrent_connections",
    "events go to the sockets of other users, too",
    "assert not [identity for identity in foreign",
)
def _events_for_all() -> None:
    opened: list[Any] = []

    def leaking(handle: Any) -> Any:
        async def wrapped(self: Any, message: dict[str, Any]) -> None:
            await handle(self, message)
            if message["type"] == "websocket.connect":
                opened.append(self)

        return wrapped

    def overheard(hear: Any) -> Any:
        def wrapped(self: Any, message: dict[str, Any]) -> None:
            hear(self, message)
            for other in opened if message["type"] == WAKE_UP else ():
                if other.connection is not None and other.user_id != self.user_id:
                    other.connection._push([frame.text for frame in message["frames"]])

        return wrapped

    replace(ChatConsumer, "handle", leaking)
    replace(ChatConsumer, "hear", overheard)


# Agents ---------------------------------------------------------------------------------------------------------


@mutation("005_agent_discovery", "`GET /api/tools` leaves out `calculate`", "KeyError: 'calculate'")
def _missing_tool() -> None:
    def without(get: Any) -> Any:
        def wrapped(self: Any, request: Any) -> Any:
            response = get(self, request)
            response.data["tools"] = [tool for tool in response.data["tools"] if tool["name"] != "calculate"]
            return response

        return wrapped

    replace(chat.api.agents.Tools, "get", without)


@mutation("006_agent_configuration", "an agent's description tells the server's key", "find_secrets(told, known) == []")
def _telling_secrets() -> None:
    key = settings.NETRA.secret_key.get_secret_value()
    replace(
        chat.api.agents,
        "agent_json",
        lambda agent_json: lambda agent: agent_json(agent) | {"model_settings": f"key={key}"},
    )


@mutation("007_agent_execution_endpoints", "every run is the first agent's", "('completed', 'assistant')")
def _wrong_agent() -> None:
    replace(ThreadService, "_agent", lambda _: lambda self, _name: self.agents[0])


@mutation("008_agent_streaming_capabilities", "a stream is sent when it is whole", "the first event came before")
def _buffered_stream() -> None:
    def buffered(run_frames: Any) -> Any:
        async def wrapped(*arguments: Any, **named: Any) -> AsyncIterator[Any]:
            for frame in [frame async for frame in run_frames(*arguments, **named)]:
                yield frame

        return wrapped

    replace(chat.streams.runs, "run_frames", buffered)


@mutation("009_agent_status_monitoring", "the supervisor counts no runs", "(0, 0) == (1, 1)")
def _counting_nothing() -> None:
    replace(chat.api.supervisor, "OPEN_STATUSES", lambda _: ())


@mutation("010_tool_execution_endpoints", "`tool_executing` has no arguments", "assert '123456789' in")
def _no_arguments() -> None:
    def without(event_data: Any) -> Any:
        def wrapped(event: Any) -> Any:
            data = event_data(event)
            return {**data, "arguments": {}} if event.type == "tool_executing" else data

        return wrapped

    replace(chat.run_writer, "event_data", without)


@mutation(
    "011_agent_performance", "what a connection announces takes 0.7 s to read", 'ratios["connect"] < CONNECT_RATIO'
)
def _slow_snapshot() -> None:
    def slow(find: Any) -> Any:
        async def wrapped(self: Any, *of: Any) -> Any:
            await asyncio.sleep(0.7)
            return await find(self, *of)

        return wrapped

    replace(Arrivals, "find", slow)


# Messages -------------------------------------------------------------------------------------------------------


@mutation("012_message_persistence", "of a question only 40 characters are stored", "in assert_stored")
def _cut_questions() -> None:
    def cutting(begin: Any) -> Any:
        def wrapped(self: Any, counters: Any, asked: Any, *arguments: Any) -> MessageAccepted:
            accepted: MessageAccepted = begin(self, counters, asked, *arguments)
            stored = Message.objects.filter(thread_id=accepted.thread_id, message_id=accepted.message_id)
            stored.update(content=asked.message.content[:40])
            return accepted

        return wrapped

    replace(ThreadService, "_begin", cutting)


@mutation("013_thread_creation", "a deleted thread is still there", "THREAD_NOT_FOUND")
def _undead_threads() -> None:
    def undone(delete_thread: Any) -> Any:
        def wrapped(self: Any, user_id: Any, thread_id: uuid.UUID, **named: Any) -> None:
            delete_thread(self, user_id, thread_id, **named)
            Thread.objects.filter(id=thread_id).update(deleted_at=None)

        return wrapped

    replace(OwnThreads, "delete_thread", undone)


@mutation("014_thread_switching", "live events carry another thread's id", '== {reply["thread_id"]}')
def _wrong_thread() -> None:
    wrong = uuid.uuid4()

    def misled(event_text: Any) -> Any:
        def wrapped(**named: Any) -> str:
            text: str = event_text(**{**named, "thread_id": wrong})
            return text

        return wrapped

    replace(chat.run_event, "event_text", misled)


@mutation("015_thread_history", "a page begins with the last message of the page before", "limit=limit) == whole")
def _overlapping_pages() -> None:
    def overlapping(leaf: Any) -> Any:
        def wrapped(service: Any, thread: Any, asked: Mapping[str, Any]) -> Any:
            found = leaf(service, thread, asked)
            shown = Message.objects.filter(thread=thread, parent=found).first() if asked.get("before") else None
            return shown or found

        return wrapped

    replace(chat.api.messages, "_leaf", overlapping)


@mutation("016_user_context_isolation", "a run is found whosever it is", "'last_seq'")
def _anybodys_run() -> None:
    def anybodys(_get_run: Any) -> Any:
        def wrapped(_self: Any, _user_id: Any, run_id: uuid.UUID) -> Run:
            return Run.objects.select_related("input_message", "output_message").get(id=run_id)

        return wrapped

    replace(OwnRuns, "get_run", anybodys)


# Many -----------------------------------------------------------------------------------------------------------


@mutation("017_concurrent_users", "of more than eight runs at a time the others fail", "'agent_error'")
def _eight_at_a_time() -> None:
    def limited(execute: Any) -> Any:
        async def wrapped(self: Any, request: Any) -> AsyncIterator[Any]:
            if self._active_runs >= 8:
                message = "There are too many."
                yield AgentError(agent=request.agent, error_code="MODEL_ERROR", error_message=message, retryable=True)
                return
            async for event in execute(self, request):
                yield event

        return wrapped

    replace(AgentSupervisor, "execute", limited)


@mutation("018_rate_limiting", "messages are not counted", "a minute are announced")
def _no_limit() -> None:
    replace(RateLimits, "message", lambda _: lambda _self, _user_id, _per_minute: None)


@mutation("019_error_handling", "what is no JSON is an error that nobody expected", "INTERNAL_ERROR")
def _unexpected_json() -> None:
    def unguarded(parse_command: Any) -> Any:
        def wrapped(text: str, *, max_bytes: int) -> Any:
            if len(text) <= max_bytes:
                json.loads(text)
            return parse_command(text, max_bytes=max_bytes)

        return wrapped

    replace(chat.protocol, "parse_command", unguarded)


@mutation("020_connection_resilience", "a resumed run goes on one event too late", "ProtocolViolation")
def _late_resume() -> None:
    def late(resume: Any) -> Any:
        def wrapped(self: Any, cursors: Mapping[str, int], *, named: Any, **above: Any) -> Any:
            last = {position.run_id: position.last_seq for position in named}
            moved = {run_id: min(seq + 1, last.get(run_id, seq)) for run_id, seq in cursors.items()}
            return resume(self, moved, named=named, **above)

        return wrapped

    replace(Delivery, "resume", late)


@mutation("021_session_persistence", "the first token's end stays when it is refreshed", "ConnectionClosed")
def _first_token_counts() -> None:
    def once(start: Any) -> Any:
        def wrapped(self: Any, expires_at: Any) -> None:
            if not self._timers:
                start(self, expires_at)

        return wrapped

    replace(TokenClock, "start", once)


# Runs -----------------------------------------------------------------------------------------------------------


@mutation("022_agent_lifecycle_management", "a run that is stopped goes on", "!= 'agent_cancelled'")
def _unstoppable() -> None:
    def pretending(_stop_run: Any) -> Any:
        def wrapped(_self: Any, _user_id: Any, run_id: uuid.UUID) -> RunStopped:
            return RunStopped(run_id=str(run_id), status="cancelled")

        return wrapped

    replace(OwnRuns, "stop_run", pretending)


@mutation("023_streaming_partial_results", "text is written when the answer is whole", "it is shown before it is whole")
def _late_text() -> None:
    def patient(init: Any) -> Any:
        def wrapped(self: Any, log: Any, run: Any, *, window: float) -> None:
            init(self, log, run, window=window + 3600)

        return wrapped

    replace(RunWriter, "__init__", patient)


@mutation("024_message_ordering", "live events are sent twice", "for event in events] == list(range(1")
def _twice() -> None:
    def repeating(push: Any) -> Any:
        def wrapped(self: Any, texts: Any) -> None:
            push(self, [text for text in texts for _ in range(2 if '"seq":' in text else 1)])

        return wrapped

    replace(Connection, "_push", repeating)


@mutation("025_critical_event_delivery", "`agent_thinking` is never told", "missing: ['agent_thinking']")
def _thoughtless() -> None:
    def silent(write: Any) -> Any:
        async def wrapped(self: Any, event: Any) -> None:
            if not isinstance(event, AgentThinking):
                await write(self, event)

        return wrapped

    replace(RunWriter, "write", silent)
