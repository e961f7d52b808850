"""An MCP server as a child process: what it gets of ours, where its standard error goes, and that it ends with us."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO

import anyio
import structlog
from anyio.streams.memory import MemoryObjectSendStream
from mcp import StdioServerParameters, stdio_client
from mcp.client._transport import ReadStream, TransportStreams
from mcp.shared.message import SessionMessage

from agents.mcp.config import McpServerConfig
from agents.plain import plain_text

logger = structlog.get_logger(__name__)

LONGEST_LINE = 500
# A session's standard error is read to its end, or the server would block; so much of it is logged.
MAX_LINES = 200
# Beside what a server's own `env` says; the SDK adds a few as harmless (HOME, LOGNAME, PATH, SHELL, TERM, USER).
INHERITED = ("PATH", "HOME", "LANG")

# Becomes the server, which then gets SIGKILL when the process that started it ends, however it ends. In a process of
# its own, since between fork and exec of a process with threads no Python may run.
_LAUNCHER = """
import ctypes, os, sys
parent, command = int(sys.argv[1]), sys.argv[2:]
libc = ctypes.CDLL(None)
if hasattr(libc, "prctl"):
    libc.prctl(1, 9)
    if os.getppid() != parent:
        os._exit(1)
os.execvp(command[0], command)
"""


class CommandMissing(Exception):
    """The program of a stdio server is not there."""


@contextlib.asynccontextmanager
async def stdio_transport(
    config: McpServerConfig, *, redact: Callable[[str], str], on_end: Callable[[], None]
) -> AsyncIterator[TransportStreams]:
    """The streams of a started server. `on_end` is called when it says no more: it has ended. Raises CommandMissing."""
    parameters = _parameters(config)
    reading, writing = os.pipe()
    log_reader = os.fdopen(reading, "rb", buffering=0)
    with contextlib.ExitStack() as parents_end:
        errors = parents_end.enter_context(os.fdopen(writing, "w"))
        logging = asyncio.create_task(_log_errors(log_reader, config.name, redact), name=f"log of MCP {config.name}")
        try:
            async with stdio_client(parameters, errors) as (read, write):
                parents_end.close()
                delivering, delivered = anyio.create_memory_object_stream[SessionMessage | Exception](0)
                async with anyio.create_task_group() as group:
                    group.start_soon(_pass_on, read, delivering, on_end)
                    try:
                        yield delivered, write
                    finally:
                        group.cancel_scope.cancel()
                        delivered.close()
        finally:
            # What a server says last, as it dies, is worth reading; another process may hold its end open for ever.
            await asyncio.wait([logging], timeout=0.2)
            logging.cancel()
            await asyncio.wait([logging])


def _parameters(config: McpServerConfig) -> StdioServerParameters:
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment |= {name: value.get_secret_value() for name, value in config.env.items()}
    command = config.command or ""
    folder = config.cwd.expanduser() if config.cwd is not None else Path()
    program = str(folder / command) if os.sep in command else command
    found = shutil.which(program, path=environment.get("PATH", os.defpath))
    if found is None or not folder.is_dir():
        raise CommandMissing
    arguments = [value.get_secret_value() for value in config.args]
    return StdioServerParameters(
        command=sys.executable,
        args=["-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(Path(found).absolute()), *arguments],
        env=environment,
        cwd=folder,
        encoding_error_handler="replace",
    )


async def _pass_on(
    source: ReadStream[SessionMessage | Exception],
    target: MemoryObjectSendStream[SessionMessage | Exception],
    on_end: Callable[[], None],
) -> None:
    """The session cannot be asked whether its server still lives; its stream of messages knows."""
    with target:
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for message in source:
                await target.send(message)
        # Before the calls that wait for an answer learn of it.
        on_end()


async def _log_errors(pipe: IO[bytes], name: str, redact: Callable[[str], str]) -> None:
    """Lines of the server's standard error as log lines, so many and so long at most."""
    reader = asyncio.StreamReader(limit=LONGEST_LINE * 4)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    lines = 0
    try:
        while chunk := await _line(reader):
            text = plain_text(chunk.decode(errors="replace")).strip()
            lines += bool(text)
            if text and lines <= MAX_LINES:
                logger.info("mcp_server_says", mcp_server=name, text=redact(text)[:LONGEST_LINE])
            elif text and lines == MAX_LINES + 1:
                logger.info("mcp_server_says_too_much", mcp_server=name)
    finally:
        transport.close()


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The next line, or the part of it that has come; empty at the end."""
    try:
        return await reader.readuntil()
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await reader.readexactly(max(error.consumed, 1))
