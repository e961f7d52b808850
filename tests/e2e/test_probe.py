"""The probe before deployments that are whole and deployments that are broken, each of them real."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from netra.management.commands.probe import Command
from tests import deployment
from tests.clients import PASSWORD, Account
from tests.cluster import HAProxy
from tests.e2e.conftest import ALLOWED_ORIGIN, new_data_dir
from tests.live import LiveServer
from tests.probed import (
    AHEAD_SECONDS,
    IMPATIENT,
    OTHER_HOST,
    STAGES,
    Proxies,
    Servers,
    assert_failed,
    assert_passed,
    probed,
    results,
    stage,
)
from tests.processes import HOST, REPOSITORY, LiveProcess, eventually, free_port


@pytest.fixture(scope="module")
def servers(daphne: LiveServer, shared_data_dir: Path) -> Iterator[Servers]:
    """After `daphne`, which has made the tables and whose worker answers. They are killed: nothing of them is kept."""
    for own in new_data_dir():
        servers = Servers(shared_data_dir, own)
        with ExitStack() as stack:
            for server in servers.all:
                server.launch()
                stack.callback(_kill, server)
            for server in servers.all:
                server.wait_until_ready()
            yield servers


def _kill(process: LiveProcess) -> None:
    if process.is_launched:
        process.kill()


@pytest.fixture(scope="module")
def account(daphne: LiveServer) -> Account:
    return daphne.add_user("probe")


@pytest.fixture(scope="module")
def proxies(daphne: LiveServer, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxies]:
    with Proxies(tmp_path_factory.mktemp("proxies"), daphne, servers) as proxies:
        yield proxies


@pytest.fixture(scope="module")
def deployed(daphne: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of deploy/haproxy.cfg before the whole server."""
    folder = tmp_path_factory.mktemp("deployed")
    port = free_port()
    configuration = deployment.proxy_configuration({"web1": daphne.port})
    with HAProxy("probed-proxy", folder, port=port, configuration=configuration):
        yield f"http://{HOST}:{port}"


# Whole ------------------------------------------------------------------------------------------------------


async def test_every_stage_of_a_whole_deployment_passes(daphne: LiveServer, account: Account) -> None:
    report = await probed(daphne.url, account)
    assert_passed(report)
    assert stage(report, "established")["facts"]["frame_ms"] < 2000
    assert stage(report, "events")["facts"]["model"] == "offline"
    resumed = stage(report, "resume")["facts"]
    assert resumed["before"] >= 1
    assert resumed["after"] >= 1
    assert stage(report, "close")["facts"]["close_code"] == 1000


async def test_the_probe_leaves_nothing_behind(daphne: LiveServer, account: Account) -> None:
    report = await probed(daphne.url, account)
    assert report["thread"] == "The thread of the probe was deleted"
    assert stage(report, "message")["facts"]["title"].startswith("netra probe 20")
    assert daphne.http("GET", "/api/threads", token=account.token()).body["threads"] == []


async def test_of_its_connections_one_is_dropped_and_the_others_are_closed(
    daphne: LiveServer, account: Account
) -> None:
    """In the server's own words: its log names those of the probe by their label."""
    label = (await probed(daphne.url, account))["label"]
    connected = re.findall(rf"connected .* connection_id=(\w+) .*test_label={label}\b", daphne.log_text())
    assert len(connected) == 4, "a handshake by header, one by subprotocol, the connection, and its successor"

    def codes() -> list[str]:
        found = re.findall(r"disconnected .* code=(\d+) connection_id=(\w+)", daphne.log_text())
        ended = {connection: code for code, connection in found}
        return [ended[connection] for connection in connected if connection in ended]

    await eventually(lambda: len(codes()) == len(connected), what="the connections to end in the log")
    assert codes() == ["1000", "1000", "1006", "1000"]


async def test_a_deployment_behind_its_proxy_passes(deployed: str, account: Account) -> None:
    assert_passed(await probed(deployed, account))


async def test_a_token_is_as_good_as_a_password(deployed: str, account: Account) -> None:
    assert_passed(await probed(deployed, token=account.token()))


