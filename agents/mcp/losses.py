"""Why there is no session with an MCP server, told to people without what its configuration keeps secret."""

from __future__ import annotations

import traceback

import httpx2
import structlog
from mcp import MCPError
from mcp_types import CONNECTION_CLOSED

from agents.mcp.config import McpServerConfig, Timing
from agents.mcp.stdio import CommandMissing
from agents.plain import plain_text
from agents.redaction import MASK, redact

logger = structlog.get_logger(__name__)

LONGEST_TEXT = 1_000
SHORTEST_SECRET = 6


class ServerEnded(Exception):
    """The server says no more."""


class Losses:
    """Makes a clause of whatever ended a session, or kept it from beginning."""

    def __init__(self, config: McpServerConfig, timing: Timing) -> None:
        self._name = config.name
        self._timing = timing
        self._secrets = sorted((text for text in config.secrets() if len(text) >= SHORTEST_SECRET), key=len)[::-1]

    def safe(self, text: str) -> str:
        """What a server or library says, bounded and without the secrets of the configuration."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return plain_text(redact(text)[:LONGEST_TEXT])

    def reason(self, error: BaseException, *, was_ready: bool) -> str:
        """Why. Of what nobody expected, the log has the rest."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        clause = self._of_server(error, was_ready=was_ready) or self._of_transport(error)
        if clause is None:
            clause = f"the session broke ({type(error).__name__})"
            trace = self.safe("".join(traceback.format_exception(error))[-LONGEST_TEXT:])
            logger.warning("mcp_session_broke", mcp_server=self._name, cause=type(error).__name__, exception=trace)
        return clause

    def _of_server(self, error: BaseException, *, was_ready: bool) -> str | None:
        match error:
            case ServerEnded():
                return "it ended"
            case MCPError(code=code) if code == CONNECTION_CLOSED:
                return "it ended" if was_ready else "it ended before it was ready"
            case MCPError(message=message):
                return f"it refused: {self.safe(message)}"
            case TimeoutError():
                seconds = self._timing.answer if was_ready else self._timing.connect
                return f"it did not answer within {seconds:g} seconds"
        return None

    def _of_transport(self, error: BaseException) -> str | None:
        match error:
            case CommandMissing():
                return "its command or folder was not found"
            case httpx2.HTTPStatusError(response=response):
                return f"it answered with HTTP {response.status_code}"
            case httpx2.TransportError():
                return f"it cannot be reached ({type(error).__name__})"
            case OSError(strerror=strerror):
                return f"it could not be started ({strerror or type(error).__name__})"
        return None
