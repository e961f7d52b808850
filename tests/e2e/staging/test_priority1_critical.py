"""The priority-1 checks, against a deployment or a server that they start: see tests/e2e/staging_test_config.py."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.clients import Client, Frame, connected, dial, refusal, request
from tests.e2e.staging_test_config import Credentials, StagingTestConfig

# Starting a server does not count as a test's time. How long a test may take is the command line's to say.
pytestmark = pytest.mark.timeout(func_only=True)

SOCKETS_PER_USER = 5


def assert_answered(events: list[Frame]) -> str:
    """The events are those of one whole run that was answered. Returns the answer."""
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [events[0]["type"], events[-1]["type"]] == ["message_created", "agent_completed"]
    assert "agent_started" in [event["type"] for event in events]
    answer: str = events[-1]["data"]["message"]["content"]
    assert answer.strip()
    assert answer == "".join(event["data"]["text"] for event in events if event["type"] == "agent_response_chunk")
    return answer


class TestCriticalWebSocket:
    async def test_001_websocket_connection_real(self, staging: StagingTestConfig) -> None:
        health = request(staging.base_url, "GET", "/health")
        assert health.status == 200
        assert health.body["status"] == "healthy"

        frame, close_code = await refusal(staging.base_url)
        environment = health.body["environment"]
        assert frame == {
            "type": "error_message",
            "error_code": "NO_TOKEN",
            "error_message": "No JWT token found in WebSocket headers or subprotocols",
            "details": {
                "environment": environment,
                "ssot_authentication": True,
                "auth_headers": {
                    "authorization_present": False,
                    "authorization_preview": "[MISSING]",
                    "websocket_protocol": "[MISSING]",
                },
            },
        }
        assert close_code == 4401

        user = staging.users[0]
        token = staging.token(user)
        began = time.monotonic()
        async with dial(staging.base_url, token=token) as client:
            established = await client.receive()
            seconds = time.monotonic() - began
            assert established["type"] == established["event"] == "connection_established"
            assert established["connection_ready"] is True
            assert established["user"]["username"] == user.username
            assert established["environment"] == environment
            required = ("agent_supervisor", "thread_service", "database")
            assert {established["services"][name] for name in required} == {"ready"}
            assert seconds < 2
            pong = await client.request(type="ping")
            assert pong["type"] == "pong"
        assert client.socket.close_code == 1000
        print(f"\nconnection_established after {seconds * 1000:.0f} ms")

    async def test_002_websocket_authentication_real(
        self, staging: StagingTestConfig, subtests: pytest.Subtests
    ) -> None:
        user = staging.users[0]
        token = staging.token(user)
        claims = jwt.decode(token, options={"verify_signature": False})
        encoded = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")

        accepted: dict[str, dict[str, Any]] = {
            "header": {"token": token},
            "subprotocol": {"subprotocols": ["netra.v1", f"jwt.{encoded}"]},
            "subprotocol under the earlier name": {"subprotocols": ["jwt-auth", f"jwt.{encoded}"]},
        }
        for name, options in accepted.items():
            with subtests.test(name):
                async with dial(staging.base_url, **options) as client:
                    assert (await client.receive())["type"] == "connection_established"
                    assert client.socket.subprotocol == options.get("subprotocols", [None])[0]

        head, payload, signature = token.split(".")
        refused: dict[str, tuple[Callable[[], str], str, int]] = {
            "malformed": (lambda: "this is no token", "INVALID_TOKEN", 4401),
            "wrong signature": (lambda: jwt.encode(claims, "k" * 64, "HS256"), "INVALID_TOKEN", 4401),
            "signature of another token": (lambda: f"{head}.{payload}.{signature[::-1]}", "INVALID_TOKEN", 4401),
            "wrong algorithm: none": (lambda: jwt.encode(claims, "", "none"), "INVALID_TOKEN", 4401),
            "wrong algorithm: RS256": (lambda: jwt.encode(claims, _rsa_key(), "RS256"), "INVALID_TOKEN", 4401),
            "wrong algorithm: HS512, right key": (lambda: _signed(staging, claims, "HS512"), "INVALID_TOKEN", 4401),
            "expired": (lambda: _signed(staging, {**claims, "exp": int(time.time()) - 60}), "TOKEN_EXPIRED", 4401),
            "deactivated user": (lambda: _signed(staging, _inactive(staging, claims)), "USER_INACTIVE", 4403),
        }
        for name, (make, error_code, close_code) in refused.items():
            with subtests.test(name):
                frame, code = await refusal(staging.base_url, token=make())
                assert (frame["error_code"], code) == (error_code, close_code)

    async def test_003_websocket_message_send_real(self, staging: StagingTestConfig) -> None:
        async with connected(staging.base_url, staging.token(staging.users[0])) as client:
            for kind in ("user_message", "message", "chat_message"):
                accepted = await client.request(type=kind, content="Hello!")
                assert accepted["type"] == "message_accepted", accepted
                events = await client.events(accepted["run_id"])
                assert events[0]["data"]["message"]["id"] == accepted["message_id"]
                answer = assert_answered(events)
            await client.ping()
        assert client.socket.close_code == 1000
        print(f"\n{events[1]['agent']} answered: {answer.splitlines()[0]}")

    async def test_004_websocket_concurrent_connections_real(self, staging: StagingTestConfig) -> None:
        tokens = {user: staging.token(user) for user in staging.users}
        async with AsyncExitStack() as stack:

            async def connect(user: Credentials) -> Client:
                return await stack.enter_async_context(connected(staging.base_url, tokens[user]))

            users = [user for user in staging.users for _ in range(SOCKETS_PER_USER)]
            clients = await asyncio.gather(*map(connect, users))
            sockets = {user: [c for c, owner in zip(clients, users, strict=True) if owner == user] for user in tokens}
            assert len({client.established["connection_id"] for client in clients}) == len(clients)

            # Each user asks on two of them at once, and sees both answers on all of them.
            asking = [(user, client) for user in staging.users for client in sockets[user][:2]]
            accepted = await asyncio.gather(*(client.post(f"Hello! I am {user.username}.") for user, client in asking))
            own: dict[Credentials, set[str]] = {user: set() for user in staging.users}
            ids = dict(own)
            for (user, _), acceptance in zip(asking, accepted, strict=True):
                own[user] = own[user] | {acceptance["run_id"]}
                ids[user] = ids[user] | {acceptance["run_id"], acceptance["thread_id"]}

            async def read(user: Credentials, client: Client) -> None:
                for run_id in own[user]:
                    assert_answered(await client.events(run_id))

            await asyncio.gather(*map(read, users, clients))
            # All has been answered, so all that a socket was sent lies before this.
            await asyncio.gather(*(client.ping() for client in clients))
            for user, client in zip(users, clients, strict=True):
                assert client.established["user"]["username"] == user.username
                received = json.dumps(client.frames)
                foreign = set().union(*(ids[other] for other in staging.users if other != user))
                assert not [identity for identity in foreign if identity in received]
        assert {client.socket.close_code for client in clients} == {1000}
        print(f"\n{len(clients)} sockets of {len(staging.users)} users, each with its own user's events")


def _rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _signed(staging: StagingTestConfig, claims: dict[str, Any], algorithm: str = "HS256") -> str:
    """A token with the deployment's own signature."""
    if staging.signing_key is None:
        pytest.skip("only the deployment's key makes such a token: set STAGING_SECRET_KEY to check it")
    return jwt.encode(claims, staging.signing_key, algorithm)


def _inactive(staging: StagingTestConfig, claims: dict[str, Any]) -> dict[str, Any]:
    if staging.inactive_user_id is None:
        pytest.skip("no deactivated user is known: set STAGING_INACTIVE_USER_ID to check it")
    return {**claims, "user_id": staging.inactive_user_id}
