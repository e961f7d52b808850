"""What the probe concludes from what it saw: plain calls, no server."""

from __future__ import annotations

import re
from typing import Any

import pytest

from netra.config import PROJECT_ROOT, Config, variable
from netra.probe.diagnosis import BY_SYMPTOM, diagnose
from netra.probe.observation import Case, Diagnosis, Observation, Stage, Symptom

URL = "https://chat.example.org"
NETRA_ANSWER = {"reason": "", "server": "netra", "via": None, "netra": True}
PROXY_ANSWER = {"reason": "", "server": "nginx", "via": None, "netra": False}


def concluded(
    stage: Stage,
    symptom: Symptom,
    *,
    url: str = URL,
    origin: str | None = None,
    before: dict[Stage, dict[str, Any]] | None = None,
    **facts: Any,
) -> Diagnosis:
    """The diagnosis of a stage that failed with these facts, after stages with those."""
    seen = {name: Observation(summary="", facts=found) for name, found in (before or {}).items()}
    seen[stage] = Observation(summary="What was seen", facts=facts, symptom=symptom)
    return diagnose(Case(url=url, stage=stage, seen=seen, origin=origin))


def chain_of(diagnosis: Diagnosis) -> str:
    return "\n".join(diagnosis.chain)


# Coverage


def test_every_symptom_has_a_diagnosis() -> None:
    assert set(BY_SYMPTOM) == set(Symptom)


def test_what_the_probe_says_to_look_at_is_there() -> None:
    """Settings and lines of the log that it names are Netra's."""
    said = "\n".join(path.read_text() for path in sorted((PROJECT_ROOT / "netra" / "probe").rglob("*.py")))
    settings = {variable(name) for name in Config.model_fields}
    assert set(re.findall(r"\bNETRA_[A-Z_]+\b", said)) <= settings
    rooms = [path for room in ("netra", "chat") for path in (PROJECT_ROOT / room).rglob("*.py")]
    source = "\n".join(path.read_text() for path in rooms if "probe" not in path.parts)
    events = set(re.findall(r"`([a-z_]+_(?:failed|started|stopped|unavailable))`", said))
    assert len(events) >= 6
    assert {event for event in events if f'"{event}"' not in source} == set()


# The way there


@pytest.mark.parametrize(
    ("failed", "cause"),
    [
        ({"10.0.0.1": "refused"}, "nothing_listens"),
        ({"10.0.0.1": "no answer", "::1": "refused"}, "nothing_listens"),
        ({"10.0.0.1": "no answer"}, "address_not_reached"),
        ({"10.0.0.1": "No route to host"}, "address_not_reached"),
    ],
)
def test_a_refusal_and_silence_have_different_causes(failed: dict[str, str], cause: str) -> None:
    found = concluded(Stage.TCP, Symptom.UNREACHED, port=443, reached=[], failed=failed)
    assert found.cause == cause
    assert "ss -ltnp 'sport = :443'" in " ".join(found.look_at) or cause == "address_not_reached"


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        ({"reason": "CERTIFICATE", "verify_code": 10}, "certificate_expired"),
        ({"reason": "CERTIFICATE", "verify_code": 9}, "certificate_not_yet_valid"),
        ({"reason": "CERTIFICATE", "verify_code": 18}, "certificate_untrusted"),
        ({"reason": "CERTIFICATE", "verify_code": 20}, "certificate_untrusted"),
        ({"reason": "CERTIFICATE", "verify_code": 62}, "certificate_of_another_name"),
        ({"reason": "CERTIFICATE", "verify_code": 23}, "certificate_refused"),
        ({"reason": "WRONG_VERSION_NUMBER", "plain_http": None}, "no_tls_on_port"),
        ({"reason": "TIMED_OUT", "plain_http": 400}, "no_tls_on_port"),
        ({"reason": "TIMED_OUT", "plain_http": None}, "tls_refused"),
        ({"reason": "TLSV1_ALERT_INTERNAL_ERROR", "plain_http": None}, "tls_refused"),
    ],
)
def test_why_there_is_no_tls(facts: dict[str, Any], cause: str) -> None:
    assert concluded(Stage.TLS, Symptom.TLS_FAILED, error="said OpenSSL", **facts).cause == cause


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        ({"status": 301, "location": "https://chat.example.org/health", **PROXY_ANSWER}, "redirects_to_https"),
        ({"status": 302, "location": "http://login.example.org/", **PROXY_ANSWER}, "redirected"),
        ({"status": 400, "as_localhost": 200, **NETRA_ANSWER}, "host_not_allowed"),
        ({"status": 400, "as_localhost": 400, **NETRA_ANSWER}, "host_replaced"),
        ({"status": 400, "speaks_tls": True, **PROXY_ANSWER}, "tls_on_port"),
        ({"status": 401, **PROXY_ANSWER}, "forbidden_by_proxy"),
        ({"status": 403, **PROXY_ANSWER}, "forbidden_by_proxy"),
        ({"status": 404, **PROXY_ANSWER}, "wrong_path"),
        ({"status": 404, **NETRA_ANSWER}, "wrong_path"),
        ({"status": 500, **NETRA_ANSWER}, "server_error"),
        ({"status": 502, **PROXY_ANSWER}, "proxy_without_server"),
        ({"status": 503, **PROXY_ANSWER}, "proxy_without_server"),
        ({"status": 418, **PROXY_ANSWER}, "unexpected_answer"),
    ],
)
def test_why_health_is_answered_otherwise(facts: dict[str, Any], cause: str) -> None:
    found = concluded(Stage.HEALTH, Symptom.STATUS, url="http://chat.example.org", **facts)
    assert found.cause == cause
    assert str(facts["status"]) in found.chain[0]


