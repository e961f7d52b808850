"""Runs that do not begin, do not end, fail, or are told with gaps."""

from __future__ import annotations

from netra.probe.observation import Case, Diagnosis, Stage

WORKER_LOG = "the worker's log: `docker compose logs worker`, or, with an embedded one, the server's"


def _worker(case: Case) -> str | None:
    services = case.fact(Stage.SERVICES, "services") or {}
    return services.get("worker")


def not_started(case: Case) -> Diagnosis:
    facts = case.facts
    waited, status, worker = facts["waited_seconds"], facts["run"], _worker(case)
    seen = f"agent_started did not come within {waited:g} s"
    accepted = (
        f"The message was accepted (run {case.fact(Stage.MESSAGE, 'run_number')}): it and its job are in the database"
    )
    if status not in ("queued", "running", "completed", "failed", "cancelled"):
        return Diagnosis(
            cause="run_unknown",
            chain=(seen, accepted, f"REST does not know the run: {status}"),
            look_at=("whether socket and REST lead to the same deployment", "the server's log"),
        )
    if status != "queued":
        return Diagnosis(
            cause="events_not_delivered",
            chain=(
                seen,
                accepted,
                f"REST says that the run is {status}: a worker took it, and its events are in the log",
                "They did not come over the socket, neither by wake-ups nor by the position check",
            ),
            look_at=(
                "`position_check_failed` and `database_lost` in the log of the web process",
                "REDIS_URL, the same for web processes and workers",
            ),
        )
    if worker != "degraded":
        return Diagnosis(
            cause="worker_busy",
            chain=(
                seen,
                accepted,
                "REST says that the run is queued: no worker has taken it",
                f'connection_established said "worker": "{worker}": one gives signs of life, and does not take runs',
                (
                    "It has as many as it may have, or is asked to end, or has just been lost (noticed after "
                    "NETRA_WORKER_STALLED_SECONDS)"
                ),
            ),
            look_at=(
                "NETRA_WORKER_CONCURRENCY, and the number of running runs: GET /api/supervisor",
                f"{WORKER_LOG}: `worker_started`, `worker_stopped`",
                "more workers: `docker compose up --detach --scale worker=3`",
            ),
        )
    return Diagnosis(
        cause="no_worker",
        chain=(
            seen,
            accepted,
            "REST says that the run is queued: no worker has taken it",
            (
                'connection_established said "worker": "degraded": none has given a sign of life within '
                "NETRA_WORKER_STALLED_SECONDS"
            ),
            "No worker runs, or the one that runs uses another database",
        ),
        look_at=(
            (
                "`manage.py worker` (or `docker compose up --detach worker`) with the same DATABASE_URL, when "
                "NETRA_WORKER is external"
            ),
            "NETRA_WORKER=embedded, when the web process is to run them itself",
            f"{WORKER_LOG}: why it ended, and `worker_started` after that",
        ),
    )


def not_ended(case: Case) -> Diagnosis:
    model = case.facts.get("model")
    last = (case.facts.get("types") or ["nothing"])[-1]
    return Diagnosis(
        cause="run_stalled",
        chain=(
            f"The run began and did not end; its last event was {last}",
            (
                f"REST says that it is {case.facts['run']}; the model {model} is asked, or a tool is called, and does "
                "not come back, or the worker was lost and the run waits to be repeated"
            ),
        ),
        look_at=(
            f"{WORKER_LOG}: what the model's provider answers",
            "NETRA_MODEL_FIRST_TOKEN_SECONDS, NETRA_MODEL_SILENCE_SECONDS and NETRA_RUN_TIMEOUT, which end it",
            "--timeout, if the model is only slow",
        ),
    )


def run_failed(case: Case) -> Diagnosis:
    facts = case.facts
    code, model = facts.get("error_code"), facts.get("model")
    seen = f"The run ended with {facts.get('end')} {code or ''}".strip() + (
        f": {facts['error_message']}" if facts.get("error_message") else ""
    )
    if facts.get("end") == "approval_required":
        return Diagnosis(
            cause="approval_required",
            chain=(seen, f"The agent wants a person's approval before it calls {facts.get('tool')}, and none is here"),
            look_at=("--agent with one that needs none for its tools",),
        )
    if facts.get("end") == "agent_cancelled":
        return Diagnosis(
            cause="run_cancelled",
            chain=(seen, "Somebody else of the same user stopped it, or deleted its thread"),
            look_at=("a user of its own for the probe",),
        )
    carried = (
        "Socket, database, worker and delivery did their work: the message came to the agent and its end came back"
    )
    if code == "INTERNAL_ERROR":
        return Diagnosis(
            cause="agent_raised",
            chain=(seen, carried, "The agent itself raised"),
            look_at=(f"`grep {facts.get('correlation_id')} LOG` on the workers: the traceback",),
        )
    if code == "WORKER_LOST":
        return Diagnosis(
            cause="worker_lost",
            chain=(seen, carried, "Its workers were lost, as often as NETRA_RUN_ATTEMPTS allows"),
            look_at=(f"{WORKER_LOG}; the kernel's log, for a worker that was killed (OOM)",),
        )
    return Diagnosis(
        cause="model_failed",
        chain=(
            seen,
            carried,
            f"The model {model} did not answer: its provider refuses, limits, fails or is not reached",
        ),
        look_at=(
            "NETRA_MODEL, the key and the address of its provider (docs/models.md)",
            f"{WORKER_LOG}; the requests to models in /admin/, with the status of each",
            "NETRA_MODEL_FALLBACK, which is asked instead",
        ),
    )


def no_tool(case: Case) -> Diagnosis:
    return Diagnosis(
        cause="offline_without_tool",
        chain=(
            "The offline model answered a calculation without the tool that its agent has",
            "It follows fixed rules, so its rules or the tool are not those of this version of the probe",
        ),
        look_at=(
            "which version runs there, and which version this probe is of",
            f"the agent {case.facts.get('agent')}",
        ),
    )


def wrong_order(case: Case) -> Diagnosis:
    return Diagnosis(
        cause="events_out_of_order",
        chain=(
            f"The events came as {', '.join(case.facts['types'])}",
            "Their numbers have no gap, so they were written in this order: it is the agent's, not the delivery's",
        ),
        look_at=(
            f"{WORKER_LOG}, for run {case.fact(Stage.MESSAGE, 'run_id')}",
            "the agent, if it is one of yours (docs/agents.md)",
        ),
    )


def not_whole(case: Case) -> Diagnosis:
    after_drop = case.stage is Stage.RESUME
    return Diagnosis(
        cause="events_lost_or_repeated",
        chain=(
            f"{case.observation.summary}",
            "After a reconnect with `resume` each event must come once, from the log, at whichever process"
            if after_drop
            else "On one connection each event of a run comes once, in order",
            "The processes behind this address do not read one log, or what serves /ws is not this Netra",
        ),
        look_at=(
            "DATABASE_URL of every web process: the same database, and no replica that lags behind",
            "which version runs on each of them",
        ),
    )
