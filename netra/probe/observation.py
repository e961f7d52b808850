"""What a probe is made of: stages, what each saw, and why one of them failed. Data only, no I/O."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Facts = Mapping[str, Any]


class Stage(enum.StrEnum):
    """In the order in which they are reached."""

    DNS = "dns"
    TCP = "tcp"
    TLS = "tls"
    HEALTH = "health"
    READY = "ready"
    UPGRADE = "upgrade"
    REFUSAL = "refusal"
    TOKEN = "token"  # noqa: S105 - a stage, not a credential
    HEADER = "handshake_header"
    SUBPROTOCOL = "handshake_subprotocol"
    ESTABLISHED = "established"
    SERVICES = "services"
    PING = "ping"
    MESSAGE = "message"
    EVENTS = "events"
    RESUME = "resume"
    CLOSE = "close"


class Outcome(enum.StrEnum):
    PASSED = "passed"
    DEGRADED = "degraded"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_REACHED = "not reached"


class Symptom(enum.StrEnum):
    """How a stage can fail. What it means is decided by netra.probe.diagnosis, from the facts of all stages."""

    UNRESOLVED = "unresolved"
    UNREACHED = "unreached"
    TLS_FAILED = "tls_failed"
    NO_HTTP = "no_http"
    TIMED_OUT = "timed_out"
    STATUS = "status"
    NOT_NETRA = "not_netra"
    NOT_READY = "not_ready"
    NOT_A_TOKEN = "not_a_token"  # noqa: S105
    NO_SIGN_IN = "no_sign_in"
    NOT_UPGRADED = "not_upgraded"
    SILENT = "silent"
    CLOSED = "closed"
    REFUSED = "refused"
    LET_IN = "let_in"
    NOT_PROTOCOL = "not_protocol"
    LATE = "late"
    CLOSE_CODE = "close_code"
    NOT_STARTED = "not_started"
    NOT_ENDED = "not_ended"
    RUN_FAILED = "run_failed"
    NO_TOOL = "no_tool"
    WRONG_ORDER = "wrong_order"
    NOT_WHOLE = "not_whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a stage saw. Without a symptom it is as it should be, or, with notes that say so, `degraded`.

    `facts` are plain JSON data; `summary` is a few words about them.
    """

    summary: str
    facts: Facts = field(default_factory=dict)
    symptom: Symptom | None = None
    degraded: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Why a stage failed. `cause` is its name for programs.

    `chain` begins with what was seen, each sentence being the reason of the one before; `look_at` is what to look at or
    to change, the likeliest first.
    """

    cause: str
    chain: tuple[str, ...]
    look_at: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    stage: Stage
    outcome: Outcome
    milliseconds: float | None = None
    observation: Observation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole probe. `diagnosis` is that of the stage that failed.

    `label` is in the server's log lines of this probe's connections (`test_label`); `thread` tells what became of the
    thread that it made.
    """

    url: str
    results: tuple[StageResult, ...]
    diagnosis: Diagnosis | None = None
    label: str = ""
    thread: str = ""

    @property
    def failed(self) -> StageResult | None:
        return next((result for result in self.results if result.outcome is Outcome.FAILED), None)

    @property
    def outcome(self) -> str:
        """`failed`, `incomplete` (no credentials were given), `degraded` or `passed`."""
        outcomes = {result.outcome for result in self.results}
        if self.failed is not None:
            return "failed"
        if any(result.outcome is Outcome.SKIPPED and result.stage is not Stage.TLS for result in self.results):
            return "incomplete"
        return "degraded" if Outcome.DEGRADED in outcomes else "passed"

    @property
    def exit_status(self) -> int:
        """2 is wrong usage, which is no report."""
        return {"failed": 1, "incomplete": 3}.get(self.outcome, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A failed stage, and what all stages up to it have seen."""

    url: str
    stage: Stage
    seen: Mapping[Stage, Observation]
    origin: str | None = None

    @property
    def observation(self) -> Observation:
        return self.seen[self.stage]

    @property
    def facts(self) -> Facts:
        return self.observation.facts

    @property
    def details(self) -> Facts:
        """Of the error that the server has sent; a server that is not Netra may send anything there."""
        found = self.facts.get("details")
        return found if isinstance(found, Mapping) else {}

    @property
    def missing(self) -> tuple[str, ...]:
        """The services that a SERVICE_UNAVAILABLE names."""
        found = self.details.get("missing")
        return tuple(map(str, found)) if isinstance(found, list | tuple) else ()

    def fact(self, stage: Stage, name: str) -> Any:
        """None when there is none."""
        observation = self.seen.get(stage)
        return None if observation is None else observation.facts.get(name)