def test_who_answered_is_in_the_chain() -> None:
    facts: dict[str, Any] = {
        "status": 502,
        "reason": "Bad Gateway",
        "server": "nginx",
        "via": "1.1 edge",
        "netra": False,
    }
    found = concluded(Stage.HEALTH, Symptom.STATUS, **facts)
    assert found.chain[0] == "/health answered 502 Bad Gateway (Server: nginx, Via: 1.1 edge)"


def test_of_missing_services_the_first_is_the_cause_and_the_others_are_looked_at() -> None:
    missing = ["agent_supervisor", "database"]
    found = concluded(Stage.READY, Symptom.NOT_READY, ready="unavailable", missing=missing)
    assert found.cause == "supervisor_missing"
    assert "database_lost" in found.look_at[-1]
    assert concluded(Stage.READY, Symptom.NOT_READY, ready="draining", missing=[]).cause == "draining"
    assert concluded(Stage.READY, Symptom.NOT_READY, ready="unavailable", missing=["new"]).cause == "service_missing"


# Upgrade


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        ({"status": 404, **NETRA_ANSWER, "plain": {"status": 404, "netra": True}}, "upgrade_dropped"),
        ({"status": 400, **PROXY_ANSWER, "reason": "HTTP Connection header missing"}, "upgrade_dropped"),
        ({"status": 426, **PROXY_ANSWER, "plain": {"status": 426, "netra": False}}, "upgrade_dropped"),
        ({"status": 404, **PROXY_ANSWER, "plain": {"status": 404, "netra": False}}, "ws_not_routed"),
        ({"status": 200, **PROXY_ANSWER, "plain": {"status": 200, "netra": False}}, "ws_not_routed"),
        ({"status": 401, **PROXY_ANSWER, "plain": {"status": 401, "netra": False}}, "forbidden_by_proxy"),
        ({"status": 403, **PROXY_ANSWER, "plain": {"status": 403, "netra": False}}, "forbidden_by_proxy"),
        ({"status": 502, **PROXY_ANSWER, "plain": {"status": 502, "netra": False}}, "proxy_without_server"),
        ({"status": None, "error": "InvalidMessage: no answer"}, "upgrade_broken"),
    ],
)
def test_why_there_is_no_upgrade(facts: dict[str, Any], cause: str) -> None:
    assert concluded(Stage.UPGRADE, Symptom.NOT_UPGRADED, **facts).cause == cause


# Credentials

GIVEN = {"source": "given", "issued_seconds_ago": 10, "expires_in_seconds": 590, "token_type": "access"}
SIGNED_IN = {**GIVEN, "source": "sign-in"}
REFUSED_BY_REST = {"status": 401, "code": "INVALID_TOKEN"}
REFUSED_AGAIN = ["INVALID_TOKEN"] * 4


