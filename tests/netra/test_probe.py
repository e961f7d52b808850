"""What the probe concludes from what it saw: plain calls, no server."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from netra.config import PROJECT_ROOT, Config, variable
from netra.probe import WrongUsage, read_target, to_json, to_text
from netra.probe.diagnosis import BY_SYMPTOM, diagnose
from netra.probe.events import five_events, resumed_run
from netra.probe.http import read_claims
from netra.probe.observation import Case, Diagnosis, Observation, Outcome, Report, Stage, StageResult, Symptom
from netra.probe.target import hide

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


CALCULATOR = {"name": "assistant", "tools": [{"name": "calculate"}]}
TOOLLESS = {"name": "poet", "tools": []}


def run_of(*kinds: str, model: str = "offline", text: str = "434", answer: str = "434") -> list[dict[str, Any]]:
    data: dict[str, dict[str, Any]] = {
        "agent_started": {"model": model},
        "agent_response_chunk": {"text": text},
        "agent_completed": {"message": {"content": answer}},
        "agent_error": {"error_code": "MODEL_ERROR", "error_message": "no"},
    }
    return [
        {"type": kind, "seq": number, "agent": "assistant", "data": data.get(kind, {})}
        for number, kind in enumerate(kinds, 1)
    ]


WITH_TOOL = (
    "message_created",
    "agent_started",
    "agent_thinking",
    "tool_executing",
    "tool_completed",
    "agent_thinking",
    "agent_response_chunk",
    "agent_completed",
)
WITHOUT_TOOL = tuple(kind for kind in WITH_TOOL if not kind.startswith("tool_"))


def judged(
    events: list[dict[str, Any]], *, agent: dict[str, Any] = CALCULATOR, late: float = 0.0, layer_ready: bool = True
) -> Observation:
    return five_events(events, agent=agent, late_seconds=late, layer_ready=layer_ready)


def test_the_five_events_in_order() -> None:
    found = judged(run_of(*WITH_TOOL))
    assert (found.symptom, found.notes, found.degraded) == (None, (), False)


def test_a_restarted_attempt_is_judged_by_what_comes_after_it() -> None:
    events = run_of("message_created", "agent_started", "agent_response_chunk", "agent_restarted", *WITH_TOOL[1:])
    assert judged(events).symptom is None


@pytest.mark.parametrize(
    ("model", "agent", "symptom", "note"),
    [
        ("openai:gpt-5", CALCULATOR, None, "The model openai:gpt-5 answered without a tool"),
        ("offline", TOOLLESS, None, "The agent poet has no tool calculate"),
        ("offline", CALCULATOR, Symptom.NO_TOOL, None),
    ],
)
def test_an_answer_without_a_tool_is_a_failure_of_the_offline_model_alone(
    model: str, agent: dict[str, Any], symptom: Symptom | None, note: str | None
) -> None:
    found = judged(run_of(*WITHOUT_TOOL, model=model), agent=agent)
    assert found.symptom is symptom
    assert ("".join(found.notes).partition(":  ")[0].startswith(note or "")) is True
    assert bool(found.notes) is (note is not None)


@pytest.mark.parametrize(
    "kinds",
    [
        ("message_created", "agent_started", "tool_executing", "agent_thinking", "tool_completed", "agent_completed"),
        ("message_created", "agent_started", "agent_thinking", "tool_executing", "agent_completed"),
        ("message_created", "agent_thinking", "agent_completed"),
    ],
)
def test_events_in_another_order(kinds: tuple[str, ...]) -> None:
    assert judged(run_of(*kinds, answer="")).symptom is Symptom.WRONG_ORDER


def test_events_that_are_lost_repeated_or_cut() -> None:
    whole = run_of(*WITH_TOOL)
    assert judged([*whole[:3], *whole[4:]]).symptom is Symptom.NOT_WHOLE
    assert judged([*whole[:3], whole[2], *whole[3:]]).symptom is Symptom.NOT_WHOLE
    assert judged(run_of(*WITH_TOOL, text="43")).symptom is Symptom.NOT_WHOLE
    assert resumed_run([*whole[:3], whole[2], *whole[3:]], before=3, resumed={}).symptom is Symptom.NOT_WHOLE
    assert resumed_run(whole, before=3, resumed={"status": "running"}).symptom is None


def test_a_run_that_failed_names_its_code() -> None:
    found = judged(run_of("message_created", "agent_started", "agent_error"))
    assert found.symptom is Symptom.RUN_FAILED
    assert found.facts["error_code"] == "MODEL_ERROR"


def test_late_events_are_told_with_their_reason() -> None:
    away = judged(run_of(*WITH_TOOL), late=1.9, layer_ready=False)
    assert (away.degraded, "without Redis" in away.notes[0]) == (True, True)
    elsewhere = judged(run_of(*WITH_TOOL), late=1.9)
    assert (elsewhere.degraded, "the same REDIS_URL" in elsewhere.notes[0]) == (False, True)


# Reports, secrets, arguments


def report_of(*results: StageResult, diagnosis: Diagnosis | None = None) -> Report:
    return Report(url=URL, results=results, diagnosis=diagnosis, label="probe-1")


def result(stage: Stage, outcome: Outcome, summary: str = "") -> StageResult:
    return StageResult(stage=stage, outcome=outcome, milliseconds=1.0, observation=Observation(summary=summary))


@pytest.mark.parametrize(
    ("outcomes", "name", "status"),
    [
        ({Stage.DNS: Outcome.PASSED, Stage.TLS: Outcome.SKIPPED}, "passed", 0),
        ({Stage.DNS: Outcome.PASSED, Stage.READY: Outcome.DEGRADED}, "degraded", 0),
        ({Stage.READY: Outcome.DEGRADED, Stage.TCP: Outcome.FAILED}, "failed", 1),
        ({Stage.DNS: Outcome.PASSED, Stage.TOKEN: Outcome.SKIPPED}, "incomplete", 3),
    ],
)
def test_the_exit_status(outcomes: dict[Stage, Outcome], name: str, status: int) -> None:
    report = report_of(*(result(stage, outcome) for stage, outcome in outcomes.items()))
    assert (report.outcome, report.exit_status) == (name, status)


def test_table_and_json_say_the_same() -> None:
    diagnosis = Diagnosis(cause="a_cause", chain=("It was seen", "for a reason."), look_at=("a place",))
    report = report_of(
        result(Stage.DNS, Outcome.PASSED, "10.0.0.1"),
        result(Stage.TCP, Outcome.FAILED, "refused"),
        StageResult(stage=Stage.TLS, outcome=Outcome.NOT_REACHED),
        diagnosis=diagnosis,
    )
    text, data = to_text(report), to_json(report)
    for found in data["stages"]:
        assert found["stage"] in text
    assert "tcp failed: a_cause\n\n  It was seen.\n  → for a reason.\n\n  Look at:\n  - a place\n" in text
    assert data["failure"] == {
        "stage": "tcp",
        "cause": "a_cause",
        "chain": list(diagnosis.chain),
        "look_at": ["a place"],
    }
    assert json.loads(json.dumps(data)) == data


def test_what_a_server_sends_cannot_write_into_the_table() -> None:
    text = to_text(report_of(result(Stage.HEALTH, Outcome.PASSED, "200\n  tcp  passed\x1b[2J\x07 by evil")))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "health                passed" in text
    assert "200 tcp passed [2J by evil" in text


def test_secrets_are_hidden_wherever_they_are() -> None:
    found = {"token": ["x abc y", {"deep": "abcdef"}], "abc": 1, "number": 5, "none": None}
    hidden = hide(frozenset({"abc", "abcdef", ""}), found)
    assert hidden == {"token": ["x [hidden] y", {"deep": "[hidden]"}], "abc": 1, "number": 5, "none": None}


def test_a_target_does_not_show_its_secrets() -> None:
    target = read_target(URL, username="ann", password="secret")
    assert (target.host, target.port) == ("chat.example.org", 443)
    assert "secret" not in repr(target)
    assert "secret" not in repr(read_target(URL, token="secret"))


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_time_that_cannot_be_waited(timeout: float) -> None:
    with pytest.raises(WrongUsage, match="--timeout"):
        read_target(URL, timeout=timeout)


def encoded(*parts: object) -> str:
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)


def test_claims_are_read_without_the_key() -> None:
    assert read_claims(f"{encoded({'alg': 'HS256'}, {'exp': 1})}.signature") == {"exp": 1, "alg": "HS256"}


@pytest.mark.parametrize(
    "text", ["", "a.b", "a.b.c", "...", "tökén.b.c", f"{encoded([], [])}.s", f"{encoded({}, 1)}.s", "a.b.c.d"]
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no JWT"):
        read_claims(text)


def test_the_documentation_names_every_stage() -> None:
    text = Path(PROJECT_ROOT / "docs" / "probe.md").read_text()
    assert [stage for stage in Stage if f"| `{stage}` |" not in text] == []
