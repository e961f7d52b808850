"""docs/agents.md, executed: its files are written, its settings made, its questions asked of a real server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agents.own_agents import GROUP
from tests.e2e.conftest import new_data_dir
from tests.examples import blocks_of
from tests.live import LiveServer
from tests.processes import HOST, REPOSITORY

PAGE_FILE = REPOSITORY / "docs" / "agents.md"
PAGE = PAGE_FILE.read_text()
FOLDER = "~/my-agents"
COMMANDS = {
    "make run",
    ".venv/bin/python manage.py makemigrations weather",
    f".venv/bin/python -m pytest {FOLDER}/weather",
}


BLOCKS = blocks_of(PAGE_FILE)
FILES = {block.info: block.text for block in BLOCKS if block.language == "python"}


def exported(folder: Path) -> dict[str, str]:
    """What the page exports, at its end."""
    lines = [line for block in BLOCKS if block.language == "sh" for line in block.text.splitlines()]
    assert {line for line in lines if not line.startswith("export ")} == COMMANDS
    given = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
    return {name: value.replace(FOLDER, str(folder)) for name, value in given.items()}


def questions() -> list[tuple[str, bool, str, str]]:
    """Agent, whether a call has to be allowed, what is asked, and what is answered, in the order of the page."""
    asked = [block for block in BLOCKS if block.language == "text" and block.info != "answer"]
    answers = [block for block in BLOCKS if block.info == "answer"]
    assert [BLOCKS.index(block) + 1 for block in asked] == [BLOCKS.index(block) for block in answers]
    found = []
    for question, answer in zip(asked, answers, strict=True):
        name, _, approve = question.info.removeprefix("ask=").partition(" ")
        assert approve in ("", "approve")
        found.append((name, bool(approve), question.text.strip(), answer.text.strip()))
    return found


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The folder that the reader makes, and where the server keeps its data."""
    for data_dir in new_data_dir():
        made = data_dir / "my-agents"
        for name, text in {**FILES, "weather/__init__.py": ""}.items():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            (made / name).write_text(text)
        yield made


def environment(folder: Path, **changes: str) -> dict[str, str]:
    """The reader's shell."""
    given = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    offline = {name: value for name, value in exported(folder).items() if "MODEL" not in name and "KEY" not in name}
    return given | offline | changes


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[LiveServer]:
    """The server that the page starts last, without a model."""
    server = LiveServer(folder.parent)
    server.inherited = environment(folder)
    server.manage("makemigrations", "weather")
    with server:
        yield server
    assert not server.traceback(), server.traceback()


def test_the_first_agent_takes_about_twenty_lines() -> None:
    assert len([line for line in FILES["weather/agents.py"].splitlines() if line.strip()]) <= 22


async def test_the_agents_of_the_page_are_offered_after_netras_own(server: LiveServer) -> None:
    async with server.connect(server.add_user()) as client:
        agents = client.established["agents"]
    assert agents[0] == "assistant"
    assert agents[-3:] == ["weather", "umbrellas", "almanac"]


@pytest.mark.parametrize(("agent", "approve", "question", "answer"), questions())
async def test_what_the_page_asks_is_answered_as_it_says(
    server: LiveServer, agent: str, approve: bool, question: str, answer: str
) -> None:
    async with server.connect(server.add_user()) as client:
        accepted = await client.post(question, agent=agent)
        if approve:
            before = await client.events(accepted["run_id"], to=("approval_required",))
            assert "tool_executing" not in [event["type"] for event in before], "nothing begins before it is allowed"
            asked = before[-1]["data"]
            assert question.startswith(f"/{asked['tool']} ")
            allowed = await client.request(
                type="resolve_approval", run_id=accepted["run_id"], tool_call_id=asked["tool_call_id"], approved=True
            )
            assert allowed["type"] == "approval_accepted", allowed
        events = await client.events(accepted["run_id"])
    assert events[-1]["type"] == "agent_completed", events[-1]
    assert events[-1]["data"]["message"]["content"].strip() == answer
    tools = [event["data"]["tool"] for event in events if event["type"] == "tool_executing"]
    called = re.match(r"/(\w+)", question)
    assert tools == ([called[1]] if called else [])