@pytest.mark.parametrize(
    ("token", "facts", "cause"),
    [
        (GIVEN, {"rest": REFUSED_BY_REST, "again": REFUSED_AGAIN}, "token_of_another_key"),
        (GIVEN, {"rest": {"status": 200, "code": None}, "again": REFUSED_AGAIN}, "different_keys"),
        (SIGNED_IN, {"rest": {"status": 200, "code": None}, "again": REFUSED_AGAIN}, "different_keys"),
        (SIGNED_IN, {"rest": REFUSED_BY_REST, "again": REFUSED_AGAIN}, "different_keys"),
        (GIVEN, {"rest": REFUSED_BY_REST, "again": ["INVALID_TOKEN", "established"]}, "different_keys"),
        ({**GIVEN, "issued_seconds_ago": -3600}, {"rest": REFUSED_BY_REST}, "clock_skew"),
        ({**SIGNED_IN, "issued_seconds_ago": -60}, {"rest": REFUSED_BY_REST}, "clock_skew"),
        # The clock of who checks is as far ahead: it is not the clock.
        (
            {**GIVEN, "issued_seconds_ago": -3600},
            {"rest": REFUSED_BY_REST, "clock_offset_seconds": 3600},
            "token_of_another_key",
        ),
        # And where it is behind, a token of now is one of the future.
        (SIGNED_IN, {"rest": REFUSED_BY_REST, "clock_offset_seconds": -3600}, "clock_skew"),
        ({**GIVEN, "token_type": "refresh"}, {"rest": REFUSED_BY_REST}, "not_an_access_token"),
    ],
)
def test_why_a_token_is_invalid(token: dict[str, Any], facts: dict[str, Any], cause: str) -> None:
    given = {"error_code": "INVALID_TOKEN", "error_message": "The token is not valid", **facts}
    found = concluded(Stage.HEADER, Symptom.REFUSED, before={Stage.TOKEN: token}, **given)
    assert found.cause == cause, chain_of(found)


@pytest.mark.parametrize(("left", "cause"), [(-30, "token_expired"), (590, "clock_skew"), (None, "token_expired")])
def test_a_token_that_has_expired_and_one_that_has_not(left: int | None, cause: str) -> None:
    before = {Stage.TOKEN: {**GIVEN, "expires_in_seconds": left}}
    facts = {"error_code": "TOKEN_EXPIRED", "error_message": "The token has expired"}
    assert concluded(Stage.HEADER, Symptom.REFUSED, before=before, **facts).cause == cause


@pytest.mark.parametrize(
    ("stage", "headers", "other", "cause", "said"),
    [
        (Stage.HEADER, {"authorization_present": False}, "established", "authorization_stripped", "browsers are not"),
        (Stage.HEADER, {"authorization_present": False}, "NO_TOKEN", "authorization_stripped", "not come in either"),
        (Stage.HEADER, {"authorization_present": True}, "established", "authorization_replaced", "has replaced it"),
        (
            Stage.SUBPROTOCOL,
            {"websocket_protocol": "[MISSING]"},
            "established",
            "subprotocol_stripped",
            "programs are not",
        ),
    ],
)
def test_a_credential_that_does_not_arrive(
    stage: Stage, headers: dict[str, Any], other: str, cause: str, said: str
) -> None:
    facts: dict[str, Any] = {
        "error_code": "NO_TOKEN",
        "error_message": "",
        "details": {"auth_headers": headers},
        "other_form": other,
    }
    found = concluded(stage, Symptom.REFUSED, **facts)
    assert found.cause == cause
    assert said in chain_of(found)


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("INVALID_TOKEN", "token_of_another_key"),
        ("TOKEN_EXPIRED", "clock_skew"),
        ("NO_TOKEN", "authorization_stripped"),
        ("USER_INACTIVE", "user_inactive"),
    ],
)
def test_where_sockets_are_refused_in_the_handshake_rest_says_why(code: str, cause: str) -> None:
    before: dict[Stage, dict[str, Any]] = {Stage.UPGRADE: {"status": 403}, Stage.TOKEN: GIVEN}
    facts: dict[str, Any] = {"status": 403, "rest": {"status": 401, "code": code}, "other_form": "established"}
    found = concluded(Stage.HEADER, Symptom.NOT_UPGRADED, before=before, **facts)
    assert found.cause == cause
    assert "NETRA_WS_REJECT=handshake" in found.chain[0]


def test_a_handshake_that_is_refused_to_a_good_token() -> None:
    facts: dict[str, Any] = {"status": 431, "rest": {"status": 200, "code": None}, "other_form": "established"}
    found = concluded(Stage.HEADER, Symptom.NOT_UPGRADED, before={Stage.UPGRADE: {"status": 101}}, **facts)
    assert found.cause == "handshake_refused"


