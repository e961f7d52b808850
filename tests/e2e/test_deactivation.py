"""A person is deactivated, by whatever way, while sockets, streams and runs are open at two web processes: what ends,
how soon, and that nothing opens any more.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.admin_form import filled
from tests.clients import PASSWORD, Account, connected, refusal, request, sign_in
from tests.cluster import Cluster
from tests.e2e.conftest import new_data_dir
from tests.e2e.ending import all_closed_after
from tests.processes import REPOSITORY, until

BOTH = ["USER_INACTIVE", "INVALID_TOKEN"]
Way = Callable[[Cluster, Account], float]
SAVE = """
import time
from django.contrib.auth import get_user_model
user = get_user_model().objects.get(pk={pk})
user.is_active = False
began = time.monotonic()
user.save()
print("began", began)
"""
RUN = {"threadId": "t", "runId": "r", "messages": [{"id": "m", "role": "user", "content": "Hello"}]}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    for folder in new_data_dir():
        with Cluster(folder, web=2, workers=1, offline_tokens_per_second=4) as started:
            yield started
        for process in started.netra:
            assert not process.traceback(), process.traceback()


def by_sql(cluster: Cluster, account: Account) -> float:
    with cluster.database() as database:
        began = time.monotonic()
        database.execute("UPDATE auth_user SET is_active = false WHERE id = %s", [account.id])
    return began


def by_save(cluster: Cluster, account: Account) -> float:
    """By a program of somebody else's, in a process of its own."""
    command = [sys.executable, "manage.py", "shell", "-c", SAVE.format(pk=account.id)]
    environment = cluster.web[0]._environment()
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def by_the_admin_form(cluster: Cluster, account: Account) -> float:
    return in_the_administration(cluster, f"/admin/auth/user/{account.id}/change/", is_active=None)


def new_password(cluster: Cluster, account: Account) -> float:
    new = "staple correct horse"
    return in_the_administration(cluster, f"/admin/auth/user/{account.id}/password/", password1=new, password2=new)


def deletion(cluster: Cluster, account: Account) -> float:
    return in_the_administration(cluster, f"/admin/auth/user/{account.id}/delete/")


def in_the_administration(cluster: Cluster, path: str, **fields: str | None) -> float:
    """A form is sent as a browser would; returns when."""
    [root] = cluster.add_users(1, "root")
    with cluster.database() as database:
        database.execute("UPDATE auth_user SET is_staff = true, is_superuser = true WHERE id = %s", [root.id])
    with httpx.Client(base_url=cluster.web[1].url, follow_redirects=True) as browser:
        login = "/admin/login/?next=/admin/"
        form = filled(browser.get(login).text, username=root.username, password=PASSWORD)
        assert browser.post(login, data=form).is_success
        form = filled(browser.get(path).text, **fields)
        began = time.monotonic()
        answer = browser.post(path, data=form, follow_redirects=False)
        assert answer.status_code == 302, answer.text
    return began


async def runs_of(cluster: Cluster, access: str) -> list[str]:
    """One that goes on for long, one that waits behind it."""
    async with connected(cluster.web[0].url, access) as client:
        first = await client.post("help")
        await client.events(first["run_id"], to=["agent_response_chunk"])
        behind = await client.post("help", thread_id=first["thread_id"])
    return [first["run_id"], behind["run_id"]]


def statuses(cluster: Cluster, runs: list[str]) -> set[tuple[str, str]]:
    with cluster.database() as database:
        query = "SELECT status, cancelled_by FROM chat_run WHERE id = ANY(%s::uuid[])"
        return set(database.execute(query, [runs]).fetchall())


def are_cancelled(cluster: Cluster, runs: list[str]) -> bool:
    return statuses(cluster, runs) == {("cancelled", "deactivated")}


