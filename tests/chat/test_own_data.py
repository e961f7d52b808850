"""Everything that is kept about a person, as one archive: whole, of nobody else, bounded in memory."""

from __future__ import annotations

import io
import json
import tracemalloc
import uuid
import zipfile
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile
from django.db import OperationalError
from django.test import AsyncClient

from chat import attachments, removal, sessions
from chat.api import own_data
from chat.archive import zipped
from chat.models import Attachment, AuditEntry, Message, ModelRequest, Note, Run, RunEvent, Thread
from chat.publisher import Publisher
from chat.run_event import now
from chat.threads import ThreadService
from chat.tokens import AccessToken
from tests.answers import assert_answer_conforms
from tests.chat.holding import claimed, event, posted
from tests.chat.test_removal import everything_of

EXPORT = "/api/me/export"


async def export(user: Any) -> Any:
    """The answer, as a server sends it: its pieces are asked for one after the other."""
    return await AsyncClient().get(EXPORT, headers={"Authorization": f"Bearer {AccessToken.for_user(user)}"})


async def content_of(answer: Any) -> bytes:
    return b"".join([piece async for piece in answer.streaming_content])


def read(archive: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        return {name: json.loads(opened.read(name)) for name in opened.namelist()}


@database_sync_to_async
def files_of(user: Any) -> dict[str, Any]:
    return read(b"".join(zipped(own_data.files_of(user.pk), at=now())))


async def test_the_archive_has_everything_and_nothing_of_others(service: ThreadService, ann: Any, bob: Any) -> None:
    for user in (ann, bob):
        await everything_of(service, user)
    await database_sync_to_async(get_user_model().objects.filter(pk=ann.pk).update)(email="ann@example.org")
    answer = await export(ann)
    assert (answer.status_code, answer["Content-Disposition"]) == (200, 'attachment; filename="netra.zip"')
    assert answer["Cache-Control"] == "no-store"
    assert_answer_conforms("GET", EXPORT, 200, answer.headers, b"zip")
    found = read(await content_of(answer))
    assert (found["profile.json"]["username"], found["profile.json"]["email"]) == ("ann", "ann@example.org")
    assert found["profile.json"]["default_agent"] == "data"
    assert [note["content"] for note in found["notes.json"]] == ["I live in Lisbon"]
    assert [request["model"] for request in found["model_requests.json"]] == ["m"]
    assert [session["ended"] for session in found["sessions.json"]] == [False, False]
    assert found["sessions.json"][0]["agent"] == "a browser"
    text = json.dumps(found)
    assert "bob" not in text
    assert "token" not in json.dumps(found["sessions.json"])
    await database_sync_to_async(_compare)(ann, found["threads.json"])


def _compare(user: Any, threads: list[dict[str, Any]]) -> None:
    """What is in the archive is what the tables have."""
    assert {thread["thread"]["id"] for thread in threads} == {str(t.id) for t in Thread.objects.filter(user=user)}
    messages = [message for thread in threads for message in thread["messages"]]
    stored = Message.objects.filter(user=user).select_related("parent")
    assert sorted((m["id"], m["content"], m["parent_id"]) for m in messages) == sorted(
        (str(m.message_id), m.content, str(m.parent.message_id) if m.parent else None) for m in stored
    )
    assert [message["feedback"] for message in messages if message["feedback"]] == [{"rating": "up", "text": ""}]
    runs = [run for thread in threads for run in thread["runs"]]
    assert {run["id"] for run in runs} == {str(run.id) for run in Run.objects.filter(user=user)}
    events = [(run["id"], e["seq"], e["type"], e["data"]) for run in runs for e in run["events"]]
    assert events == [
        (run["id"], e.seq, e.type, e.data)
        for run in runs
        for e in RunEvent.objects.filter(run=run["id"]).order_by("seq")
    ]
    assert [approval["tool"] for thread in threads for approval in thread["approvals"]] == ["t"]


async def test_pages_leave_nothing_out_and_repeat_nothing(
    service: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await everything_of(service, ann)
    run_id = (await posted(service, ann)).run_id
    held = await claimed(service.event_log, run_id)
    await service.event_log.append(held, [event("agent_thinking", step=number, text="") for number in range(9)])
    await database_sync_to_async(_more)(ann)
    whole = await files_of(ann)
    for page, size in ((1, 1), (2, 10), (3, 10**6)):
        monkeypatch.setattr(own_data, "PAGE", page)
        monkeypatch.setattr(own_data._by_key, "__kwdefaults__", {"page": page})
        monkeypatch.setattr(own_data, "LARGE_PAGE", page)
        monkeypatch.setattr(own_data, "PAGE_BYTES", size)
        assert await files_of(ann) == whole


def _more(user: Any) -> None:
    at = now()
    for number in range(7):
        Note.objects.create(user=user, content=str(number), created_at=at)
        ModelRequest.objects.create(
            user=user, agent="a", model=str(number), outcome="completed", duration_ms=1, started_at=at
        )


async def test_a_person_with_nothing_has_a_whole_archive(ann: Any) -> None:
    found = await files_of(ann)
    assert found.pop("profile.json")["username"] == "ann"
    lists = ("sessions", "threads", "attachments", "notes", "model_requests")
    assert found == {f"{name}.json": [] for name in lists}


async def test_files_are_in_it_by_their_ids(ann: Any, bob: Any) -> None:
    @database_sync_to_async
    def stored(user: Any, content: bytes) -> Attachment:
        return attachments.store(user.pk, ContentFile(content), "../notes.json", attachments.DEFAULT_LIMITS)

    kept, missing = await stored(ann, b"kept"), await stored(ann, b"gone")
    await stored(bob, b"bob's")
    await database_sync_to_async(attachments.storage().delete)(missing.storage_name)
    archive = await content_of(await export(ann))
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        files = {name: opened.read(name) for name in opened.namelist() if name.startswith("attachments/")}
        told = json.loads(opened.read("attachments.json"))
    assert files == {f"attachments/{kept.id}": b"kept", f"attachments/{missing.id}": b""}
    assert {(each["id"], each["bytes"]) for each in told} == {(str(kept.id), 4), (str(missing.id), 4)}


async def test_a_whole_result_and_a_deleted_thread_are_in_it(service: ThreadService, ann: Any) -> None:
    accepted = await posted(service, ann)
    await database_sync_to_async(service.delete_thread)(ann.pk, uuid.UUID(accepted.thread_id))
    await database_sync_to_async(RunEvent.objects.filter(run_id=accepted.run_id, seq=1).update)(whole_result={"a": 1})
    [thread] = (await files_of(ann))["threads.json"]
    assert thread["thread"]["deleted_at"] is not None
    first, *others = thread["runs"][0]["events"]
    assert first["whole_result"] == {"a": 1}
    assert all("whole_result" not in other for other in others)


async def test_a_large_account_takes_little_memory(service: ThreadService, ann: Any) -> None:
    """40 answers of a megabyte each, which are 2 MB as Python holds what is not Latin."""
    accepted = await posted(service, ann)
    await database_sync_to_async(_write_large)(ann, accepted.thread_id)
    peak, size = await database_sync_to_async(_measure)(ann)
    assert size == 40 * 1_000_000
    assert peak < 16_000_000, f"{peak} bytes at once"


def _write_large(user: Any, thread_id: str) -> None:
    large = [
        Message(user=user, thread_id=thread_id, role="assistant", content="ä" * 500_000, run_number=1, created_at=now())
        for _ in range(40)
    ]
    for message in large:
        message.save()


def _measure(user: Any) -> tuple[int, int]:
    """The most bytes that were held at once, and how many of a letter came out."""
    number = 0
    parts = dict(own_data.files_of(user.pk))["threads.json"]
    tracemalloc.start()
    try:
        for part in parts:
            number += part.count("ä".encode()) * 2
        return tracemalloc.get_traced_memory()[1], number
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("happens", ["session ends", "account is deleted", "database is lost"])
async def test_an_export_breaks_off_when_it_must_not_or_cannot_go_on(
    service: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch, happens: str
) -> None:
    await everything_of(service, ann)
    monkeypatch.setattr("chat.archive.READ_BYTES", 1)
    monkeypatch.setattr("chat.archive.PIECE_BYTES", 1)
    answer = await export(ann)
    pieces = answer.streaming_content
    taken = [await anext(pieces)]
    match happens:
        case "session ends":
            await database_sync_to_async(sessions.end_all)(ann.pk, Publisher())
        case "account is deleted":
            await database_sync_to_async(removal.delete_account)(ann.pk, Publisher())
        case "database is lost":
            monkeypatch.setattr(sessions, "counts", _lost)
    taken += [piece async for piece in pieces]
    assert not zipfile.is_zipfile(io.BytesIO(b"".join(taken)))
    assert b"threads.json" not in b"".join(taken)


def _lost(*_: Any) -> bool:
    raise OperationalError("gone")


async def test_exports_are_limited(ann: Any) -> None:
    answers = [await export(ann) for _ in range(4)]
    told = [(entry.actor, entry.refused) async for entry in AuditEntry.objects.filter(action="export")]
    assert told == [(ann.pk, "")] * 3
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    for answer in answers[:3]:
        await content_of(answer)
