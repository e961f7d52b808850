"""Clients of a server: accounts and their tokens, HTTP, and sockets that fold what they receive."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import hmac
import http.client
import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import jwt
import psycopg
from django.contrib.auth.hashers import make_password
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from chat.fold import ClientState
from chat.signing_keys import name_of
from netra.client.socket import Socket, opened
from tests.conformance import assert_conforms
from tests.processes import PATIENCE_SECONDS

if TYPE_CHECKING:
    from tests.live import LiveServer

Frame = dict[str, Any]

TERMINAL = ("agent_completed", "agent_error", "agent_cancelled")
SECRET_KEY = "the secret key of every server that a test starts"
PASSWORD = "a password of tests"


@functools.cache
def _password_hash() -> str:
    return make_password(PASSWORD)


# Tokens -----------------------------------------------------------------------------------------------------


def signing_key(secret_key: str = SECRET_KEY) -> str:
    """The key with which a server of this secret key signs its tokens."""
    return hmac.new(secret_key.encode(), b"netra.jwt", hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Account:
    """A user in the database."""

    id: int
    username: str
    password: str
    password_hash: str

    def claims(self, **changes: object) -> dict[str, Any]:
        """What an access token of this user says, as the sign-in makes it. A change to None leaves a claim out."""
        now = int(time.time())
        claims = {
            "token_type": "access",
            "iat": now,
            "exp": now + 600,
            "jti": uuid.uuid4().hex,
            "user_id": str(self.id),
            "hash_password": hashlib.md5(self.password_hash.encode(), usedforsecurity=False).hexdigest().upper(),
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, **changes: object) -> str:
        return jwt.encode(self.claims(**changes), signing_key(), "HS256", headers={"kid": name_of(signing_key())})


def add_users(
    connection: psycopg.Connection[Any], number: int, name: str = "user", *, is_active: bool = True
) -> list[Account]:
    """Users who can sign in. Their names begin with `name` and are their own."""
    hashed = _password_hash()
    query = """INSERT INTO auth_user (password, is_superuser, username, first_name, last_name, email, is_staff,
                                      is_active, date_joined)
               VALUES (%s, false, %s, '', '', '', false, %s, now()) RETURNING id"""
    accounts = []
    for _ in range(number):
        username = f"{name}-{uuid.uuid4().hex[:12]}"
        row = connection.execute(query, (hashed, username, is_active)).fetchone()
        assert row is not None
        accounts.append(Account(row[0], username, PASSWORD, hashed))
    return accounts


# HTTP -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: Any


def request(
    base_url: str,
    method: str,
    path: str,
    *,
    token: str | None = None,
    body: object = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One HTTP request. JSON in `body`, or bytes as they are, and in the answer; one that is no JSON has its text."""
    parts = urlsplit(base_url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=PATIENCE_SECONDS)
    headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
    encoded = None
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
        encoded = body if isinstance(body, bytes) else json.dumps(body)
    with contextlib.closing(connection):
        connection.request(method, parts.path.rstrip("/") + path, encoded, headers)
        response = connection.getresponse()
        text = response.read().decode()
        is_json = "json" in response.headers.get("Content-Type", "")
        return Answer(response.status, response.headers, json.loads(text) if is_json else text)


def sign_in(base_url: str, username: str, password: str) -> dict[str, Any]:
    """The tokens of a user: `access`, `expires_in` and `refresh`."""
    answer = request(base_url, "POST", "/api/auth/token", body={"username": username, "password": password})
    assert answer.status == 200, f"{username} cannot sign in: {answer.status} {answer.body}"
    return cast("dict[str, Any]", answer.body)


# Sockets ----------------------------------------------------------------------------------------------------


