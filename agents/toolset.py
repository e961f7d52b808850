"""The guard around every tool call: a time-out, a size cap, and each failure an error the model reads.

What a tool's metadata may say:

    repeatable      False: its effect must not happen twice. That it begins is recorded before it does, and a run in
                    which one began is not repeated when its worker is lost (`metadata=UNREPEATABLE`). Without a word
                    a tool is repeatable, unless it needs an approval: what was allowed was allowed once
    needs_approval  True: it begins only when a person allows it, like `Tool(…, requires_approval=True)`
    timeout         seconds, instead of the agent's; None is without a time-out of its own
    result_limit    characters that the model gets of a result, instead of the agent's
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
import traceback
import uuid
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic_ai import RunContext, ToolReturn
from pydantic_ai.exceptions import ApprovalRequired, CallDeferred, ModelRetry, ToolFailed
from pydantic_ai.toolsets import ToolsetTool, WrapperToolset

from agents.errors import RunTaken, ToolError
from agents.plain import capped, plain_value
from agents.redaction import redact
from agents.tools.context import ToolContext

logger = structlog.get_logger(__name__)

UNREPEATABLE = {"repeatable": False}
REPEATABLE = {"repeatable": True}


@dataclass(frozen=True, slots=True)
class WholeResult:
    """What a tool gave, beside the part of it that the model gets: the metadata of the tool's return."""

    value: Any


@dataclass
class GuardedToolset(WrapperToolset[ToolContext]):
    """No tool call ends a run: it gives a JSON value of bounded size, or fails with a text for the model.

    What pydantic-ai steers its loop with (retries, approvals, deferred calls) passes through, and so does RunTaken,
    after which no tool of the run begins here.
    """

    timeout: float = 30.0
    result_limit: int = 16_384

    async def get_tools(self, ctx: RunContext[ToolContext]) -> dict[str, ToolsetTool[ToolContext]]:
        tools = {name: _with_approval(tool) for name, tool in (await super().get_tools(ctx)).items()}
        ctx.deps.needs_approval.update(name for name, tool in tools.items() if tool.tool_def.kind == "unapproved")
        return tools

    async def call_tool(
        self,
        name: str,
        tool_args: dict[str, Any],
        ctx: RunContext[ToolContext],
        tool: ToolsetTool[ToolContext],
    ) -> Any:
        if not is_repeatable(tool):
            await ctx.deps.services.begin_unrepeatable(name)
        metadata = tool.tool_def.metadata or {}
        timeout = metadata.get("timeout", self.timeout)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(timeout) as deadline:
                result = await self.wrapped.call_tool(name, tool_args, ctx, tool)
            if isinstance(result, ToolReturn):
                result = result.return_value
            whole = plain_value("" if result is None else result)
            part = capped(whole, metadata.get("result_limit", self.result_limit))
            return whole if part is whole else ToolReturn(return_value=part, metadata=WholeResult(whole))
        except (ModelRetry, ToolFailed, ApprovalRequired, CallDeferred, RunTaken):
            raise
        except ToolError as error:
            raise ToolFailed(str(error)) from error
        except TimeoutError as error:
            if deadline.expired():
                raise ToolFailed(f"the tool did not finish within {timeout:g} seconds") from None
            raise _unexpected(name, error) from error
        except Exception as error:
            # A tool is anyone's code: whatever it raises is an answer to the model.
            raise _unexpected(name, error) from error
        finally:
            if ctx.tool_call_id is not None:
                ctx.deps.durations[ctx.tool_call_id] = round((time.perf_counter() - started) * 1000)


def is_repeatable(tool: ToolsetTool[ToolContext]) -> bool:
    """Whether a run may be repeated after the tool has begun in it."""
    declared = (tool.tool_def.metadata or {}).get("repeatable")
    return tool.tool_def.kind != "unapproved" if declared is None else declared is not False


def _with_approval(tool: ToolsetTool[ToolContext]) -> ToolsetTool[ToolContext]:
    if not (tool.tool_def.metadata or {}).get("needs_approval") or tool.tool_def.kind == "unapproved":
        return tool
    return dataclasses.replace(tool, tool_def=dataclasses.replace(tool.tool_def, kind="unapproved"))


def _unexpected(name: str, error: Exception) -> ToolFailed:
    correlation_id = uuid.uuid4().hex[:16]
    logger.error(
        "tool_failed",
        tool=name,
        correlation_id=correlation_id,
        cause=type(error).__name__,
        exception=redact("".join(traceback.format_exception(error))),
    )
    return ToolFailed(f"the tool failed unexpectedly (reference {correlation_id})")