async def test_a_page_of_an_allowed_origin_may_connect(daphne: LiveServer, account: Account) -> None:
    assert_passed(await probed(daphne.url, account, origin=ALLOWED_ORIGIN))
    assert_passed(await probed(daphne.url, account, origin=daphne.url))


async def test_tls_passes_with_a_trusted_certificate_and_without_verification(
    proxies: Proxies, account: Account
) -> None:
    url = f"https://localhost:{proxies.ports['tls']}"
    report = await probed(url, account, ca_file=str(_certificate(proxies, "tls")))
    assert_passed(report, tls="passed")
    assert "ends in 0 days" in " ".join(stage(report, "tls")["notes"])
    assert_passed(await probed(url, account, insecure=True), tls="passed")


async def test_another_agent_can_be_asked_also_one_that_asks_others(daphne: LiveServer, account: Account) -> None:
    report = await probed(daphne.url, account, agent="triage")
    assert_passed(report)
    assert stage(report, "events")["facts"]["agent"] == "triage"


async def test_without_credentials_it_is_incomplete(daphne: LiveServer) -> None:
    report = await probed(daphne.url)
    assert (report["result"], report["exit_status"]) == ("incomplete", 3)
    place = STAGES.index("token")
    found = [results(report)[each] for each in STAGES]
    assert set(found[:place]) == {"passed", "skipped"}
    assert set(found[place:]) == {"skipped"}


# Broken: the way there --------------------------------------------------------------------------------------


async def test_a_port_where_nothing_listens(account: Account) -> None:
    report = await probed(f"http://{HOST}:{free_port()}", account)
    assert_failed(report, "tcp", "nothing_listens", "refused")


async def test_a_port_where_something_else_listens(proxies: Proxies, redis_url: str, account: Account) -> None:
    report = await probed(redis_url.replace("redis://", "http://").removesuffix("/0"), account, timeout=1)
    assert_failed(report, "health", "no_http")
    report = await probed(proxies.url("something_else"), account)
    assert_failed(report, "health", "not_netra", "200", "Netra did not answer this")


async def test_a_name_that_does_not_resolve(account: Account) -> None:
    report = await probed("http://netra.invalid", account)
    assert_failed(report, "dns", "name_not_resolved", "netra.invalid")


async def test_a_certificate_that_nobody_trusts(proxies: Proxies, account: Account) -> None:
    report = await probed(f"https://localhost:{proxies.ports['tls']}", account)
    assert_failed(report, "tls", "certificate_untrusted", "signed by itself", "CN=localhost")


async def test_a_certificate_that_has_ended(proxies: Proxies, account: Account) -> None:
    url = f"https://localhost:{proxies.ports['expired']}"
    report = await probed(url, account, ca_file=str(_certificate(proxies, "expired")))
    assert_failed(report, "tls", "certificate_expired", "It is valid from 20")


async def test_a_certificate_of_another_name(proxies: Proxies, account: Account) -> None:
    url = f"https://{HOST}:{proxies.ports['tls']}"
    report = await probed(url, account, ca_file=str(_certificate(proxies, "tls")))
    assert_failed(report, "tls", "certificate_of_another_name", f"names localhost, and not {HOST}")


async def test_http_and_https_mistaken_for_each_other(proxies: Proxies, daphne: LiveServer, account: Account) -> None:
    report = await probed(daphne.url.replace("http://", "https://"), account, timeout=IMPATIENT)
    assert_failed(report, "tls", "no_tls_on_port")
    report = await probed(proxies.url("tls"), account)
    assert_failed(report, "health", "tls_on_port", "takes a TLS handshake")


def _certificate(proxies: Proxies, name: str) -> Path:
    return proxies.log_file.with_name(f"{name}.pem")


# Broken: proxies --------------------------------------------------------------------------------------------


async def test_a_proxy_without_upgrade(proxies: Proxies, account: Account) -> None:
    report = await probed(proxies.url("no_upgrade"), account)
    assert_failed(report, "upgrade", "upgrade_dropped", "404", "the same (404) to a plain GET")
    report = await probed(proxies.url("no_connection"), account)
    assert_failed(report, "upgrade", "upgrade_dropped", "Connection header missing")


