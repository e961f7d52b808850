"""Tool calls and agents that are asked by them, as one stream tells them: each by a name that no other run uses."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pydantic_core
from ag_ui.core import (
    BaseEvent,
    SubagentErrorEvent,
    SubagentFinishedEvent,
    SubagentFinishedOutcome,
    SubagentFinishedSuccessOutcome,
    SubagentFinishedSuspendedOutcome,
    SubagentStartedEvent,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
)

from chat.ag_ui.names import call_name
from chat.ag_ui.spoken import Spoken
from chat.protocol.events import SubagentCompleted, SubagentStarted, ToolCompleted

Arguments = dict[str, Any] | str


@dataclass(slots=True)
class Call:
    """`owner` is the invocation whose call it is. `told`: in this stream; `told_before`: in an earlier one."""

    name: str
    tool: str
    arguments: Arguments
    owner: str | None
    told: bool = False
    told_before: bool = False


class Steps:
    """What goes on in a run. `shown` are the calls that the client shows already."""

    def __init__(self, run_id: str, spoken: Spoken, *, shown: Collection[str]) -> None:
        self._run_id = run_id
        self._spoken = spoken
        self._shown = shown
        self._begun = 0
        self._invocations: dict[str, int] = {}
        self.begin()

    def begin(self) -> None:
        """The run begins, or begins again: what it did before is void."""
        self._begun += 1
        self.calls: dict[str, Call] = {}
        self._answered: set[str] = set()
        self._asked: dict[tuple[str, str], str] = {}

    def owner(self, agent: str, within: str | None) -> str | None:
        """The invocation that the call asked; None for the agent that the person asked.

        Events of earlier versions name no call: theirs is the latest invocation of the agent's name that runs.
        """
        if within is not None:
            return next((asked for (_, call_id), asked in self._asked.items() if call_id == within), None)
        return next((asked for (name, _), asked in reversed(self._asked.items()) if name == agent), None)

    # Calls

    def call(
        self, call_id: str, tool: str, arguments: Arguments, agent: str, within: str | None
    ) -> Iterator[BaseEvent]:
        """The client knows of the call from here on. Its arguments are whole: a call is closed as soon as it begins."""
        call = self.calls.get(call_id)
        if call is None:
            name = call_name(self._run_id, call_id, begun=self._begun)
            call = self.calls[call_id] = Call(name, tool, arguments, self.owner(agent, within))
        if call.told:
            return
        call.told = True
        yield from self._spoken.silence(call.owner)
        yield ToolCallStartEvent(tool_call_id=call.name, tool_call_name=call.tool, subagent_run_id=call.owner)
        if not (call.told_before and call.name in self._shown):
            # A client appends the arguments of a call that is opened anew to those that it has.
            yield ToolCallArgsEvent(tool_call_id=call.name, delta=_argument_text(call.arguments))
        yield ToolCallEndEvent(tool_call_id=call.name)

    def completed(self, event: ToolCompleted) -> Iterator[BaseEvent]:
        data = event.data
        if data.tool_call_id in self._answered:
            return
        yield from self.call(data.tool_call_id, data.tool, {}, event.agent, data.within)
        more: dict[str, Any] = {}
        if data.truncated is not None:
            more["truncated"] = data.truncated.model_dump(exclude_none=True)
        if data.error is not None:
            more["failed"] = True
        yield self._result(data.tool_call_id, data.error if data.error is not None else _text(data.result), more)

    def denied(self, call_id: str, denied: Call, content: str) -> Iterator[BaseEvent]:
        """A denied call has no events of its own, and a client waits for the outcome of each."""
        yield from self.call(call_id, denied.tool, denied.arguments, "", None)
        yield self._result(call_id, content, {"denied": True})

    def _result(self, call_id: str, content: str, more: Mapping[str, Any]) -> BaseEvent:
        call = self.calls.pop(call_id)
        self._answered.add(call_id)
        return ToolCallResultEvent(
            message_id=f"{call.name}:result",
            tool_call_id=call.name,
            content=content,
            role="tool",
            subagent_run_id=call.owner,
            metadata={"netra": dict(more)} if more else None,
        )

    # Agents that are asked

    def ask(self, event: SubagentStarted | SubagentCompleted) -> Iterator[BaseEvent]:
        """One that goes on after a pause is no new one."""
        subagent, call_id = event.data.subagent, event.data.parent_tool_call_id
        if (subagent, call_id) in self._asked:
            return
        call = self.calls.get(call_id)
        name = call.name if call is not None else call_name(self._run_id, call_id, begun=self._begun)
        number = self._invocations[name] = self._invocations.get(name, 0) + 1
        asker = call.owner if call is not None else self.owner(event.agent, event.data.within)
        invocation = self._asked[subagent, call_id] = name if number == 1 else f"{name}.{number}"
        yield self._started(subagent, call_id, invocation, asker)

    def answered(self, event: SubagentCompleted) -> Iterator[BaseEvent]:
        data = event.data
        yield from self.ask(event)
        invocation = self._asked.pop((data.subagent, data.parent_tool_call_id))
        yield from self._spoken.silence(invocation)
        if data.error is not None:
            yield SubagentErrorEvent(subagent_run_id=invocation, message=data.error)
        else:
            yield _finished(invocation, SubagentFinishedSuccessOutcome(), result=data.result)

    def _started(self, subagent: str, call_id: str, invocation: str, asker: str | None) -> BaseEvent:
        call = self.calls.get(call_id)
        return SubagentStartedEvent(
            subagent_run_id=invocation,
            name=subagent,
            parent_tool_call_id=call.name if call is not None else None,
            parent_subagent_run_id=asker,
        )

    # The end of a stream

    def close(self, reason: str) -> Iterator[BaseEvent]:
        """Nobody runs any more, the last asked first."""
        for invocation in reversed(list(self._asked.values())):
            yield SubagentErrorEvent(subagent_run_id=invocation, message=reason)
        self._asked.clear()

    def suspend(self, raised: Mapping[str, list[str]]) -> Iterator[BaseEvent]:
        """Whoever runs goes on in a later stream. `raised` has the interrupts of each invocation."""
        for invocation in reversed(list(self._asked.values())):
            outcome = SubagentFinishedSuspendedOutcome(interrupt_ids=raised.get(invocation))
            yield _finished(invocation, outcome)

    def go_on(self) -> Iterator[BaseEvent]:
        """In a stream of its own, in which nothing was told so far."""
        for call in self.calls.values():
            call.told, call.told_before = False, True
        for (subagent, call_id), invocation in self._asked.items():
            asking = self.calls.get(call_id)
            yield self._started(subagent, call_id, invocation, asking.owner if asking is not None else None)


def _finished(invocation: str, outcome: SubagentFinishedOutcome, result: str | None = None) -> BaseEvent:
    return SubagentFinishedEvent(subagent_run_id=invocation, result=result, outcome=outcome)


def _argument_text(arguments: Arguments) -> str:
    """JSON in any case: of arguments that were cut, which are none any more, the beginning as a string."""
    value = {"netra.truncated": arguments} if isinstance(arguments, str) else arguments
    return pydantic_core.to_json(value).decode()


def _text(result: Any) -> str:
    if result is None:
        return ""
    return result if isinstance(result, str) else pydantic_core.to_json(result).decode()
