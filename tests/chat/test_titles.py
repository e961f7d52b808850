"""Titles from the first exchange: made after the run, told to all tabs, and never over a person's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from channels.db import database_sync_to_async
from procrastinate.contrib.django.models import ProcrastinateJob
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, FunctionModel

from agents.definition import AgentDefinition
from agents.models.choice import Models
from agents.pydantic_agent import PydanticAgent
from chat.event_log import EventLog
from chat.jobs import TITLE_PRIORITY, TITLE_TASK
from chat.models import ModelRequest, Run, Thread, TitleOrigin
from chat.pool import DatabasePool
from chat.sweep import sweep_runs
from chat.threads import ThreadService
from netra.testing import Netra, eventually, rebuild, receive, send
from tests.chat.holding import answered, claimed, completed, failed, posted
from tests.chat.test_sweep import fetch, job_status, lose, worker
from tests.chat.test_tasks import stop_worker

QUESTION = "Hello, what is the weather in Rome?"
BY_RULE = "Weather in Rome"


class Model:
    """A model that answers at once, and says a title when it may."""

    def __init__(self, title: str = "Rain over Rome") -> None:
        self.title = title
        self.asked = asyncio.Event()
        self.may_say = asyncio.Event()
        self.may_say.set()
        models = Models(default="scripted", builders={"scripted": lambda: FunctionModel(stream_function=self._stream)})
        definition = AgentDefinition(name="assistant", description="Answers.", instructions="Answer.")
        self.agent = PydanticAgent(definition, models.choose("assistant"))

    async def _stream(self, _messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        if info.instructions != "Answer.":
            self.asked.set()
            await self.may_say.wait()
            yield self.title
        else:
            yield "It rains."


@pytest.fixture
def model(netra: Netra) -> Model:
    """The model of the only agent."""
    model = Model()
    netra.use_agents(model.agent)
    return model


@database_sync_to_async
def thread() -> Thread:
    return Thread.objects.get()


def title_jobs() -> list[tuple[str, bool]]:
    """State of every job that makes a title, and whether it repeats another, in the order of their making."""
    made = ProcrastinateJob.objects.filter(task_name=TITLE_TASK).order_by("id")
    return [(job.status, job.args["repeated"]) for job in made]


async def no_title_job_is_open() -> None:
    open_jobs = ProcrastinateJob.objects.filter(task_name=TITLE_TASK, status__in=("todo", "doing"))
    await eventually(database_sync_to_async(lambda: not open_jobs.exists()))


# What people see


async def test_a_thread_is_named_after_its_first_exchange_and_every_tab_is_told(netra: Netra, layer: str) -> None:
    ann, bob = await netra.user("ann"), await netra.user("bob")
    one, other, bobs = [await netra.connect(user) for user in (ann, ann, bob)]
    await netra.ask(one, QUESTION, agent="assistant")
    for tab in (one, other):
        if tab is other:
            assert (await receive(tab, "thread_created"))["thread"]["title"] == QUESTION
        notice = await receive(tab, "thread_updated")
        assert notice["thread"]["title"] == BY_RULE
        await send(tab, type="ping")
        assert (await receive(tab, "pong"))["threads_version"] == notice["threads_version"] == 2
    named = await thread()
    assert (named.title, named.title_origin) == (BY_RULE, TitleOrigin.EXCHANGE)
    await send(bobs, type="ping")
    assert (await receive(bobs))["type"] == "pong"


async def test_the_agents_model_words_the_title_and_its_cost_is_in_the_account(netra: Netra, model: Model) -> None:
    socket = await netra.connect(await netra.user("ann"))
    events = await netra.ask(socket, QUESTION)
    notice = await receive(socket, "thread_updated")
    assert notice["thread"]["title"] == "Rain over Rome"
    await no_title_job_is_open()
    spent = await database_sync_to_async(lambda: {each.agent: each for each in ModelRequest.objects.all()})()
    assert spent.keys() == {"assistant", "title"}
    run = await database_sync_to_async(Run.objects.get)()
    of_title = spent["title"]
    assert (of_title.model, of_title.outcome) == ("scripted", "completed")
    assert (of_title.user_id, of_title.thread_id, of_title.run_id) == (run.user_id, run.thread_id, run.id)
    assert of_title.output_tokens > 0
    assert events[-1]["data"]["usage"]["requests"] == 1, "a title is no part of the run"


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("", BY_RULE),
        (" \n\t ", BY_RULE),
        ("I would call this: " * 30, BY_RULE),
        ('# "Rain\tover Rome."\nand more', "Rain over Rome"),
        (
            "Rain over Rome, over Milan, over Venice, over Turin and Naples",
            "Rain over Rome, over Milan, over Venice",
        ),
        ("Rain\x00 over \ud83d Rome", "Rain\ufffd over \ufffd Rome"),
    ],
)
async def test_whatever_a_model_says_the_title_is_one_short_line(
    netra: Netra, model: Model, said: str, title: str
) -> None:
    model.title = said
    socket = await netra.connect(await netra.user("ann"))
    await netra.ask(socket, QUESTION)
    assert (await receive(socket, "thread_updated"))["thread"]["title"] == title


async def test_a_title_that_says_the_same_is_no_news(netra: Netra) -> None:
    socket = await netra.connect(await netra.user("ann"))
    await netra.ask(socket, "Quantum computing")
    await no_title_job_is_open()
    await send(socket, type="ping")
    assert (await receive(socket))["type"] == "pong"
    assert (await thread()).title_origin == TitleOrigin.EXCHANGE


async def test_the_run_ends_before_its_title_is_made_and_the_next_one_does_not_wait(netra: Netra, model: Model) -> None:
    model.may_say.clear()
    socket = await netra.connect(await netra.user("ann"))
    ended = await netra.ask(socket, QUESTION)
    await model.asked.wait()
    assert ended[-1]["type"] == "agent_completed"
    thread_id = ended[0]["thread_id"]
    assert (await netra.ask(socket, "And tomorrow?", thread_id=thread_id))[-1]["type"] == "agent_completed"
    assert (await thread()).title_origin == TitleOrigin.QUESTION
    model.may_say.set()
    await no_title_job_is_open()
    assert (await thread()).title == "Rain over Rome"


async def test_a_thread_is_named_once(netra: Netra, model: Model) -> None:
    socket = await netra.connect(await netra.user("ann"))
    first = await netra.ask(socket, QUESTION)
    await no_title_job_is_open()
    model.title = "Something else"
    await netra.ask(socket, "And tomorrow?", thread_id=first[0]["thread_id"])
    assert await database_sync_to_async(title_jobs)() == [("succeeded", False)]
    assert (await thread()).title == "Rain over Rome"


# A person's own title


def rename(service: ThreadService, user: Any, thread_id: Any) -> None:
    service.change_thread(user.pk, thread_id, title="My own")


def delete(service: ThreadService, user: Any, thread_id: Any) -> None:
    service.delete_thread(user.pk, thread_id)


@pytest.mark.parametrize(("change", "kind"), [(rename, "thread_updated"), (delete, "thread_deleted")])
async def test_what_a_person_does_while_the_title_is_made_wins(
    netra: Netra, model: Model, change: Callable[..., None], kind: str
) -> None:
    model.may_say.clear()
    ann = await netra.user("ann")
    socket = await netra.connect(ann)
    await netra.ask(socket, QUESTION)
    await model.asked.wait()
    await database_sync_to_async(change)(netra.chat.thread_service, ann, (await thread()).id)
    notice = await receive(socket, kind)
    model.may_say.set()
    await no_title_job_is_open()
    await send(socket, type="ping")
    pong = await receive(socket)
    assert (pong["type"], pong["threads_version"]) == ("pong", notice["threads_version"])
    assert (await thread()).title == ("My own" if change is rename else QUESTION)
    assert await database_sync_to_async(title_jobs)() == [("succeeded", False)]


@pytest.mark.usefixtures("transactional_db")
def test_the_write_itself_asks_whether_the_title_is_wanted(service: ThreadService, ann: Any, bob: Any) -> None:
    created = service.create_thread(ann.pk, "")
    Thread.objects.filter(id=created.id).update(title="What?", title_origin=TitleOrigin.QUESTION)
    assert not service.name_thread(bob.pk, created.id, "Not mine")
    assert service.name_thread(ann.pk, created.id, "An answer")
    assert not service.name_thread(ann.pk, created.id, "Once more")
    service.change_thread(ann.pk, created.id, title="My own")
    assert not service.name_thread(ann.pk, created.id, "Once more")
    named = Thread.objects.get()
    assert (named.title, named.title_origin) == ("My own", TitleOrigin.USER)


async def test_who_gave_the_title_is_kept(service: ThreadService, ann: Any) -> None:
    create, rename = (database_sync_to_async(each) for each in (service.create_thread, service.change_thread))
    given = await create(ann.pk, "Plans")
    assert given.title_origin == TitleOrigin.USER
    blank = await create(ann.pk, "")
    assert blank.title_origin == TitleOrigin.NONE
    await posted(service, ann, "What?", thread_id=given.id)
    await posted(service, ann, "What?", thread_id=blank.id)
    origins = database_sync_to_async(lambda: {each.title: each.title_origin for each in Thread.objects.all()})
    assert await origins() == {"Plans": TitleOrigin.USER, "What?": TitleOrigin.QUESTION}
    await rename(ann.pk, given.id, title="")
    assert await origins() == {"": TitleOrigin.NONE, "What?": TitleOrigin.QUESTION}


# Which runs make a title


async def test_only_a_completed_run_of_a_thread_without_a_title_of_its_own_makes_one(
    event_log: EventLog, service: ThreadService, ann: Any
) -> None:
    jobs = database_sync_to_async(title_jobs)
    own = await database_sync_to_async(service.create_thread)(ann.pk, "Plans")
    await answered(event_log, (await posted(service, ann, thread_id=own.id)).run_id, "An answer")
    assert await jobs() == []
    first = await posted(service, ann, QUESTION)
    await event_log.finish(await claimed(event_log, first.run_id), failed(), pending=[])
    assert await jobs() == []
    second = await posted(service, ann, "Once more", thread_id=first.thread_id)
    await answered(event_log, second.run_id, "An answer")
    assert await jobs() == [("todo", False)]
    made = await database_sync_to_async(ProcrastinateJob.objects.get)(task_name=TITLE_TASK)
    assert (made.args["run_id"], made.priority) == (second.run_id, TITLE_PRIORITY)


async def test_an_end_that_is_written_again_makes_no_second_job(
    event_log: EventLog, service: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the commit is lost, so the same end is tried again."""
    accepted = await posted(service, ann, QUESTION)
    run = await claimed(event_log, accepted.run_id)
    lost: list[bool] = []
    until_reached = DatabasePool.until_reached

    async def twice(self: DatabasePool, work: Callable[[], Any]) -> Any:
        result = await until_reached(self, work)
        if not lost:
            lost.append(True)
            return await until_reached(self, work)
        return result

    monkeypatch.setattr(DatabasePool, "until_reached", twice)
    await event_log.finish(run, completed(), pending=[])
    assert lost
    assert await database_sync_to_async(title_jobs)() == [("todo", False)]


