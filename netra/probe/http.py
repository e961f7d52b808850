"""The stages of plain HTTP: health, readiness, and the token."""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx

from netra.client.session import ApiError, SignedOut
from netra.probe.diagnosis.services import advice
from netra.probe.network import speaks_tls
from netra.probe.observation import Facts, Observation, Symptom
from netra.probe.visit import STRANGE, Visit

# On each answer of Netra's own, whichever server runs it; a proxy passes it on.
MARK = "x-correlation-id"
# A host name that every Netra takes.
ALWAYS_ALLOWED_HOST = "localhost"
CLOCK_SECONDS = 5


async def health(visit: Visit) -> Observation:
    try:
        response = await visit.get("/health")
    except httpx.TimeoutException:
        return Observation(summary="no answer", symptom=Symptom.TIMED_OUT)
    except httpx.RequestError as error:
        said = str(error) or type(error).__name__
        broken = {"error": said, "speaks_tls": await _speaks_tls(visit)}
        return Observation(summary=f"no HTTP: {said}", facts=broken, symptom=Symptom.NO_HTTP)
    facts = answer_facts(response.status_code, response.reason_phrase, response.headers)
    if response.status_code != HTTPStatus.OK:
        if response.status_code == HTTPStatus.BAD_REQUEST:
            facts |= {"as_localhost": await _as_localhost(visit), "speaks_tls": await _speaks_tls(visit)}
        return Observation(summary=in_words(facts), facts=facts, symptom=Symptom.STATUS)
    body = json_object(response)
    if body.get("service") != "netra":
        return Observation(summary=f"{in_words(facts)}, not by Netra", facts=facts, symptom=Symptom.NOT_NETRA)
    facts |= {name: body.get(name) for name in ("service", "environment", "uptime_seconds")}
    return Observation(
        summary=f"Netra ({facts['server'] or 'no Server header'}), {facts['environment']}, "
        f"up {facts['uptime_seconds']} s",
        facts=facts,
        notes=clock_notes(facts["clock_offset_seconds"], "the Date header of /health"),
    )


async def _speaks_tls(visit: Visit) -> bool:
    return visit.target.tls is None and await speaks_tls(visit)


async def _as_localhost(visit: Visit) -> int | None:
    """The status of the same request under a name that Netra always takes."""
    try:
        return (await visit.get("/health", headers={"Host": ALWAYS_ALLOWED_HOST})).status_code
    except httpx.RequestError:
        return None


async def ready(visit: Visit) -> Observation:
    try:
        response = await visit.get("/health/ready")
    except httpx.TimeoutException:
        return Observation(summary="no answer", symptom=Symptom.TIMED_OUT)
    facts = answer_facts(response.status_code, response.reason_phrase, response.headers)
    body = json_object(response)
    services = body.get("services")
    missing = body.get("missing")
    named = [str(name) for name in missing] if isinstance(missing, list) else []
    facts |= {"ready": body.get("status"), "missing": named, "services": services}
    if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE and facts["ready"]:
        words = f"missing: {', '.join(named)}" if named else str(facts["ready"])
        return Observation(summary=f"503, {words}", facts=facts, symptom=Symptom.NOT_READY)
    if response.status_code in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND) and not facts["netra"]:
        notes = ("A proxy does not let /health/ready through: what is missing can be seen from inside only",)
        return Observation(summary=in_words(facts), facts=facts, degraded=True, notes=notes)
    if response.status_code != HTTPStatus.OK or not isinstance(services, dict):
        return Observation(summary=in_words(facts), facts=facts, symptom=Symptom.STATUS)
    visit.degraded = degraded = degraded_services(services)
    return Observation(
        summary=f"degraded: {', '.join(degraded)}" if degraded else "all services are ready",
        facts=facts,
        degraded=bool(degraded),
        notes=tuple(advice(name) for name in degraded),
    )


def degraded_services(services: Mapping[str, Any]) -> list[str]:
    return sorted(name for name, state in services.items() if state == "degraded")


# Tokens


