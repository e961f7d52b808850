"""MCP servers as real processes: used in runs, killed, slow, wrong, and gone when we are."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage, ToolReturnPart
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel
from structlog.testing import capture_logs

from agents.definition import AgentDefinition, AgentLimits
from agents.events import AgentEvent, AgentPaused, ToolCompleted, ToolExecuting
from agents.mcp.config import Timing, read_mcp_servers
from agents.mcp.servers import McpServers, McpServerStatus
from agents.models.choice import ChosenModel, Models
from agents.pydantic_agent import PydanticAgent
from agents.request import Decision, Resumption
from agents.roster import ROSTER, build_registry
from agents.supervisor import AgentSupervisor
from tests.agents.fakes import (
    NOW,
    FakeServices,
    Piece,
    answer,
    call,
    collect,
    make_request,
    scripted,
    shapes,
    supervise,
    tool_errors,
)
from tests.processes import HOST, REPOSITORY, LiveProcess, accepts, eventually, free_port, until

SCRIPT = Path(__file__).parent.parent / "mcp_server.py"
QUICK = Timing(connect=30.0, patience=30.0, check=30.0, first_pause=0.05, longest_pause=0.2)
SECRET = "hunter2-hunter2"

Open = Callable[..., McpServers]


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Open]:
    """Configure the server `tests`, whose tools need no approval unless a test says otherwise."""
    opened: list[McpServers] = []

    def open_servers(*arguments: str, timing: Timing = QUICK, **fields: Any) -> McpServers:
        if "url" not in fields:
            fields = {"command": sys.executable, "args": [str(SCRIPT), str(tmp_path), *arguments], **fields}
        given = json.dumps({"mcpServers": {"tests": {"approval": False, **fields}}})
        opened.append(McpServers(read_mcp_servers(given, {}), agents=["tested", "other"], timing=timing))
        return opened[-1]

    yield open_servers
    for each in opened:
        await each.close()


def agent_with(servers: McpServers, model: Model, **limits: Any) -> PydanticAgent:
    definition = AgentDefinition(
        name="tested", description="An agent.", instructions="Be brief.", limits=AgentLimits(**limits)
    )
    chosen = ChosenModel(name="test-model", model=model, context_tokens=128_000)
    return PydanticAgent(definition, chosen, toolsets=servers.toolsets_for("tested"), clock=lambda: NOW)


async def run(servers: McpServers, *responses: list[Piece], services: FakeServices | None = None, **limits: Any) -> Any:
    agent = agent_with(servers, scripted(*responses), **limits)
    return await collect(supervise(agent), make_request(services=services))


def results(events: list[AgentEvent]) -> list[Any]:
    return [event.result for event in events if isinstance(event, ToolCompleted)]


def status(servers: McpServers) -> McpServerStatus:
    [only] = servers.status()
    return only


async def in_state(servers: McpServers, state: str) -> None:
    await eventually(lambda: status(servers).state == state, what=f"the server to be {state}")


def pid(folder: Path) -> int:
    return int((folder / "pid").read_text())


def is_alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def adding(call_id: str = "c1") -> list[Piece]:
    return [call("tests_add", '{"a": 2, "b": 3}', call_id)]


def waiting(name: str) -> list[Piece]:
    return [call("tests_wait", json.dumps({"name": name}), name)]


def tools_seen(seen: list[list[str]], *responses: list[Piece]) -> FunctionModel:
    """A model that also notes which tools it is offered at each request."""
    remaining = iter(responses)

    async def stream(_messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Piece]:
        seen.append([tool.name for tool in info.function_tools])
        for piece in next(remaining):
            yield piece

    return FunctionModel(stream_function=stream)


# Used


async def test_a_run_uses_a_servers_tools(servers: Open) -> None:
    tools = servers()
    assert status(tools).state == "idle"
    events = await run(tools, adding(), ["It is 5."])
    assert shapes(events)[2:5] == ["tool_executing", "tool_completed", "agent_thinking"]
    assert [(event.tool, event.arguments) for event in events if isinstance(event, ToolExecuting)] == [
        ("tests_add", {"a": 2, "b": 3})
    ]
    assert results(events) == [5]
    assert answer(events) == "It is 5."


async def test_nothing_is_started_before_a_run_needs_it(servers: Open, tmp_path: Path) -> None:
    tools = servers()
    agent_with(tools, scripted(["hello"]))
    await asyncio.sleep(0)
    assert status(tools).state == "idle"
    assert not (tmp_path / "pid").exists()
    assert {task.get_name() for task in asyncio.all_tasks() if "MCP" in task.get_name()} == set()


async def test_runs_share_one_session(servers: Open, tmp_path: Path) -> None:
    tools = servers()
    await asyncio.gather(*(run(tools, adding(), ["done"]) for _ in range(5)))
    first = pid(tmp_path)
    await run(tools, adding(), ["done"])
    assert pid(tmp_path) == first


async def test_an_agent_has_the_tools_of_its_own_servers_only(servers: Open) -> None:
    tools = servers()
    assert len(tools.toolsets_for("tested")) == 1
    assert tools.toolsets_for("other") == []
    assert servers(disabled=True).toolsets_for("tested") == []
    assert status(servers(disabled=True)).state == "disabled"
    assert status(servers(agents=["*"])).agents == ("tested", "other")


async def test_the_status_tells_tools_and_nothing_of_how_the_server_is_reached(servers: Open) -> None:
    tools = servers(env={"TOKEN_OF_TESTS": SECRET}, approval=["note"])
    seen: list[McpServerStatus] = []
    tools.observe(seen.append)
    agent = agent_with(tools, scripted(adding(), ["done"]))
    supervisor = AgentSupervisor(supervise(agent).registry, run_timeout=30, mcp=tools)
    await collect(supervisor, make_request())
    [told] = supervisor.status().mcp_servers
    assert (told.name, told.state, told.agents, told.error) == ("tests", "ready", ("tested",), None)
    assert [(tool.name, tool.needs_approval) for tool in told.tools[:2]] == [("tests_add", False), ("tests_note", True)]
    assert told.tools[0].description == "Add two numbers."
    assert SECRET not in repr(told)
    assert [each.state for each in seen[:2]] == ["connecting", "ready"]


async def test_every_agent_of_the_roster_gets_what_configuration_gives_it(servers: Open) -> None:
    given = json.dumps({"mcpServers": {"search": {"command": "x"}, "all": {"command": "x", "agents": ["*"]}}})
    tools = McpServers.from_config(given, agents=[each.name for each in ROSTER])
    build_registry(ROSTER, Models(), tools)
    told = {each.name: each.agents for each in tools.status()}
    assert told == {"search": ("assistant",), "all": tuple(each.name for each in ROSTER)}


async def test_what_must_not_be_repeated_is_recorded_before_it_begins(servers: Open) -> None:
    services = FakeServices()
    noting: list[Piece] = [call("tests_note", '{"text": "a"}', "c2")]
    assert results(await run(servers(), adding(), noting, ["done"], services=services)) == [5, "noted"]
    assert services.unrepeatable == ["tests_note"]


async def test_a_tool_that_raises_is_an_error_that_the_model_reads(servers: Open) -> None:
    tools = servers(env={"TOKEN_OF_TESTS": SECRET})
    text = json.dumps({"text": f"cannot open it with {SECRET}"})
    events = await run(tools, [call("tests_fail", text, "c1")], adding("c2"), ["done"])
    assert tool_errors(events) == ["Error executing tool fail: cannot open it with [removed]", None]
    assert answer(events) == "done"


async def test_wrong_arguments_are_an_error_that_the_model_reads(servers: Open) -> None:
    events = await run(servers(), [call("tests_add", '{"a": "two"}', "c1")], ["done"])
    [error] = tool_errors(events)
    assert error is not None
    assert "validation error" in error


async def test_a_huge_result_is_whole_in_the_log_and_cut_for_the_model(servers: Open) -> None:
    given: list[ToolReturnPart] = []

    async def model(messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[Piece]:
        given.extend(part for message in messages for part in message.parts if isinstance(part, ToolReturnPart))
        yield "done" if given else call("tests_large", '{"characters": 3000000}', "c1")

    agent = agent_with(servers(), FunctionModel(stream_function=model), tool_result_characters=1000)
    [whole] = results(await collect(supervise(agent), make_request()))
    assert whole == "x" * 3_000_000
    assert len(str(given[0].content)) < 1100


async def test_a_picture_is_named_and_left_out(servers: Open) -> None:
    [parts] = results(await run(servers(), [call("tests_picture", "{}", "c1")], ["done"]))
    assert parts == [
        "a picture",
        {"type": "image", "media_type": "image/png", "bytes": 99, "note": "binary content, left out"},
    ]


async def test_a_change_of_the_tools_is_taken_over_within_a_run(servers: Open) -> None:
    tools = servers()
    changed = asyncio.Event()
    tools.observe(lambda told: changed.set() if "tests_grown" in [tool.name for tool in told.tools] else None)
    seen: list[list[str]] = []
    responses: Iterator[list[Piece]] = iter(
        [[call("tests_grow", "{}", "c1")], adding("c2"), [call("tests_grown", "{}", "c3")], ["done"]]
    )

    async def stream(_messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Piece]:
        seen.append([tool.name for tool in info.function_tools])
        if len(seen) == 2:
            async with asyncio.timeout(30):
                await changed.wait()
        for piece in next(responses):
            yield piece

    agent = agent_with(tools, FunctionModel(stream_function=stream))
    events = await collect(supervise(agent), make_request())
    assert results(events) == ["there is a tool more", 5, "grown"]
    assert "tests_grown" not in seen[0]
    assert "tests_grown" in seen[2]


async def test_a_server_of_an_earlier_protocol_is_understood(servers: Open) -> None:
    tools = servers("--behaviour", "by-hand")
    assert results(await run(tools, [call("tests_grow", "{}", "c1")], ["done"])) == ["there is a tool more"]
    await eventually(lambda: len(status(tools).tools) == 2, what="the change that it announced")


async def test_so_many_tools_at_most(servers: Open) -> None:
    tools = servers("--many", "100")
    with capture_logs() as logs:
        await run(tools, ["done"])
    assert len(status(tools).tools) == 64
    assert [line["limit"] for line in logs if line["event"] == "mcp_tools_left_out"] == [64]


# Approval


async def test_a_tool_that_needs_approval_waits_for_a_person_and_is_called_once_after_a_restart(
    servers: Open, tmp_path: Path
) -> None:
    services = FakeServices()
    noting: list[Piece] = [call("tests_note", '{"text": "allowed"}', "c1")]
    before = servers(approval=True)
    paused = (await run(before, noting, services=services))[-1]
    assert isinstance(paused, AgentPaused)
    [pending] = paused.approvals
    assert (pending.tool, pending.arguments) == ("tests_note", {"text": "allowed"})
    assert services.unrepeatable == []
    assert not (tmp_path / "notes").exists()
    await before.close()

    # Whoever waits for a server that is allowed to be used does not give up after a moment.
    after = servers(approval=True, timing=replace(QUICK, patience=0.0))
    resumption = Resumption(
        state=json.loads(json.dumps(paused.state)), decisions={pending.tool_call_id: Decision(approved=True)}
    )
    agent = agent_with(after, scripted(["Noted."]))
    events = await collect(supervise(agent), replace(make_request(services=services), resumption=resumption))
    assert (results(events), answer(events)) == (["noted"], "Noted.")
    assert (tmp_path / "notes").read_text() == "allowed\n"
    assert services.unrepeatable == ["tests_note"]


async def test_a_call_that_was_allowed_for_a_server_that_is_gone_does_not_end_the_run(servers: Open) -> None:
    before = servers(approval=True)
    paused = (await run(before, [call("tests_note", '{"text": "allowed"}', "c1")]))[-1]
    assert isinstance(paused, AgentPaused)
    await before.close()
    resumption = Resumption(state=paused.state, decisions={paused.approvals[0].tool_call_id: Decision(approved=True)})
    agent = agent_with(servers(approval=True, command="/nowhere/server"), scripted(["It cannot be noted."]))
    events = await collect(supervise(agent), replace(make_request(), resumption=resumption))
    assert answer(events) == "It cannot be noted."
    assert None not in tool_errors(events)


async def test_approval_is_asked_for_unless_configuration_says_otherwise() -> None:
    [config] = read_mcp_servers('{"mcpServers": {"tests": {"command": "x"}}}')
    assert config.needs_approval("add")


# Killed, slow, away


async def test_a_server_killed_in_mid_call_costs_a_tool_error_and_comes_back(servers: Open, tmp_path: Path) -> None:
    tools = servers()
    states: list[str] = []
    tools.observe(lambda told: states.append(told.state))
    running = asyncio.create_task(run(tools, waiting("a"), ["I go on."]))
    await eventually((tmp_path / "a.begun").exists, what="the tool to begin")
    killed = pid(tmp_path)
    os.kill(killed, signal.SIGKILL)
    events = await running
    assert tool_errors(events) == ["the MCP server 'tests' is not available"]
    assert answer(events) == "I go on."
    await eventually(lambda: states[-1:] == ["ready"] and pid(tmp_path) != killed, what="the server to be back")
    assert "failed" in states
    assert results(await run(tools, adding(), ["done"])) == [5]


async def test_while_a_server_is_away_runs_go_on_without_its_tools(servers: Open, tmp_path: Path) -> None:
    (tmp_path / "may-start").touch()
    program = f'[ -e "{tmp_path}/may-start" ] && exec "{sys.executable}" "{SCRIPT}" "{tmp_path}"'
    tools = servers(command="sh", args=["-c", program])
    seen: list[list[str]] = []

    async def asked(*responses: list[Piece]) -> list[AgentEvent]:
        return await collect(supervise(agent_with(tools, tools_seen(seen, *responses))), make_request())

    assert results(await asked(adding(), ["done"])) == [5]
    (tmp_path / "may-start").unlink()
    os.kill(pid(tmp_path), signal.SIGKILL)
    await in_state(tools, "failed")
    assert answer(await asked(["without"])) == "without"
    assert seen[-1] == []
    await eventually(lambda: status(tools).error == "it ended before it was ready", what="another attempt")
    assert status(tools).tools == ()
    (tmp_path / "may-start").touch()
    await in_state(tools, "ready")
    assert results(await asked(adding(), ["done"])) == [5]


async def test_within_a_run_the_tools_of_a_lost_server_stay_listed(servers: Open, tmp_path: Path) -> None:
    """A model that was offered a tool and calls it learns why it cannot, not that there is no such tool."""
    (tmp_path / "may-start").touch()
    program = f'[ -e "{tmp_path}/may-start" ] && exec "{sys.executable}" "{SCRIPT}" "{tmp_path}"'
    tools = servers(command="sh", args=["-c", program])
    responses: Iterator[list[Piece]] = iter([adding("c1"), adding("c2"), ["done"]])
    seen: list[list[str]] = []

    async def stream(_messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Piece]:
        seen.append([tool.name for tool in info.function_tools])
        if len(seen) == 1:
            (tmp_path / "may-start").unlink()
            os.kill(pid(tmp_path), signal.SIGKILL)
            await in_state(tools, "failed")
        for piece in next(responses):
            yield piece

    agent = agent_with(tools, FunctionModel(stream_function=stream))
    events = await collect(supervise(agent), make_request())
    assert tool_errors(events) == ["the MCP server 'tests' is not available"] * 2
    assert "tests_add" in seen[1]


@pytest.mark.parametrize("behaviour", ["answer", "by-hand"])
async def test_that_a_server_died_is_noticed_without_a_call(servers: Open, tmp_path: Path, behaviour: str) -> None:
    tools = servers("--behaviour", behaviour, timing=replace(QUICK, check=3600.0))
    states: list[str] = []
    tools.observe(lambda told: states.append(told.state))
    await run(tools, ["hello"])
    os.kill(pid(tmp_path), signal.SIGKILL)
    await eventually(lambda: "failed" in states, what="the end to be noticed")
    await in_state(tools, "ready")


NEVER_READY: list[tuple[dict[str, Any], list[str], str]] = [
    ({"command": "/nowhere/server"}, [], "its command or folder was not found"),
    ({"command": "no-such-program"}, [], "its command or folder was not found"),
    ({"cwd": "/nowhere"}, [], "its command or folder was not found"),
    ({}, ["--behaviour", "exit"], "it ended before it was ready"),
    ({}, ["--behaviour", "hang"], "it did not answer within 1 seconds"),
    ({"command": "echo", "args": ["no JSON"]}, [], "it ended before it was ready"),
    ({"url": "http://127.0.0.1:9/mcp"}, [], "it cannot be reached (ConnectError)"),
]


@pytest.mark.parametrize(("fields", "arguments", "reason"), NEVER_READY)
async def test_a_server_that_is_never_ready_costs_no_run(
    servers: Open, fields: dict[str, Any], arguments: list[str], reason: str
) -> None:
    tools = servers(
        *arguments, timing=replace(QUICK, connect=1.0 if "hang" in arguments else 30.0, patience=0.1), **fields
    )
    assert answer(await run(tools, ["without"])) == "without"
    await in_state(tools, "failed")
    assert status(tools).error == reason
    assert answer(await run(tools, ["without"])) == "without"


async def test_a_call_that_takes_too_long_ends_and_the_session_stays(servers: Open, tmp_path: Path) -> None:
    tools = servers()
    other = asyncio.create_task(run(tools, waiting("b"), ["done"]))
    await eventually((tmp_path / "b.begun").exists, what="the other run's call to begin")
    events = await run(tools, waiting("a"), adding("c2"), ["done"], tool_seconds=0.5)
    assert tool_errors(events) == ["the tool did not finish within 0.5 seconds", None]
    (tmp_path / "b.end").touch()
    assert results(await other) == ["b ended"]


async def test_a_servers_own_time_limit_counts(servers: Open) -> None:
    events = await run(servers(timeout=0.5), waiting("a"), ["done"], tool_seconds=30.0)
    assert tool_errors(events) == ["the tool did not finish within 0.5 seconds"]


async def test_a_run_that_is_stopped_in_mid_call_leaves_the_session_to_others(servers: Open, tmp_path: Path) -> None:
    tools = servers()
    other = asyncio.create_task(run(tools, waiting("b"), ["done"]))
    supervisor = supervise(agent_with(tools, scripted(waiting("a"))))

    async def stopped() -> None:
        async with aclosing(supervisor.execute(make_request())) as events:
            async for _ in events:
                pass

    stopping = asyncio.create_task(stopped())
    for name in "ab":
        await eventually((tmp_path / f"{name}.begun").exists, what="the calls to begin")
    stopping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await stopping
    (tmp_path / "b.end").touch()
    assert results(await other) == ["b ended"]
    assert results(await run(tools, adding(), ["done"])) == [5]


def test_pauses_between_attempts_grow_to_a_limit() -> None:
    pauses = Timing(first_pause=1.0, longest_pause=8.0).pauses()
    for expected in (1.0, 2.0, 4.0, 8.0, 8.0):
        assert next(pauses) == pytest.approx(expected, rel=0.21)


# What a process gets, says, and how it ends


async def test_the_process_gets_nothing_of_our_environment_but_what_it_needs(
    servers: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NETRA_SECRET_KEY", "DATABASE_URL", "OPENAI_API_KEY", "ANYTHING"):
        monkeypatch.setenv(name, SECRET)
    await run(servers(env={"OWN": "value"}), adding(), ["done"])
    environment = json.loads((tmp_path / "environment").read_text())
    assert SECRET not in environment.values()
    assert environment["OWN"] == "value"
    assert environment["PATH"] == os.environ["PATH"]
    harmless = {"HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "USER"}
    assert set(environment) - {"LC_CTYPE"} <= harmless | {"OWN"}


async def test_what_it_says_is_logged_in_bounds_and_without_secrets(servers: Open) -> None:
    said = f"token {SECRET}\\n" + "y" * 9000 + "\\n" + "z\\n" * 1000
    tools = servers("--say", said, env={"TOKEN_OF_TESTS": SECRET})
    with capture_logs() as logs:
        assert results(await run(tools, adding(), ["done"])) == [5]
        await tools.close()
    lines = [line["text"] for line in logs if line["event"] == "mcp_server_says"]
    assert lines[:2] == ["token [removed]", "y" * 500]
    assert len(lines) == 200
    assert [line["event"] for line in logs].count("mcp_server_says_too_much") == 1


@pytest.mark.parametrize("behaviour", ["answer", "stay"])
async def test_closing_ends_the_process(servers: Open, tmp_path: Path, behaviour: str) -> None:
    tools = servers("--behaviour", behaviour)
    await run(tools, adding(), ["done"])
    number = pid(tmp_path)
    await tools.close()
    assert not is_alive(number)
    assert status(tools).state == "idle"
    assert results(await run(tools, adding(), ["done"])) == [5]


async def test_closing_in_the_middle_of_an_attempt_ends_the_process(servers: Open, tmp_path: Path) -> None:
    tools = servers("--behaviour", "hang", timing=replace(QUICK, patience=0.1))
    await run(tools, ["without"])
    await eventually((tmp_path / "environment").exists, what="the process to run")
    await tools.close()
    assert not is_alive(pid(tmp_path))


HOLDER = """
import asyncio, json, sys
from agents.mcp.servers import McpServers
from agents.mcp.config import read_mcp_servers
async def main():
    servers = McpServers(read_mcp_servers(sys.argv[1]), agents=["a"])
    [toolset] = servers.toolsets_for("a")
    await toolset._connections[0].prepare(patient=True)
    print(servers.status()[0].state, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def test_the_process_ends_with_ours_even_when_that_is_killed(tmp_path: Path) -> None:
    command = {"command": sys.executable, "args": [str(SCRIPT), str(tmp_path), "--behaviour", "stay"]}
    given = json.dumps({"mcpServers": {"tests": command}})
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, given], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert holder.stdout is not None
    with holder:
        try:
            assert "ready\n" in iter(holder.stdout.readline, "")
            assert is_alive(pid(tmp_path))
        finally:
            holder.kill()
    until(lambda: not is_alive(pid(tmp_path)), what="the server to end with its parent")


