"""The services that Netra needs, which of them are missing, and what a degraded one means."""

from __future__ import annotations

from netra.probe.observation import Case, Diagnosis, Stage

_DEGRADED = {
    "channel_layer": (
        "channel_layer: Redis does not answer. Netra works: events come from the log, up to two seconds late. "
        'Look at REDIS_URL of the web processes, and `redis-cli -u "$REDIS_URL" ping` from their machine'
    ),
    "worker": (
        "worker: no worker has given a sign of life. Messages are taken and wait. With NETRA_WORKER=external start "
        "`manage.py worker` (or `docker compose up worker`) with the same DATABASE_URL; an embedded one says in the "
        "server's log why it ended"
    ),
}

_MISSING: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "database": (
        "database_missing",
        (
            "PostgreSQL does not answer Netra: it is not running, not reached from there, or refuses the user",
            "Nothing can be signed in, asked or kept without it; sockets are refused with SERVICE_UNAVAILABLE",
        ),
        (
            "the line `database_lost` or `database_unavailable` in the server's log: it has PostgreSQL's own reason",
            "DATABASE_URL of the web process, and `psql \"$DATABASE_URL\" -c 'SELECT 1'` from its machine",
            "without DATABASE_URL: whether the disk of NETRA_DATA_DIR is full, and postgres.log in it",
            "max_connections of PostgreSQL, when it refuses new ones",
        ),
    ),
    "agent_supervisor": (
        "supervisor_missing",
        (
            "AgentsConfig.ready has not built the agent supervisor in this process: there is nobody to run agents",
            (
                "The process serves another application than netra.asgi:application with Netra's settings, or "
                "something took the supervisor away after start-up"
            ),
        ),
        (
            "`manage.py check` with the same environment: it names what is missing",
            "the command that starts the server: `manage.py serve`, or `daphne netra.asgi:application`",
            "INSTALLED_APPS: `agents` stands there as it is; what NETRA_APPS and NETRA_AGENTS add comes after it",
        ),
    ),
    "thread_service": (
        "thread_service_missing",
        (
            "ChatConfig.ready has not built the thread service in this process: there is nobody to take messages",
            (
                "The process serves another application than netra.asgi:application with Netra's settings, or "
                "something took the service away after start-up"
            ),
        ),
        (
            "`manage.py check` with the same environment: it names what is missing",
            "the command that starts the server: `manage.py serve`, or `daphne netra.asgi:application`",
            "INSTALLED_APPS: `chat` stands there as it is; what NETRA_APPS adds comes after it",
        ),
    ),
    "connection": (
        "greeting_failed",
        (
            (
                "No service is missing: something raised in Netra while it prepared the greeting, which is a bug, or a "
                "database whose tables are not those of this version"
            ),
        ),
        (
            "the line `handler_failed` in the server's log, with its traceback",
            "`manage.py migrate --check` with the same environment",
        ),
    ),
    "server_draining": (
        "draining",
        ("The process was told to end and takes no new connections; another one should have got this one",),
        (
            "whether a new process has been started, and whether the proxy asks /health/ready",
            "NETRA_DRAIN_SECONDS, after which it is gone",
        ),
    ),
}


def advice(name: str) -> str:
    """What a degraded service means for people, and what to look at."""
    return _DEGRADED.get(name, f"{name} is degraded")


def not_ready(case: Case) -> Diagnosis:
    if case.facts["ready"] == "draining":
        return missing(("server_draining",), "/health/ready answered 503: the process goes away")
    names = tuple(str(name) for name in case.facts["missing"])
    environment = case.fact(Stage.HEALTH, "environment")
    seen = f"/health/ready answered 503, status {case.facts['ready']}"
    heard = f"It is Netra that says so ({environment}): /health answers, so the process lives and is reached"
    return missing(names, seen, heard)


def missing(names: tuple[str, ...], *seen: str) -> Diagnosis:
    """Of the first of these that is known; the others are named."""
    known = next((name for name in names if name in _MISSING), None)
    said = f"It names as missing: {', '.join(names) or 'nothing'}"
    if known is None:
        return Diagnosis(
            cause="service_missing", chain=(*seen, said), look_at=("the server's log at its start, and now",)
        )
    cause, chain, look_at = _MISSING[known]
    others = tuple(place for name in names if name != known and name in _MISSING for place in _MISSING[name][2][:1])
    return Diagnosis(cause=cause, chain=(*seen, said, *chain), look_at=(*look_at, *others))
