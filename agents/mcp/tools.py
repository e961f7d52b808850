"""The tools of MCP servers as agents have them: names, definitions of bounded size, and results as JSON. No I/O."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from typing import Any

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
)
from pydantic_ai.tools import ToolDefinition

from agents.mcp.config import McpServerConfig
from agents.plain import plain_text

MAX_TOOLS = 64
MAX_DESCRIPTION = 2_000
MAX_SCHEMA = 20_000
# What every provider accepts.
MAX_NAME = 64
_REFUSED = re.compile(r"[^A-Za-z0-9_-]")
_MARK = 8


def tool_name(server: str, tool: str, *, servers: Collection[str] = (), taken: Collection[str] = ()) -> str:
    """`<server>_<tool>`; with a mark where that is too long, has other characters, or could be another tool's.

    It depends on configuration only, never on which servers are there: a tool that a person allowed is the same tool
    when the run goes on elsewhere.
    """
    wanted = f"{server}_{tool}"
    name = _REFUSED.sub("_", wanted)
    ambiguous = name in taken or any(other != server and name.startswith(f"{other}_") for other in servers)
    if name == wanted and len(name) <= MAX_NAME and not ambiguous:
        return name
    mark = hashlib.sha256(f"{server}\0{tool}".encode(errors="surrogatepass")).hexdigest()[:_MARK]
    return f"{name[: MAX_NAME - _MARK - 1]}_{mark}"


def description_of(tool: Tool) -> str:
    text = plain_text(tool.description or tool.title or "").strip()
    return text if len(text) <= MAX_DESCRIPTION else f"{text[: MAX_DESCRIPTION - 1]}…"


def definition(name: str, tool: Tool, config: McpServerConfig) -> ToolDefinition | None:
    """What the model is told of the tool; None when its arguments are described at too great a length."""
    if len(json.dumps(tool.input_schema)) > MAX_SCHEMA:
        return None
    metadata: dict[str, Any] = {
        "repeatable": is_repeatable(tool),
        "needs_approval": config.needs_approval(tool.name),
    }
    if config.timeout is not None:
        metadata["timeout"] = config.timeout
    return ToolDefinition(
        name=name,
        description=description_of(tool),
        parameters_json_schema=tool.input_schema,
        metadata=metadata,
    )


def is_repeatable(tool: Tool) -> bool:
    """Whether its server says that another call changes nothing more. What it does not say is not so."""
    said = tool.annotations
    return said is not None and bool(said.read_only_hint or said.idempotent_hint)


def result_value(result: CallToolResult) -> Any:
    """The result as JSON. What is not text is named, with its size: a model of text can do nothing with it."""
    structured = result.structured_content
    if structured is not None and all(isinstance(part, TextContent) for part in result.content):
        # SDKs wrap what is no object in `result`.
        if isinstance(structured, dict) and set(structured) == {"result"}:
            return structured["result"]
        return structured
    parts = [_part(part) for part in result.content]
    return parts[0] if len(parts) == 1 else parts or ""


def error_text(result: CallToolResult) -> str:
    """What a tool says that went wrong."""
    texts = [part.text for part in result.content if isinstance(part, TextContent)]
    return plain_text("\n".join(texts).strip())[:MAX_DESCRIPTION] or "the tool failed and does not say why"


def _part(part: ContentBlock) -> Any:
    match part:
        case TextContent(text=text):
            return text
        case ImageContent() | AudioContent():
            return _left_out(part.type, part.mime_type, part.data)
        case ResourceLink(uri=uri, name=name):
            return {"type": "resource_link", "uri": str(uri), "name": name}
        case EmbeddedResource(resource=TextResourceContents(uri=uri, text=text)):
            return {"type": "resource", "uri": str(uri), "text": text}
        case EmbeddedResource(resource=BlobResourceContents() as resource):
            return {"uri": str(resource.uri), **_left_out("resource", resource.mime_type, resource.blob)}


def _left_out(kind: str, media_type: str | None, base64_text: str) -> dict[str, Any]:
    return {
        "type": kind,
        "media_type": media_type or "application/octet-stream",
        "bytes": len(base64_text.rstrip("=")) * 3 // 4,
        "note": "binary content, left out",
    }
