"""Deployments for the probe, whole and broken in one way each, and what it says of them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from netra.probe import probe, read_target, to_json, to_text
from tests.certificates import write_certificate
from tests.clients import PASSWORD, Account
from tests.cluster import HAProxy
from tests.live import LiveServer
from tests.processes import HOST, free_port

# This machine, too, under a name that Netra does not know.
OTHER_HOST = "127.0.0.2"
AHEAD_SECONDS = 3600
# How long an answer is waited for: as long as a busy machine may take, and where none will come, not long.
PATIENT, IMPATIENT = 15.0, 3.0
STAGES = [
    "dns",
    "tcp",
    "tls",
    "health",
    "ready",
    "upgrade",
    "refusal",
    "token",
    "handshake_header",
    "handshake_subprotocol",
    "established",
    "services",
    "ping",
    "message",
    "events",
    "resume",
    "close",
]


class Servers:
    """Servers that are broken in one way each. They start side by side, and execute no runs."""

    def __init__(self, shared: Path, own: Path) -> None:
        nowhere = f"redis://{HOST}:{free_port()}/0"
        broken: dict[str, Any] = {"form": "uvicorn", "worker": "external", "ready": False}
        applications = "tests.e2e.applications"
        no_database = f"postgresql://netra@{HOST}:{free_port()}/netra"
        # With a database of its own: no worker of others is there. Its key is its own, too.
        self.lonely = LiveServer(own, worker="external", secret_key="a key that no other server of these tests has")
        self.faulty = LiveServer(
            shared, form="daphne", application=f"{applications}.with_faults:application", worker="external"
        )
        self.without_redis = LiveServer(shared, redis_url=nowhere, **broken)
        self.without_database = LiveServer(shared, database_url=no_database, **broken)
        self.without_supervisor = LiveServer(
            shared, application=f"{applications}.without_supervisor:application", **broken
        )
        self.without_threads = LiveServer(
            shared, application=f"{applications}.without_thread_service:application", **broken
        )
        self.ahead = LiveServer(shared, options=["--no-migrate"], worker="external")
        self.ahead.inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | {
            "LD_PRELOAD": _faketime(),
            "FAKETIME": f"+{AHEAD_SECONDS}s",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # With the library's own fix for such clocks, each wait with a time limit takes up to seconds longer.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }
        # Without Redis of its own, so that no wake-up comes from the worker, either.
        self.refusing = LiveServer(shared, ws_reject="handshake", ws_position_check_seconds=0.5, **broken)
        self.earlier = LiveServer(own, application=f"{applications}.earlier_system:application", **broken)

    @property
    def all(self) -> list[LiveServer]:
        return list(vars(self).values())


def _faketime() -> str:
    """The library that shows a process another time."""
    found = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    assert found, "libfaketime is not installed: `make test` installs it"
    return str(found)


# Proxies ----------------------------------------------------------------------------------------------------

HEAD = """\
global
    nbthread 1
defaults
    mode http
    timeout connect 1s
    timeout client 1h
    timeout server 1h
    retries 0
"""
# By name: what each does to a request before it goes to the whole server.
RULES = {
    "something_else": "http-request return status 200 content-type text/plain string hello",
    "no_upgrade": "http-request del-header Upgrade",
    "no_connection": "http-request del-header Connection",
    "no_authorization": "http-request del-header Authorization",
    "no_subprotocol": "http-request del-header Sec-WebSocket-Protocol",
    "other_host": "http-request set-header Host internal.example\n    use_backend strict",
    "other_authorization": "http-request set-header Authorization Basic\\ bmV0cmE6bmV0cmE=",
    "forbidden": "http-request deny if { path_beg /ws }",
    "not_routed": "http-request return status 404 if { path_beg /ws }",
    "no_server": "use_backend nobody if { path_beg /ws }",
    "two_keys": "use_backend lonely if { path_beg /ws }",
    "two_clocks": "use_backend ahead if { path_beg /api/auth }",
}


class Proxies(HAProxy):
    """A proxy for each of RULES, two with TLS, and one that is asked under OTHER_HOST, before servers of their own."""

    def __init__(self, folder: Path, whole: LiveServer, servers: Servers) -> None:
        self.ports = {name: free_port() for name in (*RULES, "other_name", "tls", "expired")}
        text = HEAD
        for name, rule in RULES.items():
            text += f"frontend {name}\n    bind {HOST}:{self.ports[name]}\n    {rule}\n    default_backend whole\n"
        text += f"frontend other_name\n    bind {OTHER_HOST}:{self.ports['other_name']}\n    default_backend strict\n"
        for name, ends_in in (("tls", timedelta(days=1)), ("expired", timedelta(days=-1))):
            certificate = folder / f"{name}.pem"
            write_certificate(certificate, "localhost", ends_in=ends_in)
            text += f"frontend {name}\n    bind {HOST}:{self.ports[name]} ssl crt {certificate}\n"
            text += "    default_backend whole\n"
        ports = {
            "whole": whole.port,
            "lonely": servers.lonely.port,
            "ahead": servers.ahead.port,
            "strict": servers.without_redis.port,
            "nobody": free_port(),
        }
        for name, port in ports.items():
            text += f"backend {name}\n    server {name} {HOST}:{port}\n"
        super().__init__("probed-proxies", folder, port=self.ports["tls"], configuration=text)

    def url(self, name: str) -> str:
        return f"http://{HOST}:{self.ports[name]}"


# Probing ----------------------------------------------------------------------------------------------------


async def probed(url: str, account: Account | None = None, **options: Any) -> dict[str, Any]:
    """The report as JSON. Neither it nor the table has a credential in it."""
    if account is not None and "token" not in options:
        options |= {"username": account.username, "password": account.password}
    options.setdefault("timeout", PATIENT)
    report = await probe(read_target(url, **options))
    found = to_json(report)
    for shown in (json.dumps(found), to_text(report)):
        assert PASSWORD not in shown
        assert not (token := options.get("token")) or token not in shown
        assert "eyJ" not in shown, "the beginning of a JWT"
    return found


def results(report: Mapping[str, Any]) -> dict[str, str]:
    return {stage["stage"]: stage["result"] for stage in report["stages"]}


def stage(report: Mapping[str, Any], name: str) -> dict[str, Any]:
    return next(found for found in report["stages"] if found["stage"] == name)


def assert_failed(report: Mapping[str, Any], name: str, cause: str, *evidence: str) -> None:
    """At this stage, for this cause, whose chain has these words. What is before passed, nothing after was reached."""
    failure = report["failure"]
    assert failure is not None, results(report)
    assert (failure["stage"], failure["cause"]) == (name, cause), failure
    chain = "\n".join(failure["chain"])
    assert not (missing := [words for words in evidence if words not in chain]), (missing, chain)
    assert failure["look_at"]
    place = STAGES.index(name)
    found = [results(report)[each] for each in STAGES]
    assert set(found[:place]) <= {"passed", "degraded", "skipped"}
    assert found[place] == "failed"
    assert set(found[place + 1 :]) <= {"not reached"}
    assert (report["result"], report["exit_status"]) == ("failed", 1)


def assert_passed(report: Mapping[str, Any], *, tls: str = "skipped") -> None:
    assert results(report) == dict.fromkeys(STAGES, "passed") | {"tls": tls}, report
    assert (report["result"], report["exit_status"], report["failure"]) == ("passed", 0, None)
