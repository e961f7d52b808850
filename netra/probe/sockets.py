"""The stages of a socket, from its handshake to the first pong. docs/protocol.md, section 1."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

import httpx
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from chat.fold import ClientState, ProtocolViolation
from netra.client.socket import PROTOCOL, Frame, Socket, dial
from netra.probe import http
from netra.probe.diagnosis.services import advice
from netra.probe.observation import Facts, Observation, Symptom
from netra.probe.visit import STRANGE, Visit

Credential = Literal["header", "subprotocol"]

# What docs/protocol.md promises.
ESTABLISHED_SECONDS = 2.0
CLOSE_UNAUTHENTICATED = 4401
OF_THE_CREDENTIAL = frozenset({"NO_TOKEN", "INVALID_TOKEN", "TOKEN_EXPIRED"})
# How often a refused credential is tried again: several processes behind one address may not agree.
AGAIN = 4


@dataclass(slots=True)
class Greeting:
    """How one connection began: `frame` is the first that came, None when there was none."""

    facts: dict[str, Any] = field(default_factory=dict)
    symptom: Symptom | None = None
    frame: Frame | None = None
    socket: Socket | None = None

    @property
    def is_established(self) -> bool:
        return self.frame is not None and self.frame["type"] == "connection_established"

    @property
    def summary(self) -> str:  # noqa: PLR0911 - one for each symptom
        facts = self.facts
        match self.symptom:
            case Symptom.NOT_UPGRADED if facts.get("status") is not None:
                return f"the handshake was answered with {http.in_words(facts)}"
            case Symptom.NOT_UPGRADED:
                return f"no handshake: {facts['error']}"
            case Symptom.TIMED_OUT:
                return "the handshake was not answered"
            case Symptom.SILENT:
                return f"accepted, and then silent for {facts['waited_seconds']:g} s"
            case Symptom.CLOSED:
                return f"accepted, and closed with {facts['close_code']} without a frame"
            case Symptom.NOT_PROTOCOL:
                return f"accepted, and the first frame is none of {PROTOCOL}: {facts['error']}"
            case _ if self.frame is not None and "error_code" in facts:
                return f"{facts['error_code']}: {facts['error_message']}, closed with {facts['close_code']}"
            case _:
                return f"connection_established after {facts['frame_ms']:g} ms"


@contextlib.asynccontextmanager
async def greeted(
    visit: Visit,
    *,
    token: str | None = None,
    credential: Credential = "header",
    wait: float,
    state: ClientState | None = None,
) -> AsyncIterator[Greeting]:
    """A connection and the first frame on it, for which it waits so many seconds after the handshake.

    A socket that was refused has been read to its close.
    """
    greeting, began = Greeting(), time.monotonic()
    given: dict[str, Any] = {"token": token, "credential": credential} if token is not None else {}
    if token is None:
        given["subprotocols"] = [PROTOCOL]
    async with contextlib.AsyncExitStack() as stack:
        try:
            greeting.socket = await stack.enter_async_context(
                dial(
                    visit.target.url,
                    state=state,
                    origin=visit.target.origin,
                    headers=visit.headers,
                    tls=visit.target.tls,
                    open_timeout=visit.target.timeout,
                    close_timeout=min(2.0, visit.target.timeout),
                    **given,
                )
            )
        except InvalidStatus as error:
            greeting.facts = _answered(error.response)
            greeting.symptom = Symptom.NOT_UPGRADED
        except TimeoutError:
            greeting.symptom = Symptom.TIMED_OUT
        except (InvalidHandshake, OSError, EOFError) as error:
            greeting.facts = {"status": None, "error": f"{type(error).__name__}: {error}"}
            greeting.symptom = Symptom.NOT_UPGRADED
        else:
            await _read_first(greeting, greeting.socket, began, wait)
        try:
            yield greeting
        finally:
            if greeting.socket is not None and greeting.socket.close_code is not None:
                visit.close_codes.append(greeting.socket.close_code)


async def _read_first(greeting: Greeting, socket: Socket, began: float, wait: float) -> None:
    connection = socket.connection
    greeting.facts = _answered(connection.response) | {
        "subprotocol": connection.subprotocol,
        "handshake_ms": _milliseconds(began),
        "waited_seconds": wait,
    }
    try:
        async with asyncio.timeout(wait):
            frame = await socket.receive()
            kind = frame["type"]
    except TimeoutError:
        greeting.symptom = Symptom.SILENT
        return
    except ConnectionClosed:
        greeting.facts |= {"close_code": connection.close_code, "close_reason": connection.close_reason}
        greeting.symptom = Symptom.CLOSED
        return
    except (ProtocolViolation, *STRANGE) as error:
        greeting.facts["error"] = f"{type(error).__name__}: {error}"
        greeting.symptom = Symptom.NOT_PROTOCOL
        return
    greeting.frame = frame
    greeting.facts |= {"frame": kind, "frame_ms": _milliseconds(began)}
    if kind == "connection_established":
        return
    if kind != "error_message":
        greeting.facts["error"] = f"the first frame is {kind}"
        greeting.symptom = Symptom.NOT_PROTOCOL
        return
    greeting.symptom = Symptom.REFUSED
    await _read_refusal(greeting, connection, frame, wait)


async def _read_refusal(greeting: Greeting, connection: ClientConnection, frame: Frame, wait: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait):
            await connection.wait_closed()
    greeting.facts |= {
        "error_code": frame.get("error_code"),
        "error_message": frame.get("error_message"),
        "details": frame.get("details"),
        "close_code": connection.close_code,
    }


def _answered(response: Any) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in response.headers.raw_items()}
    facts = http.answer_facts(response.status_code, response.reason_phrase, headers)
    if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
        del facts["netra"]  # an accepted handshake has no mark of whose it is
    return facts


def _milliseconds(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)


# Without a token


async def upgrade(visit: Visit) -> Observation:
    async with greeted(visit, wait=0) as greeting:
        facts: Facts = greeting.facts
    if greeting.symptom is Symptom.TIMED_OUT:
        return Observation(summary=greeting.summary, facts=facts, symptom=Symptom.TIMED_OUT)
    if greeting.symptom is Symptom.NOT_UPGRADED:
        facts = {**facts, "plain": await _plain(visit)}
        if _refuses_in_handshake(facts):
            notes = (
                "Sockets are refused in the handshake, as with NETRA_WS_REJECT=handshake: browsers cannot read why",
            )
            return Observation(summary="403 without a token", facts=facts, notes=notes)
        return Observation(summary=greeting.summary, facts=facts, symptom=Symptom.NOT_UPGRADED)
    echoed = facts["subprotocol"] == PROTOCOL
    return Observation(
        summary=f"101, {facts['subprotocol'] or 'no subprotocol'}",
        facts=facts,
        notes=() if echoed else (f"The server did not echo the subprotocol {PROTOCOL}",),
    )


async def _plain(visit: Visit) -> dict[str, Any]:
    """What the same address answers to a GET that asks for no upgrade."""
    try:
        response = await visit.get("/ws")
    except httpx.RequestError as error:
        return {"status": None, "netra": False, "error": type(error).__name__}
    facts = http.answer_facts(response.status_code, response.reason_phrase, response.headers)
    return {name: facts[name] for name in ("status", "reason", "server", "netra")}


def _refuses_in_handshake(facts: Facts) -> bool:
    """A 403 to a handshake alone: plain requests to the same path reach Netra, which has no page there."""
    plain = facts["plain"]
    return facts.get("status") == HTTPStatus.FORBIDDEN and plain["netra"] and plain["status"] == HTTPStatus.NOT_FOUND


async def refusal(visit: Visit) -> Observation:
    async with greeted(visit, wait=max(ESTABLISHED_SECONDS, visit.target.timeout)) as greeting:
        facts = greeting.facts
    if greeting.symptom is Symptom.NOT_UPGRADED and facts.get("status") == HTTPStatus.FORBIDDEN:
        return Observation(summary="403: refused in the handshake", facts=facts)
    if greeting.is_established:
        return Observation(summary="let in without a token", facts=facts, symptom=Symptom.LET_IN)
    if greeting.symptom is not Symptom.REFUSED or facts["error_code"] != "NO_TOKEN":
        return Observation(summary=greeting.summary, facts=facts, symptom=greeting.symptom)
    if facts["close_code"] != CLOSE_UNAUTHENTICATED:
        return Observation(summary=greeting.summary, facts=facts, symptom=Symptom.CLOSE_CODE)
    return Observation(summary=f"NO_TOKEN, closed with {CLOSE_UNAUTHENTICATED}", facts=facts)


# With one


async def by_header(visit: Visit) -> Observation:
    return await _handshake(visit, "header")


async def by_subprotocol(visit: Visit) -> Observation:
    return await _handshake(visit, "subprotocol")


async def _handshake(visit: Visit, credential: Credential) -> Observation:
    """Silence is no failure of the handshake: `established` waits longer, and fails then."""
    async with greeted(visit, token=visit.token, credential=credential, wait=ESTABLISHED_SECONDS) as greeting:
        facts = greeting.facts
    summary = greeting.summary
    if greeting.symptom in (None, Symptom.SILENT):
        return Observation(summary=summary, facts=facts)
    if greeting.symptom is Symptom.NOT_UPGRADED or facts.get("error_code") in OF_THE_CREDENTIAL:
        facts |= await _second_look(visit, credential)
    return Observation(summary=summary, facts=facts, symptom=greeting.symptom)


async def _second_look(visit: Visit, credential: Credential) -> dict[str, Any]:
    """What tells causes apart: the other form of the credential, the same form again, and the same token over REST."""
    other: Credential = "subprotocol" if credential == "header" else "header"
    again = [await _code(visit, credential) for _ in range(AGAIN)]
    assert visit.token is not None  # noqa: S101 - the stage `token` has got one
    return {"other_form": await _code(visit, other), "again": again, "rest": await http.me(visit, visit.token)}


async def _code(visit: Visit, credential: Credential) -> str:
    """How a connection begins, in a word."""
    async with greeted(visit, token=visit.token, credential=credential, wait=ESTABLISHED_SECONDS) as greeting:
        if greeting.is_established:
            return "established"
        return str(greeting.facts.get("error_code") or greeting.facts.get("status") or greeting.symptom)


async def established(visit: Visit) -> Observation:
    """Opens the connection that the stages after this one use."""
    greeting = await visit.open.enter_async_context(
        greeted(visit, token=visit.token, wait=max(ESTABLISHED_SECONDS, visit.target.timeout), state=visit.state)
    )
    facts = greeting.facts
    if greeting.frame is None or greeting.symptom is not None:
        return Observation(summary=greeting.summary, facts=facts, symptom=greeting.symptom)
    visit.socket, visit.established = greeting.socket, greeting.frame
    kept = ("connection_id", "environment", "protocol", "user", "agents", "limits", "server_time")
    facts |= {name: greeting.frame.get(name) for name in kept}
    if facts["frame_ms"] > ESTABLISHED_SECONDS * 1000:
        return Observation(summary=greeting.summary, facts=facts, symptom=Symptom.LATE)
    offset = _offset(str(facts["server_time"]))
    return Observation(
        summary=greeting.summary,
        facts=facts | {"clock_offset_seconds": offset},
        # Of a token that was issued here, the stage `token` has said it.
        notes=http.clock_notes(offset, "its server_time") if visit.target.token is not None else (),
    )


def _offset(server_time: str) -> float | None:
    try:
        return round(datetime.datetime.fromisoformat(server_time).timestamp() - time.time(), 1)
    except ValueError:
        return None


async def services(visit: Visit) -> Observation:
    found = visit.established.get("services")
    if not isinstance(found, dict):
        facts = {"error": "connection_established has no services"}
        return Observation(summary=facts["error"], facts=facts, symptom=Symptom.NOT_PROTOCOL)
    degraded = http.degraded_services(found)
    return Observation(
        summary=f"degraded: {', '.join(degraded)}" if degraded else f"{', '.join(sorted(found))}: ready",
        facts={"services": found},
        degraded=bool(degraded),
        # What the stage `ready` has said is not said twice.
        notes=tuple(advice(name) for name in degraded if name not in visit.degraded),
    )


async def ping(visit: Visit) -> Observation:
    began = time.monotonic()
    async with asyncio.timeout(visit.target.timeout):
        await visit.connection.send(type="ping", ref="ping")
        frame = await visit.reply("ping")
    if frame["type"] != "pong":
        return Observation(
            summary=f"{frame['type']} instead of pong", facts=error_facts(frame), symptom=Symptom.REFUSED
        )
    return Observation(summary="pong", facts={"round_trip_ms": _milliseconds(began)})


def error_facts(frame: Frame) -> dict[str, Any]:
    return {name: frame.get(name) for name in ("error_code", "error_message", "details", "retry_after")}
