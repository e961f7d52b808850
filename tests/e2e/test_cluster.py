"""Two web processes and two workers are one Netra: what is said to either holds at both, and races have one winner."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser import answers, ask, chromium, plain, profile, shown, sign_in
from tests.clients import Frame, assert_state_is_what_rest_shows, assert_whole
from tests.cluster import Cluster
from tests.cluster_users import clients_at, one_at_each, request_all
from tests.e2e.conftest import new_data_dir
from tests.held_model import BEGINNING, HeldModel, answer_to
from tests.probed import assert_passed, probed, stage
from tests.whereabouts import begin_on, job_statuses, jobs_have_ended, outcome_on, run_status

SLOW = 20  # tokens a second: an answer to "help" takes five seconds
MAX_OPEN_RUNS = 50
ROUNDS = 30
BROWSER_PATIENCE_MS = 30_000


def started(**settings: Any) -> Iterator[Cluster]:
    """No process of it may write a traceback."""
    for folder in new_data_dir():
        with Cluster(folder, **settings) as cluster:
            yield cluster
        for process in cluster.netra:
            assert not process.traceback(), process.traceback()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """The position check is so rare that what comes live comes over Redis."""
    yield from started(offline_tokens_per_second=SLOW, ws_position_check_seconds=15)


@pytest.fixture(scope="module")
def shared_model() -> Iterator[HeldModel]:
    with HeldModel() as model:
        yield model


@pytest.fixture(scope="module")
def held(shared_model: HeldModel) -> Iterator[Cluster]:
    """A cluster with a model that answers when a test wants it to."""
    yield from started(
        environment={"PATH": os.environ["PATH"], **shared_model.environment},
        model="openai:held",
        max_open_runs=MAX_OPEN_RUNS,
        user_messages_per_minute=6000,
    )


@pytest.fixture
def model(shared_model: HeldModel) -> Iterator[HeldModel]:
    shared_model.hold()
    yield shared_model
    shared_model.release()


def new_word() -> str:
    """To find the questions of one test by."""
    return uuid.uuid4().hex[:12]


def question(content: str, **fields: object) -> dict[str, Any]:
    return {"type": "user_message", "content": content, **fields}


def assert_cancelled(events: list[Frame], *, by: str) -> None:
    """Every event once, in order; at the end it is cancelled, and what was said until then stays."""
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "agent_cancelled"
    said = "".join(event["data"]["text"] for event in events if event["type"] == "agent_response_chunk")
    told = events[-1]["data"]
    assert (told["by"], told.get("message", {}).get("content", "")) == (by, said)


def rows(cluster: Cluster, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    with cluster.database() as connection:
        return connection.execute(query, parameters).fetchall()


# What one sees, all see ---------------------------------------------------------------------------------------


async def test_clients_at_both_web_processes_and_at_the_proxy_see_the_same_events_live(cluster: Cluster) -> None:
    [account] = cluster.add_users(1)
    async with clients_at([cluster.web[0].url, cluster.web[1].url, cluster.url], account) as clients:
        run_ids = [(await client.post("help"))["run_id"] for client in clients]
        for client in clients:
            for run_id in run_ids:
                await client.events(run_id, to=["agent_response_chunk"])
        assert [run_status(cluster, run_id) for run_id in run_ids] == ["running"] * 3
        for run_id in run_ids:
            first, *others = [await client.events(run_id) for client in clients]
            assert_whole(first)
            assert others == [first, first]
        for client, web in zip(clients, [*cluster.web, cluster.web[0]], strict=True):
            assert_state_is_what_rest_shows(web, account, client.state)


def test_two_pages_at_different_web_processes_show_an_answer_as_it_comes(cluster: Cluster) -> None:
    [account] = cluster.add_users(1)
    with chromium() as browser, profile(browser) as one, profile(browser) as other:
        pages = [one.new_page(), other.new_page()]
        for page, web in zip(pages, cluster.web, strict=True):
            sign_in(page, web.url, account)
        ask(pages[0], "thanks")
        pages[1].get_by_test_id("thread").click()
        for page in pages:
            expect(answers(page)).to_have_count(1, timeout=BROWSER_PATIENCE_MS)
        ask(pages[0], "help")
        for page in pages:
            expect(page.get_by_test_id("answer").last).to_contain_text("fixed rules", timeout=BROWSER_PATIENCE_MS)
            assert answers(page).count() == 1, "it is shown before it is whole"
        for page in pages:
            expect(answers(page)).to_have_count(2, timeout=BROWSER_PATIENCE_MS)
            expect(page.locator('[data-testid="message"]')).to_have_count(4)
        query = "SELECT content FROM chat_message WHERE user_id = %s AND role = 'assistant' ORDER BY id DESC LIMIT 1"
        [(stored,)] = rows(cluster, query, account.id)
        assert [shown(page, -1) for page in pages] == [plain(stored)] * 2


# Stopping -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("worker", [0, 1])
@pytest.mark.parametrize("web", [0, 1])
async def test_a_stop_at_either_web_process_reaches_the_run_on_either_worker(
    cluster: Cluster, web: int, worker: int
) -> None:
    async with one_at_each(cluster) as (account, *clients):
        watcher, stopper = clients[1 - web], clients[web]
        [run_id] = await begin_on(cluster, cluster.workers[worker], watcher, "help")
        reply = await stopper.request(type="stop_run", run_id=run_id)
        assert (reply["type"], reply["status"]) == ("run_stopped", "cancelled")
        events = await watcher.events(run_id)
        assert_cancelled(events, by="user")
        assert await outcome_on(cluster.workers[worker], run_id) in ("cancelled", "taken")
        await jobs_have_ended(cluster, run_id)

        again = await watcher.request(type="stop_run", run_id=run_id)
        assert (again["type"], again["status"]) == ("run_stopped", "cancelled")
        assert await stopper.events(run_id) == events
        await stopper.ask("thanks", thread_id=events[0]["thread_id"])
        assert stopper.events_of(run_id) == events
        assert_state_is_what_rest_shows(cluster.web[web], account, stopper.state)


async def test_stops_at_both_web_processes_at_once_end_a_run_once(cluster: Cluster) -> None:
    async with one_at_each(cluster) as (_, *clients):
        [run_id] = await begin_on(cluster, cluster.workers[0], clients[0], "help")
        replies = await request_all(clients, [{"type": "stop_run", "run_id": run_id}] * 8)
        assert {(reply["type"], reply["status"]) for reply in replies} == {("run_stopped", "cancelled")}
        for client in clients:
            assert_cancelled(await client.events(run_id), by="user")
        assert await outcome_on(cluster.workers[0], run_id) in ("cancelled", "taken")
        logged = rows(cluster, "SELECT type FROM chat_runevent WHERE run_id = %s ORDER BY seq", run_id)
        assert [type_ for (type_,) in logged] == [event["type"] for event in clients[0].events_of(run_id)]


@pytest.mark.parametrize("silence", ["mute", "wait"])
async def test_a_stop_reaches_a_run_whose_model_hangs(held: Cluster, model: HeldModel, silence: str) -> None:
    content = f"{silence} {new_word()}"
    async with one_at_each(held) as (_, one, other):
        begun = "agent_thinking" if silence == "mute" else "agent_response_chunk"
        [run_id] = await begin_on(held, held.workers[1], one, content, to=begun)
        await asyncio.to_thread(model.until, "begun", content)
        assert (await other.request(type="stop_run", run_id=run_id))["status"] == "cancelled"
        assert_cancelled(await one.events(run_id), by="user")
        await asyncio.to_thread(model.until, "abandoned", content)
        assert await outcome_on(held.workers[1], run_id) == "cancelled"
        await jobs_have_ended(held, run_id)


# A busy thread ------------------------------------------------------------------------------------------------


async def test_messages_to_a_busy_thread_are_answered_one_at_a_time_in_the_order_of_their_numbers(
    held: Cluster, model: HeldModel
) -> None:
    word = new_word()
    async with one_at_each(held) as (account, *clients):
        first = await clients[0].post(f"wait {word} 0")
        await asyncio.to_thread(model.until, "begun", f"wait {word} 0")
        following = [question(f"wait {word} {number}", thread_id=first["thread_id"]) for number in range(1, 7)]
        replies = [first, *await request_all(clients, following)]
        assert sorted(reply["run_number"] for reply in replies) == list(range(1, 8))
        assert model.asked(word) == [("begun", f"wait {word} 0")]

        model.release()
        in_order = sorted(replies, key=lambda reply: reply["run_number"])
        said = []
        for reply in in_order:
            events = await clients[1].events(reply["run_id"])
            assert_whole(events)
            said.append(events[0]["data"]["message"]["content"])
        assert said[0] == f"wait {word} 0"
        assert sorted(said) == [f"wait {word} {number}" for number in range(7)]
        assert model.asked(word) == [(happening, each) for each in said for happening in ("begun", "ended")]
        assert_state_is_what_rest_shows(held.web[0], account, clients[1].state)


async def test_an_interrupt_at_the_other_web_process_ends_all_that_is_open_in_one_step(
    held: Cluster, model: HeldModel
) -> None:
    word = new_word()
    async with one_at_each(held) as (account, one, other):
        first = await one.post(f"wait {word}")
        await one.events(first["run_id"], to=["agent_response_chunk"])
        thread = first["thread_id"]
        open_runs = [first, *[await client.post(f"{word} later", thread_id=thread) for client in (one, other)]]
        newest = await other.post(f"{word} now", thread_id=thread, when_busy="interrupt")

        for client in (one, other):
            for run in open_runs:
                assert_cancelled(await client.events(run["run_id"]), by="interrupt")
            answered = await client.events(newest["run_id"])
            assert_whole(answered)
            assert answered[-1]["data"]["message"]["content"] == BEGINNING + answer_to(f"{word} now")
        partial = one.events_of(first["run_id"])[-1]["data"]["message"]["content"]
        assert partial == BEGINNING
        await asyncio.to_thread(model.until, "abandoned", f"wait {word}")
        assert ("begun", f"{word} later") not in model.history
        committed = rows(
            held,
            """SELECT DISTINCT xmin::text FROM chat_runevent
               WHERE (run_id = ANY(%s::uuid[]) AND type = 'agent_cancelled') OR (run_id = %s AND seq = 1)""",
            [run["run_id"] for run in open_runs],
            newest["run_id"],
        )
        assert len(committed) == 1, "the cancelled runs and the new one are of one transaction"
        assert_state_is_what_rest_shows(held.web[0], account, other.state)


async def test_a_message_that_rejects_a_busy_thread_is_refused_at_the_other_web_process(
    held: Cluster, model: HeldModel
) -> None:
    word = new_word()
    async with one_at_each(held) as (account, one, other):
        first = await one.post(f"wait {word}")
        busy = question(f"{word} no", thread_id=first["thread_id"], when_busy="reject")
        refused = await other.request(**busy)
        assert (refused["type"], refused["error_code"]) == ("error_message", "RUN_ACTIVE")
        assert refused["details"] == {"run_ids": [first["run_id"]]}
        model.release()
        assert_whole(await other.events(first["run_id"]))
        accepted = await other.request(**busy)
        assert (accepted["type"], accepted["run_number"]) == ("message_accepted", 2)
        assert_whole(await one.events(accepted["run_id"]))
        assert rows(held, "SELECT count(*) FROM chat_message WHERE user_id = %s", account.id) == [(4,)]


# Races --------------------------------------------------------------------------------------------------------


async def test_of_a_hundred_messages_at_once_exactly_as_many_as_may_be_open_are_accepted(
    held: Cluster, model: HeldModel
) -> None:
    word = new_word()
    [account] = held.add_users(1)
    async with clients_at([web.url for web in held.web] * 8, account) as clients:
        posts = [question(f"wait {word} {number}") for number in range(2 * MAX_OPEN_RUNS)]
        replies = await request_all(clients, posts)
        accepted = [reply for reply in replies if reply["type"] == "message_accepted"]
        refused = [reply for reply in replies if reply["type"] == "error_message"]
        assert sorted(reply["run_number"] for reply in accepted) == list(range(1, MAX_OPEN_RUNS + 1))
        assert [reply["error_code"] for reply in refused] == ["TOO_MANY_RUNS"] * MAX_OPEN_RUNS

        whole = rows(
            held,
            """SELECT r.run_number, m.run_number, m.message_id::text, r.id::text, t.id::text, e.seq, j.id IS NOT NULL
               FROM chat_run r JOIN chat_message m ON m.id = r.input_message_id JOIN chat_thread t ON t.id = r.thread_id
               LEFT JOIN chat_runevent e ON e.run_id = r.id AND e.type = 'message_created'
               LEFT JOIN procrastinate_jobs j ON j.id = r.job_id WHERE r.user_id = %s ORDER BY r.run_number""",
            account.id,
        )
        accepted.sort(key=lambda reply: reply["run_number"])
        assert whole == [
            (number, number, reply["message_id"], reply["run_id"], reply["thread_id"], 1, True)
            for number, reply in enumerate(accepted, start=1)
        ]
        of_user = "SELECT count(*) FROM {} WHERE user_id = %s"
        for table in ("chat_thread", "chat_message", "chat_run"):
            assert rows(held, of_user.format(table), account.id) == [(MAX_OPEN_RUNS,)], table
        counted = "SELECT last_run_number FROM chat_usercounters WHERE user_id = %s"
        assert rows(held, counted, account.id) == [(MAX_OPEN_RUNS,)]

        model.release()
        for reply in accepted:
            assert_whole(await clients[0].events(reply["run_id"]))
            assert len(job_statuses(held, reply["run_id"])) == 1
        assert_whole(await clients[1].ask(f"{word} again"))


async def test_fifty_messages_at_once_in_one_thread_are_answered_one_at_a_time_in_order(
    held: Cluster, model: HeldModel
) -> None:
    word = new_word()
    model.release()
    [account] = held.add_users(1)
    async with clients_at([web.url for web in held.web] * 5, account) as clients:
        thread = (await clients[0].ask("A thread"))[0]["thread_id"]
        posts = [question(f"{word} {number}", thread_id=thread) for number in range(50)]
        replies = await request_all(clients, posts)
        assert sorted(reply["run_number"] for reply in replies) == list(range(2, 52))
        said = {}
        for reply, post in zip(replies, posts, strict=True):
            events = await clients[-1].events(reply["run_id"])
            assert_whole(events)
            assert events[0]["data"]["message"]["content"] == post["content"]
            assert events[-1]["data"]["message"]["content"] == BEGINNING + answer_to(post["content"])
            said[reply["run_number"]] = post["content"]
        in_order = [said[number] for number in range(2, 52)]
        assert model.asked(word) == [(happening, each) for each in in_order for happening in ("begun", "ended")]
        page = f"/api/threads/{thread}/messages?limit=100"
        shown_by_rest = held.web[1].http("GET", page, token=account.token()).body["messages"]
        assert [message["content"] for message in shown_by_rest] == [
            text for each in in_order for text in (each, BEGINNING + answer_to(each))
        ]


async def test_one_message_id_at_both_web_processes_at_once_is_one_message(held: Cluster, model: HeldModel) -> None:
    model.release()
    async with one_at_each(held) as (account, *clients):
        for number in range(ROUNDS):
            post = question(f"Round {number}", message_id=str(uuid.uuid4()))
            one, other = [
                {name: value for name, value in reply.items() if name != "ref"}
                for reply in await request_all(clients, [post, post])
            ]
            assert one == other
            assert (one["type"], one["message_id"], one["run_number"]) == (
                "message_accepted",
                post["message_id"],
                number + 1,
            )
            assert_whole(await clients[number % 2].events(one["run_id"]))
        counts = """SELECT (SELECT count(*) FROM chat_run WHERE user_id = %s),
                           (SELECT count(*) FROM chat_thread WHERE user_id = %s)"""
        assert rows(held, counts, account.id, account.id) == [(ROUNDS, ROUNDS)]


async def test_one_message_id_with_two_contents_at_once_is_the_message_of_one_of_them(
    held: Cluster, model: HeldModel
) -> None:
    model.release()
    async with one_at_each(held) as (account, *clients):
        for number in range(ROUNDS):
            message_id = str(uuid.uuid4())
            posts = [question(f"Round {number} {side}", message_id=message_id) for side in ("left", "right")]
            replies = await request_all(clients, posts)
            assert Counter(reply.get("error_code", reply["type"]) for reply in replies) == {
                "message_accepted": 1,
                "MESSAGE_ID_CONFLICT": 1,
            }
            [(winner, post)] = [(reply, post) for reply, post in zip(replies, posts, strict=True) if "run_id" in reply]
            events = await clients[number % 2].events(winner["run_id"])
            assert_whole(events)
            assert events[0]["data"]["message"]["content"] == post["content"]
        assert rows(held, "SELECT count(*) FROM chat_run WHERE user_id = %s", account.id) == [(ROUNDS,)]


async def test_the_probe_passes_and_reads_on_after_its_drop_in_mid_run(cluster: Cluster) -> None:
    report = await probed(cluster.url, cluster.add_users(1)[0])
    assert_passed(report)
    resumed = stage(report, "resume")
    assert resumed["facts"]["resumed"]["status"] == "running"
    assert resumed["facts"]["after"] > 10
    assert resumed["notes"] == []
