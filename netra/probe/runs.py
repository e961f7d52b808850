"""The stages of a run: a message, its events in order, and the rest of them after a dropped connection."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import httpx

from netra.client.session import ApiError, SignedOut
from netra.client.socket import TERMINAL, Frame
from netra.probe.observation import Observation, Symptom
from netra.probe.sockets import ESTABLISHED_SECONDS, error_facts, greeted
from netra.probe.visit import STRANGE, THREAD_TITLE, NotProtocol, Visit

# It needs a tool that the agents of the roster have, and a number that a model does not guess.
QUESTION = "What is 17.5 % of 2480?"
TOOL = "calculate"
# A question whose answer takes a while.
LONG_QUESTION = "What can you do?"
FIVE = ("agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed")
OFFLINE = "offline"
# So many times as long as one answer is waited for may pass from an agent's start to its end.
RUN_FACTOR = 12
# Events that only the position check delivers come up to two seconds late, and wake-ups within milliseconds.
LATE_SECONDS = 0.5
# Nothing of a run follows before a person has done something.
ENDS = TERMINAL | {"approval_required"}


async def message(visit: Visit) -> Observation:
    try:
        await _choose_agent(visit)
        title = f"{THREAD_TITLE} {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"
        visit.thread_id = str((await visit.rest("POST", "/api/threads", {"title": title})).get("id"))
    except (ApiError, SignedOut) as error:
        return _refused_over_rest(error)
    reply = await _post(visit, QUESTION, "message")
    if reply["type"] != "message_accepted":
        facts = error_facts(reply) | {"over": "socket"}
        return Observation(
            summary=f"{facts['error_code']}: {facts['error_message']}", facts=facts, symptom=Symptom.REFUSED
        )
    facts = {name: reply.get(name) for name in ("thread_id", "message_id", "run_id", "run_number")}
    return Observation(
        summary=f"accepted, for the agent {visit.agent.get('name')}",
        facts=facts | {"title": title, "agent": visit.agent.get("name"), "model": visit.agent.get("model")},
    )


async def _choose_agent(visit: Visit) -> None:
    """The agent that will be asked, as REST describes it. Raises ApiError."""
    if visit.target.agent is not None:
        visit.agent = await visit.rest("GET", f"/api/agents/{quote(visit.target.agent, safe='')}")
        return
    found = (await visit.rest("GET", "/api/agents")).get("agents")
    if not isinstance(found, list) or not found or not isinstance(found[0], dict):
        raise NotProtocol("GET /api/agents names no agent")
    visit.agent = found[0]


def _refused_over_rest(error: ApiError | SignedOut) -> Observation:
    """A token that REST refuses and cannot be renewed is SignedOut."""
    facts: dict[str, Any] = {"over": "REST", "error_code": "INVALID_TOKEN", "error_message": str(error)}
    if isinstance(error, ApiError):
        details = error.details | {"correlation_id": error.correlation_id}
        facts |= {"error_code": error.code, "error_message": error.message, "status": error.status, "details": details}
    return Observation(
        summary=f"over REST: {facts['error_code']}, {facts['error_message']}", facts=facts, symptom=Symptom.REFUSED
    )


async def _post(visit: Visit, content: str, ref: str) -> Frame:
    fields: dict[str, Any] = {"thread_id": visit.thread_id}
    if visit.target.agent is not None:
        fields["agent"] = visit.target.agent
    async with asyncio.timeout(visit.target.timeout):
        await visit.connection.send(type="user_message", content=content, ref=ref, **fields)
        reply = await visit.reply(ref)
    visit.run_id = str(reply.get("run_id", ""))
    return reply


# The five events


async def events(visit: Visit) -> Observation:
    try:
        async with asyncio.timeout(visit.target.timeout):
            await _until(visit, ENDS | {"agent_started"})
        async with asyncio.timeout(visit.target.timeout * RUN_FACTOR):
            await _until(visit, ENDS)
    except TimeoutError:
        return await _not_ended(visit)
    found = _events(visit)
    facts = _facts(visit, found) | {"late_seconds": _lateness(visit)}
    if found[-1]["type"] != "agent_completed":
        return _run_failed(facts, found[-1])
    if problem := _problem(found):
        return Observation(summary=problem, facts=facts, symptom=Symptom.NOT_WHOLE)
    kinds = [kind for kind in facts["types"] if kind in FIVE]
    if "tool_executing" not in kinds:
        return _without_tool(visit, facts, kinds)
    if not _in_order(kinds):
        return Observation(summary=", ".join(kinds), facts=facts, symptom=Symptom.WRONG_ORDER)
    return _observed(f"the five events in order, by {facts['model']}", facts, _late_notes(facts["late_seconds"]))


def _observed(summary: str, facts: dict[str, Any], notes: tuple[str, ...]) -> Observation:
    return Observation(summary=summary, facts=facts, notes=notes, degraded=bool(facts["late_seconds"]) and bool(notes))


def _without_tool(visit: Visit, facts: dict[str, Any], kinds: Sequence[str]) -> Observation:
    """A language model may do without. The offline model calls the tool of this question if its agent has it."""
    tools = [tool.get("name") for tool in visit.agent.get("tools", ())]
    facts |= {"agent": visit.agent.get("name"), "has_tool": TOOL in tools}
    if not _in_order(kinds, without_tool=True):
        return Observation(summary=", ".join(kinds), facts=facts, symptom=Symptom.WRONG_ORDER)
    if facts["model"] == OFFLINE and facts["has_tool"]:
        return Observation(summary="the offline model called no tool", facts=facts, symptom=Symptom.NO_TOOL)
    why = (
        f"The model {facts['model']} answered without a tool"
        if facts["has_tool"]
        else f"The agent {facts['agent']} has no tool {TOOL}"
    )
    note = f"{why}: tool_executing and tool_completed were not seen, the other three events came in order"
    return _observed(
        f"three of the five events, in order, by {facts['model']}", facts, (note, *_late_notes(facts["late_seconds"]))
    )


def _in_order(kinds: Sequence[str], *, without_tool: bool = False) -> bool:
    """The first of each kind, in the order of the five, and the end once, at the end. A tool may be called often."""
    wanted = [kind for kind in FIVE if not without_tool or not kind.startswith("tool_")]
    firsts = list(dict.fromkeys(kinds))
    return firsts == wanted and kinds.count("agent_completed") == 1 and kinds[-1] == "agent_completed"


async def _not_ended(visit: Visit) -> Observation:
    found = _events(visit)
    facts = _facts(visit, found) | {"waited_seconds": visit.target.timeout, "run": await _run_status(visit)}
    if "agent_started" not in facts["types"]:
        return Observation(
            summary=f"no agent_started within {visit.target.timeout:g} s", facts=facts, symptom=Symptom.NOT_STARTED
        )
    seconds = visit.target.timeout * RUN_FACTOR
    return Observation(summary=f"no end within {seconds:g} s", facts=facts, symptom=Symptom.NOT_ENDED)


async def _run_status(visit: Visit) -> str:
    """What REST says of the run, whatever the socket has delivered."""
    try:
        return str((await visit.rest("GET", f"/api/runs/{visit.run_id}")).get("status"))
    except (ApiError, SignedOut, NotProtocol, httpx.TransportError) as error:
        return type(error).__name__


def _lateness(visit: Visit) -> float:
    """By how many seconds the events of the worker came late; 0 when that is no more than usual.

    The clock of the server is compared with this one by `server_time`, from the same process.
    """
    came = list(zip(visit.frames, visit.arrived, strict=True))
    offset = next((_seconds(frame, "server_time") - at for frame, at in came if frame["type"] == "pong"), 0.0)
    late = max(
        at + offset - _seconds(frame, "timestamp")
        for frame, at in came
        if frame.get("run_id") == visit.run_id and frame.get("seq", 0) > 1
    )
    return round(late, 1) if late > LATE_SECONDS else 0.0


def _seconds(frame: Frame, name: str) -> float:
    try:
        return datetime.datetime.fromisoformat(frame[name]).timestamp()
    except STRANGE as error:
        raise NotProtocol(f"{name} of {frame['type']}: {error}") from None


def _late_notes(late: float) -> tuple[str, ...]:
    if not late:
        return ()
    return (
        (
            f"Events came up to {late:g} s after they were written, as when only the position check finds them: no "
            "wake-up came from the worker over the channel layer. Web processes and workers need the same REDIS_URL; "
            "if they have it, the clock of the worker's machine is behind"
        ),
    )


# After a drop


async def resume(visit: Visit) -> Observation:
    """Drops the connection at the first event of the agent, and reads the rest on another."""
    reply = await _post(visit, LONG_QUESTION, "long")
    if reply["type"] != "message_accepted":
        facts = error_facts(reply) | {"over": "socket"}
        return Observation(summary=str(facts["error_code"]), facts=facts, symptom=Symptom.REFUSED)
    async with asyncio.timeout(visit.target.timeout):
        await _until(visit, ENDS | {"agent_started"})
    before = _events(visit)
    visit.connection.connection.transport.abort()
    wait = max(ESTABLISHED_SECONDS, visit.target.timeout)
    greeting = await visit.open.enter_async_context(greeted(visit, token=visit.token, wait=wait, state=visit.state))
    if not greeting.is_established or greeting.socket is None:
        return Observation(summary=greeting.summary, facts=greeting.facts, symptom=greeting.symptom)
    visit.socket = greeting.socket
    resumed = await _resumed(visit)
    try:
        async with asyncio.timeout(visit.target.timeout * RUN_FACTOR):
            await _until(visit, ENDS)
    except TimeoutError:
        return await _not_ended(visit)
    found = _events(visit)
    facts = _facts(visit, found) | {"before": len(before), "after": len(found) - len(before), "resumed": resumed}
    if problem := _problem(found):
        return Observation(summary=problem, facts=facts, symptom=Symptom.NOT_WHOLE)
    if found[-1]["type"] != "agent_completed":
        return _run_failed(facts, found[-1])
    going_on = resumed.get("status") not in ("completed", "failed", "cancelled")
    return Observation(
        summary=f"{facts['before']} events before the drop, {facts['after']} after it, none lost, none twice",
        facts=facts,
        notes=() if going_on else ("The run had ended before the new connection was there: its events were replayed",),
    )


async def _resumed(visit: Visit) -> dict[str, Any]:
    """What the server says of the run to `resume`."""
    command = visit.state.resume("resume")
    if command is None:
        return {}
    async with asyncio.timeout(visit.target.timeout):
        await visit.connection.send(**command)
        reply = await visit.reply("resume")
    found = reply.get("runs", {}).get(visit.run_id)
    if not isinstance(found, dict):
        raise NotProtocol(f"{reply['type']} does not name the run that was resumed")
    return found


async def close(visit: Visit) -> Observation:
    await visit.connection.connection.close(1000)
    code = visit.connection.close_code
    codes = [*visit.close_codes, code]
    facts = {"close_code": code, "close_codes": codes}
    if code != 1000 or 1011 in codes:
        return Observation(summary=f"closed with {code}", facts=facts, symptom=Symptom.CLOSE_CODE)
    return Observation(summary="1000, and no connection was closed with 1011", facts=facts)


# Events


async def _until(visit: Visit, kinds: frozenset[str]) -> None:
    while not any(event["type"] in kinds for event in _events(visit)):
        await visit.receive()


def _events(visit: Visit) -> list[Frame]:
    """Of the run that was begun last, over all connections."""
    return [frame for frame in visit.frames if frame.get("run_id") == visit.run_id and "seq" in frame]


def _facts(visit: Visit, found: Sequence[Frame]) -> dict[str, Any]:
    """`types` are those of the agent's last attempt."""
    started = [event for event in found if event["type"] == "agent_started"]
    kinds = [event["type"] for event in found]
    restarted = max((number for number, kind in enumerate(kinds, 1) if kind == "agent_restarted"), default=0)
    model = started[-1]["data"].get("model") if started else None
    return {"run_id": visit.run_id, "types": kinds[restarted:], "model": model}


def _problem(found: Sequence[Frame]) -> str | None:
    """What is lost or repeated, in numbers and in text."""
    numbers = [event["seq"] for event in found]
    if numbers != list(range(1, len(numbers) + 1)):
        return f"the events have the numbers {numbers}"
    last = found[-1]["data"].get("message") or {}
    restarted = max((event["seq"] for event in found if event["type"] == "agent_restarted"), default=0)
    said = "".join(
        event["data"]["text"]
        for event in found
        if event["type"] == "agent_response_chunk" and event["seq"] > restarted and event["agent"] == found[-1]["agent"]
    )
    if found[-1]["type"] == "agent_completed" and "content" in last and last["content"] != said:
        return f"the answer has {len(last['content'])} characters, its pieces have {len(said)}"
    return None


def _run_failed(facts: dict[str, Any], last: Frame) -> Observation:
    named = {name: last["data"].get(name) for name in ("error_code", "error_message", "correlation_id", "tool")}
    words = " ".join(filter(None, (last["type"], named["error_code"], named["error_message"])))
    return Observation(
        summary=f"the run ended with {words}", facts=facts | named | {"end": last["type"]}, symptom=Symptom.RUN_FAILED
    )