async def test_a_proxy_that_does_not_let_sockets_through(proxies: Proxies, account: Account) -> None:
    report = await probed(proxies.url("forbidden"), account)
    assert_failed(report, "upgrade", "forbidden_by_proxy", "403", "Netra did not answer this")
    report = await probed(proxies.url("not_routed"), account)
    assert_failed(report, "upgrade", "ws_not_routed", "404", "Netra did not answer this")
    report = await probed(proxies.url("no_server"), account)
    assert_failed(report, "upgrade", "proxy_without_server", "503", "Netra did not answer this")


async def test_a_proxy_that_strips_the_authorization_header(proxies: Proxies, account: Account) -> None:
    report = await probed(proxies.url("no_authorization"), account)
    evidence = ("Netra says that none arrived", "The other form of the credential is accepted")
    assert_failed(report, "handshake_header", "authorization_stripped", "NO_TOKEN", *evidence)
    report = await probed(proxies.url("other_authorization"), account)
    assert_failed(report, "handshake_header", "authorization_replaced", "NO_TOKEN", "something has replaced it")


async def test_a_proxy_that_strips_the_subprotocol(proxies: Proxies, account: Account) -> None:
    report = await probed(proxies.url("no_subprotocol"), account)
    assert_failed(report, "handshake_subprotocol", "subprotocol_stripped", "browsers are locked out, programs are not")
    assert "did not echo" in " ".join(stage(report, "upgrade")["notes"])


async def test_sockets_that_are_refused_in_the_handshake(servers: Servers, account: Account) -> None:
    """REST tells what the socket does not."""
    report = await probed(servers.refusing.url, account)
    assert_passed(report)
    assert "NETRA_WS_REJECT=handshake" in " ".join(stage(report, "upgrade")["notes"])
    report = await probed(servers.refusing.url, token=account.token(user_id="0"))
    evidence = ("403", "NETRA_WS_REJECT=handshake", "INVALID_TOKEN: so REST said")
    assert_failed(report, "handshake_header", "token_of_another_key", *evidence)


async def test_a_name_that_is_not_allowed(proxies: Proxies, account: Account) -> None:
    report = await probed(proxies.url("other_name").replace(HOST, OTHER_HOST), account)
    assert_failed(report, "health", "host_not_allowed", "400", f"it is the name {OTHER_HOST} that it does not take")
    assert f"NETRA_ALLOWED_HOSTS={OTHER_HOST}" in report["failure"]["look_at"][0]


async def test_a_proxy_that_sends_another_name(proxies: Proxies, account: Account) -> None:
    report = await probed(proxies.url("other_host"), account)
    assert_failed(report, "health", "host_replaced", "400", "With Host: localhost")


async def test_a_page_of_a_foreign_origin(daphne: LiveServer, account: Account) -> None:
    report = await probed(daphne.url, account, origin="https://elsewhere.example")
    assert_failed(report, "refusal", "origin_not_allowed", "https://elsewhere.example is neither")
    assert "NETRA_ALLOWED_ORIGINS=https://elsewhere.example" in report["failure"]["look_at"][0]


# Broken: credentials ----------------------------------------------------------------------------------------


async def test_a_password_that_is_wrong(daphne: LiveServer, account: Account) -> None:
    report = await probed(daphne.url, username=account.username, password="another password")
    assert_failed(report, "token", "wrong_password", "INVALID_CREDENTIALS")


async def test_two_servers_of_different_keys_behind_one_address(proxies: Proxies, account: Account) -> None:
    report = await probed(proxies.url("two_keys"), account)
    evidence = ("INVALID_TOKEN", "REST (/api/me) takes the same token at the same address")
    assert_failed(report, "handshake_header", "different_keys", *evidence)


async def test_a_token_of_another_key(servers: Servers, account: Account) -> None:
    report = await probed(servers.lonely.url, token=account.token())
    assert_failed(report, "handshake_header", "token_of_another_key", "INVALID_TOKEN", "REST (/api/me) refuses it, too")