def test_each_event_loop_has_a_session_of_its_own(tmp_path: Path) -> None:
    command = {"command": sys.executable, "args": [str(SCRIPT), str(tmp_path)], "approval": False}
    given = json.dumps({"mcpServers": {"tests": command}})
    tools = McpServers(read_mcp_servers(given), agents=["tested"], timing=QUICK)

    async def used() -> list[Any]:
        try:
            return results(await run(tools, adding(), ["done"]))
        finally:
            await tools.close()

    assert asyncio.run(used()) == [5]
    assert asyncio.run(used()) == [5]


# Over HTTP


class HttpServer(LiveProcess):
    def __init__(self, folder: Path, *, transport: str = "streamable-http") -> None:
        super().__init__("mcp", folder / "log")
        self.folder = folder
        self.transport = transport
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}/{'sse' if transport == 'sse' else 'mcp'}"

    def _command(self) -> list[str]:
        return [sys.executable, str(SCRIPT), str(self.folder), "--http", str(self.port), "--transport", self.transport]

    def _is_ready(self) -> bool:
        return accepts(self.port)


@pytest.fixture
def http_server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[HttpServer]:
    server = HttpServer(tmp_path, transport=getattr(request, "param", "streamable-http"))
    server.start()
    yield server
    # Asked politely, it would wait for the end of our session.
    server.kill()


