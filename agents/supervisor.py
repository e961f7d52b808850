"""Executes one run of an agent under its limits.

Whatever the agent does, the events that leave here are well formed: AgentStarted first, exactly one
AgentCompleted or AgentError last, and every tool call that begins also ends.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import logging
import traceback
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from agents.deadline import Deadline, DeadlinePassed
from agents.errors import AllowanceUsed, ModelError, RunTaken, UnknownAgent
from agents.events import (
    AgentCompleted,
    AgentError,
    AgentEvent,
    AgentPaused,
    AgentResponseChunk,
    AgentStarted,
    AgentThinking,
    ContextReduced,
    SubagentCompleted,
    SubagentStarted,
    TerminalEvent,
    ToolCompleted,
    ToolExecuting,
)
from agents.mcp.servers import McpServers, McpServerStatus
from agents.redaction import redact
from agents.registry import Agent, AgentRegistry
from agents.request import FoundMessage, RunRequest, RunServices, RunUser, Turn
from agents.summary import AgentSummary, summarise

__all__ = [
    "AgentSummary",
    "AgentSupervisor",
    "FoundMessage",
    "RunRequest",
    "RunServices",
    "RunUser",
    "SupervisorStatus",
    "Turn",
]

CLOSE_SECONDS = 5.0
LONGEST_DETAIL = 1000
# In the state of a paused run: how long its agent had worked, in milliseconds.
WORKED_MS = "worked_ms"

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class SupervisorStatus:
    """The agents, how many runs this process executes now, and what it knows of the MCP servers."""

    agents: tuple[AgentSummary, ...]
    active_runs: int
    mcp_servers: tuple[McpServerStatus, ...] = ()


class AgentSupervisor:
    """Runs agents. Holds nothing of any user; any number of runs may be under way at once."""

    def __init__(self, registry: AgentRegistry, *, run_timeout: float, mcp: McpServers | None = None) -> None:
        self.registry = registry
        self.run_timeout = run_timeout
        self._mcp = mcp or McpServers()
        self._active_runs = 0

    @property
    def agent_names(self) -> tuple[str, ...]:
        """The agents' names; the first is the default agent's."""
        return self.registry.names

    @property
    def blind_agents(self) -> frozenset[str]:
        """The names of the agents that fail when a question has an image."""
        return frozenset(agent.name for agent in self.registry if getattr(agent, "refuses_images", False))

    @property
    def active_runs(self) -> int:
        """How many runs this process executes now."""
        return self._active_runs

    def status(self) -> SupervisorStatus:
        """A snapshot; touches nothing but memory."""
        return SupervisorStatus(
            agents=tuple(summarise(agent) for agent in self.registry),
            active_runs=self._active_runs,
            mcp_servers=self._mcp.status(),
        )

    async def execute(self, request: RunRequest) -> AsyncGenerator[AgentEvent, None]:
        """The events of one run.

        Cancelling the task that waits for the next event, or closing the generator (use `aclosing`), stops the
        agent and cleans up after it; no event follows. Raises nothing but CancelledError, and RunTaken when the agent
        met it.
        """
        run = _Run(request, self.run_timeout)
        self._active_runs += 1
        try:
            try:
                agent = self.registry.get(request.agent)
            except UnknownAgent as error:
                yield AgentStarted(agent=request.agent, model="", attempt=request.attempt)
                yield run.failed("AGENT_NOT_FOUND", str(error), retryable=False)
                return
            yield AgentStarted(agent=request.agent, model=agent.model_name, attempt=request.attempt)
            async with aclosing(run.events(agent)) as events:
                async for event in events:
                    yield event
        finally:
            run.deadline.cancel()
            self._active_runs -= 1


class _Run:
    """One execution: its clock, its open tool calls, its log lines."""

    def __init__(self, request: RunRequest, timeout: float) -> None:
        self._request = request
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._begin = self._loop.time()
        self.deadline = Deadline(timeout)
        # The time of waiting for a person is nobody's work.
        self._worked_ms: int = request.resumption.state.get(WORKED_MS, 0) if request.resumption else 0
        self._reported: AgentError | None = None
        self._open_calls: dict[str, tuple[ToolExecuting, float]] = {}
        self._log = logger.bind(run_id=request.run_id, agent=request.agent, attempt=request.attempt)

    async def events(self, agent: Agent) -> AsyncGenerator[AgentEvent, None]:
        """What the agent yields, up to its terminal event or the one made for it."""
        stream = self._start(agent)
        if isinstance(stream, AgentError):
            yield stream
            return
        terminal: TerminalEvent | None = None
        try:
            while terminal is None:
                event = await self._next(stream)
                match event:
                    case AgentPaused() | AgentCompleted() | AgentError():
                        terminal = event
                        continue
                    case ToolExecuting():
                        self._open_calls[event.tool_call_id] = (event, self._loop.time())
                    case ToolCompleted():
                        self._open_calls.pop(event.tool_call_id, None)
                    case (
                        AgentThinking()
                        | AgentResponseChunk()
                        | SubagentStarted()
                        | SubagentCompleted()
                        | ContextReduced()
                    ):
                        pass
                    case _:
                        terminal = self._broke_contract(f"it yielded {type(event).__name__}")
                        continue
                yield event
        finally:
            await self._close(stream)
        # What a pause leaves open goes on after it.
        for closing in () if isinstance(terminal, AgentPaused) else self._end_open_calls():
            yield closing
        yield self._ended(terminal)

    def _start(self, agent: Agent) -> AsyncIterator[AgentEvent] | AgentError:
        try:
            stream: object = agent.run(self._request)
        except Exception as error:  # noqa: BLE001 - the run's boundary: recorded, and told as one event
            return self._internal_error(error)
        if isinstance(stream, AsyncIterator):
            return stream
        if inspect.iscoroutine(stream):
            stream.close()
        return self._broke_contract(f"run() returned {type(stream).__name__}, not an async iterator")

    async def _next(self, stream: AsyncIterator[AgentEvent]) -> AgentEvent:
        """The agent's next event; its failure, in whatever form, as an AgentError."""
        failure: BaseException
        task = asyncio.current_task()
        cancelled_before = task.cancelling() if task else 0
        try:
            return await self.deadline.next(stream)
        except asyncio.CancelledError as error:
            if task is None or task.cancelling() > cancelled_before:
                raise
            # Raised without anyone having cancelled this task: the agent's own, and so its failure.
            failure = error
        except RunTaken:
            raise
        except Exception as error:  # noqa: BLE001 - the run's boundary: recorded, and told as one event
            failure = error
        return self._failure(failure)

    def _failure(self, error: BaseException) -> AgentError:
        match error:
            case DeadlinePassed():
                message = f"The run did not finish within {self._timeout:g} seconds."
                return self.failed("RUN_TIMEOUT", message, retryable=True)
            case StopAsyncIteration():
                return self._broke_contract("it ended without a terminal event")
            case AllowanceUsed():
                return self.failed("ALLOWANCE_USED", str(error), retryable=error.retryable)
            case ModelError():
                return self.failed("MODEL_ERROR", str(error), retryable=error.retryable, **_summary(error.__cause__))
            case _:
                return self._internal_error(error)

    async def _close(self, stream: AsyncIterator[AgentEvent]) -> None:
        aclose = getattr(stream, "aclose", None)
        if aclose is None:
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await aclose()
        except Exception as error:  # noqa: BLE001 - the answer is complete; what the clean-up does cannot change it
            self._log.warning("agent_cleanup_failed", **_traced(error))

    def _end_open_calls(self) -> Iterator[ToolCompleted]:
        for call, began in self._open_calls.values():
            yield ToolCompleted(
                agent=call.agent,
                tool_call_id=call.tool_call_id,
                tool=call.tool,
                duration_ms=round((self._loop.time() - began) * 1000),
                error="the run ended before the tool did",
            )

    def _ended(self, event: TerminalEvent) -> TerminalEvent:
        """The terminal event as it leaves; one log line says how the run ended."""
        if isinstance(event, AgentPaused):
            event = dataclasses.replace(event, state={**event.state, WORKED_MS: self._duration_ms()})
            self._log.info("agent_run_paused", duration_ms=self._duration_ms(), approvals=len(event.approvals))
        elif isinstance(event, AgentCompleted):
            event = dataclasses.replace(event, duration_ms=self._duration_ms())
            self._log.info(
                "agent_run_completed",
                duration_ms=event.duration_ms,
                model=event.usage.model,
                input_tokens=event.usage.input_tokens,
                output_tokens=event.usage.output_tokens,
            )
        elif event is not self._reported:
            return self.failed(event.error_code, event.error_message, retryable=event.retryable)
        return event

    def failed(
        self,
        code: str,
        message: str,
        *,
        retryable: bool,
        correlation_id: str | None = None,
        **details: str,
    ) -> AgentError:
        """The run's failure: one log line with its cause, and the event for the person."""
        if correlation_id is not None:
            details["correlation_id"] = correlation_id
        self._log.log(
            logging.WARNING if correlation_id is None else logging.ERROR,
            "agent_run_failed",
            error_code=code,
            reason=message,
            duration_ms=self._duration_ms(),
            **details,
        )
        self._reported = AgentError(
            agent=self._request.agent,
            error_code=code,
            error_message=message,
            retryable=retryable,
            correlation_id=correlation_id,
        )
        return self._reported

    def _duration_ms(self) -> int:
        return self._worked_ms + round((self._loop.time() - self._begin) * 1000)

    def _broke_contract(self, how: str) -> AgentError:
        return self._internal_error(RuntimeError(f"the agent broke its contract: {how}"))

    def _internal_error(self, error: BaseException) -> AgentError:
        correlation_id = uuid.uuid4().hex[:16]
        return self.failed(
            "INTERNAL_ERROR",
            f"Something went wrong while answering (reference {correlation_id}).",
            retryable=True,
            correlation_id=correlation_id,
            **_traced(error),
        )


def _traced(error: BaseException) -> dict[str, str]:
    """An unexpected failure for the log: its class and its traceback, without secrets."""
    return {
        "cause": type(error).__name__,
        "exception": redact("".join(traceback.format_exception(error))),
    }


def _summary(error: BaseException | None) -> dict[str, str]:
    """An expected failure for the log: its class and its text, without secrets."""
    return {} if error is None else {"cause": type(error).__name__, "detail": redact(str(error))[:LONGEST_DETAIL]}