def test_an_origin_that_is_foreign_and_one_that_is_not() -> None:
    facts: dict[str, Any] = {"error_code": "ORIGIN_NOT_ALLOWED", "error_message": ""}
    foreign = concluded(Stage.REFUSAL, Symptom.REFUSED, origin="https://elsewhere.example", **facts)
    assert foreign.cause == "origin_not_allowed"
    own = concluded(Stage.REFUSAL, Symptom.REFUSED, origin=URL, **facts)
    assert own.cause == "host_replaced"


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("INTERNAL_ERROR", "handler_raised"),
        ("SERVICE_UNAVAILABLE", "database_missing"),
        ("USER_INACTIVE", "user_inactive"),
        ("TOO_MANY_CONNECTIONS", "too_many_connections"),
        ("RATE_LIMITED", "rate_limited"),
        ("AGENT_NOT_FOUND", "agent_not_found"),
        ("HTTP_ERROR", "api_not_routed"),
        ("SOMETHING_NEW", "refused"),
    ],
)
def test_codes_of_a_message(code: str, cause: str) -> None:
    details = {"correlation_id": "abc123", "missing": ["database"]}
    found = concluded(Stage.MESSAGE, Symptom.REFUSED, error_code=code, error_message="", details=details, over="socket")
    assert found.cause == cause
    assert code in found.chain[0]
    assert ("abc123" in " ".join(found.look_at)) is (code == "INTERNAL_ERROR")


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        ({"status": 401, "code": "INVALID_CREDENTIALS", "netra": True}, "wrong_password"),
        ({"status": 503, "code": "SERVICE_UNAVAILABLE", "netra": True}, "database_missing"),
        ({"status": 500, "code": "INTERNAL_ERROR", "netra": True}, "handler_raised"),
        ({"status": 429, "code": "RATE_LIMITED", "netra": True}, "rate_limited"),
        ({"status": 403, "code": "FORBIDDEN", "netra": True}, "sign_in_refused"),
        ({"status": 404, "code": "HTTP_ERROR", "netra": False}, "api_not_routed"),
        ({"status": None, "code": None, "netra": False}, "api_not_routed"),
    ],
)
def test_why_nobody_could_sign_in(facts: dict[str, Any], cause: str) -> None:
    details = {"missing": ["database"]}
    assert concluded(Stage.TOKEN, Symptom.NO_SIGN_IN, message="", details=details, **facts).cause == cause


# Sockets


def test_silence_after_the_handshake_is_told_as_a_chain() -> None:
    before = {Stage.REFUSAL: {"error_code": "NO_TOKEN"}}
    found = concluded(Stage.ESTABLISHED, Symptom.SILENT, before=before, waited_seconds=10.0, handshake_ms=4.0)
    assert found.cause == "silent_after_accept"
    assert [sentence.partition(",")[0] for sentence in found.chain[:4]] == [
        "connection_established did not come within 10 s",
        "The handshake was accepted",
        "By a server that says it is Netra: /health did",
        "Without a token it answered NO_TOKEN as it should",
    ]


@pytest.mark.parametrize(
    ("stage", "code", "cause"),
    [
        (Stage.MESSAGE, 1011, "closed_1011"),
        (Stage.PING, 1011, "closed_1011"),
        (Stage.EVENTS, 1006, "dropped"),
        (Stage.HEADER, 4000, "closed"),
    ],
)
def test_sockets_that_are_closed(stage: Stage, code: int, cause: str) -> None:
    found = concluded(stage, Symptom.CLOSED, close_code=code, close_reason="")
    assert found.cause == cause
    assert str(code) in found.chain[0]


def test_close_codes_that_are_lost_and_1011_anywhere() -> None:
    assert concluded(Stage.REFUSAL, Symptom.CLOSE_CODE, close_code=1006).cause == "close_code_lost"
    found = concluded(Stage.CLOSE, Symptom.CLOSE_CODE, close_code=1000, close_codes=[4401, 1011, 1000])
    assert found.cause == "closed_1011"


# Runs


@pytest.mark.parametrize(
    ("run", "worker", "cause"),
    [
        ("queued", "degraded", "no_worker"),
        ("queued", "ready", "worker_busy"),
        ("running", "ready", "events_not_delivered"),
        ("completed", "degraded", "events_not_delivered"),
        ("ApiError", "ready", "run_unknown"),
    ],
)
def test_why_a_run_does_not_begin(run: str, worker: str, cause: str) -> None:
    before: dict[Stage, dict[str, Any]] = {
        Stage.SERVICES: {"services": {"worker": worker}},
        Stage.MESSAGE: {"run_number": 7},
    }
    found = concluded(Stage.EVENTS, Symptom.NOT_STARTED, before=before, waited_seconds=10.0, run=run)
    assert found.cause == cause
    assert "agent_started did not come within 10 s" in found.chain[0]


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        ({"end": "agent_error", "error_code": "MODEL_ERROR"}, "model_failed"),
        ({"end": "agent_error", "error_code": "INTERNAL_ERROR", "correlation_id": "abc"}, "agent_raised"),
        ({"end": "agent_error", "error_code": "WORKER_LOST"}, "worker_lost"),
        ({"end": "agent_cancelled"}, "run_cancelled"),
        ({"end": "approval_required", "tool": "pay"}, "approval_required"),
    ],
)
def test_how_a_run_can_end(facts: dict[str, Any], cause: str) -> None:
    assert concluded(Stage.EVENTS, Symptom.RUN_FAILED, **facts).cause == cause