@pytest.mark.parametrize("http_server", ["streamable-http", "sse"], indirect=True)
async def test_a_run_uses_a_server_over_http(servers: Open, http_server: HttpServer) -> None:
    kind = "sse" if http_server.transport == "sse" else "http"
    tools = servers(url=http_server.url, type=kind, headers={"Authorization": f"Bearer {SECRET}"})
    assert results(await run(tools, adding(), ["done"])) == [5]
    assert http_server.url not in repr(tools.status())


async def test_over_http_too_a_change_of_the_tools_is_taken_over(servers: Open, http_server: HttpServer) -> None:
    tools = servers(url=http_server.url)
    await run(tools, [call("tests_grow", "{}", "c1")], ["done"])
    await eventually(lambda: "tests_grown" in [tool.name for tool in status(tools).tools], what="the new tool")


async def test_a_server_over_http_killed_in_mid_call_costs_a_tool_error_and_comes_back(
    servers: Open, http_server: HttpServer, tmp_path: Path
) -> None:
    tools = servers(url=http_server.url)
    running = asyncio.create_task(run(tools, waiting("a"), adding("c2"), ["I go on."]))
    await eventually((tmp_path / "a.begun").exists, what="the tool to begin")
    http_server.kill()
    events = await running
    assert answer(events) == "I go on."
    assert None not in tool_errors(events)
    await in_state(tools, "failed")
    assert status(tools).tools == ()
    await asyncio.to_thread(http_server.start)
    await in_state(tools, "ready")
    assert results(await run(tools, adding(), ["done"])) == [5]


async def test_a_name_for_approval_that_the_server_does_not_have_is_told(servers: Open) -> None:
    tools = servers(approval=["note", "deleet"])
    await run(tools, adding(), ["Done."])
    await in_state(tools, "ready")
    assert status(tools).error == "approval names what the server does not have: deleet"