def last_end(cluster: Cluster, runs: list[str]) -> float:
    """When the last of them ended, by this process's clock."""
    with cluster.database() as database:
        query = "SELECT now() - max(finished_at) FROM chat_run WHERE id = ANY(%s::uuid[])"
        row = database.execute(query, [runs]).fetchone()
    assert row is not None
    return time.monotonic() - float(row[0].total_seconds())


@pytest.mark.parametrize("way", [by_sql, by_save, by_the_admin_form])
async def test_a_deactivated_person_is_out_everywhere(cluster: Cluster, way: Way) -> None:
    account, other = cluster.add_users(2)
    tokens, others = (sign_in(cluster.url, each.username, PASSWORD) for each in (account, other))
    mine, theirs = await runs_of(cluster, tokens["access"]), await runs_of(cluster, others["access"])
    began: list[float] = []

    def end() -> float:
        began.append(way(cluster, account))
        return began[0]

    async with connected(cluster.web[1].url, others["access"]) as bystander:
        seconds = await all_closed_after(cluster, tokens["access"], end)
        await asyncio.to_thread(until, lambda: are_cancelled(cluster, mine), what="the runs to end")
        told = f"connections closed after {seconds:.2f} s, runs after {last_end(cluster, mine) - began[0]:.2f} s"
        print(f"\n{way.__name__}: {told}")
        await bystander.ping()
    assert {status for status, _ in statuses(cluster, theirs)} <= {"running", "queued"}
    for server in cluster.web:
        await refused_everywhere(server.url, tokens, "USER_INACTIVE")


@pytest.mark.parametrize("way", [new_password, deletion])
async def test_what_else_happens_in_the_administration_closes_connections_too(cluster: Cluster, way: Way) -> None:
    [account] = cluster.add_users(1)
    tokens = sign_in(cluster.url, account.username, PASSWORD)
    seconds = await all_closed_after(cluster, tokens["access"], lambda: way(cluster, account))
    print(f"\n{way.__name__}: connections closed after {seconds:.2f} s")
    for server in cluster.web:
        # A deleted person is inactive until the sweep has removed the row.
        await refused_everywhere(server.url, tokens, *(["INVALID_TOKEN"] if way is new_password else BOTH))


async def test_signing_out_closes_the_connections_of_the_session_alone(cluster: Cluster) -> None:
    [account] = cluster.add_users(1)
    here, there = (sign_in(cluster.url, account.username, PASSWORD) for _ in range(2))

    def sign_out() -> None:
        body = {"refresh": here["refresh"]}
        assert request(cluster.web[1].url, "POST", "/api/auth/logout", body=body).status == 204

    async with connected(cluster.web[0].url, there["access"]) as other:
        seconds = await all_closed_after(cluster, here["access"], sign_out)
        print(f"\nsigning out: connections closed after {seconds:.2f} s")
        await other.ping()
    for server in cluster.web:
        await refused_everywhere(server.url, here, "INVALID_TOKEN")
        assert request(server.url, "GET", "/api/me", token=there["access"]).status == 200


async def refused_everywhere(url: str, tokens: dict[str, Any], *codes: str) -> None:
    """REST, a socket, a stream, AG-UI, and the refresh token."""
    access = tokens["access"]
    asked = [
        request(url, "GET", "/api/me", token=access),
        request(url, "GET", "/api/events", token=access, headers={"Accept": "text/event-stream"}),
        request(url, "POST", "/api/agents/assistant/ag-ui", token=access, body=RUN),
        request(url, "POST", "/api/agents/execute", token=access, body={"type": "assistant", "message": "Hello"}),
    ]
    assert [answer.status for answer in asked] == [401] * 4
    assert {answer.body["error_code"] for answer in asked} <= {*codes}
    refreshed = request(url, "POST", "/api/auth/token/refresh", body={"refresh": tokens["refresh"]})
    assert (refreshed.status, refreshed.body["error_code"]) == (401, "INVALID_TOKEN")
    error, close_code = await refusal(url, token=access)
    assert error["error_code"] in codes
    assert close_code == (4403 if error["error_code"] == "USER_INACTIVE" else 4401)