async def token(visit: Visit) -> Observation:
    if visit.target.token is not None:
        return _given(visit.target.token)
    try:
        visit.token = await visit.session.token()
        claims = read_claims(visit.token)
    except ApiError as error:
        facts: dict[str, Any] = {
            "status": error.status,
            "code": error.code,
            "message": error.message,
            "netra": error.code != "HTTP_ERROR",
        }
        facts |= {"correlation_id": error.correlation_id, "details": error.details}
        return Observation(summary=str(error), facts=facts, symptom=Symptom.NO_SIGN_IN)
    except httpx.TimeoutException:
        return Observation(summary="no answer", symptom=Symptom.TIMED_OUT)
    except (SignedOut, httpx.RequestError, *STRANGE) as error:
        facts = {"status": None, "code": None, "message": type(error).__name__, "netra": False}
        return Observation(summary=f"no token: {type(error).__name__}", facts=facts, symptom=Symptom.NO_SIGN_IN)
    facts = _times(claims) | {"source": "sign-in"}
    issued = facts["issued_seconds_ago"]
    offset = None if issued is None else -issued
    return Observation(
        summary=f"signed in as {visit.target.username}, for {facts['valid_for_seconds']} s",
        facts=facts | {"clock_offset_seconds": offset},
        notes=clock_notes(offset, "the time in the token that it has just issued"),
    )


def _given(given: str) -> Observation:
    try:
        facts = _times(read_claims(given)) | {"source": "given"}
    except STRANGE:
        facts = {"source": "given", "parts": given.count(".") + 1, "length": len(given)}
        return Observation(summary="not a JWT", facts=facts, symptom=Symptom.NOT_A_TOKEN)
    left = facts["expires_in_seconds"]
    ends = "without an end" if left is None else f"for another {left} s" if left >= 0 else f"ended {-left} s ago"
    return Observation(summary=f"given; by this machine's clock {ends}", facts=facts)


def read_claims(encoded: str) -> dict[str, Any]:
    """What a token says, its signature unread. Raises ValueError when it is no JWT."""
    try:
        header, claims, _ = encoded.split(".")
        decoded = [json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (header, claims)]
    except ValueError:
        raise ValueError("no JWT") from None
    if not all(isinstance(part, dict) for part in decoded):
        raise ValueError("no JWT")
    return {**decoded[1], "alg": decoded[0].get("alg")}


def _times(claims: Mapping[str, Any]) -> dict[str, Any]:
    now = time.time()
    issued, ends = (_number(claims.get(name)) for name in ("iat", "exp"))
    return {
        "token_type": claims.get("token_type"),
        "algorithm": claims.get("alg"),
        "issued_seconds_ago": None if issued is None else round(now - issued),
        "expires_in_seconds": None if ends is None else round(ends - now),
        "valid_for_seconds": None if issued is None or ends is None else round(ends - issued),
    }


def _number(claim: Any) -> float | None:
    return claim if isinstance(claim, int | float) and math.isfinite(claim) else None


def clock_notes(offset: float | None, source: str) -> tuple[str, ...]:
    if offset is None or abs(offset) <= CLOCK_SECONDS:
        return ()
    direction = "ahead of" if offset > 0 else "behind"
    return (
        (
            f"The server's clock is {abs(offset):.0f} s {direction} this machine's, by {source}: "
            "run `timedatectl` on both, one of them is wrong"
        ),
    )


async def me(visit: Visit, token: str) -> dict[str, Any]:
    """What REST says to a token that the socket refused."""
    try:
        response = await visit.get("/api/me", headers={"Authorization": f"Bearer {token}"})
    except httpx.RequestError as error:
        return {"status": None, "code": type(error).__name__}
    return {"status": response.status_code, "code": json_object(response).get("error_code")}


# Answers


def answer_facts(status: int, reason: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """`netra`: whether Netra itself answered. `clock_offset_seconds`: of the answering clock against this machine's."""
    offset = None
    if given := headers.get("date"):
        try:
            offset = round(parsedate_to_datetime(given).timestamp() - time.time())
        except ValueError:
            offset = None
    return {
        "status": status,
        "reason": reason,
        "server": headers.get("server"),
        "via": headers.get("via"),
        "location": headers.get("location"),
        "content_type": headers.get("content-type"),
        "netra": MARK in headers,
        "clock_offset_seconds": offset,
    }


def in_words(facts: Facts) -> str:
    by = f" by {facts['server']}" if facts.get("server") else ""
    return f"{facts['status']} {facts['reason']}".strip() + by


def json_object(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; empty when it is something else."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