@pytest.mark.parametrize(
    ("changes", "name", "cause"),
    [
        ({"iat": AHEAD_SECONDS, "exp": AHEAD_SECONDS + 600}, "handshake_header", "clock_skew"),
        ({"exp": -60}, "handshake_header", "token_expired"),
    ],
)
async def test_a_token_of_another_time(
    daphne: LiveServer, account: Account, changes: dict[str, int], name: str, cause: str
) -> None:
    now = int(time.time())
    token = account.token(**{claim: now + seconds for claim, seconds in changes.items()})
    assert_failed(await probed(daphne.url, token=token), name, cause)


async def test_a_server_whose_clock_is_ahead(servers: Servers, account: Account) -> None:
    """By this machine's clock the token is valid, by the server's it has expired long ago."""
    report = await probed(servers.ahead.url, token=account.token())
    assert_failed(report, "handshake_header", "clock_skew", "TOKEN_EXPIRED", "By this machine's clock it is valid")


async def test_who_signs_in_has_another_clock_than_who_checks(proxies: Proxies, account: Account) -> None:
    report = await probed(proxies.url("two_clocks"), account)
    assert_failed(report, "handshake_header", "clock_skew", "INVALID_TOKEN", "a token of the future")
    [note] = stage(report, "token")["notes"]
    assert "ahead of this machine's" in note


async def test_what_is_no_token(daphne: LiveServer) -> None:
    assert_failed(await probed(daphne.url, token="nonsense"), "token", "not_a_token", "is not a JWT")


# Broken: services -------------------------------------------------------------------------------------------


async def test_no_worker(servers: Servers) -> None:
    report = await probed(servers.lonely.url, servers.lonely.add_user(), timeout=IMPATIENT)
    evidence = ("within 3 s", "REST says that the run is queued", '"worker": "degraded"')
    assert_failed(report, "events", "no_worker", *evidence)
    assert results(report)["ready"] == results(report)["services"] == "degraded"
    assert report["thread"] == "The thread of the probe was deleted"


async def test_no_redis_is_degraded_and_works(servers: Servers, account: Account) -> None:
    report = await probed(servers.without_redis.url, account)
    assert (report["result"], report["exit_status"], report["failure"]) == ("degraded", 0, None)
    assert results(report)["ready"] == results(report)["services"] == "degraded"
    assert "REDIS_URL" in " ".join(stage(report, "ready")["notes"])
    assert results(report)["events"] in ("passed", "degraded")
    assert results(report)["resume"] == "passed"


@pytest.mark.parametrize(
    ("server", "cause", "evidence"),
    [
        ("without_database", "database_missing", "PostgreSQL does not answer Netra"),
        ("without_supervisor", "supervisor_missing", "has not built the agent supervisor"),
        ("without_threads", "thread_service_missing", "has not built the thread service"),
    ],
)
async def test_a_service_is_missing(servers: Servers, account: Account, server: str, cause: str, evidence: str) -> None:
    report = await probed(getattr(servers, server).url, token=account.token())
    assert_failed(report, "ready", cause, "It names as missing", evidence)


async def test_a_handler_that_raises(servers: Servers, daphne: LiveServer) -> None:
    report = await probed(servers.faulty.url, daphne.add_user("failing"))
    assert_failed(report, "message", "handler_raised", "INTERNAL_ERROR")
    correlation_id = stage(report, "message")["facts"]["details"]["correlation_id"]
    assert correlation_id in " ".join(report["failure"]["look_at"])
    assert f"correlation_id={correlation_id}" in servers.faulty.log_text()


async def test_a_greeting_that_raises(servers: Servers, daphne: LiveServer) -> None:
    report = await probed(servers.faulty.url, daphne.add_user("broken"))
    assert_failed(report, "handshake_header", "greeting_failed", "SERVICE_UNAVAILABLE", "something raised in Netra")


# Broken: the system before ----------------------------------------------------------------------------------


async def test_a_server_that_accepts_and_never_greets(servers: Servers, account: Account) -> None:
    report = await probed(f"{servers.earlier.url}/silent", token=account.token(), timeout=IMPATIENT)
    evidence = (
        "connection_established did not come within 3 s",
        "The handshake was accepted",
        "/health did",
        "Without a token it answered NO_TOKEN",
    )
    assert_failed(report, "established", "silent_after_accept", *evidence)


