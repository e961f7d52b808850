"""The priority-1 checks, against a deployment or a server that they start: see tests/e2e/staging_test_config.py."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import statistics
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlencode, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.clients import TERMINAL, Client, Frame, assert_whole, dial, refusal, request
from tests.cluster_users import request_all
from tests.e2e.staging.expectations import (
    CRITICAL_EVENTS,
    GREETING,
    LONG_QUESTION,
    PRODUCT,
    SHORT_QUESTION,
    TOOL_QUESTION,
    accepted,
    assert_answered,
    assert_refused,
    bare_server,
    ended,
    events_over_rest,
    execute,
    find_secrets,
    messages_over_rest,
    seconds_of,
    text_of,
    types_of,
    unknown_id,
)
from tests.e2e.staging.people import Person, another
from tests.e2e.staging_test_config import StagingTestConfig
from tests.processes import eventually

# Starting a server does not count as a test's time. How long a test may take is the command line's to say.
pytestmark = pytest.mark.timeout(func_only=True)

ROSTER = ("triage", "data", "optimization")
SOCKETS_PER_USER = 5
CROWD = 24
SMALLEST_CROWD = 20
# How many times as long as the barest request they may take: more than ten times what they do take.
HEALTH_RATIO = 60
CONNECT_RATIO = 150

People = list[Person]


class TestCriticalWebSocket:
    async def test_001_websocket_connection_real(self, staging: StagingTestConfig, people: People) -> None:
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

        user = people[0]
        token = user.sign_in()["access"]
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
        self, staging: StagingTestConfig, people: People, subtests: pytest.Subtests
    ) -> None:
        token = people[0].token()
        claims = jwt.decode(token, options={"verify_signature": False})
        encoded = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")

        accepted_forms: dict[str, dict[str, Any]] = {
            "header": {"token": token},
            "subprotocol": {"subprotocols": ["netra.v1", f"jwt.{encoded}"]},
            "subprotocol under the earlier name": {"subprotocols": ["jwt-auth", f"jwt.{encoded}"]},
        }
        for name, options in accepted_forms.items():
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

    async def test_003_websocket_message_send_real(self, people: People) -> None:
        async with people[0].connect() as client:
            for kind in ("user_message", "message", "chat_message"):
                reply = await client.request(type=kind, content=GREETING)
                assert reply["type"] == "message_accepted", reply
                events = await client.events(reply["run_id"])
                assert events[0]["data"]["message"]["id"] == reply["message_id"]
                answer = assert_answered(events)
            await client.ping()
        assert client.socket.close_code == 1000
        print(f"\n{events[1]['agent']} answered: {answer.splitlines()[0]}")

    async def test_004_websocket_concurrent_connections_real(self, people: People, subtests: pytest.Subtests) -> None:
        async with AsyncExitStack() as stack:

            async def connect(user: Person) -> Client:
                return await stack.enter_async_context(user.connect())

            owners = [user for user in people for _ in range(SOCKETS_PER_USER)]
            clients = await asyncio.gather(*map(connect, owners))
            sockets = {user: [c for c, owner in zip(clients, owners, strict=True) if owner is user] for user in people}
            assert len({client.established["connection_id"] for client in clients}) == len(clients)

            # Each user asks on two of them at once, and sees both answers on all of them.
            asking = [(user, client) for user in people for client in sockets[user][:2]]
            replies = await asyncio.gather(*(client.post(f"Hello! I am {user.username}.") for user, client in asking))
            own: dict[Person, set[str]] = {user: set() for user in people}
            ids: dict[Person, set[str]] = {user: set() for user in people}
            for (user, _), reply in zip(asking, replies, strict=True):
                own[user].add(reply["run_id"])
                ids[user] |= {reply["run_id"], reply["thread_id"]}

            async def read(user: Person, client: Client) -> None:
                for run_id in own[user]:
                    assert_answered(await client.events(run_id))

            await asyncio.gather(*map(read, owners, clients))
            # All has been answered, so all that a socket was sent lies before this.
            await asyncio.gather(*(client.ping() for client in clients))
            for user, client in zip(owners, clients, strict=True):
                assert client.established["user"]["username"] == user.username
                received = json.dumps(client.frames)
                foreign = set().union(*(ids[other] for other in people if other is not user))
                assert not [identity for identity in foreign if identity in received]
        assert {client.socket.close_code for client in clients} == {1000}
        with subtests.test("of several users"):
            another(people)
        print(f"\n{len(clients)} sockets of {len(people)} users, each with its own user's events")


class TestCriticalAgent:
    async def test_005_agent_discovery_real(
        self, staging: StagingTestConfig, people: People, subtests: pytest.Subtests
    ) -> None:
        user = people[0]
        agents = user.get("/api/agents")["agents"]
        names = [agent["name"] for agent in agents]
        async with user.connect() as client:
            assert names == client.established["agents"]
        assert set(ROSTER) <= set(names)
        for agent in agents:
            assert agent["description"].strip()
            assert user.get(f"/api/agents/{agent['name']}") == agent
        assert_refused(user.http("GET", "/api/agents/nobody"), 404, "AGENT_NOT_FOUND")

        tools = {tool["name"]: tool for tool in user.get("/api/tools")["tools"]}
        for agent in agents:
            for tool in agent["tools"]:
                assert agent["name"] in tools[tool["name"]]["agents"]
                assert tool["description"] == tools[tool["name"]]["description"] != ""
        assert "expression" in tools["calculate"]["parameters"]["properties"]

        for server in user.get("/api/mcp-servers")["mcp_servers"]:
            assert server["name"]
            assert server["state"] in ("disabled", "idle", "connecting", "ready", "failed")
            assert set(server["agents"]) <= set(names)
        for path in ("/api/agents", "/api/agents/triage", "/api/tools", "/api/mcp-servers"):
            assert_refused(request(staging.base_url, "GET", path), 401, "NO_TOKEN")
        print(f"\n{len(names)} agents, {len(tools)} tools: {', '.join(names)}")

        with subtests.test("an MCP server that an agent uses"):
            if staging.mcp_server is None:
                pytest.skip("only of a server that the tests started is it known which MCP server it has")
            await ended(user, execute(user, SHORT_QUESTION, agent="data")["run_id"])
            await eventually(lambda: _mcp_state(user, staging.mcp_server) == "ready", what="the MCP server to be ready")
            of_server = [tool for tool in user.get("/api/tools")["tools"] if tool["mcp_server"] == staging.mcp_server]
            assert {(tool["name"], *tool["agents"]) for tool in of_server} >= {("fixture_add", "data")}

    async def test_006_agent_configuration_real(self, staging: StagingTestConfig, people: People) -> None:
        user = people[0]
        told: dict[str, Any] = {}
        for name in [agent["name"] for agent in user.get("/api/agents")["agents"]]:
            told[name] = user.get(f"/api/agents/{name}")
        for name in ROSTER:
            agent = told[name]
            assert agent["model"].strip()
            assert agent["limits"]
            assert all(limit > 0 for limit in agent["limits"].values())
            assert agent["tools"] or agent["delegates"]
            for tool in agent["tools"]:
                assert tool["parameters"]["type"] == "object"
                assert {type(tool["needs_approval"]), type(tool["repeatable"])} == {bool}
                assert tool["timeout_seconds"] is None or tool["timeout_seconds"] > 0
                assert tool["result_limit"] > 0
        told |= {path: user.get(path) for path in ("/api/tools", "/api/mcp-servers", "/api/supervisor", "/api/me")}
        told |= {path: request(staging.base_url, "GET", path).body for path in ("/health", "/health/ready")}
        known = [*staging.secrets, user.password, user.token()]
        assert find_secrets({"seen": [f"x {known[0]}", {"ENV": 1}]}, known) == [".seen", ".seen.ENV"]
        assert find_secrets(told, known) == []
        print("".join(f"\n{name}: {told[name]['model']}, {len(told[name]['tools'])} tools" for name in ROSTER))

    async def test_007_agent_execution_endpoints_real(self, staging: StagingTestConfig, people: People) -> None:
        user = people[0]
        begun = {name: accepted(user.http("POST", f"/api/agents/{name}", {"message": GREETING})) for name in ROSTER}
        message_id = unknown_id()
        begun["execute"] = execute(user, GREETING, message_id=message_id)
        again = execute(user, GREETING, message_id=message_id)
        assert again == begun["execute"], "the same message begins no other run"
        for name, acceptance in begun.items():
            run = await ended(user, acceptance["run_id"])
            assert (run["status"], run["agent"]) == ("completed", "triage" if name == "execute" else name)
            assert run["thread_id"] == acceptance["thread_id"]
        assert len({acceptance["thread_id"] for acceptance in begun.values()}) == len(begun)

        paths = ["/api/agents/execute", *(f"/api/agents/{name}" for name in ROSTER)]
        for path in paths:
            body = {"type": "triage", "message": GREETING}
            assert_refused(request(staging.base_url, "POST", path, body=body), 401, "NO_TOKEN")
            assert_refused(request(staging.base_url, "POST", path, body=body, token="nonsense"), 401, "INVALID_TOKEN")
            for bad, status, error_code in BAD_BODIES:
                assert_refused(user.http("POST", path, bad), status, error_code)
        for kind in ("nobody", "", None, 7):
            answer = user.http("POST", paths[0], {"type": kind, "message": GREETING})
            assert answer.status in (400, 404)
            assert_refused(answer, answer.status, "AGENT_NOT_FOUND" if kind == "nobody" else "INVALID_MESSAGE")
        assert_refused(user.http("POST", "/api/agents/nobody", {"message": GREETING}), 404, "AGENT_NOT_FOUND")
        assert_refused(user.http("GET", "/api/agents/execute"), 405, "METHOD_NOT_ALLOWED")

    async def test_008_agent_streaming_capabilities_real(self, people: People) -> None:
        user = people[0]
        async with user.stream("/api/agents/execute", {"type": "optimization", "message": LONG_QUESTION}) as stream:
            assert stream.response.status_code == 200
            assert stream.response.headers["content-type"].partition(";")[0] == "text/event-stream"
            first = await stream.receive()
            path = f"/api/runs/{first['run_id']}"
            assert (first["type"], first["seq"]) == ("message_created", 1)
            assert user.get(path)["status"] in ("queued", "running"), "the first event came before the run had ended"
            await stream.receive("agent_response_chunk")
            assert user.get(path)["status"] == "running", "a chunk came while the next ones were made"
            events = await stream.rest()
        answer = assert_answered(events)
        chunks = types_of(events).count("agent_response_chunk")
        assert chunks > 2
        assert stream.ids == [str(event["seq"]) for event in events]
        run = user.get(path)
        assert (run["status"], run["last_seq"]) == ("completed", len(events))

        # Whoever comes later, or again, has what was missed, and is told when there is nothing left.
        async with user.stream(f"{path}/events", last_id="3") as rest:
            assert await rest.rest() == events[3:]
        async with user.stream(f"{path}/events", last_id=str(len(events))) as nothing:
            assert nothing.response.status_code == 204
        print(f"\n{len(answer)} characters in {chunks} chunks")

    async def test_009_agent_status_monitoring_real(self, people: People) -> None:
        user = people[0]

        def supervisor() -> tuple[int, int]:
            """How many of the user's runs are running, and how many of them are of the agent that is asked."""
            told = user.get("/api/supervisor")
            assert (told["status"], told["workers"] > 0) == ("ready", True)
            [asked] = [agent for agent in told["agents"] if agent["name"] == "optimization"]
            return told["runs"]["running"], asked["running"]

        await eventually(lambda: supervisor() == (0, 0), what="nothing to run")
        run_id = execute(user, LONG_QUESTION, agent="optimization")["run_id"]
        path = f"/api/runs/{run_id}"
        async with user.stream(f"{path}/events") as stream:
            await stream.receive("agent_response_chunk")
            running = user.get(path)
            assert supervisor() == (1, 1)
            assert [run["id"] for run in user.get("/api/runs?status=running")["runs"]] == [run_id]
            [thread] = [each for each in user.get("/api/threads")["threads"] if each["id"] == running["thread_id"]]
            assert thread["open_runs"] == 1
            events = await stream.rest()
        assert (running["status"], running["finished_at"], running["output_message_id"]) == ("running", None, None)
        assert running["started_at"] >= running["created_at"]
        after = user.get(path)
        assert (after["status"], after["error_code"], after["agent"]) == ("completed", None, "optimization")
        assert after["finished_at"] > after["started_at"] == running["started_at"]
        assert after["duration_ms"] > 0
        assert after["usage"]["output_tokens"] > 0
        assert after["output_message_id"] == events[-1]["data"]["message"]["id"]
        assert user.get("/api/runs?limit=1")["runs"] == [after]
        assert supervisor() == (0, 0)

    async def test_010_tool_execution_endpoints_real(self, people: People) -> None:
        user = people[0]
        async with user.connect() as client:
            events = await client.ask(TOOL_QUESTION)
        answer = assert_answered(events)
        assert PRODUCT in _digits(answer)
        begun = {event["data"]["tool_call_id"]: event for event in events if event["type"] == "tool_executing"}
        done = {event["data"]["tool_call_id"]: event for event in events if event["type"] == "tool_completed"}
        assert done.keys() == begun.keys() != set()
        found = [call for call in done if PRODUCT in _digits(json.dumps(done[call]["data"].get("result")))]
        assert found, "a tool has computed it"
        executing, completed = begun[found[0]], done[found[0]]
        assert executing["data"]["tool"] == completed["data"]["tool"]
        assert "123456789" in _digits(json.dumps(executing["data"]["arguments"]))
        assert executing["seq"] < completed["seq"]
        assert completed["data"]["duration_ms"] >= 0

        run_id = completed["run_id"]
        assert events_over_rest(user, run_id) == events
        path = f"/api/runs/{run_id}/events/{completed['seq']}/result"
        assert user.get(path) == {"result": completed["data"]["result"]}
        assert_refused(user.http("GET", f"/api/runs/{run_id}/events/1/result"), 404, "RUN_NOT_FOUND")
        print(f"\n{executing['data']['tool']} {executing['data']['arguments']} → {completed['data']['result']}")

    async def test_011_agent_performance_real(self, staging: StagingTestConfig, people: People) -> None:
        parts = urlsplit(staging.base_url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        token = people[0].token()

        def reach() -> None:
            connection = kind(parts.netloc, timeout=10)
            connection.connect()
            connection.close()

        async def connect() -> float:
            began = time.perf_counter()
            async with dial(staging.base_url, token=token) as client:
                assert (await client.receive())["type"] == "connection_established"
                return time.perf_counter() - began

        times: dict[str, list[float]] = {"bare": [], "reach": [], "/health": [], "connect": []}
        with bare_server() as bare:
            # In turn, so that whatever else the machine does meets all of them alike.
            for _ in range(20):
                times["bare"].append(seconds_of(lambda: request(bare, "GET", "/")))
                times["reach"].append(seconds_of(reach))
                times["/health"].append(seconds_of(lambda: request(staging.base_url, "GET", "/health")))
                times["connect"].append(await connect())
        # What a bare request would take at the deployment's distance: there, and there and back again.
        yardstick = min(times["bare"]) + 2 * min(times["reach"])
        ratios = {name: min(times[name]) / yardstick for name in ("/health", "connect")}
        for name, seconds in times.items():
            ratio = f", {ratios[name]:.1f} times a bare request" if name in ratios else ""
            print(f"\n{name}: best {min(seconds) * 1e3:.1f} ms, p50 {statistics.median(seconds) * 1e3:.1f} ms{ratio}")
        assert ratios["/health"] < HEALTH_RATIO
        assert ratios["connect"] < CONNECT_RATIO


class TestCriticalMessaging:
    async def test_012_message_persistence_real(
        self, staging: StagingTestConfig, people: People, subtests: pytest.Subtests
    ) -> None:
        user = people[0]
        content = f"{TOOL_QUESTION} <b>ümlaut</b> \U0001f680 {uuid.uuid4().hex}"
        async with user.connect() as client:
            reply = await client.post(content)
            events = await client.events(reply["run_id"])
        answer = assert_answered(events)

        def assert_stored() -> None:
            question, answered = messages_over_rest(user, reply["thread_id"])
            assert (question["id"], question["role"], question["content"]) == (reply["message_id"], "user", content)
            assert (answered["role"], answered["content"]) == ("assistant", answer)
            assert answered["parent_id"] == question["id"]
            assert {question["run_id"], answered["run_id"]} == {reply["run_id"]}
            assert [question, answered] == [user.get(f"/api/messages/{each['id']}") for each in (question, answered)]
            assert events_over_rest(user, reply["run_id"]) == events
            assert reply["thread_id"] in [thread["id"] for thread in user.get("/api/threads")["threads"]]

        assert_stored()
        with subtests.test("after a restart"):
            if staging.restart is None:
                pytest.skip("only a server that the tests started is restarted: leave out STAGING_BASE_URL to check it")
            await asyncio.to_thread(staging.restart)
            assert_stored()
            async with user.connect() as client:
                await client.send(type="resume", cursors={reply["run_id"]: 0})
                assert await client.events(reply["run_id"]) == events

    async def test_013_thread_creation_real(self, people: People) -> None:
        user = people[0]
        title = f"Plans & plans {uuid.uuid4().hex}"

        def listed(**query: str) -> list[str]:
            found = user.get(f"/api/threads?{urlencode({'limit': 200, **query})}")
            return [thread["title"] for thread in found["threads"]]

        async with user.connect() as client:
            created = user.http("POST", "/api/threads", {"title": title})
            assert (created.status, created.body["title"], created.body["archived"]) == (201, title, False)
            path = f"/api/threads/{created.body['id']}"
            assert user.get(path) == created.body
            assert title in listed()
            assert listed(search=title.upper()) == [title]

            seen = {"If-Match": created.headers["ETag"]}
            renamed = user.http("PATCH", path, {"title": f"{title} renamed"}, headers=seen)
            assert (renamed.status, renamed.body["title"]) == (200, f"{title} renamed")
            assert renamed.headers["ETag"] != created.headers["ETag"]
            late = user.http("PATCH", path, {"title": "from another tab"}, headers=seen)
            assert_refused(late, 412, "PRECONDITION_FAILED")
            assert listed(search=title) == [user.get(path)["title"]] == [f"{title} renamed"]

            assert user.http("PATCH", path, {"archived": True}).body["archived"] is True
            assert (listed(search=title), listed(search=title, archived="true")) == ([], [f"{title} renamed"])
            assert user.http("PATCH", path, {"archived": False}).body["archived"] is False

            for bad in BAD_CHANGES:
                assert_refused(user.http("PATCH", path, bad), 400, "INVALID_MESSAGE")

            reply = await client.post(SHORT_QUESTION, thread_id=created.body["id"])
            await client.events(reply["run_id"])
            assert user.http("DELETE", path).status == 204
            gone = await client.receive("thread_deleted")
            assert gone["thread"]["id"] == created.body["id"]
            notices = [frame for frame in client.frames if frame.get("thread", {}).get("id") == created.body["id"]]
        kinds = types_of(notices)
        assert (kinds[0], kinds[-1], set(kinds[1:-1])) == ("thread_created", "thread_deleted", {"thread_updated"})
        versions = [notice["threads_version"] for notice in notices]
        assert versions == sorted(set(versions))
        for method, body in (("GET", None), ("PATCH", {"title": "x"}), ("DELETE", None)):
            assert_refused(user.http(method, path, body), 404, "THREAD_NOT_FOUND")
        assert listed(search=title) == listed(search=title, archived="true") == []

    async def test_014_thread_switching_real(self, people: People) -> None:
        user = people[0]
        async with user.connect() as client:
            here = await client.post(LONG_QUESTION)
            there = await client.post(LONG_QUESTION)
            assert here["thread_id"] != there["thread_id"]
            # Back in the first thread while both are being answered.
            later = await client.post(SHORT_QUESTION, thread_id=here["thread_id"])
            runs = {reply["run_id"]: reply for reply in (here, there, later)}
            for run_id in runs:
                assert_answered(await client.events(run_id))
            for run_id, reply in runs.items():
                assert {event["thread_id"] for event in client.events_of(run_id)} == {reply["thread_id"]}
                assert {event["run_number"] for event in client.events_of(run_id)} == {reply["run_number"]}
            told = [frame for frame in client.frames if frame.get("run_id") in (here["run_id"], there["run_id"])]
        ends = [place for place, frame in enumerate(told) if frame["type"] in TERMINAL]
        chunks = {frame["run_id"] for frame in told[: ends[0]] if frame["type"] == "agent_response_chunk"}
        assert chunks == {here["run_id"], there["run_id"]}, "both threads were answered at the same time"
        for thread, own in ((here, [here, later]), (there, [there])):
            messages = messages_over_rest(user, thread["thread_id"])
            assert [message["run_id"] for message in messages] == [reply["run_id"] for reply in own for _ in range(2)]
            assert [message["role"] for message in messages] == ["user", "assistant"] * len(own)
            assert [run["id"] for run in user.get(f"/api/runs?thread_id={thread['thread_id']}")["runs"]] == [
                reply["run_id"] for reply in reversed(own)
            ]

    async def test_015_thread_history_real(self, people: People) -> None:
        user = people[0]
        thread_id = user.http("POST", "/api/threads", {"title": "A long thread"}).body["id"]
        async with user.connect() as client:
            questions = min(8, client.established["limits"]["max_open_runs"] - 1)
            # Posted at once: they wait for each other, and stay in their order.
            replies = [await client.post(SHORT_QUESTION, thread_id=thread_id) for _ in range(questions)]
            answers = [assert_answered(await client.events(reply["run_id"])) for reply in replies]
        path = f"/api/threads/{thread_id}/messages"
        whole = messages_over_rest(user, thread_id)
        assert [message["role"] for message in whole] == ["user", "assistant"] * questions
        assert [message["id"] for message in whole[::2]] == [reply["message_id"] for reply in replies]
        assert [message["content"] for message in whole[1::2]] == answers
        assert [message["parent_id"] for message in whole] == [None, *[message["id"] for message in whole[:-1]]]
        for of_one_role in (whole[::2], whole[1::2]):
            times = [message["created_at"] for message in of_one_role]
            assert times == sorted(times)
        for limit in (1, 3, 5, len(whole)):
            assert messages_over_rest(user, thread_id, limit=limit) == whole

        # What is written meanwhile moves no page that was not read yet.
        last = user.get(f"{path}?limit=4")
        assert last["messages"] == whole[-4:]
        await ended(user, accepted(user.http("POST", path, {"content": SHORT_QUESTION}))["run_id"])
        before = user.get(f"{path}?limit=4&before={last['previous']}")
        assert before["messages"] == whole[-8:-4]
        assert len(messages_over_rest(user, thread_id)) == len(whole) + 2
        for query in ("limit=0", "limit=201", "limit=x", "before=x", "leaf=x"):
            assert_refused(user.http("GET", f"{path}?{query}"), 400, "INVALID_MESSAGE")
        assert_refused(user.http("GET", f"{path}?leaf={unknown_id()}"), 404, "MESSAGE_NOT_FOUND")
        print(f"\n{len(whole)} messages, in pages of 1, 3 and 5")

    async def test_016_user_context_isolation_real(self, people: People) -> None:
        ann, bob = people[0], another(people)
        word = f"secret-{uuid.uuid4().hex}"
        async with ann.connect() as hers, bob.connect() as his, bob.stream("/api/events") as stream:
            await stream.receive("stream_established")
            reply = await hers.post(f"{TOOL_QUESTION} {word}")
            events = await hers.events(reply["run_id"])
            seq = next(event["seq"] for event in events if event["type"] == "tool_completed")
            before = messages_over_rest(ann, reply["thread_id"])
            foreign = {**reply, "answer_id": events[-1]["data"]["message"]["id"], "seq": seq, "call": "x"}
            nobodys = {**{name: unknown_id() for name in foreign}, "seq": seq, "call": "x"}

            for method, path, body, error_code in NOT_THEIRS:
                theirs = bob.http(method, path.format_map(foreign), _filled(body, foreign))
                assert_refused(theirs, 404, error_code)
                unknown = bob.http(method, path.format_map(nobodys), _filled(body, nobodys))
                told, otherwise = [{**each.body, "correlation_id": None} for each in (theirs, unknown)]
                assert told == otherwise, f"{method} {path} tells that there is one"
            for command, error_code in NOT_THEIRS_ON_A_SOCKET:
                assert (await his.request(**_filled(command, foreign)))["error_code"] == error_code
            resumed = await his.request(type="resume", cursors={reply["run_id"]: 0}, after_run=0)
            assert (resumed["gone"], reply["run_id"] in resumed["runs"]) == ([reply["run_id"]], False)
            async with bob.stream(f"/api/runs/{reply['run_id']}/events") as refused:
                assert refused.response.status_code == 404

            for path in ("/api/threads?limit=200", f"/api/threads?search={word}", "/api/runs", "/api/approvals"):
                assert not _mentions(bob.get(path), foreign, word)
            assert ann.get(f"/api/threads?search={word}")["threads"]
            assert messages_over_rest(ann, reply["thread_id"]) == before, "whatever he tried has changed nothing"

            # His own come; what was hers would have come before them.
            own = await his.ask(SHORT_QUESTION)
            while (await stream.receive())["type"] not in TERMINAL:
                pass
            assert {event["run_id"] for event in own}.isdisjoint({reply["run_id"]})
            assert not [frame for frame in his.frames if "seq" in frame and _mentions(frame, foreign, word)]
            assert not [frame for frame in stream.frames if _mentions(frame, foreign, word)]
        print(f"\n{len(NOT_THEIRS)} requests and {len(NOT_THEIRS_ON_A_SOCKET) + 1} commands found nothing")


class TestCriticalScalability:
    async def test_017_concurrent_users_real(self, staging: StagingTestConfig, people: People) -> None:
        crowd = staging.people(CROWD)
        async with people[0].connect() as client:
            limits = client.established["limits"]
        places = min(CROWD, len(crowd) * min(limits["max_open_runs"], limits["max_connections"] - 1))
        if places < SMALLEST_CROWD:
            pytest.skip("the limits of one user allow no crowd: set STAGING_USERS to check it")
        users = [crowd[place % len(crowd)] for place in range(places)]

        async def chat(place: int, user: Person) -> tuple[str, float]:
            async with user.connect() as client:
                began = time.perf_counter()
                reply = await client.post(f"What is {place} + 1000000?")
                events = await client.events(reply["run_id"])
                seconds = time.perf_counter() - began
                await client.ping()
            answer = _digits(assert_answered(events))
            assert str(1000000 + place) in answer
            if len(crowd) == places:
                assert {frame["run_id"] for frame in client.frames if "run_id" in frame} == {reply["run_id"]}
            return reply["run_id"], seconds

        for user in crowd:
            user.token()
        outcomes = await asyncio.gather(*(chat(place, user) for place, user in enumerate(users)))
        assert len({run_id for run_id, _ in outcomes}) == places
        slowest = max(seconds for _, seconds in outcomes)
        print(f"\n{places} chats of {len(crowd)} users at the same time, the slowest answered after {slowest:.1f} s")

    async def test_018_rate_limiting_real(
        self, staging: StagingTestConfig, people: People, subtests: pytest.Subtests
    ) -> None:
        flooder = staging.one_to_annoy()
        thread_id = flooder.http("POST", "/api/threads", {"title": "A flood"}).body["id"]
        message = {"type": "user_message", "content": SHORT_QUESTION, "thread_id": thread_id}
        async with flooder.connect() as client:
            limit = client.established["limits"]["user_messages_per_minute"]
            replies: list[Frame] = []
            while not (limited := _with_code(replies, "RATE_LIMITED")) and len(replies) <= limit + 20:
                replies += await request_all([client], [message] * 20)
            assert limited, f"{len(replies)} messages, and {limit} a minute are announced"
            passed = len(replies) - len(limited)
            assert passed <= limit
            # All others were taken, or refused because too many runs were open.
            begun = [reply for reply in replies if reply["type"] == "message_accepted"]
            assert len(begun) + len(_with_code(replies, "TOO_MANY_RUNS")) == passed
            if staging.make_users is not None:
                assert passed == limit, "nobody is limited before the limit"
            assert all(0 < error["retry_after"] <= 60 for error in limited)
            await client.ping()

            answer = flooder.http("POST", f"/api/threads/{thread_id}/messages", {"content": SHORT_QUESTION})
            for _ in range(8 * limit):  # each process counts for itself
                if answer.status == 429 and answer.body["error_code"] == "RATE_LIMITED":
                    break
                answer = flooder.http("POST", f"/api/threads/{thread_id}/messages", {"content": SHORT_QUESTION})
            assert_refused(answer, 429, "RATE_LIMITED")
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
            assert flooder.get("/api/threads"), "what costs nothing goes on"

            with subtests.test("others are unaffected"):
                others = [person for person in people if person.username != flooder.username]
                if not others:
                    another(people)
                async with others[0].connect() as unaffected:
                    assert_answered(await unaffected.ask(SHORT_QUESTION))
            assert flooder.http("DELETE", f"/api/threads/{thread_id}").status == 204
            await client.ping()
        assert client.socket.close_code == 1000
        print(f"\n{limit} messages a minute: {passed} passed, then wait {limited[0]['retry_after']} s")

    async def test_019_error_handling_real(self, staging: StagingTestConfig, people: People) -> None:
        user = people[0]
        async with user.connect() as client:
            largest = client.established["limits"]["max_message_bytes"]
            oversized = json.dumps({"type": "user_message", "content": "x" * largest})
            for text, error_code in [*BAD_FRAMES, (oversized, "MESSAGE_TOO_LARGE")]:
                await client.socket.send(text)
                error = await client.receive("error_message")
                assert error["error_code"] == error_code, (text[:80], error)
                assert error["error_message"].strip()
                await client.ping()
            for command, error_code in WRONG_IDS:
                error = await client.request(**command)
                assert (error["type"], error.get("error_code")) == ("error_message", error_code), command
            message_id = unknown_id()
            await client.post(SHORT_QUESTION, message_id=message_id)
            conflict = await client.request(type="user_message", content="other words", message_id=message_id)
            assert conflict["error_code"] == "MESSAGE_ID_CONFLICT"
            unknown = unknown_id()
            assert (await client.request(type="resume", cursors={unknown: 0}))["gone"] == [unknown]
            answer = await client.ask(TOOL_QUESTION)
            assert PRODUCT in _digits(assert_answered(answer)), "after all that it works as before"
        assert client.socket.close_code == 1000

        for method, path, body, status, error_code in WRONG_REQUESTS:
            assert_refused(user.http(method, path, body), status, error_code)
        plain = user.http("POST", "/api/threads", b"title=x", headers={"Content-Type": "text/plain"})
        assert_refused(plain, 415, "UNSUPPORTED_MEDIA_TYPE")
        assert_refused(request(staging.base_url, "GET", "/api/nowhere"), 404, "NOT_FOUND")
        assert_refused(request(staging.base_url, "GET", "/api/threads"), 401, "NO_TOKEN")

    async def test_020_connection_resilience_real(self, people: People) -> None:
        user = people[0]
        received: list[Frame] = []
        async with user.connect() as client:
            run_id = (await client.post(LONG_QUESTION))["run_id"]
            await client.events(run_id, to=["agent_response_chunk"])
            client.socket.transport.abort()
        received += client.events_of(run_id)
        state = client.state
        # Twice more it breaks in the middle, once before a single frame was read.
        for wanted in ("connection_established", "agent_response_chunk"):
            async with user.connect(state=state) as client:
                if wanted != "connection_established":
                    await client.receive(wanted)
                client.socket.transport.abort()
            received += client.events_of(run_id)
        assert user.get(f"/api/runs/{run_id}")["status"] == "running", "a connection that breaks stops nothing"
        elsewhere = execute(user, SHORT_QUESTION)["run_id"]
        await ended(user, elsewhere)

        async with user.connect(state=state) as client:
            received += await client.events(run_id)
            missed = await client.events(elsewhere)
            await client.ping()
        assert_whole(received)
        assert_whole(missed)
        assert received == events_over_rest(user, run_id)
        [run] = [state.runs[run_id]]
        assert (run["status"], run["text"]) == ("completed", received[-1]["data"]["message"]["content"])
        print(f"\n{len(received)} events over 4 connections, each once")

    async def test_021_session_persistence_real(
        self, staging: StagingTestConfig, people: People, subtests: pytest.Subtests
    ) -> None:
        user = people[0]
        tokens = user.sign_in()
        refresh = {"refresh": tokens["refresh"]}
        renewed = request(staging.base_url, "POST", "/api/auth/token/refresh", body=refresh)
        assert renewed.status == 200
        assert renewed.body["access"] != tokens["access"]
        async with dial(staging.base_url, token=tokens["access"]) as client:
            assert (await client.receive())["token"]["expires_in"] > 0
            reply = await client.request(type="refresh_token", token=renewed.body["access"])
            assert reply["type"] == "token_refreshed", reply
            assert 0 < reply["expires_in"] <= renewed.body["expires_in"]
            error = await client.request(type="refresh_token", token="nonsense")
            assert error["error_code"] == "INVALID_TOKEN"
            assert_answered(await client.ask(SHORT_QUESTION))
            with subtests.test("another user's token"):
                error = await client.request(type="refresh_token", token=another(people).token())
                assert error["error_code"] == "INVALID_TOKEN"
            await client.ping()
        assert request(staging.base_url, "POST", "/api/auth/logout", body=refresh).status == 204
        late = request(staging.base_url, "POST", "/api/auth/token/refresh", body=refresh)
        assert_refused(late, 401, "INVALID_TOKEN")

        with subtests.test("a token that expires"):
            claims = jwt.decode(user.token(), options={"verify_signature": False})
            short = _signed(staging, {**claims, "exp": int(time.time()) + 5, "jti": uuid.uuid4().hex})
            async with (
                dial(staging.base_url, token=short) as forgetful,
                dial(staging.base_url, token=short) as careful,
            ):
                assert (await forgetful.receive())["type"] == (await careful.receive())["type"]
                warning = await careful.receive("token_expiring")
                assert 0 < warning["expires_in"] <= 5
                assert (await careful.request(type="refresh_token", token=user.token()))["type"] == "token_refreshed"
                run_id = (await forgetful.post(LONG_QUESTION))["run_id"]
                assert await forgetful.closed() == 4401
                last = forgetful.frames[-1]
                assert (last["type"], last["error_code"]) == ("error_message", "TOKEN_EXPIRED")
                assert "token_expiring" in types_of(forgetful.frames)
                # The other connection outlives the token that it began with, and the run both of them.
                await careful.ping()
                assert_answered(await careful.events(run_id))
            assert careful.socket.close_code == 1000


class TestCriticalUserExperience:
    async def test_022_agent_lifecycle_management_real(
        self, staging: StagingTestConfig, people: People, subtests: pytest.Subtests
    ) -> None:
        user = people[0]
        endless = execute(user, GREETING, agent=staging.endless_agent) if staging.endless_agent else None
        async with user.connect() as client:
            running = await client.post(LONG_QUESTION)
            queued = await client.post(SHORT_QUESTION, thread_id=running["thread_id"])
            await client.events(running["run_id"], to=["agent_response_chunk"])
            status = {run["id"]: run["status"] for run in user.get("/api/runs?limit=10")["runs"]}
            assert (status[running["run_id"]], status[queued["run_id"]]) == ("running", "queued")

            # Cancelled while it waits, over REST; while it runs, over the socket.
            cancelled = user.http("POST", f"/api/runs/{queued['run_id']}/cancel")
            assert (cancelled.status, cancelled.body) == (200, {"run_id": queued["run_id"], "status": "cancelled"})
            waiting = await client.events(queued["run_id"])
            assert types_of(waiting) == ["message_created", "agent_cancelled"]
            stopped = await client.request(type="stop_run", run_id=running["run_id"])
            assert (stopped["type"], stopped["status"]) == ("run_stopped", "cancelled")
            events = await client.events(running["run_id"])
            assert (events[-1]["type"], events[-1]["data"]["by"]) == ("agent_cancelled", "user")
            assert events[-1]["data"]["message"]["content"] == text_of(events) != ""
            partial = messages_over_rest(user, running["thread_id"])[1]
            assert (partial["partial"], partial["content"]) == (True, text_of(events))

            # Once is enough, and what was not answered can be asked again.
            again = await client.request(type="stop_run", run_id=running["run_id"])
            assert (again["type"], again["status"]) == ("run_stopped", "cancelled")
            retried = accepted(user.http("POST", f"/api/runs/{queued['run_id']}/retry"))
            assert retried["run_id"] != queued["run_id"]
            assert_answered(await client.events(retried["run_id"]))
            assert_refused(user.http("POST", f"/api/runs/{retried['run_id']}/retry"), 409, "RUN_COMPLETED")
            assert client.events_of(running["run_id"]) == events, "nothing follows the end of a run"
            with subtests.test("a run that takes too long"):
                if endless is None:
                    pytest.skip("no agent is known that takes too long: set STAGING_ENDLESS_AGENT to check it")
                run = await ended(user, endless["run_id"])
                assert (run["status"], run["error_code"]) == ("failed", "RUN_TIMEOUT")
                last = events_over_rest(user, endless["run_id"])[-1]
                assert (last["type"], last["data"]["error_code"]) == ("agent_error", "RUN_TIMEOUT")
                assert last["data"]["retryable"] is True
                assert_refused(user.http("POST", f"/api/runs/{unknown_id()}/retry"), 404, "RUN_NOT_FOUND")

    async def test_023_streaming_partial_results_real(self, people: People) -> None:
        user = people[0]
        async with user.connect() as client, user.connect() as onlooker:
            reply = await client.post(LONG_QUESTION)
            await client.events(reply["run_id"], to=["agent_response_chunk"])
            assert user.get(f"/api/runs/{reply['run_id']}")["status"] == "running", "it is shown before it is whole"
            events = await client.events(reply["run_id"])
            assert await onlooker.events(reply["run_id"]) == events
        answer = assert_answered(events)
        chunks = [event for event in events if event["type"] == "agent_response_chunk"]
        assert len(chunks) > 2
        assert {chunk["data"]["message_id"] for chunk in chunks} == {events[-1]["data"]["message"]["id"]}
        said = ""
        for chunk in chunks:
            assert chunk["data"]["text"]
            said += chunk["data"]["text"]
            assert answer.startswith(said)
        assert [chunk["timestamp"] for chunk in chunks] == sorted(chunk["timestamp"] for chunk in chunks)
        assert chunks[-1]["timestamp"] > chunks[0]["timestamp"]
        assert messages_over_rest(user, reply["thread_id"])[-1]["content"] == answer
        print(f"\n{len(chunks)} chunks, {len(answer)} characters")

    async def test_024_message_ordering_real(self, people: People) -> None:
        user = people[0]
        async with user.connect() as client, user.connect() as onlooker:
            thread_id = (first := await client.post(TOOL_QUESTION))["thread_id"]
            replies = [first, *[await client.post(SHORT_QUESTION, thread_id=thread_id) for _ in range(3)]]
            replies.append(await client.post(GREETING))
            numbers = [reply["run_number"] for reply in replies]
            assert numbers == list(range(numbers[0], numbers[0] + len(replies)))
            for reply in replies:
                seen = [await each.events(reply["run_id"]) for each in (client, onlooker)]
                assert_answered(seen[0])
                assert seen[0] == seen[1] == events_over_rest(user, reply["run_id"])
            for each in (client, onlooker):
                await each.ping()
                begins = [frame["run_number"] for frame in each.frames if frame.get("seq") == 1]
                assert begins == numbers, "runs are told in the order of their numbers"
                told = [(frame["run_id"], frame["seq"]) for frame in each.frames if "seq" in frame]
                assert len(told) == len(set(told)), "no event comes twice"
            # In a thread the next one begins when the one before has ended.
            own = {reply["run_id"] for reply in replies[:-1]}
            steps = [frame for frame in client.frames if frame.get("run_id") in own and "seq" in frame]
        order = [(f["type"], f["run_number"]) for f in steps if f["type"] in ("agent_started", *TERMINAL)]
        assert order == [(kind, number) for number in numbers[:-1] for kind in ("agent_started", "agent_completed")]

    async def test_025_critical_event_delivery_real(self, people: People) -> None:
        async with people[0].connect() as client:
            events = await client.ask(TOOL_QUESTION)
            greeting = await client.ask(GREETING)
        assert PRODUCT in _digits(assert_answered(events))
        kinds = types_of(events)
        firsts = [kinds.index(kind) if kind in kinds else -1 for kind in CRITICAL_EVENTS]
        assert -1 not in firsts, f"missing: {[kind for kind in CRITICAL_EVENTS if kind not in kinds]}"
        assert firsts == sorted(firsts)
        assert kinds[-1] == "agent_completed"
        assert_answered(greeting)
        assert not {"tool_executing", "tool_completed"} & set(types_of(greeting)), "nothing is faked"
        assert {"agent_started", "agent_thinking", "agent_completed"} <= set(types_of(greeting))
        for event in (*events, *greeting):
            assert {"type", "thread_id", "run_id", "run_number", "seq", "timestamp", "agent", "data"} == event.keys()
        print(f"\n{' → '.join(kind for kind in dict.fromkeys(kinds))}")


# What is refused ----------------------------------------------------------------------------------------------

BAD_BODIES: list[tuple[Any, int, str]] = [
    (b"{", 400, "INVALID_JSON"),
    (b"", 400, "INVALID_MESSAGE"),
    ([], 400, "INVALID_MESSAGE"),
    ({"type": "triage"}, 400, "INVALID_MESSAGE"),
    ({"type": "triage", "message": ""}, 400, "INVALID_MESSAGE"),
    ({"type": "triage", "message": ["Hello!"]}, 400, "INVALID_MESSAGE"),
    ({"type": "triage", "message": "a\x00b"}, 400, "INVALID_MESSAGE"),
    ({"type": "triage", "message": GREETING, "thread_id": "x"}, 400, "INVALID_MESSAGE"),
    ({"type": "triage", "message": GREETING, "thread_id": unknown_id()}, 404, "THREAD_NOT_FOUND"),
    ({"type": "triage", "message": GREETING, "when_busy": "explode"}, 400, "INVALID_MESSAGE"),
]

BAD_CHANGES: list[Any] = [{"title": "x" * 201}, {"title": None}, {"title": ["x"]}, {"archived": "perhaps"}, [], {}]

# Method, path, body, code. In braces stands what is another user's, or what nobody has.
NOT_THEIRS: list[tuple[str, str, Any, str]] = [
    ("GET", "/api/threads/{thread_id}", None, "THREAD_NOT_FOUND"),
    ("PATCH", "/api/threads/{thread_id}", {"title": "mine"}, "THREAD_NOT_FOUND"),
    ("DELETE", "/api/threads/{thread_id}", None, "THREAD_NOT_FOUND"),
    ("GET", "/api/threads/{thread_id}/messages", None, "THREAD_NOT_FOUND"),
    ("POST", "/api/threads/{thread_id}/messages", {"content": "mine"}, "THREAD_NOT_FOUND"),
    ("GET", "/api/threads/{thread_id}/export.md", None, "THREAD_NOT_FOUND"),
    ("GET", "/api/threads/{thread_id}/export.json", None, "THREAD_NOT_FOUND"),
    ("GET", "/api/messages/{message_id}", None, "MESSAGE_NOT_FOUND"),
    ("GET", "/api/messages/{answer_id}", None, "MESSAGE_NOT_FOUND"),
    ("POST", "/api/messages/{answer_id}/regenerate", {}, "MESSAGE_NOT_FOUND"),
    ("PUT", "/api/messages/{answer_id}/feedback", {"rating": "up"}, "MESSAGE_NOT_FOUND"),
    ("GET", "/api/messages/{answer_id}/feedback", None, "MESSAGE_NOT_FOUND"),
    ("DELETE", "/api/messages/{answer_id}/feedback", None, "MESSAGE_NOT_FOUND"),
    ("GET", "/api/runs/{run_id}", None, "RUN_NOT_FOUND"),
    ("POST", "/api/runs/{run_id}/cancel", {}, "RUN_NOT_FOUND"),
    ("POST", "/api/runs/{run_id}/retry", {}, "RUN_NOT_FOUND"),
    ("GET", "/api/runs/{run_id}/events", None, "RUN_NOT_FOUND"),
    ("GET", "/api/runs/{run_id}/events/{seq}/result", None, "RUN_NOT_FOUND"),
    ("GET", "/api/runs/{run_id}/approvals", None, "RUN_NOT_FOUND"),
    ("POST", "/api/runs/{run_id}/approvals/{call}", {"approved": True}, "APPROVAL_NOT_FOUND"),
    ("POST", "/api/agents/execute", {"type": "triage", "message": "x", "thread_id": "{thread_id}"}, "THREAD_NOT_FOUND"),
    ("POST", "/api/agents/triage", {"message": "x", "thread_id": "{thread_id}"}, "THREAD_NOT_FOUND"),
]
NOT_THEIRS_ON_A_SOCKET: list[tuple[dict[str, Any], str]] = [
    ({"type": "user_message", "content": "x", "thread_id": "{thread_id}"}, "THREAD_NOT_FOUND"),
    ({"type": "regenerate", "message_id": "{answer_id}"}, "MESSAGE_NOT_FOUND"),
    ({"type": "stop_run", "run_id": "{run_id}"}, "RUN_NOT_FOUND"),
    (
        {"type": "resolve_approval", "run_id": "{run_id}", "tool_call_id": "x", "approved": True},
        "APPROVAL_NOT_FOUND",
    ),
]

BAD_FRAMES: list[tuple[str | bytes, str]] = [
    ("hello", "INVALID_JSON"),
    ("", "INVALID_JSON"),
    ('{"type": "ping"', "INVALID_JSON"),
    ("[1]", "INVALID_MESSAGE"),
    ('{"content": "Hello!"}', "INVALID_MESSAGE"),
    ('{"type": 7}', "INVALID_MESSAGE"),
    ('{"type": "shutdown"}', "UNKNOWN_TYPE"),
    ('{"type": "user_message"}', "INVALID_MESSAGE"),
    ('{"type": "user_message", "content": "  "}', "INVALID_MESSAGE"),
    ('{"type": "user_message", "content": {"text": "Hello!"}}', "INVALID_MESSAGE"),
    ('{"type": "user_message", "content": "Hello!", "thread_id": "x"}', "INVALID_MESSAGE"),
    ('{"type": "user_message", "content": "Hello!", "message_id": "x"}', "INVALID_MESSAGE"),
    ('{"type": "stop_run", "run_id": "x"}', "INVALID_MESSAGE"),
    ('{"type": "resume", "cursors": {"x": 1}}', "INVALID_MESSAGE"),
    (b"\x00\x01\xff", "BINARY_NOT_SUPPORTED"),
    (b'{"type": "ping"}', "BINARY_NOT_SUPPORTED"),
]
WRONG_IDS: list[tuple[dict[str, Any], str]] = [
    ({"type": "user_message", "content": "x", "thread_id": unknown_id()}, "THREAD_NOT_FOUND"),
    ({"type": "user_message", "content": "x", "agent": "nobody"}, "AGENT_NOT_FOUND"),
    ({"type": "regenerate", "message_id": unknown_id()}, "MESSAGE_NOT_FOUND"),
    ({"type": "stop_run", "run_id": unknown_id()}, "RUN_NOT_FOUND"),
    (
        {"type": "resolve_approval", "run_id": unknown_id(), "tool_call_id": "x", "approved": True},
        "APPROVAL_NOT_FOUND",
    ),
]
WRONG_REQUESTS: list[tuple[str, str, Any, int, str]] = [
    ("GET", "/api/nowhere", None, 404, "NOT_FOUND"),
    ("PUT", "/api/threads", {}, 405, "METHOD_NOT_ALLOWED"),
    ("POST", "/api/threads", b"{", 400, "INVALID_JSON"),
    ("POST", "/api/threads", {"title": "x" * 201}, 400, "INVALID_MESSAGE"),
    ("GET", "/api/threads?cursor=x", None, 400, "INVALID_MESSAGE"),
    ("GET", "/api/threads?limit=0", None, 400, "INVALID_MESSAGE"),
    ("GET", f"/api/threads/{unknown_id()}", None, 404, "THREAD_NOT_FOUND"),
    ("GET", f"/api/runs/{unknown_id()}", None, 404, "RUN_NOT_FOUND"),
    ("GET", "/api/runs/x", None, 404, "NOT_FOUND"),
    ("GET", "/api/runs?status=x", None, 400, "INVALID_MESSAGE"),
    ("GET", f"/api/messages/{unknown_id()}", None, 404, "MESSAGE_NOT_FOUND"),
    ("GET", "/api/usage?since=x", None, 400, "INVALID_MESSAGE"),
    ("GET", "/api/events", None, 406, "NOT_ACCEPTABLE"),
]


# Steps --------------------------------------------------------------------------------------------------------


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


def _mcp_state(user: Person, name: str | None) -> str:
    [server] = [server for server in user.get("/api/mcp-servers")["mcp_servers"] if server["name"] == name]
    state: str = server["state"]
    return state


def _digits(text: str) -> str:
    """The text with its numbers as they are computed, however they are grouped."""
    return "".join(character for character in text if character not in ",_ \u00a0\u202f'")


def _filled(body: Any, values: dict[str, Any]) -> Any:
    """The body with what stands in braces replaced."""
    if not isinstance(body, dict):
        return body
    return {name: value.format_map(values) if isinstance(value, str) else value for name, value in body.items()}


def _mentions(told: Any, ids: dict[str, Any], word: str) -> bool:
    text = json.dumps(told)
    return word in text or any(str(ids[name]) in text for name in ("thread_id", "message_id", "run_id", "answer_id"))


def _with_code(replies: Sequence[Frame], error_code: str) -> list[Frame]:
    return [reply for reply in replies if reply.get("error_code") == error_code]
