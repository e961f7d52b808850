"""A pytest plugin for tests that talk to Netra through the Channels test communicator.

    pytest_plugins = ["netra.testing"]

    async def test_an_answer(netra):
        socket = await netra.connect(await netra.user("ann"))
        events = await netra.ask(socket, "What is 6 * 7?")
        assert events[-1]["data"]["message"]["content"]

The fixture `netra` uses a real database (`transactional_db`) and the real worker in the test's own process; it stops
the worker, closes pools and sockets, and leaves nothing to the next test.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connection, connections

from agents.apps import AgentsConfig
from agents.registry import Agent, AgentRegistry
from agents.supervisor import AgentSupervisor
from chat.apps import ChatConfig
from chat.models import Run
from chat.tokens import AccessToken

TERMINAL = ("agent_completed", "agent_error", "agent_cancelled")
PATIENCE_SECONDS = 10.0


class Socket(WebsocketCommunicator):
    """The Channels communicator; `established` is the first frame that it received."""

    established: dict[str, Any]


class Netra:
    """The application under test."""

    def __init__(self, application: Any, chat: ChatConfig) -> None:
        self.application = application
        self.chat = chat
        self._sockets: list[Socket] = []

    async def user(self, username: str, **attributes: Any) -> Any:
        """A user who can sign in."""
        create = get_user_model().objects.create_user
        return await database_sync_to_async(create)(username, password=f"password of {username}", **attributes)

    def token(self, user: Any) -> str:
        """An access token as the sign-in gives it."""
        return str(AccessToken.for_user(user))

    def headers(self, user: Any) -> list[tuple[bytes, bytes]]:
        return [(b"authorization", f"Bearer {self.token(user)}".encode())]

    def communicator(
        self, *, headers: list[tuple[bytes, bytes]] | None = None, subprotocols: list[str] | None = None
    ) -> Socket:
        """A socket that has yet to connect; closed at the end of the test."""
        socket = Socket(self.application, "/ws", headers=headers, subprotocols=subprotocols)
        self._sockets.append(socket)
        return socket

    def use_agents(self, *agents: Agent, run_timeout: float = 60.0) -> None:
        """Answer with these agents instead of the configured ones; the first is the default."""
        agents_app = cast("AgentsConfig", apps.get_app_config("agents"))
        agents_app.supervisor = AgentSupervisor(AgentRegistry(agents), run_timeout=run_timeout)
        self.chat.thread_service = self.chat.build_thread_service()

    async def connect(self, user: Any) -> Socket:
        """A connected socket, its `connection_established` received and kept in `socket.established`."""
        socket = self.communicator(headers=self.headers(user))
        accepted, _ = await socket.connect()
        assert accepted  # noqa: S101 - pytest's own way to say so
        socket.established = await receive(socket)
        return socket

    async def ask(self, socket: Socket, content: str, **fields: Any) -> list[dict[str, Any]]:
        """Send a message and return its run's events, the terminal one last."""
        message_id = str(uuid.uuid4())
        await send(socket, type="user_message", content=content, message_id=message_id, **fields)
        run_id = None
        events = []
        while True:
            frame = await receive(socket)
            if frame["type"] == "error_message":
                raise AssertionError(frame)
            if frame["type"] == "message_created" and frame["data"]["message"]["id"] == message_id:
                run_id = frame["run_id"]
            if run_id is not None and frame.get("run_id") == run_id and "seq" in frame:
                events.append(frame)
                if frame["type"] in TERMINAL:
                    return events

    async def run_in_state(self, run_id: str, *statuses: str) -> Run:
        """Wait until a run is in one of these states."""
        found = Run.objects.filter(id=run_id, status__in=statuses).first
        return cast("Run", await eventually(database_sync_to_async(found)))

    async def close(self) -> None:
        for socket in self._sockets:
            if not socket.future.done():
                await socket.disconnect()


async def send(socket: Socket, **frame: Any) -> None:
    await socket.send_to(text_data=json.dumps(frame))


async def receive(socket: Socket, *types: str) -> dict[str, Any]:
    """The next frame, or, with `types`, the next of these types."""
    while True:
        frame = json.loads(await socket.receive_from(timeout=PATIENCE_SECONDS))
        if not types or frame["type"] in types:
            return cast("dict[str, Any]", frame)


async def eventually(look: Callable[[], Any]) -> Any:
    """What `look` returns as soon as it is true. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (seen := await look()):  # noqa: ASYNC110 - what it waits for is in the database
            await asyncio.sleep(0.01)
        return seen


@pytest.fixture
def configure(settings: Any) -> Callable[..., None]:
    """Change settings of Netra for one test, before the fixture `netra` is used: `configure(max_open_runs=2)`."""

    def change(**changes: Any) -> None:
        settings.NETRA = settings.NETRA.model_copy(update=changes)
        rebuild()

    return change


def rebuild() -> None:
    """Build anew what `AppConfig.ready` builds."""
    cast("AgentsConfig", apps.get_app_config("agents")).ready()
    cast("ChatConfig", apps.get_app_config("chat")).ready()


@pytest.fixture
async def netra(transactional_db: None, request: pytest.FixtureRequest) -> AsyncIterator[Netra]:  # noqa: ARG001
    """The application with its worker running in the test's own event loop."""
    from django.conf import settings

    from netra.asgi import Application

    rebuild()
    chat = cast("ChatConfig", apps.get_app_config("chat"))
    application = Application(chat, settings.NETRA)
    application.start()
    netra = Netra(application, chat)
    try:
        yield netra
        await netra.close()
    finally:
        await application.stop()
        layer = get_channel_layer()
        if layer is not None:
            await layer.flush()
        await sync_to_async(_clear_jobs)()
        await sync_to_async(connections.close_all)()
        rebuild()  # without the agents of this test


def _clear_jobs() -> None:
    """The engine's tables are not Django's to flush."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE procrastinate_jobs, procrastinate_workers, procrastinate_periodic_defers CASCADE")
