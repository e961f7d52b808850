"""What a process counts and measures for Prometheus. Each is recorded where it happens; docs/operations.md has a table.

A label has few values: codes, kinds, routes and names of the configuration; never an id, a path or what people wrote.
"""

from __future__ import annotations

import bisect
import datetime
import functools
import threading
import time
from collections.abc import Sequence
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram

from agents.account import ModelRequestRecord
from chat.errors import CloseCode, ErrorCode

OK = "OK"
OTHER = "other"
UNREAD = "unread"
MAX_NAMES = 50
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
EVENT_LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_HANDSHAKE = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 5)
_MODEL = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300)
_RUN = (0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600, 3600, 86_400)

Kind = Literal["socket", "stream"]
Way = Literal["wake_up", "log"]


class Names:
    """The first MAX_NAMES different names; all others are `other`."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._adding = threading.Lock()

    def label(self, name: str) -> str:
        if name in self._known:
            return name
        with self._adding:
            if len(self._known) >= MAX_NAMES:
                return OTHER
            self._known.add(name)
        return name


class BulkHistogram(Histogram):
    """One that takes many observations at once."""

    def observe_many(self, numbers: Sequence[int], total: float) -> None:
        """So many in each bucket, the last one without a bound; `total` is the sum of all."""
        self._sum.inc(total)
        for bucket, number in zip(self._buckets, numbers, strict=True):
            if number:
                bucket.inc(number)


_agents, _models, _errors = Names(), Names(), Names()
_CODES = frozenset(ErrorCode)


def agent_label(name: str) -> str:
    return _agents.label(name)


# Connections ------------------------------------------------------------------------------------------------

CONNECTIONS = Gauge("netra_connections", "Open sockets, and streams of events.", ["kind"], multiprocess_mode="livesum")
HANDSHAKES = Histogram(
    "netra_handshake_seconds",
    "From a socket's request to its greeting or its refusal, by the code of the refusal (OK: greeted).",
    ["code"],
    buckets=_HANDSHAKE,
)
CLOSES = Counter("netra_closes", "Sockets that this side closed, by the code of the close.", ["code"])
COMMANDS = Counter(
    "netra_commands",
    "Commands of sockets, by the code that answered them (OK: done). `unread`: not read, or one too many.",
    ["command", "code"],
)
FRAMES_SENT = Counter("netra_frames_sent", "Frames sent to sockets and streams, events among them.")
BYTES_SENT = Counter("netra_sent_bytes", "Bytes of the frames sent.")
EVENTS_SENT = Counter(
    "netra_events_sent", "Events of runs sent, by how they came: with a wake-up, or read from the log.", ["way"]
)
EVENT_LAG = BulkHistogram(
    "netra_event_lag_seconds",
    "From the moment an event is made to the moment a connection sends it. Replays are not in it.",
    ["way"],
    buckets=EVENT_LAG_BUCKETS,
)
GAP_REPAIRS = Counter("netra_gap_repairs", "Reads of the log by a connection because a wake-up was missing.")
WINDOW_STALLS = Counter("netra_window_stalls", "How often a connection's window was full.")
WINDOWS_STALLED = Gauge("netra_windows_stalled", "Connections whose window is full now.", multiprocess_mode="livesum")

# Requests ---------------------------------------------------------------------------------------------------

HTTP_REQUESTS = Counter("netra_http_requests", "HTTP requests by route and status.", ["route", "method", "status"])
HTTP_SECONDS = Histogram(
    "netra_http_request_seconds", "Until the answer to an HTTP request begins.", ["route", "method"], buckets=_FAST
)
AUDITED = Counter(
    "netra_audited",
    "What people did or were refused, by the code of the refusal (OK: done): `sign_in` and the like.",
    ["action", "code"],
)
LIMITED = Counter("netra_limit_refusals", "What was refused because of a limit.", ["limit"])

# Runs -------------------------------------------------------------------------------------------------------

EVENTS_WRITTEN = Counter("netra_events_written", "Events of runs written to the log.")
RUNS_BEGUN = Counter("netra_runs_begun", "Runs that were asked for.", ["agent"])
RUNS_ENDED = Counter(
    "netra_runs_ended",
    "Runs that ended, by how; `code` says why one failed.",
    ["agent", "outcome", "code"],
)
RUN_SECONDS = Histogram(
    "netra_run_seconds",
    "From a run's first pick-up to its end, waiting for people included.",
    ["agent", "outcome"],
    buckets=_RUN,
)
RUNS_RESTARTED = Counter("netra_runs_restarted", "Runs that went back to the queue, by why.", ["reason"])
RUNS_HELD = Gauge("netra_runs_held", "Runs that are being executed.", multiprocess_mode="livesum")

# Models -----------------------------------------------------------------------------------------------------

MODEL_SECONDS = Histogram(
    "netra_model_request_seconds",
    "How long requests to models took, whole.",
    ["model", "provider", "outcome"],
    buckets=_MODEL,
)
MODEL_FIRST_TOKEN = Histogram(
    "netra_model_first_token_seconds",
    "Until a model's answer began.",
    ["model", "provider"],
    buckets=_MODEL,
)
MODEL_FAILURES = Counter(
    "netra_model_failures", "Requests to models that failed, by the kind of error.", ["model", "provider", "error"]
)
MODEL_TOKENS = Counter(
    "netra_model_tokens",
    "Tokens of requests to models. `input` has the cached ones, too.",
    ["model", "provider", "kind"],
)
MODEL_COST = Counter(
    "netra_model_cost_usd", "What requests to models cost, where a price is known.", ["model", "provider"]
)
MODEL_UNPRICED = Counter(
    "netra_model_unpriced_requests", "Requests to models for which no price is known.", ["model", "provider"]
)


# This process --------------------------------------------------------------------------------------------------

INFO = Gauge("netra_info", "The version of each process.", ["kind", "version"], multiprocess_mode="livesum")
PROCESS_STARTED = Gauge(
    "netra_process_start_time_seconds",
    "When the process began, in seconds since 1970; of several in one folder the last.",
    ["kind"],
    multiprocess_mode="livemax",
)
LOOP_LAG = Histogram("netra_event_loop_lag_seconds", "How late the event loop is, once a second.", buckets=_FAST)
LOOP_TASKS = Gauge(
    "netra_event_loop_tasks", "Tasks of the event loop, counted every ten seconds.", multiprocess_mode="livesum"
)
POOL_CONNECTIONS = Gauge(
    "netra_database_pool_connections",
    "Connections to PostgreSQL: of the ORM (django), and of what is written and read while runs stream (events).",
    ["pool", "state"],
    multiprocess_mode="livesum",
)
POOL_WAITING = Gauge(
    "netra_database_pool_waiting", "Who waits for a connection now.", ["pool"], multiprocess_mode="livesum"
)
POOL_LIMIT = Gauge("netra_database_pool_limit", "Connections that there may be.", ["pool"], multiprocess_mode="livesum")
REDIS_UP = Gauge(
    "netra_redis_up",
    "Whether a server of REDIS_URL answers, asked every ten seconds.",
    ["server"],
    multiprocess_mode="livemin",
)


class Sending:
    """Counts what is sent, in plain numbers: a frame costs 35 µs in all, and prometheus_client takes 5 to count one.

    Used on the event loop only. `flush` hands the numbers on.
    """

    def __init__(self) -> None:
        self._frames = 0
        self._bytes = 0

    def sent(self, text: str, live_since: float) -> None:  # noqa: ARG002 - for events
        self._frames += 1
        self._bytes += len(text) if text.isascii() else len(text.encode())

    def flush(self) -> None:
        FRAMES_SENT.inc(self._frames)
        BYTES_SENT.inc(self._bytes)
        self._frames = self._bytes = 0


class SendingEvents(Sending):
    """The same for events. One made before `live_since` is a replay: its age says nothing about this server."""

    def __init__(self, way: Way) -> None:
        super().__init__()
        self._sent, self._lag = EVENTS_SENT.labels(way), EVENT_LAG.labels(way)
        self._lags = [0] * (len(EVENT_LAG_BUCKETS) + 1)
        self._sum = 0.0

    def sent(self, text: str, live_since: float) -> None:
        self._frames += 1
        self._bytes += len(text) if text.isascii() else len(text.encode())
        made_at = _made_at(text)
        if made_at >= live_since:
            lag = max(0.0, time.time() - made_at)
            self._lags[bisect.bisect_left(EVENT_LAG_BUCKETS, lag)] += 1
            self._sum += lag

    def flush(self) -> None:
        self._sent.inc(self._frames)
        super().flush()
        self._lag.observe_many(self._lags, self._sum)
        self._lags, self._sum = [0] * len(self._lags), 0.0


# Nothing that somebody wrote stands before it in an event.
_TIMESTAMP = '"timestamp":"'


@functools.lru_cache(maxsize=8)
def _made_at(text: str) -> float:
    """When an event was made, in seconds since 1970. The same few go to all connections of their person in turn."""
    start = text.index(_TIMESTAMP) + len(_TIMESTAMP)
    return _second_at(text[start : start + 19]) + int(text[start + 20 : start + 23]) / 1000


@functools.lru_cache(maxsize=1)
def _second_at(second: str) -> float:
    return datetime.datetime.fromisoformat(second + "Z").timestamp()


ANSWERS = Sending()
WITH_WAKE_UPS, FROM_LOG = SendingEvents("wake_up"), SendingEvents("log")


# A counter that begins with its first deed hides it: Prometheus tells a growth only from what it has seen before.
for _code in (OK, ErrorCode.SERVICE_UNAVAILABLE):
    HANDSHAKES.labels(_code)
for _close in CloseCode:
    CLOSES.labels(int(_close))
for _reason in ("worker_lost", "handed_back"):
    RUNS_RESTARTED.labels(_reason)


def flush() -> None:
    """Hand on what was counted on this event loop."""
    for sending in (ANSWERS, WITH_WAKE_UPS, FROM_LOG):
        sending.flush()


def answered(command: str | None, code: str = OK) -> None:
    """A command of a socket has its answer. None: what was answered is no command."""
    if command is not None:
        _commands(command, code).inc()


# Looking it up is what an answer to a ping would cost most.
_commands = functools.cache(COMMANDS.labels)


def limited(limit: str) -> None:
    """Something was refused because of this limit."""
    LIMITED.labels(limit).inc()


def audited(action: str, code: str = OK) -> None:
    AUDITED.labels(action, code).inc()


def http_request(route: str, method: str, status: int, seconds: float) -> None:
    method = method if method in METHODS else OTHER
    HTTP_REQUESTS.labels(route, method, str(status)).inc()
    HTTP_SECONDS.labels(route, method).observe(seconds)


def run_begun(agent: str) -> None:
    RUNS_BEGUN.labels(agent_label(agent)).inc()


def run_ended(
    agent: str,
    outcome: str,
    *,
    code: str = "",
    started_at: datetime.datetime | None,
    ended_at: datetime.datetime,
) -> None:
    """`started_at` is None for a run that nobody picked up."""
    label = agent_label(agent)
    RUNS_ENDED.labels(label, outcome, code if not code or code in _CODES else OTHER).inc()
    if started_at is not None:
        RUN_SECONDS.labels(label, outcome).observe((ended_at - started_at).total_seconds())


def model_request(record: ModelRequestRecord) -> None:
    """However it ended."""
    names = _models.label(record.model), _models.label(record.provider)
    MODEL_SECONDS.labels(*names, record.outcome).observe(record.duration_ms / 1000)
    if record.first_token_ms is not None:
        MODEL_FIRST_TOKEN.labels(*names).observe(record.first_token_ms / 1000)
    if record.outcome == "failed":
        MODEL_FAILURES.labels(*names, _errors.label(record.error or OTHER)).inc()
    for kind, tokens in (
        ("input", record.input_tokens),
        ("output", record.output_tokens),
        ("cache_read", record.cache_read_tokens),
        ("cache_write", record.cache_write_tokens),
    ):
        MODEL_TOKENS.labels(*names, kind).inc(tokens)
    if record.cost_usd is None:
        MODEL_UNPRICED.labels(*names).inc()
    else:
        MODEL_COST.labels(*names).inc(float(record.cost_usd))
