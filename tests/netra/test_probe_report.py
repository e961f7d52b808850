"""What the probe makes of a run's events, and how it reports: plain calls, no server."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from netra.config import PROJECT_ROOT
from netra.probe import WrongUsage, read_target, to_json, to_text
from netra.probe.events import five_events, resumed_run
from netra.probe.http import read_claims
from netra.probe.observation import Diagnosis, Observation, Outcome, Report, Stage, StageResult, Symptom
from netra.probe.target import hide

URL = "https://chat.example.org"

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


def test_whatever_is_a_token_is_hidden() -> None:
    token = f"{encoded({'alg': 'HS256'}, {'exp': 1})}.c2lnbmF0dXJl"
    again = base64.urlsafe_b64encode(token.encode()).decode()
    assert hide(frozenset(), f"Bearer {token}, jwt.{again} and no more") == "Bearer [hidden], jwt.[hidden] and no more"


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
