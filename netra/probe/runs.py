"""The stages of a run: a message, its events in order, and the rest of them after a dropped connection."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any
from urllib.parse import quote

import httpx

from netra.client.session import ApiError, SignedOut
from netra.client.socket import TERMINAL, Frame
from netra.probe.events import QUESTION, facts_of, five_events, resumed_run
from netra.probe.observation import Observation, Symptom
from netra.probe.sockets import ESTABLISHED_SECONDS, error_facts, greeted
from netra.probe.visit import STRANGE, THREAD_TITLE, NotProtocol, Visit

# A question whose answer takes a while.
LONG_QUESTION = "What can you do?"
# So many times as long as one answer is waited for may pass from an agent's start to its end.
RUN_FACTOR = 12
# Nothing of a run follows these, at least before a person has done something.
ENDS = TERMINAL | {"approval_required"}


async def message(visit: Visit) -> Observation:
    try:
        await _choose_agent(visit)
        title = f"{THREAD_TITLE} {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"
        visit.thread_id = str((await visit.rest("POST", "/api/threads", {"title": title})).get("id"))
    except (ApiError, SignedOut) as error:
        return _refused_over_rest(error)
    reply = await _post(visit, QUESTION, "question")
    if reply["type"] != "message_accepted":
        return _refused(reply)
    facts = {name: reply.get(name) for name in ("thread_id", "message_id", "run_id", "run_number")}
    return Observation(
        summary=f"accepted, for the agent {visit.agent.get('name')}",
        facts=facts | {"title": title, "agent": visit.agent.get("name"), "model": visit.agent.get("model")},
    )


async def _choose_agent(visit: Visit) -> None:
    """The agent that will be asked, as REST describes it. Raises ApiError and SignedOut."""
    if visit.target.agent is not None:
        visit.agent = await visit.rest("GET", f"/api/agents/{quote(visit.target.agent, safe='')}")
        return
    found = (await visit.rest("GET", "/api/agents")).get("agents")
    if not isinstance(found, list) or not found or not isinstance(found[0], dict):
        raise NotProtocol("GET /api/agents names no agent")
    visit.agent = found[0]


def _refused_over_rest(error: ApiError | SignedOut) -> Observation:
    """A token that REST refuses and that cannot be renewed is SignedOut."""
    facts: dict[str, Any] = {"over": "REST", "error_code": "INVALID_TOKEN", "error_message": str(error)}
    if isinstance(error, ApiError):
        details = error.details | {"correlation_id": error.correlation_id}
        facts |= {"error_code": error.code, "error_message": error.message, "status": error.status, "details": details}
    return Observation(
        summary=f"over REST: {facts['error_code']}, {facts['error_message']}", facts=facts, symptom=Symptom.REFUSED
    )


def _refused(reply: Frame) -> Observation:
    facts = error_facts(reply) | {"over": "socket"}
    summary = f"{facts['error_code']}: {facts['error_message']}"
    return Observation(summary=summary, facts=facts, symptom=Symptom.REFUSED)


async def _post(visit: Visit, content: str, ref: str) -> Frame:
    fields: dict[str, Any] = {"thread_id": visit.thread_id}
    if visit.target.agent is not None:
        fields["agent"] = visit.target.agent
    async with asyncio.timeout(visit.target.timeout):
        await visit.connection.send(type="user_message", content=content, ref=ref, **fields)
        reply = await visit.reply(ref)
    visit.run_id = str(reply.get("run_id", ""))
    return reply


async def events(visit: Visit) -> Observation:
    if (unstarted := await _to_the_start(visit)) is not None:
        return unstarted
    if (unended := await _to_the_end(visit)) is not None:
        return unended
    services = visit.established.get("services") or {}
    return five_events(
        _events(visit),
        agent=visit.agent,
        late_seconds=_lateness(visit),
        layer_ready=services.get("channel_layer") != "degraded",
    )


async def resume(visit: Visit) -> Observation:
    """Drops the connection at the first event of the agent, and reads the rest on another."""
    reply = await _post(visit, LONG_QUESTION, "long question")
    if reply["type"] != "message_accepted":
        return _refused(reply)
    if (unstarted := await _to_the_start(visit)) is not None:
        return unstarted
    before = len(_events(visit))
    visit.connection.connection.transport.abort()
    wait = max(ESTABLISHED_SECONDS, visit.target.timeout)
    greeting = await visit.open.enter_async_context(greeted(visit, token=visit.token, wait=wait, state=visit.state))
    if not greeting.is_established or greeting.socket is None:
        return Observation(summary=greeting.summary, facts=greeting.facts, symptom=greeting.symptom)
    visit.socket = greeting.socket
    resumed = await _resumed(visit)
    if (unended := await _to_the_end(visit)) is not None:
        return unended
    return resumed_run(_events(visit), before=before, resumed=resumed)


async def _resumed(visit: Visit) -> dict[str, Any]:
    """What the server says of the run to `resume`."""
    command = visit.state.resume("resume")
    if command is None:
        raise NotProtocol("there is nothing to resume after a drop in mid-run")
    async with asyncio.timeout(visit.target.timeout):
        await visit.connection.send(**command)
        reply = await visit.reply("resume")
    runs = reply.get("runs")
    found = runs.get(visit.run_id) if isinstance(runs, dict) else None
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


# Frames


def _events(visit: Visit) -> list[Frame]:
    """Of the run that was begun last, over all connections."""
    return [frame for frame in visit.frames if frame.get("run_id") == visit.run_id and "seq" in frame]


async def _until(visit: Visit, kinds: frozenset[str]) -> None:
    while not any(event["type"] in kinds for event in _events(visit)):
        await visit.receive()


async def _to_the_start(visit: Visit) -> Observation | None:
    """None when an agent has begun."""
    seconds = visit.target.timeout
    try:
        async with asyncio.timeout(seconds):
            await _until(visit, ENDS | {"agent_started"})
    except TimeoutError:
        facts = await _unended_facts(visit, seconds)
        return Observation(summary=f"no agent_started within {seconds:g} s", facts=facts, symptom=Symptom.NOT_STARTED)
    return None


async def _to_the_end(visit: Visit) -> Observation | None:
    """None when the run has ended, or waits for a person."""
    seconds = visit.target.timeout * RUN_FACTOR
    try:
        async with asyncio.timeout(seconds):
            await _until(visit, ENDS)
    except TimeoutError:
        facts = await _unended_facts(visit, seconds)
        return Observation(summary=f"no end within {seconds:g} s", facts=facts, symptom=Symptom.NOT_ENDED)
    return None


async def _unended_facts(visit: Visit, seconds: float) -> dict[str, Any]:
    """`run` is its status by REST, whatever the socket has delivered."""
    try:
        status = str((await visit.rest("GET", f"/api/runs/{visit.run_id}")).get("status"))
    except (ApiError, SignedOut, NotProtocol, httpx.RequestError) as error:
        status = type(error).__name__
    return facts_of(_events(visit)) | {"run_id": visit.run_id, "waited_seconds": seconds, "run": status}


def _lateness(visit: Visit) -> float:
    """By how many seconds the last of the worker's events came late.

    The clocks are compared by the `pong`, which the web process has written.
    """
    came = list(zip(visit.frames, visit.arrived, strict=True))
    offset = next((_seconds(frame, "server_time") - at for frame, at in came if frame["type"] == "pong"), 0.0)
    late = [
        at + offset - _seconds(frame, "timestamp")
        for frame, at in came
        if frame.get("run_id") == visit.run_id and frame.get("seq", 0) > 1
    ]
    return round(max(late, default=0.0), 1)


def _seconds(frame: Frame, name: str) -> float:
    try:
        return datetime.datetime.fromisoformat(frame[name]).timestamp()
    except STRANGE as error:
        raise NotProtocol(f"{name} of {frame['type']}: {error}") from None