async def test_a_server_that_closes_with_1011_at_the_first_message(servers: Servers, account: Account) -> None:
    report = await probed(f"{servers.earlier.url}/breaks", token=account.token())
    assert_failed(report, "message", "closed_1011", "closed after the first message, with 1011", "Netra never sends it")


async def test_a_server_that_lets_everybody_in(servers: Servers, account: Account) -> None:
    report = await probed(f"{servers.earlier.url}/open", token=account.token())
    assert_failed(report, "refusal", "let_in_without_token")


@pytest.mark.parametrize(
    ("fault", "evidence"), [("garbage", "JSONDecodeError"), ("welcome", "the first frame is welcome")]
)
async def test_a_server_that_speaks_something_else(
    servers: Servers, account: Account, fault: str, evidence: str
) -> None:
    report = await probed(f"{servers.earlier.url}/{fault}", token=account.token())
    assert_failed(report, "refusal", "not_protocol", evidence)


async def test_a_server_that_says_tokens_back_does_not_make_the_probe_show_them(
    servers: Servers, account: Account
) -> None:
    report = await probed(f"{servers.earlier.url}/echo", token=account.token())
    assert_failed(report, "handshake_header", "refused", "I do not like Bearer [hidden]")


# The command ------------------------------------------------------------------------------------------------


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """On a machine that has nothing of Netra's: no setting, and no folder to write to."""
    command = [sys.executable, str(REPOSITORY / "manage.py"), "probe", *arguments]
    environment |= {"PATH": os.environ["PATH"], "NETRA_DATA_DIR": "/proc/nobody/writes/here"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )


def test_the_command_prints_a_table_or_json(deployed: str, account: Account, tmp_path: Path) -> None:
    by_file = tmp_path / "password"
    by_file.write_text(f"{PASSWORD}\n")
    ran = manage(deployed, "--username", account.username, "--password-file", str(by_file))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "All stages passed." in ran.stdout
    words = [line.split()[0] for line in ran.stdout.splitlines() if line.strip()]
    assert [word for word in words if word in STAGES] == STAGES  # notes may stand between them
    ran = manage(deployed, "--username", account.username, "--json", NETRA_PROBE_PASSWORD=PASSWORD)
    report = json.loads(ran.stdout)
    assert_passed(report)
    assert ran.returncode == report["exit_status"] == 0
    assert all(isinstance(found["ms"], float) for found in report["stages"] if found["result"] == "passed")


def test_the_command_needs_no_settings_and_its_status_is_that_of_the_report() -> None:
    """Settings that would end a server's start are not read."""
    ran = manage(
        f"http://{HOST}:{free_port()}", NETRA_ENVIRONMENT="production", DJANGO_SETTINGS_MODULE="netra.settings"
    )
    assert ran.returncode == 1
    assert ran.stderr == ""
    assert "tcp failed: nothing_listens" in ran.stdout
    assert "→ The machine is there and refuses" in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["chat.example.org"], "must begin with http:// or https://"),
        (["http://host:port"], "its port is no port"),
        (["http://ann:secret@localhost"], "must hold no user name and no password"),
        (["http://localhost?a=b"], "without ? and #"),
        (["http://localhost", "--insecure"], "are for https:// only"),
        (["https://localhost", "--ca-file", "/nowhere"], "has no certificates that can be read"),
        (["http://localhost", "--token", "a", "--username", "b", "--password-file", "/dev/null"], "give one"),
        (["http://localhost", "--username", "ann"], "--password-file or NETRA_PROBE_PASSWORD"),
        (["http://localhost", "--username", "ann", "--password-file", "/nowhere"], "cannot be read"),
        (["http://localhost", "--timeout", "0"], "must be more than 0 seconds"),
    ],
)
def test_wrong_usage_has_a_status_of_its_own(
    arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(SystemExit) as ended:
        Command().run_from_argv(["manage.py", "probe", *arguments])
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert "secret" not in said.err
    assert said.out == ""
