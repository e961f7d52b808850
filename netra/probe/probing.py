"""All stages in their order, until one fails."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import httpx
from websockets.exceptions import ConnectionClosed

from chat.fold import ProtocolViolation
from netra.probe import http, network, runs, sockets
from netra.probe.diagnosis import diagnose
from netra.probe.observation import Case, Diagnosis, Observation, Outcome, Report, Stage, StageResult, Symptom
from netra.probe.target import Target, hide
from netra.probe.visit import NotProtocol, Visit

Look = Callable[[Visit], Awaitable[Observation]]

LOOKS: dict[Stage, Look] = {
    Stage.DNS: network.resolve,
    Stage.TCP: network.connect,
    Stage.TLS: network.secure,
    Stage.HEALTH: http.health,
    Stage.READY: http.ready,
    Stage.UPGRADE: sockets.upgrade,
    Stage.REFUSAL: sockets.refusal,
    Stage.TOKEN: http.token,
    Stage.HEADER: sockets.by_header,
    Stage.SUBPROTOCOL: sockets.by_subprotocol,
    Stage.ESTABLISHED: sockets.established,
    Stage.SERVICES: sockets.services,
    Stage.PING: sockets.ping,
    Stage.MESSAGE: runs.message,
    Stage.EVENTS: runs.events,
    Stage.RESUME: runs.resume,
    Stage.CLOSE: runs.close,
}
NEEDS_CREDENTIALS = frozenset(list(Stage)[list(Stage).index(Stage.TOKEN) :])


async def probe(target: Target) -> Report:
    """Visit a deployment. Raises nothing of what it finds there."""
    results: list[StageResult] = []
    diagnosis: Diagnosis | None = None
    async with Visit(target) as visit:
        for stage in Stage:
            if diagnosis is not None:
                results.append(StageResult(stage=stage, outcome=Outcome.NOT_REACHED))
                continue
            if reason := _skipped(stage, target):
                results.append(
                    StageResult(stage=stage, outcome=Outcome.SKIPPED, observation=Observation(summary=reason))
                )
                continue
            result = await _look(stage, visit)
            results.append(result)
            if result.outcome is Outcome.FAILED:
                seen = {each.stage: each.observation for each in results if each.observation is not None}
                diagnosis = diagnose(Case(url=target.url, stage=stage, seen=seen, origin=target.origin))
    return Report(
        url=target.url,
        results=tuple(results),
        diagnosis=diagnosis,
        label=visit.label,
        thread=hide(visit.secrets, visit.thread),
    )


def _skipped(stage: Stage, target: Target) -> str:
    if stage is Stage.TLS and target.tls is None:
        return "http"
    if stage in NEEDS_CREDENTIALS and not target.has_credentials:
        return "no --token and no --username was given"
    return ""


async def _look(stage: Stage, visit: Visit) -> StageResult:
    began = time.monotonic()
    observation = _without_secrets(await _observed(LOOKS[stage], visit), visit.secrets)
    outcome = (
        Outcome.FAILED
        if observation.symptom is not None
        else Outcome.DEGRADED
        if observation.degraded
        else Outcome.PASSED
    )
    milliseconds = round((time.monotonic() - began) * 1000, 1)
    return StageResult(stage=stage, outcome=outcome, milliseconds=milliseconds, observation=observation)


async def _observed(look: Look, visit: Visit) -> Observation:  # noqa: PLR0911 - one for each way
    """What a stage sees; also when the connection that it uses ends, is silent, or says what nobody understands."""
    try:
        return await look(visit)
    except ConnectionClosed:
        socket = visit.connection.connection
        ended = {"close_code": socket.close_code, "close_reason": socket.close_reason}
        return Observation(
            summary=f"the socket was closed with {socket.close_code}", facts=ended, symptom=Symptom.CLOSED
        )
    except ProtocolViolation as error:
        return Observation(summary=f"An event was left out: {error}", symptom=Symptom.NOT_WHOLE)
    except NotProtocol as error:
        return Observation(summary=str(error), facts={"error": str(error)}, symptom=Symptom.NOT_PROTOCOL)
    except httpx.TimeoutException:
        return Observation(summary="no answer", symptom=Symptom.TIMED_OUT)
    except httpx.RequestError as error:
        said = f"{type(error).__name__}: {error}"
        return Observation(summary=said, facts={"error": said, "speaks_tls": False}, symptom=Symptom.NO_HTTP)
    except TimeoutError:
        seconds = visit.target.timeout
        return Observation(
            summary=f"no answer within {seconds:g} s", facts={"waited_seconds": seconds}, symptom=Symptom.SILENT
        )


def _without_secrets(observation: Observation, secrets: frozenset[str]) -> Observation:
    return Observation(
        summary=hide(secrets, observation.summary),
        facts=hide(secrets, dict(observation.facts)),
        symptom=observation.symptom,
        degraded=observation.degraded,
        notes=tuple(hide(secrets, observation.notes)),
    )
