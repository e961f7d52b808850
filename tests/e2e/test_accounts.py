"""Accounts on two web processes, a worker, Redis and a mail server: what one process is told holds at the other."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.clients import connected, request, sign_in
from tests.cluster import Cluster
from tests.e2e.conftest import new_data_dir
from tests.e2e.ending import all_closed_after
from tests.processes import HOST, PATIENCE_SECONDS, until
from tests.smtp_server import SmtpServer

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def cluster(mails: SmtpServer) -> Iterator[Cluster]:
    settings: dict[str, Any] = {
        "registration": "open",
        "email_url": f"smtp://{HOST}:{mails.port}",
        "email_from": "netra@example.org",
        "public_url": "https://chat.example",
        "trusted_proxy": "true",
        "sweep_seconds": 1,
    }
    for folder in new_data_dir():
        with Cluster(folder, web=2, workers=1, **settings) as started:
            yield started
        for process in started.netra:
            assert not process.traceback(), process.traceback()


def ask(cluster: Cluster, at: int, method: str, path: str, *, access: str = "", body: object = None) -> Any:
    return request(cluster.web[at].url, method, path, token=access or None, body=body)


def registered(cluster: Cluster, name: str) -> dict[str, Any]:
    body = {"username": name, "email": f"{name}@example.org", "password": PASSWORD}
    answer = ask(cluster, 0, "POST", "/api/auth/register", body=body)
    assert answer.status == 201, answer.body
    tokens: dict[str, Any] = answer.body
    return tokens


async def test_signed_out_everywhere_is_signed_out_at_every_process(cluster: Cluster) -> None:
    registered(cluster, "ann")
    here, there = [sign_in(server.url, "ann", PASSWORD) for server in cluster.web]

    def end() -> None:
        assert ask(cluster, 1, "POST", "/api/me/sessions/end", access=here["access"]).status == 204

    await all_closed_after(cluster, there["access"], end)
    for at in (0, 1):
        for tokens in (here, there):
            assert ask(cluster, at, "GET", "/api/me", access=tokens["access"]).status == 401
            body = {"refresh": tokens["refresh"]}
            assert ask(cluster, at, "POST", "/api/auth/token/refresh", body=body).status == 401
    assert ask(cluster, 0, "GET", "/api/me", access=sign_in(cluster.url, "ann", PASSWORD)["access"]).status == 200


async def test_a_forgotten_password_is_chosen_anew_by_mail_and_ends_all_sessions(
    cluster: Cluster, mails: SmtpServer
) -> None:
    tokens = registered(cluster, "bob")
    for email in ("bob@example.org", "nobody@example.org"):
        answer = ask(cluster, 0, "POST", "/api/auth/password/reset", body={"email": email})
        assert (answer.status, answer.body) == (202, "")
    mail = await asyncio.to_thread(mails.wait_for_mail)
    assert mail.recipients == ("bob@example.org",)
    found = re.search(r"https://chat\.example/reset/([\w-]+)/([\w-]+)", mail.text)
    assert found is not None
    new = "staple correct horse"
    body = {"uid": found[1], "token": found[2], "password": new}

    def reset() -> None:
        assert ask(cluster, 1, "POST", "/api/auth/password/reset/confirm", body=body).status == 204

    await all_closed_after(cluster, tokens["access"], reset)
    assert sign_in(cluster.url, "BOB", new)
    assert mails.mails.empty()


def test_guesses_are_counted_over_all_processes(cluster: Cluster) -> None:
    registered(cluster, "carol")
    body = {"username": "carol", "password": "no"}
    statuses = [ask(cluster, at % 2, "POST", "/api/auth/token", body=body).status for at in range(7)]
    assert statuses == [401] * 5 + [429] * 2


async def test_a_deleted_account_is_gone_at_once_and_its_rows_soon(cluster: Cluster) -> None:
    tokens = registered(cluster, "dora")
    async with connected(cluster.web[0].url, tokens["access"]) as socket:
        await socket.ask("What is 6 * 7?")
    archive = zipfile.ZipFile(io.BytesIO(exported(cluster.web[0].url, tokens["access"])))
    other = zipfile.ZipFile(io.BytesIO(exported(cluster.web[1].url, tokens["access"])))
    assert archive.namelist() == other.namelist()
    [thread], [the_same] = (json.loads(each.read("threads.json")) for each in (archive, other))
    # Its title may have come between the two.
    assert (thread["messages"], thread["runs"]) == (the_same["messages"], the_same["runs"])
    assert [message["role"] for message in thread["messages"]] == ["user", "assistant"]
    assert thread["runs"][0]["events"][-1]["type"] == "agent_completed"

    def delete() -> None:
        assert ask(cluster, 0, "DELETE", "/api/me", access=tokens["access"], body={"password": PASSWORD}).status == 204

    await all_closed_after(cluster, tokens["access"], delete)
    for at in (0, 1):
        assert ask(cluster, at, "GET", "/api/threads", access=tokens["access"]).status == 401

    def is_removed() -> bool:
        with cluster.database() as database:
            tables = ("auth_user", "chat_thread", "chat_usercounters")
            counts = [
                _one(database, f"SELECT count(*) FROM {table} WHERE {_KEY[table]} = %s", user) for table in tables
            ]
            return counts == [0, 0, 0]

    user = json.loads(archive.read("profile.json"))["id"]
    await asyncio.to_thread(until, is_removed, what="the sweep")


_KEY = {"auth_user": "id", "chat_thread": "user_id", "chat_usercounters": "user_id"}


def _one(database: Any, query: str, *parameters: object) -> int:
    return int(database.execute(query, parameters).fetchone()[0])


def exported(url: str, access: str) -> bytes:
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_SECONDS)) as connection:
        connection.request("GET", "/api/me/export", headers={"Authorization": f"Bearer {access}"})
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/zip")
        return answer.read()


async def test_without_redis_nobody_stays_in(cluster: Cluster) -> None:
    """The last of this file: Redis is gone, nobody can be told, and who is asked has to look."""
    tokens = registered(cluster, "eve")
    cluster.redis.kill()

    def deactivate() -> None:
        with cluster.database() as database:
            database.execute("UPDATE auth_user SET is_active = false WHERE username = 'eve'")

    await all_closed_after(cluster, tokens["access"], deactivate)
    tokens = registered(cluster, "fay")

    def end() -> None:
        assert ask(cluster, 0, "POST", "/api/me/sessions/end", access=tokens["access"]).status == 204

    await all_closed_after(cluster, tokens["access"], end)