# Workers that end


async def test_a_worker_that_is_told_to_end_leaves_the_title_to_the_next(netra: Netra, model: Model) -> None:
    model.may_say.clear()
    socket = await netra.connect(await netra.user("ann"))
    await netra.ask(socket, QUESTION)
    await model.asked.wait()
    ending = asyncio.create_task(stop_worker(netra))
    netra.application._engine.stop()
    netra.application._engine.stop()
    await ending
    assert await database_sync_to_async(title_jobs)() == [("todo", False)]
    model.may_say.set()
    netra.application.start()
    assert (await receive(socket, "thread_updated"))["thread"]["title"] == "Rain over Rome"


async def test_a_title_whose_worker_was_lost_is_tried_once_more(
    event_log: EventLog, service: ThreadService, ann: Any
) -> None:
    await answered(event_log, (await posted(service, ann, QUESTION)).run_id, "An answer")
    await database_sync_to_async(_lose_the_worker_twice)()
    assert (await thread()).title == QUESTION, "the first message's own"


def _lose_the_worker_twice() -> None:
    rebuild()
    ProcrastinateJob.objects.exclude(task_name=TITLE_TASK).update(status="succeeded")
    for repeated in (False, True):
        job_id = fetch(held_by := worker())
        sweep_runs()
        assert job_status(job_id) == "doing", "its worker is alive"
        lose(held_by)
        sweep_runs()
        sweep_runs()
        assert title_jobs() == [("failed", False), ("failed" if repeated else "todo", True)]


