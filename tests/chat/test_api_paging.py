"""Lists that change while somebody reads them, page after page: nothing is shown twice, and nothing else is hidden."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterator
from typing import Any, cast

import hypothesis
import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.test import Client
from hypothesis import HealthCheck
from hypothesis import strategies as st

from chat.apps import ChatConfig
from chat.branches import adopt_waiting, end_of
from chat.models import Message, Role, Run, RunEvent, RunStatus, Thread
from chat.protocol import MessageAccepted, Regenerate, UserMessage
from chat.run_event import now
from chat.threads import ThreadService
from chat.tokens import AccessToken
from netra.testing import rebuild

pytestmark = pytest.mark.django_db

examples = hypothesis.settings(
    max_examples=15,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
Change = Callable[[], object]


class Reader:
    """A person with a thread service, who reads lists over REST."""

    def __init__(self) -> None:
        rebuild()
        service = cast("ChatConfig", apps.get_app_config("chat")).thread_service
        assert service is not None
        self.service: ThreadService = service
        self.user = get_user_model().objects.create_user("ann")
        self._client = Client(headers={"Authorization": f"Bearer {AccessToken.for_user(self.user)}"})

    def forget_everything(self) -> None:
        Run.objects.all().delete()
        Thread.objects.all().delete()

    def pages(self, path: str, rows: str, cursor: str, following: str, **query: Any) -> Iterator[list[dict[str, Any]]]:
        while True:
            answer = self._client.get(f"/api/{path}", query)
            assert answer.status_code == 200, answer.content
            page = answer.json()
            yield page[rows]
            if page[following] is None:
                return
            query |= {cursor: page[following]}

    # What happens meanwhile

    def thread(self, at: datetime.datetime) -> uuid.UUID:
        return Thread.objects.create(user=self.user, title="Talk", created_at=at, updated_at=at).id

    def say(self, thread_id: Any, **fields: Any) -> MessageAccepted:
        command = UserMessage(type="user_message", content="Hello", thread_id=thread_id, **fields)
        return self.service.post_message(self.user.pk, command)

    def answered(self, accepted: MessageAccepted) -> None:
        run = Run.objects.select_related("input_message").get(id=accepted.run_id)
        run.output_message = Message.objects.create(
            user_id=run.user_id,
            thread_id=run.thread_id,
            parent=run.input_message,
            role=Role.ASSISTANT,
            content="Yes",
            run_number=run.run_number,
            created_at=now(),
        )
        run.status, run.finished_at = RunStatus.COMPLETED, now()
        run.save()
        adopt_waiting(run.output_message)

    def branch(self, thread_id: str) -> list[str]:
        """The newest, from its beginning."""
        message = end_of(Thread.objects.get(id=thread_id))
        names: list[str] = []
        while message is not None:
            names.insert(0, str(message.message_id))
            message = message.parent
        return names

    def delete(self, thread_id: Any) -> None:
        self.service.delete_thread(self.user.pk, thread_id)


@pytest.fixture
def reader() -> Reader:
    return Reader()


def read(data: st.DataObject, pages: Iterator[list[dict[str, Any]]], changes: Callable[[], list[Change]]) -> list[str]:
    """The ids on all pages, while up to three of the changes happen before each of the next ones."""
    shown: list[str] = []
    for page in pages:
        shown += [str(row["id"]) for row in page]
        for _ in range(data.draw(st.integers(0, 3))):
            if possible := changes():
                data.draw(st.sampled_from(possible))()
    assert len(shown) == len(set(shown)), "nothing is shown twice"
    return shown


@examples
@hypothesis.given(st.data())
def test_threads_that_nobody_touches_are_all_shown_once(reader: Reader, data: st.DataObject) -> None:
    reader.forget_everything()
    at = now()
    # Some of them were written in at the same moment.
    ages = data.draw(st.lists(st.integers(0, 3), max_size=12))
    before = [reader.thread(at - datetime.timedelta(seconds=age)) for age in ages]
    touched: set[uuid.UUID] = set()

    def change(thread_id: uuid.UUID) -> list[Change]:
        def put_away() -> None:
            reader.service.change_thread(reader.user.pk, thread_id, archived=True)
            touched.add(thread_id)

        def write() -> None:
            accepted = reader.say(thread_id)
            reader.service.stop_run(reader.user.pk, uuid.UUID(accepted.run_id))
            touched.add(thread_id)

        def delete() -> None:
            reader.delete(thread_id)
            touched.add(thread_id)

        def rename() -> None:
            reader.service.change_thread(reader.user.pk, thread_id, title="Another name")

        return [put_away, write, delete, rename]

    def changes() -> list[Change]:
        listed = [thread.id for thread in reader.service.find_threads(reader.user.pk, archived=False, search="")]
        return [lambda: reader.thread(now()), *(each for thread_id in listed for each in change(thread_id))]

    limit = data.draw(st.integers(1, 4))
    shown = read(data, reader.pages("threads", "threads", "cursor", "next", limit=limit), changes)
    order = sorted(zip(ages, before, strict=True), key=lambda each: (-each[0], each[1]), reverse=True)
    untouched = [str(thread_id) for _, thread_id in order if thread_id not in touched]
    assert [thread_id for thread_id in shown if thread_id in untouched] == untouched


@examples
@hypothesis.given(st.data())
def test_a_branch_is_read_whole_while_others_grow_beside_it(reader: Reader, data: st.DataObject) -> None:
    reader.forget_everything()
    thread_id = str(reader.thread(now()))
    asked: list[uuid.UUID] = []
    for _ in range(data.draw(st.integers(1, 5))):
        edits = data.draw(st.sampled_from([None, *asked]))
        asked.append(uuid.UUID((accepted := reader.say(thread_id, edits=edits)).message_id))
        reader.answered(accepted)
    waiting = [reader.say(thread_id) for _ in range(data.draw(st.integers(0, 2)))]
    before = reader.branch(thread_id)
    begun = Run.objects.filter(user=reader.user).count()

    def changes() -> list[Change]:
        if Run.objects.filter(user=reader.user).count() >= begun + 6:
            return []
        possible: list[Change] = [
            lambda: waiting.append(reader.say(thread_id)),
            lambda: waiting.append(reader.say(thread_id, edits=asked[0])),
        ]
        if waiting:
            possible.append(lambda: reader.answered(waiting.pop(0)))
        else:
            again = Regenerate(type="regenerate", message_id=asked[-1])
            possible.append(lambda: waiting.append(reader.service.regenerate(reader.user.pk, again)))
        return possible

    limit = data.draw(st.integers(1, 3))
    pages = (
        page[::-1]
        for page in reader.pages(f"threads/{thread_id}/messages", "messages", "before", "previous", limit=limit)
    )
    shown = read(data, pages, changes)[::-1]
    assert [message_id for message_id in shown if message_id in before] == before
    late = Message.objects.filter(message_id__in=set(shown) - set(before))
    assert {message.role for message in late} <= {Role.ASSISTANT}, "answers to questions that waited"


@examples
@hypothesis.given(st.data())
def test_runs_are_all_shown_once_whatever_becomes_of_them(reader: Reader, data: st.DataObject) -> None:
    reader.forget_everything()
    gone: set[str] = set()
    threads = [str(reader.thread(now())) for _ in range(3)]
    for place in data.draw(st.lists(st.integers(0, 2), max_size=9)):
        reader.answered(reader.say(threads[place]))
    runs = Run.objects.filter(user=reader.user).order_by("-run_number")
    before = [(str(run.id), str(run.thread_id)) for run in runs]

    def delete(thread_id: str) -> None:
        reader.delete(uuid.UUID(thread_id))
        gone.add(thread_id)

    def changes() -> list[Change]:
        left = [thread_id for thread_id in threads if thread_id not in gone]
        deletions: list[Change] = [lambda thread_id=thread_id: delete(thread_id) for thread_id in left]  # type: ignore[misc]
        more: list[Change] = [
            lambda thread_id=thread_id: reader.answered(reader.say(thread_id))  # type: ignore[misc]
            for thread_id in left
        ]
        return [*deletions, *more]

    limit = data.draw(st.integers(1, 4))
    shown = read(data, reader.pages("runs", "runs", "cursor", "next", limit=limit), changes)
    kept = [run_id for run_id, thread_id in before if thread_id not in gone]
    assert [run_id for run_id in shown if run_id in kept] == kept


@examples
@hypothesis.given(st.data())
def test_events_are_all_shown_once_while_their_run_goes_on(reader: Reader, data: st.DataObject) -> None:
    reader.forget_everything()
    run = Run.objects.get(id=reader.say(reader.thread(now())).run_id)

    def goes_on() -> None:
        run.last_seq += 1
        RunEvent.objects.create(
            run=run,
            seq=run.last_seq,
            type="agent_response_chunk",
            agent="assistant",
            data={"message_id": str(uuid.uuid4()), "text": "."},
            created_at=now(),
        )
        run.save(update_fields=["last_seq"])

    for _ in range(data.draw(st.integers(0, 6))):
        goes_on()
    before = run.last_seq
    limit = data.draw(st.integers(1, 3))
    pages = reader.pages(f"runs/{run.id}/events", "events", "after", "next", limit=limit)
    numbered = ([{"id": event["seq"]} for event in page] for page in pages)
    shown = read(data, numbered, lambda: [goes_on] if run.last_seq < before + 6 else [])
    assert shown == [str(seq) for seq in range(1, len(shown) + 1)]
    assert len(shown) >= before
