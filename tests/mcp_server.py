"""A real MCP server for tests: `python tests/mcp_server.py FOLDER [--http PORT] [--behaviour …]`.

It writes the number of its process into FOLDER/pid and its environment into FOLDER/environment. Tools that the tests
must meet in the middle say so by a file `<tool>.begun`, and end when there is a file `<tool>.end`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

PNG = b"\x89PNG\r\n\x1a\n" + bytes(91)


def build(folder: Path) -> MCPServer:
    server = MCPServer("tests", log_level="ERROR")

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    async def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @server.tool()
    async def note(text: str) -> str:
        """Write a line into a file, for ever."""
        with (folder / "notes").open("a") as file:
            file.write(f"{text}\n")
        return "noted"

    @server.tool(annotations=ToolAnnotations(idempotent_hint=True))
    async def wait(name: str) -> str:
        """Begin, and end when told to."""
        (folder / f"{name}.begun").touch()
        while not (folder / f"{name}.end").exists():  # noqa: ASYNC110 - the test is another process
            await asyncio.sleep(0.01)
        return f"{name} ended"

    @server.tool()
    async def fail(text: str) -> str:
        """Fail with a text."""
        raise ToolError(text)

    @server.tool()
    async def large(characters: int) -> str:
        """Give a large text."""
        return "x" * characters

    @server.tool()
    async def picture() -> list[Image | str]:
        """Give a text and a picture."""
        return ["a picture", Image(data=PNG, format="png")]

    @server.tool()
    async def grow(ctx: Context) -> str:
        """Offer one tool more."""

        async def grown() -> str:
            """Be new."""
            return "grown"

        server.add_tool(grown)
        await ctx.notify_tools_changed()
        await ctx.session.send_tool_list_changed()
        return "there is a tool more"

    return server


def offer_many(server: MCPServer, number: int) -> None:
    async def same() -> str:
        """Be one of many."""
        return "same"

    for place in range(number):
        server.add_tool(same, name=f"same{place}")


def answer_by_hand() -> None:
    """A server of the protocol of 2025, which knows nothing of later ones; calling `grow` gives it a tool more."""
    names = ["grow"]
    for line in sys.stdin:
        asked = json.loads(line)
        if "id" not in asked:
            continue
        answer: dict[str, object] = {"error": {"code": -32601, "message": "Method not found"}}
        match asked["method"]:
            case "initialize":
                capabilities = {"tools": {"listChanged": True}}
                information = {"name": "old", "version": "1"}
                version = asked["params"]["protocolVersion"]
                told = {"protocolVersion": version, "capabilities": capabilities, "serverInfo": information}
                answer = {"result": told}
            case "tools/list":
                answer = {"result": {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in names]}}
            case "tools/call":
                names.append("grown")
                send({"method": "notifications/tools/list_changed"})
                answer = {"result": {"content": [{"type": "text", "text": "there is a tool more"}]}}
        send({"id": asked["id"], **answer})


def send(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--http", type=int, metavar="PORT")
    parser.add_argument("--transport", choices=["streamable-http", "sse"], default="streamable-http")
    parser.add_argument("--behaviour", choices=["answer", "by-hand", "exit", "hang", "stay"], default="answer")
    parser.add_argument("--say", default="")
    parser.add_argument("--many", type=int, default=0)
    options = parser.parse_args()
    (options.folder / "pid").write_text(str(os.getpid()))
    (options.folder / "environment").write_text(json.dumps(dict(os.environ)))
    if options.say:
        sys.stderr.write(options.say.replace(r"\n", "\n"))
        sys.stderr.flush()
    if options.behaviour == "exit":
        raise SystemExit(3)
    if options.behaviour == "hang":
        signal.pause()
    if options.behaviour == "by-hand":
        answer_by_hand()
        return
    if options.behaviour == "stay":
        # Heeds neither the end of its input nor a polite signal.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    server = build(options.folder)
    offer_many(server, options.many)
    if options.http is not None:
        server.run(options.transport, host="127.0.0.1", port=options.http)
        return
    server.run("stdio")
    if options.behaviour == "stay":
        while True:
            signal.pause()


if __name__ == "__main__":
    main()