class Client(Socket):
    """One socket. Every frame received is kept in `frames`, and folded into `state`, which finds gaps."""

    established: Frame

    def __init__(self, connection: ClientConnection, *, state: ClientState | None = None, acks: bool = True) -> None:
        super().__init__(connection, state=state, acks=acks)
        self.socket = connection
        self.frames: list[Frame] = []

    async def receive(self, *types: str) -> Frame:
        """The next frame, or, with `types`, the next of these types. Raises ConnectionClosed and TimeoutError."""
        while True:
            async with asyncio.timeout(PATIENCE_SECONDS):
                frame = await super().receive()
            assert_conforms(frame)
            self.frames.append(frame)
            if not types or frame["type"] in types:
                return frame

    async def request(self, **frame: object) -> Frame:
        """Send a command, and return its reply or the error that answers it."""
        ref = uuid.uuid4().hex
        seen = len(self.frames)
        await self.send(**frame, ref=ref)
        while True:
            reply = next((frame for frame in self.frames[seen:] if frame.get("ref") == ref), None)
            if reply is not None:
                return reply
            await self.receive()

    async def ping(self) -> None:
        assert (await self.request(type="ping"))["type"] == "pong"

    async def post(self, content: str, **fields: object) -> Frame:
        """Send a message, and return its acceptance."""
        reply = await self.request(type="user_message", content=content, **fields)
        assert reply["type"] == "message_accepted", reply
        return reply

    async def events(self, run_id: str, *, to: Sequence[str] = TERMINAL) -> list[Frame]:
        """The events of a run from those that this socket received first to one of the types in `to`."""
        while not any(event["type"] in to for event in self.events_of(run_id)):
            await self.receive()
        return self.events_of(run_id)

    def events_of(self, run_id: str) -> list[Frame]:
        return [frame for frame in self.frames if frame.get("run_id") == run_id and "seq" in frame]

    async def ask(self, content: str, **fields: object) -> list[Frame]:
        """Send a message, and return all events of its run."""
        return await self.events((await self.post(content, **fields))["run_id"])

    async def closed(self) -> int:
        """Read to the end, and return the close code: 1006 when there was no close frame."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.receive()
        code = self.socket.close_code
        assert code is not None
        return code


Connecting = contextlib.AbstractAsyncContextManager[Client]


@contextlib.asynccontextmanager
async def dial(
    base_url: str, *, state: ClientState | None = None, acks: bool = True, **options: Any
) -> AsyncIterator[Client]:
    """A socket whose handshake was accepted: see `netra.client.socket.opened`.

    A longer `max_queue` delays its end by ten seconds.
    """
    async with opened(base_url, **options) as connection:
        client = Client(connection, state=state, acks=acks)
        try:
            yield client
        finally:
            client.left()
    assert connection.close_code != 1011, "no input and no fault closes a socket with 1011"


@contextlib.asynccontextmanager
async def connected(
    base_url: str, token: str, *, state: ClientState | None = None, acks: bool = True, max_queue: int | None = 16
) -> AsyncIterator[Client]:
    """A socket that has received `connection_established` before all else, and has resumed from `state`."""
    async with dial(base_url, token=token, state=state, acks=acks, max_queue=max_queue) as client:
        client.established = await client.receive()
        assert client.established["type"] == "connection_established", client.established
        if state is not None and (resume := state.resume("resume")) is not None:
            await client.send(**resume)
        yield client


async def refusal(base_url: str, **options: Any) -> tuple[Frame, int]:
    """The one frame that a refused connection receives, and the close code after it."""
    async with dial(base_url, **options) as client:
        code = await client.closed()
    assert len(client.frames) == 1, client.frames
    return client.frames[0], code


def assert_whole(events: list[Frame]) -> None:
    """Every event once, in order, and the answer is what was said since the last restart."""
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "agent_completed"
    restarts = [event["seq"] for event in events if event["type"] == "agent_restarted"]
    said = "".join(
        event["data"]["text"]
        for event in events
        if event["type"] == "agent_response_chunk" and event["seq"] > max(restarts, default=0)
    )
    assert events[-1]["data"]["message"]["content"] == said


def assert_state_is_what_rest_shows(server: LiveServer, account: Account, state: ClientState) -> None:
    """The oracle: of each run, the client's state is what REST shows, its answer once and whole."""
    for run_id, run in state.runs.items():
        shown = server.http("GET", f"/api/threads/{run['thread_id']}/messages", token=account.token()).body
        [of_run] = [entry for entry in shown["runs"] if entry["id"] == run_id]
        assert (of_run["run_number"], of_run["status"]) == (run["run_number"], run["status"])
        assert (of_run["attempt"], of_run["last_seq"]) == (run["attempt"], run["last_seq"])
        said = [entry["content"] for entry in shown["messages"] if entry["run_id"] == run_id]
        told = [message["content"] for message in (run["question"], run["message"]) if message is not None]
        assert said == told
        assert run["question"] is not None
        assert told[1:] == ([run["text"]] if run["text"] or run["status"] == "completed" else [])