async def test_the_job_that_repeats_a_lost_one_makes_the_title(netra: Netra, model: Model) -> None:
    socket = await netra.connect(await netra.user("ann"))
    model.may_say.clear()
    await netra.ask(socket, QUESTION)
    await model.asked.wait()
    await database_sync_to_async(_take_from_its_worker)()
    model.may_say.set()
    await netra.chat.event_log.pool.until_reached(database_sync_to_async(sweep_runs))
    assert (await receive(socket, "thread_updated"))["thread"]["title"] == "Rain over Rome"
    await no_title_job_is_open()
    assert (await thread()).title_origin == TitleOrigin.EXCHANGE


def _take_from_its_worker() -> None:
    """The job is held by a worker that is gone."""
    gone = worker()
    ProcrastinateJob.objects.filter(task_name=TITLE_TASK).update(worker_id=gone)
    lose(gone)


async def test_a_job_whose_run_is_gone_ends(netra: Netra, model: Model) -> None:
    ann = await netra.user("ann")
    await stop_worker(netra)
    assert netra.chat.thread_service is not None
    accepted = await posted(netra.chat.thread_service, ann, QUESTION)
    await answered(netra.chat.event_log, accepted.run_id, "An answer")
    await database_sync_to_async(lambda: Run.objects.all().delete())()
    netra.application.start()
    await no_title_job_is_open()
    assert await database_sync_to_async(title_jobs)() == [("succeeded", False)]
    assert not model.asked.is_set()
