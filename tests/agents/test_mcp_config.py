"""NETRA_MCP_SERVERS: what is read, and the sentence that each mistake ends start-up with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.errors import AgentsUnusable
from agents.mcp.config import McpServerConfig, read_mcp_servers

AGENTS = ("assistant", "data")
ENVIRONMENT = {"TOKEN": "hunter2-hunter2", "EMPTY": ""}


def one(**fields: Any) -> str:
    return json.dumps({"mcpServers": {"files": fields}})


def read(given: str) -> McpServerConfig:
    [server] = read_mcp_servers(given, ENVIRONMENT, agents=AGENTS)
    return server


def test_nothing_is_no_server() -> None:
    assert read_mcp_servers(None) == read_mcp_servers(" ") == read_mcp_servers('{"mcpServers": {}}') == ()


def test_the_usual_form_is_read_and_what_is_not_said_is_the_safe_choice() -> None:
    server = read(one(command="npx", args=["-y", "server"], env={"A": "b"}, cwd="/srv"))
    assert (server.name, server.command, server.cwd) == ("files", "npx", Path("/srv"))
    assert [value.get_secret_value() for value in server.args] == ["-y", "server"]
    assert server.needs_approval("anything")
    assert server.serves("assistant", "assistant")
    assert not server.serves("data", "assistant")
    assert not server.disabled
    assert server.timeout is None


def test_a_file_is_read_like_the_text_in_it(tmp_path: Path) -> None:
    file = tmp_path / "servers.json"
    file.write_text(one(url="https://mcp.example.org/mcp"))
    server = read(str(file))
    assert server.url is not None
    assert server.url.get_secret_value() == "https://mcp.example.org/mcp"


@pytest.mark.parametrize(
    ("approval", "asked"), [(True, {"read", "write"}), (False, set()), (["write"], {"write"}), ([], set())]
)
def test_approval_is_for_all_tools_none_or_those_that_are_named(approval: Any, asked: set[str]) -> None:
    server = read(one(command="x", approval=approval))
    assert {tool for tool in ("read", "write") if server.needs_approval(tool)} == asked


@pytest.mark.parametrize(("agents", "served"), [(["data"], ["data"]), (["*"], ["assistant", "data"]), ([], [])])
def test_agents_are_those_that_are_named_or_all(agents: list[str], served: list[str]) -> None:
    server = read(one(command="x", agents=agents))
    assert [agent for agent in AGENTS if server.serves(agent, "assistant")] == served


def test_variables_are_replaced_wherever_text_stands() -> None:
    server = read(
        one(url="https://x/${TOKEN}", headers={"Authorization": "Bearer ${TOKEN}", "A": "${NOPE:-b}${EMPTY:-c}"})
    )
    assert server.url is not None
    assert server.url.get_secret_value() == "https://x/hunter2-hunter2"
    assert {name: value.get_secret_value() for name, value in server.headers.items()} == {
        "Authorization": "Bearer hunter2-hunter2",
        "A": "b",
    }
    assert "hunter2" not in repr(server) + str(server.model_dump())


def test_a_disabled_server_needs_none_of_its_variables() -> None:
    assert read(one(command="x", env={"A": "${NOPE}"}, disabled=True)).disabled


WRONG: list[tuple[str, str]] = [
    ("/nowhere/servers.json", "the file /nowhere/servers.json cannot be read (No such file or directory)"),
    ("{", "it is no JSON: Expecting property name enclosed in double quotes, line 1, column 2"),
    ('{"a":' * 100_000, "it is no JSON: it is nested too deeply"),
    ("{}", 'it must be an object {"mcpServers": {"name": {…}}}'),
    ('{"mcpServers": []}', 'it must be an object {"mcpServers": {"name": {…}}}'),
    ('{"mcpServers": {}, "inputs": []}', "beside mcpServers there is the unknown field 'inputs'"),
    ('{"mcpServers": {"a": {}, "a": {}}}', "'a' stands twice in one object"),
    ('{"mcpServers": {"files": 3}}', "server 'files' must be an object"),
    (
        '{"mcpServers": {"my files": {}}}',
        "the server name 'my files' must begin with a letter or digit and have at most 40 letters, digits, _ and -",
    ),
    (one(), "server 'files' needs either a command or a url"),
    (one(command="x", url="https://x"), "server 'files' needs either a command or a url"),
    (one(url="https://x", args=["a"]), "server 'files' cannot have args beside url"),
    (one(command="x", headers={"a": "b"}), "server 'files' cannot have headers beside command"),
    (one(command="x", type="http"), "server 'files' cannot be of type http with command"),
    (one(url="https://x", type="pigeon"), "server 'files', field type: input should be 'stdio', 'http' or 'sse'"),
    (one(command="x", name="y"), "server 'files', field name: unknown field"),
    (one(command="x", aproval=False), "server 'files', field aproval: unknown field"),
    (one(command="x", approval="no"), "server 'files', field approval: input should be a valid boolean"),
    (one(command="x", disabled="no"), "server 'files', field disabled: input should be a valid boolean"),
    (one(command="x", timeout=0), "server 'files', field timeout: input should be greater than 0"),
    (one(command="x", timeout="5"), "server 'files', field timeout: input should be a valid number"),
    (one(command="x", args=["a", 1]), "server 'files', field args.1: input should be a valid string"),
    (one(command="x", env={"A": 1}), "server 'files', field env.A: input should be a valid string"),
    (one(url="file:///etc"), "server 'files', field url: must be an address such as https://mcp.example.org/mcp"),
    (one(url="https://[x"), "server 'files', field url: must be an address such as https://mcp.example.org/mcp"),
    (one(command="x", env={"A": "${NOPE}"}), "server 'files', field env.A: the environment variable NOPE is not set"),
    (one(command="x", args=["${NOPE}"]), "server 'files', field args.0: the environment variable NOPE is not set"),
    (
        one(command="x", agents=["asistant"]),
        "server 'files', field agents: there is no agent 'asistant'; agents: assistant, data",
    ),
]


@pytest.mark.parametrize(("given", "sentence"), WRONG)
def test_a_mistake_is_told_in_one_sentence(given: str, sentence: str) -> None:
    with pytest.raises(AgentsUnusable) as refused:
        read_mcp_servers(given, ENVIRONMENT, agents=AGENTS)
    assert str(refused.value) == f"NETRA_MCP_SERVERS: {sentence}."


@pytest.mark.parametrize("field", ["headers", "env", "args", "url", "cwd", "command"])
def test_no_sentence_shows_a_value(field: str) -> None:
    values = {"Authorization": ["${TOKEN}"]} if field in ("headers", "env") else {"secret": "${TOKEN}"}
    with pytest.raises(AgentsUnusable) as refused:
        read_mcp_servers(one(**{"command": "x", field: values}), ENVIRONMENT)
    assert "hunter2" not in str(refused.value)
