"""Names, definitions and results of tools that others describe."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
    Tool,
    ToolAnnotations,
)

from agents.mcp.config import McpServerConfig
from agents.mcp.tools import definition, error_text, is_repeatable, result_value, tool_name

CONFIG = McpServerConfig(name="files", command="x", approval=("write",), timeout=7.0)


def offered(name: str = "read", **fields: Any) -> Tool:
    return Tool(name=name, input_schema={"type": "object"}, **fields)


def given(*parts: ContentBlock, structured: Any = None) -> CallToolResult:
    return CallToolResult(content=list(parts), structured_content=structured)


def text(value: str) -> TextContent:
    return TextContent(type="text", text=value)


def test_a_name_begins_with_the_servers() -> None:
    assert tool_name("files", "read") == "files_read"
    assert tool_name("files", "read", servers=("files", "other"), taken=("read", "files_write")) == "files_read"


@pytest.mark.parametrize(
    ("server", "tool", "servers", "taken"),
    [
        ("files", "x" * 80, (), ()),
        ("files", "read/all", (), ()),
        ("files", "lies das", (), ()),
        ("files", "r\ud800", (), ()),
        ("search", "threads", (), ("search_threads",)),
        ("a_b", "c", ("a", "a_b"), ()),
    ],
)
def test_a_name_that_could_not_be_used_or_be_anothers_gets_a_mark(
    server: str, tool: str, servers: tuple[str, ...], taken: tuple[str, ...]
) -> None:
    name = tool_name(server, tool, servers=servers, taken=taken)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name)
    assert re.search(r"_[0-9a-f]{8}$", name)
    assert name == tool_name(server, tool, servers=servers, taken=taken)


def test_tools_whose_names_look_alike_stay_apart() -> None:
    servers = ("a", "a_b")
    names = {tool_name("a", "b_c", servers=servers), tool_name("a_b", "c", servers=servers)}
    names |= {tool_name("a", f"{'x' * 80}{end}") for end in "12"}
    names |= {tool_name("a", tool) for tool in ("r.s", "r/s", "r_s")}
    assert len(names) == 7


def test_what_the_model_is_told_is_bounded() -> None:
    defined = definition("files_read", offered(description="d" * 5000), CONFIG)
    assert defined is not None
    assert defined.description == "d" * 1999 + "…"
    endless = Tool(name="read", input_schema={"type": "object", "description": "d" * 20_000})
    assert definition("files_read", endless, CONFIG) is None


@pytest.mark.parametrize(("name", "asked"), [("read", False), ("write", True)])
def test_a_definition_says_what_the_guard_must_know(name: str, asked: bool) -> None:
    defined = definition(f"files_{name}", offered(name), CONFIG)
    assert defined is not None
    assert defined.metadata == {"repeatable": False, "needs_approval": asked, "timeout": 7.0}


@pytest.mark.parametrize(
    ("said", "repeatable"),
    [
        (None, False),
        (ToolAnnotations(), False),
        (ToolAnnotations(read_only_hint=False, idempotent_hint=False), False),
        (ToolAnnotations(destructive_hint=False), False),
        (ToolAnnotations(read_only_hint=True), True),
        (ToolAnnotations(idempotent_hint=True), True),
    ],
)
def test_a_tool_is_repeatable_only_when_its_server_says_so(said: ToolAnnotations | None, repeatable: bool) -> None:
    assert is_repeatable(offered(annotations=said)) is repeatable


RESULTS: list[tuple[CallToolResult, Any]] = [
    (given(), ""),
    (given(text("one")), "one"),
    (given(text("one"), text("two")), ["one", "two"]),
    (given(text("3"), structured={"result": 3}), 3),
    (given(text("…"), structured={"result": 3, "unit": "m"}), {"result": 3, "unit": "m"}),
    (given(structured={"rows": []}), {"rows": []}),
    (
        given(
            text("a picture"),
            ImageContent(type="image", data=base64.b64encode(b"12345").decode(), mime_type="image/png"),
            structured={"result": "ignored: it lacks the picture"},
        ),
        ["a picture", {"type": "image", "media_type": "image/png", "bytes": 5, "note": "binary content, left out"}],
    ),
    (
        given(AudioContent(type="audio", data="", mime_type="audio/wav")),
        {"type": "audio", "media_type": "audio/wav", "bytes": 0, "note": "binary content, left out"},
    ),
    (
        given(ResourceLink(type="resource_link", uri="file:///a", name="a")),
        {"type": "resource_link", "uri": "file:///a", "name": "a"},
    ),
    (
        given(EmbeddedResource(type="resource", resource=TextResourceContents(uri="file:///a", text="inside"))),
        {"type": "resource", "uri": "file:///a", "text": "inside"},
    ),
    (
        given(EmbeddedResource(type="resource", resource=BlobResourceContents(uri="file:///a", blob="AAAA"))),
        {
            "type": "resource",
            "uri": "file:///a",
            "media_type": "application/octet-stream",
            "bytes": 3,
            "note": "binary content, left out",
        },
    ),
]


@pytest.mark.parametrize(("result", "value"), RESULTS)
def test_a_result_is_json_that_names_what_is_left_out(result: CallToolResult, value: Any) -> None:
    assert result_value(result) == value


def test_an_error_is_its_text() -> None:
    assert error_text(given(text("no such file"), text("really"))) == "no such file\nreally"
    assert error_text(given()) == "the tool failed and does not say why"
    assert len(error_text(given(text("x" * 9000)))) == 2000
