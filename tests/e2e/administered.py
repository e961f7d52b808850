"""A server with something to administer, and the pages of its administration: for pictures, and what holds in each."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

from playwright.sync_api import Page

from tests.clients import PASSWORD, Account
from tests.e2e.applications.showcase import GO, LONG, SHORT
from tests.e2e.conftest import inherited, new_data_dir
from tests.e2e.page_states import CALCULATION, USAGE, WEB_PAGE
from tests.live import LiveServer

PEOPLE = ("ada", "grace", "mary", "katherine", "dorothy", "annie", "radia")

# What was asked of models in the week before, so that there is something to compare.
_REQUESTS: LiteralString = """
    INSERT INTO chat_modelrequest (id, user_id, agent, model, provider, outcome, error, input_tokens, output_tokens,
                                   cache_read_tokens, cache_write_tokens, estimated, cost_usd, duration_ms, started_at)
    SELECT gen_random_uuid(), (%(users)s::int[])[1 + n %% cardinality(%(users)s::int[])],
           (ARRAY['assistant', 'data', 'triage'])[1 + n %% 3], 'gpt-5-mini', 'openai',
           CASE WHEN n %% 23 = 0 THEN 'failed' ELSE 'completed' END, '', 900 + n %% 700, 150 + n %% 90, 0, 0, false,
           0.0021 * (1 + n %% 7), 800 + n, now() - make_interval(mins => n * n / 9)
    FROM generate_series(1, 290) n
"""

# Ada has limits of her own, and signs in elsewhere, too.
_ADA: tuple[LiteralString, ...] = (
    "INSERT INTO chat_allowance (user_id, runs_per_day, cost_usd_per_day) VALUES (%(ada)s, 40, 2.5)",
    """INSERT INTO chat_identitylink (user_id, provider, subject, created_at, last_used_at)
       VALUES (%(ada)s, 'https://id.example.org', '0oa1f7', now() - interval '30 days', now() - interval '1 hour')""",
)


@dataclass
class Administered:
    """`ids` are those that pages are about, by the name of the thing."""

    server: LiveServer
    root: Account
    clerk: Account
    ids: dict[str, str]

    def pages(self) -> dict[str, str]:
        """Name and address of each kind of page."""
        ids = self.ids
        return {
            "overview": "",
            "threads": "chat/thread/",
            "threads-none": "chat/thread/?q=nothing-like-that",
            "thread": f"chat/thread/{ids['thread']}/change/",
            "thread-timeline": f"chat/thread/{ids['triage_thread']}/change/?run={ids['triage_run']}",
            "thread-failed": f"chat/thread/{ids['failed_thread']}/change/",
            "runs": "chat/run/",
            "run": f"chat/run/{ids['triage_run']}/change/",
            "run-waiting": f"chat/run/{ids['waiting_run']}/change/",
            "approvals": "chat/approval/",
            "feedback": "chat/messagefeedback/",
            "agents": "agents/",
            "model-requests": "chat/modelrequest/",
            "people": "auth/user/",
            "person": f"auth/user/{ids['ada']}/change/",
            "erase": f"auth/user/{ids['ada']}/delete/",
            "password": f"auth/user/{ids['ada']}/password/",
            "groups": "auth/group/",
            "group": "auth/group/add/",
            "audit": "chat/auditentry/",
            "own-password": "password_change/",
        }

    def address(self, page: str) -> str:
        return f"{self.server.url}/admin/{page}"


def sign_in(page: Page, administered: Administered, account: Account) -> None:
    page.goto(administered.address("login/?next=/admin/"))
    page.locator("#id_username").fill(account.username)
    page.locator("#id_password").fill(PASSWORD)
    page.locator("#login-form button[type=submit]").click()
    page.wait_for_url(administered.address(""))


@contextmanager
def administered() -> Iterator[Administered]:
    for folder in new_data_dir():
        go = folder / "go"
        go.touch()
        server = LiveServer(folder, agents="tests.e2e.applications.showcase:AGENTS")
        server.inherited = inherited(**{GO: str(go)})
        with server:
            root, clerk = named(server, "root"), named(server, "clerk")
            with server.database() as connection:
                connection.execute(
                    "UPDATE auth_user SET is_staff = true, is_superuser = %s WHERE id = %s", (True, root.id)
                )
                connection.execute("UPDATE auth_user SET is_staff = true WHERE id = %s", (clerk.id,))
            server.manage("support_group", "--add", "clerk")
            people = [named(server, name) for name in PEOPLE]
            # On a thread of its own: Playwright's loop runs on this one.
            with ThreadPoolExecutor(1) as thread:
                ids = thread.submit(asyncio.run, _converse(server, people[0], people[1])).result()
            with server.database() as connection:
                connection.execute(_REQUESTS, {"users": [person.id for person in people]})
                for statement in _ADA:
                    connection.execute(statement, {"ada": people[0].id})
            yield Administered(server, root, clerk, {"ada": str(people[0].id), **ids})


def named(server: LiveServer, name: str) -> Account:
    account = dataclasses.replace(server.add_user(), username=name)
    with server.database() as connection:
        connection.execute(
            "UPDATE auth_user SET username = %s, email = %s WHERE id = %s", (name, f"{name}@example.org", account.id)
        )
    return account


async def _converse(server: LiveServer, ada: Account, grace: Account) -> dict[str, str]:
    ids: dict[str, str] = {}
    async with server.connect(ada) as client:
        # A session is listed where it began by signing in.
        signed_in: Any = {"username": ada.username, "password": PASSWORD}
        assert server.http("POST", "/api/auth/token", body=signed_in).status == 200
        events = await client.ask(CALCULATION, agent="assistant")
        ids["thread"], question = events[0]["thread_id"], events[0]["data"]["message"]["id"]
        await client.ask("What is 15 % of 2480?", agent="assistant", thread_id=ids["thread"], edits=question)
        await client.ask(LONG, agent="writer", thread_id=ids["thread"])
        await client.ask(SHORT, agent="writer", thread_id=ids["thread"])
        events = await client.ask(USAGE, agent="triage")
        ids |= {"triage_thread": events[0]["thread_id"], "triage_run": events[0]["run_id"]}
        answer = events[-1]["data"]["message"]["id"]
    async with server.connect(grace) as client:
        events = await client.ask("Which of the three servers is slow?", agent="unlucky")
        ids |= {"failed_thread": events[0]["thread_id"], "failed_run": events[0]["run_id"]}
        await client.ask("And the third one?", agent="unlucky", thread_id=ids["failed_thread"])
        accepted = await client.post(WEB_PAGE, agent="assistant")
        await client.events(accepted["run_id"], to=("approval_required",))
        ids["waiting_run"] = accepted["run_id"]
    rated: Any = {"rating": "down", "text": "It left out Thursday."}
    assert server.http("PUT", f"/api/messages/{answer}/feedback", token=ada.token(), body=rated).status == 200
    return ids