async def test_a_refused_loan_is_not_made(server: LiveServer) -> None:
    def loans() -> int:
        with server.database() as connection:
            row = connection.execute("SELECT count(*) FROM weather_loan").fetchone()
        assert row is not None
        return int(row[0])

    before = loans()
    async with server.connect(server.add_user()) as client:
        accepted = await client.post("/lend_umbrella Oslo", agent="umbrellas")
        asked = (await client.events(accepted["run_id"], to=("approval_required",)))[-1]["data"]
        await client.request(
            type="resolve_approval", run_id=accepted["run_id"], tool_call_id=asked["tool_call_id"], approved=False
        )
        events = await client.events(accepted["run_id"])
    assert events[-1]["type"] == "agent_completed"
    assert loans() == before


class _Provider(BaseHTTPRequestHandler):
    """A server that speaks OpenAI's protocol: it calls the tool, and then says what the tool gave."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        last = body["messages"][-1]
        offered = [tool["function"]["name"] for tool in body.get("tools", [])]
        delta: dict[str, Any] = {"content": "Rain in Paris"}
        if last["role"] == "tool":
            delta = {"content": f"It rains: {last['content']}"}
        elif "rain_today" in offered:
            function = {"name": "rain_today", "arguments": '{"city": "Paris"}'}
            delta = {"tool_calls": [{"index": 0, "id": "call-1", "type": "function", "function": function}]}
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        for piece, more in ((delta, {}), ({}, {"usage": usage})):
            choice = {"index": 0, "delta": piece, "finish_reason": None if piece else "stop"}
            chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
            self.wfile.write(f"data: {json.dumps({**chunk, 'choices': [choice], **more})}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[str]:
    listening = ThreadingHTTPServer((HOST, 0), _Provider)
    thread = threading.Thread(target=listening.serve_forever, args=(0.05,), name="provider")
    thread.start()
    yield f"http://{HOST}:{listening.server_port}/v1"
    listening.shutdown()
    listening.server_close()
    thread.join()


@pytest.fixture
def other_data_dir() -> Iterator[Path]:
    """For a server beside the other, whose worker has another model."""
    yield from new_data_dir()


async def test_the_model_that_the_page_names_uses_the_tool(other_data_dir: Path, folder: Path, provider: str) -> None:
    named = exported(folder)
    settings = {name: named[name] for name in ("NETRA_MODEL_WEATHER", "OPENAI_API_KEY")}
    other = LiveServer(other_data_dir)
    other.inherited = environment(folder, OPENAI_BASE_URL=provider, **settings)
    with other:
        account = other.add_user()
        async with other.connect(account) as client:
            events = await client.ask("Does it rain in Paris?", agent="weather")
            assert events[-1]["type"] == "agent_completed", events[-1]
            [executing] = [event["data"] for event in events if event["type"] == "tool_executing"]
            assert (executing["tool"], executing["arguments"]) == ("rain_today", {"city": "Paris"})
            assert events[1]["data"]["model"] == settings["NETRA_MODEL_WEATHER"]
            assert "3.2" in events[-1]["data"]["message"]["content"]
            by_default = await client.ask("What is 6 * 7?", agent="assistant")
            assert by_default[1]["data"]["model"] == "offline"
    assert not other.traceback(), other.traceback()


def test_the_test_of_the_page_passes_and_fails_when_the_agent_is_wrong(folder: Path) -> None:
    def tested() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder / "weather")]
        return subprocess.run(
            command, cwd=REPOSITORY, env=environment(folder), capture_output=True, text=True, check=False
        )

    done = tested()
    assert done.returncode == 0, done.stdout + done.stderr
    module = folder / "weather" / "agents.py"
    module.write_text(FILES["weather/agents.py"].replace("0.4", "0.5"))
    try:
        assert tested().returncode == 1
    finally:
        module.write_text(FILES["weather/agents.py"])


def test_the_page_names_the_group_of_entry_points() -> None:
    [table] = [block.text for block in BLOCKS if block.language == "toml"]
    assert f'[project.entry-points."{GROUP}"]' in table


def test_every_settings_name_on_the_page_is_one() -> None:
    from netra.config import Config, variable

    known = {variable(name) for name in Config.model_fields} | {"NETRA_MODEL_WEATHER"}
    assert set(re.findall(r"\bNETRA_[A-Z_]+\b", PAGE)) <= known


def test_the_questions_cover_every_agent_of_the_page() -> None:
    assert {agent for agent, *_ in questions()} == {"weather", "umbrellas", "almanac"}
