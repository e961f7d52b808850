"""Attached files over REST: what is taken, who gets it, what belongs to which message, and what is left of it."""

from __future__ import annotations

import datetime
import functools
import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.db import OperationalError, transaction
from django.test import Client

from chat import attachments, exports, retention, thread_removal
from chat.apps import ChatConfig, check_attachment_storage
from chat.attachments import SHARDS, AttachmentLimits
from chat.errors import ChatError
from chat.models import Attachment, Message, Run, RunEvent, Thread
from chat.protocol import MessageAccepted, Regenerate, UserMessage
from chat.run_event import now
from chat.security_headers import NOTHING
from chat.threads import ThreadService
from chat.tokens import AccessToken
from netra.testing import rebuild
from tests.chat.conftest import clear_jobs
from tests.chat.files import FORM, form, image, upload

AtOnce = Callable[[list[Callable[[], Any]]], list[Any]]
Configure = Callable[..., None]
LIMITS = AttachmentLimits(file_bytes=1000, per_message=3, person_bytes=1_000_000)


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    """Where the files lie, of this test alone."""
    options = {"location": str(tmp_path / "files"), "file_permissions_mode": 0o600}
    backend = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": options}
    settings.STORAGES = settings.STORAGES | {"attachments": backend}
    return tmp_path / "files"


@pytest.fixture(autouse=True)
def _as_configured(transactional_db: None) -> Iterator[None]:
    rebuild()
    yield
    clear_jobs()
    rebuild()


@pytest.fixture
def threads() -> ThreadService:
    service = cast("ChatConfig", apps.get_app_config("chat")).thread_service
    assert service is not None
    return service


def client_of(user: Any) -> Client:
    return Client(headers={"Authorization": f"Bearer {AccessToken.for_user(user)}"})


@pytest.fixture
def api(ann: Any) -> Client:
    return client_of(ann)


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def refused(response: Any, status: int, code: str) -> dict[str, Any]:
    assert (response.status_code, response.json()["error_code"]) == (status, code), response.content
    return cast("dict[str, Any]", response.json()["details"])


def code_of(work: Callable[[], Any]) -> Any:
    """The code with which it is refused; what it returns, when it is not."""
    try:
        return work()
    except ChatError as error:
        return error.code.value


def sent(api: Client, content: bytes = b"some text", name: str = "notes.txt") -> uuid.UUID:
    """A file that was uploaded."""
    response = upload(api, content, name)
    assert response.status_code == 201, response.content
    return uuid.UUID(response.json()["id"])


def post(threads: ThreadService, user: Any, *files: uuid.UUID, **fields: Any) -> MessageAccepted:
    command = UserMessage(type="user_message", content="What is it?", attachments=list(files), **fields)
    return threads.post_message(user.pk, command)


# Coming in


def test_a_file_is_taken_and_given_back(api: Client, folder: Path) -> None:
    response = upload(api, image(), "Foto é.png", "application/x-anything")
    told = response.json()
    assert response.status_code == 201
    assert told == {
        "id": told["id"],
        "name": "Foto é.png",
        "media_type": "image/png",
        "bytes": len(image()),
        "href": f"/api/attachments/{told['id']}",
    }
    row = Attachment.objects.get()
    assert (row.digest, row.message) == (hashlib.sha256(image()).hexdigest(), None)
    [path] = files_in(folder)
    assert path.read_bytes() == image()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "Foto" not in str(path)
    assert str(row.id) not in str(path)

    given = api.get(told["href"])
    assert given.getvalue() == image()


def test_no_two_names_of_the_storage_are_alike_whatever_is_sent(api: Client, folder: Path) -> None:
    for _ in range(3):
        sent(api, b"the same")
    assert len({path.name for path in files_in(folder)}) == 3


def test_headers_make_a_file_harmless(api: Client) -> None:
    picture, page = upload(api, image("GIF")).json(), upload(api, b"<script>alert(1)</script>", "x.html").json()
    shown, saved = api.get(picture["href"]), api.get(page["href"])
    assert (shown["Content-Type"], saved["Content-Type"]) == ("image/gif", "text/plain; charset=utf-8")
    assert shown["Content-Disposition"] == 'inline; filename="notes.txt"'
    assert saved["Content-Disposition"] == 'attachment; filename="x.html"'
    for response in (shown, saved):
        assert response["X-Content-Type-Options"] == "nosniff"
        assert response["Content-Security-Policy"] == NOTHING
        assert response["Cache-Control"] == "private, no-cache"
        assert int(response["Content-Length"]) == len(response.getvalue())


@pytest.mark.parametrize(
    ("name", "shown", "header"),
    [
        ("../../../etc/cron.d/x", "x", 'attachment; filename="x"'),
        ('a"; filename="b.exe', "a%22; filename=%22b.exe", 'attachment; filename="a%22; filename=%22b.exe"'),
        ("a\r\nSet-Cookie: b=c", "a%0D%0ASet-Cookie: b=c", 'attachment; filename="a%0D%0ASet-Cookie: b=c"'),
        ("exe\u202etxt.é", "exetxt.é", "attachment; filename*=utf-8''exetxt.%C3%A9"),
        ("..", "file", 'attachment; filename="file"'),
        ("a/", "file", 'attachment; filename="file"'),
    ],
)
def test_a_hostile_name_is_only_text(api: Client, folder: Path, name: str, shown: str, header: str) -> None:
    told = upload(api, b"content", name).json()
    assert told["name"] == shown
    response = api.get(told["href"])
    assert response["Content-Disposition"] == header
    assert "Set-Cookie" not in response
    [path] = files_in(folder)
    assert path.is_relative_to(folder)


@pytest.mark.parametrize(
    ("content", "name", "media_type"),
    [
        (image(), "picture.txt", "text/plain"),
        (b"<svg onload='alert(1)'/>", "picture.svg", "image/svg+xml"),
        (b"GIF89a/*,*/=1;<script>alert(1)</script>", "picture.gif", "image/gif"),
        (image() + b"<script>alert(1)</script>", "page.html", "text/html"),
    ],
)
def test_what_a_file_is_neither_its_name_nor_its_sender_says(
    api: Client, content: bytes, name: str, media_type: str
) -> None:
    told = upload(api, content, name, media_type).json()
    assert told["media_type"] == ("image/png" if content.startswith(image()) else "text/plain")


@pytest.mark.parametrize("content", [b"PK\x03\x04\x00\x00", b"\x00\x01\x02", image("BMP")])
def test_what_is_neither_image_nor_text_is_refused_and_not_kept(api: Client, folder: Path, content: bytes) -> None:
    details = refused(upload(api, content, "notes.txt"), 415, "ATTACHMENT_TYPE_NOT_SUPPORTED")
    assert details == {"supported": ["image/png", "image/jpeg", "image/gif", "image/webp", "text/plain"]}
    assert files_in(folder) == []
    assert not Attachment.objects.exists()


def test_a_file_is_as_large_as_may_be_and_no_byte_larger(api: Client, configure: Configure, folder: Path) -> None:
    configure(max_attachment_bytes=200_000)
    assert upload(api, b"x" * 200_000).json()["bytes"] == 200_000
    details = refused(upload(api, b"x" * 200_001), 413, "ATTACHMENT_TOO_LARGE")
    assert details == {"max_attachment_bytes": 200_000}
    assert len(files_in(folder)) == 1


def test_a_person_has_as_much_space_as_may_be(api: Client, bob: Any, configure: Configure, folder: Path) -> None:
    configure(max_person_attachment_bytes=10_000)
    sent(api, b"x" * 5_904)
    small = sent(api, b"x")  # counts 4,096
    details = refused(upload(api, b"x"), 409, "ATTACHMENT_SPACE_FULL")
    assert details == {"max_bytes": 10_000, "used_bytes": 10_000}
    assert len(files_in(folder)) == 2
    sent(client_of(bob), b"x" * 9_000)
    api.delete(f"/api/attachments/{small}")
    sent(api, b"x" * 4_096)


def test_uploads_at_once_do_not_take_more_space_than_there_is(ann: Any, at_once: AtOnce, folder: Path) -> None:
    limits = AttachmentLimits(file_bytes=4096, per_message=3, person_bytes=3 * 4096)

    def store() -> Any:
        return code_of(lambda: attachments.store(ann.pk, ContentFile(b"text"), "x", limits).name)

    told = at_once([store] * 6)
    assert sorted(told) == ["ATTACHMENT_SPACE_FULL"] * 3 + ["x"] * 3
    assert Attachment.objects.count() == len(files_in(folder)) == 3


@pytest.mark.parametrize(
    ("body", "media_type", "code"),
    [
        (b"", FORM, "INVALID_MESSAGE"),
        (b"not a form", FORM, "INVALID_MESSAGE"),
        (form(b"text"), "multipart/form-data", "INVALID_MESSAGE"),
        (form(b""), FORM, "INVALID_MESSAGE"),
        (form(b"text", field="picture"), FORM, "INVALID_MESSAGE"),
        (form(b"a")[:-7] + b"\r\n" + form(b"b"), FORM, "INVALID_MESSAGE"),
        (b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\ntext\r\n--x--\r\n', FORM, "INVALID_MESSAGE"),
        (b"{}", "application/json", "UNSUPPORTED_MEDIA_TYPE"),
    ],
)
def test_a_body_that_is_no_file_is_refused(api: Client, folder: Path, body: bytes, media_type: str, code: str) -> None:
    status = 400 if code == "INVALID_MESSAGE" else 415
    refused(api.post("/api/attachments", body, content_type=media_type), status, code)
    assert files_in(folder) == []


def test_uploads_are_limited_in_number(api: Client, configure: Configure) -> None:
    configure(user_messages_per_minute=1, max_attachments=2)
    sent(api)
    sent(api)
    refused(upload(api, b"text"), 429, "RATE_LIMITED")


def test_who_has_no_token_sends_and_gets_nothing(api: Client, folder: Path) -> None:
    identity = sent(api)
    refused(upload(Client(), b"text"), 401, "NO_TOKEN")
    refused(Client().get(f"/api/attachments/{identity}"), 401, "NO_TOKEN")
    assert len(files_in(folder)) == 1


# Being read


def test_another_persons_file_is_as_one_that_is_not_there(api: Client, bob: Any) -> None:
    href, other = f"/api/attachments/{sent(api)}", client_of(bob)
    unknown = f"/api/attachments/{uuid.uuid4()}"
    for method in (other.get, other.delete):
        theirs, nobodys = method(href).json(), method(unknown).json()
        del theirs["correlation_id"], nobodys["correlation_id"]
        assert theirs == nobodys
        assert theirs["error_code"] == "ATTACHMENT_NOT_FOUND"
    assert api.get(href).status_code == 200


def test_who_has_a_file_already_is_told_so(api: Client) -> None:
    href = f"/api/attachments/{sent(api)}"
    etag = api.get(href)["ETag"]
    again = api.get(href, headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", etag)
    assert again["Cache-Control"] == "private, no-cache"
    assert api.get(href, headers={"If-None-Match": '"another"'}).status_code == 200


def test_a_file_whose_content_is_lost_is_not_found(api: Client, folder: Path) -> None:
    identity = sent(api)
    files_in(folder)[0].unlink()
    refused(api.get(f"/api/attachments/{identity}"), 404, "ATTACHMENT_NOT_FOUND")


class Broken(FileSystemStorage):
    """Nothing can be done with it."""

    def _save(self, *_: Any) -> str:
        raise OSError(28, "No space left on /secret/place")

    _open = listdir = delete = _save  # type: ignore[assignment]


def test_a_storage_that_fails_is_a_service_that_is_not_there(api: Client, settings: Any, ann: Any) -> None:
    identity = sent(api)
    settings.STORAGES = settings.STORAGES | {"attachments": {"BACKEND": f"{__name__}.Broken"}}
    for response in (upload(api, b"text"), api.get(f"/api/attachments/{identity}")):
        assert refused(response, 503, "SERVICE_UNAVAILABLE") == {"missing": ["file_storage"]}
        assert b"secret" not in response.content
    # What cannot be removed does not keep a person from deleting.
    assert api.delete(f"/api/attachments/{identity}").status_code == 204
    assert attachments.remove_strays(0, older_than=datetime.timedelta(0)) == 0


def test_a_storage_that_cannot_be_built_is_an_error_of_the_start(settings: Any) -> None:
    assert check_attachment_storage(None) == []
    for broken in ({"BACKEND": "nowhere.Storage"}, {"BACKEND": f"{__name__}.Broken", "OPTIONS": {"secret": "hunter2"}}):
        settings.STORAGES = settings.STORAGES | {"attachments": broken}
        [error] = check_attachment_storage(None)
        assert error.id == "chat.E002"
        assert "hunter2" not in str(error)


def test_a_text_is_read_as_utf_8_and_cut_between_characters(ann: Any) -> None:
    for content, limit, expected in (
        ("größe".encode("utf-16"), 100, "größe"),
        ("größe".encode("utf-16"), 5, "g"),
        ("größe".encode(), 3, "gr"),
        (b"\xef\xbb\xbfabc", 100, "abc"),
    ):
        stored = attachments.store(ann.pk, ContentFile(content), "x", LIMITS)
        assert attachments.read(ann.pk, stored.id, limit).decode() == expected


# Being sent


def test_a_message_has_its_files_wherever_it_is_shown(api: Client, threads: ThreadService, ann: Any) -> None:
    first, second = sent(api, b"a,b", "data.csv"), sent(api, image(), "`p`.png")
    accepted = post(threads, ann, second, first)
    told: list[dict[str, Any]] = [
        {"id": str(second), "name": "`p`.png", "media_type": "image/png", "bytes": len(image())},
        {"id": str(first), "name": "data.csv", "media_type": "text/plain", "bytes": 3},
    ]
    told = [file | {"href": f"/api/attachments/{file['id']}"} for file in told]
    assert RunEvent.objects.get().data["message"]["attachments"] == told
    page = api.get(f"/api/threads/{accepted.thread_id}/messages").json()
    assert [message["attachments"] for message in page["messages"]] == [told]
    assert api.get(f"/api/messages/{accepted.message_id}").json()["attachments"] == told
    exported = api.get(f"/api/threads/{accepted.thread_id}/export.json").json()
    assert exported["messages"][0]["attachments"] == told
    text = exports.markdown(Thread.objects.get())
    assert (
        f"- attached: `p.png` (image/png, {len(image())} bytes)\n- attached: `data.csv` (text/plain, 3 bytes)\n" in text
    )
    assert api.get(told[0]["href"]).status_code == 200


def test_a_message_without_files_says_nothing_of_them(threads: ThreadService, ann: Any) -> None:
    post(threads, ann)
    assert "attachments" not in RunEvent.objects.get().data["message"]


def test_rest_takes_files_with_a_message_and_with_execute(api: Client) -> None:
    asked = api.post("/api/agents/execute", {"type": "assistant", "message": "x", "attachments": [str(sent(api))]})
    assert asked.status_code == 415  # a form is no JSON
    body: dict[str, Any] = {"type": "assistant", "message": "x", "attachments": [str(sent(api))]}
    asked = api.post("/api/agents/execute", body, content_type="application/json")
    assert asked.status_code == 202
    path = f"/api/threads/{asked.json()['thread_id']}/messages"
    asked = api.post(path, {"content": "y", "attachments": [str(sent(api))]}, content_type="application/json")
    assert asked.status_code == 202
    assert [message.attachments.count() for message in Message.objects.all()] == [1, 1]


def test_rest_says_why_a_file_is_not_taken_with_a_message(api: Client, configure: Configure) -> None:
    configure(max_attachments=1)
    gone, file = uuid.uuid4(), sent(api)

    def ask(*files: uuid.UUID) -> Any:
        body = {"type": "assistant", "message": "x", "attachments": [str(each) for each in files]}
        return api.post("/api/agents/execute", body, content_type="application/json")

    assert refused(ask(gone, file), 400, "TOO_MANY_ATTACHMENTS") == {"max_attachments": 1}
    refused(ask(gone), 404, "ATTACHMENT_NOT_FOUND")
    assert ask(file).status_code == 202
    refused(ask(file), 409, "ATTACHMENT_SENT")


def test_a_resend_with_the_same_files_gets_the_first_answer(api: Client, threads: ThreadService, ann: Any) -> None:
    files, message_id = [sent(api), sent(api)], uuid.uuid4()
    accepted = post(threads, ann, *files, message_id=message_id)
    assert post(threads, ann, *files, message_id=message_id) == accepted
    others: list[list[uuid.UUID]] = [[], files[::-1], files[:1], [*files, sent(api)]]
    for other in others:
        assert code_of(functools.partial(post, threads, ann, *other, message_id=message_id)) == "MESSAGE_ID_CONFLICT"
    threads.delete_thread(ann.pk, uuid.UUID(accepted.thread_id))
    assert post(threads, ann, *files, message_id=message_id) == accepted


@pytest.mark.parametrize("field", ["nonsense", 7, {"id": "x"}, [1], ["not-an-id"], [None]])
def test_what_is_no_list_of_ids_is_refused(api: Client, field: Any) -> None:
    body = {"type": "assistant", "message": "x", "attachments": field}
    refused(api.post("/api/agents/execute", body, content_type="application/json"), 400, "INVALID_MESSAGE")


def test_a_file_named_twice_is_refused(api: Client) -> None:
    body = {"type": "assistant", "message": "x", "attachments": [str(sent(api))] * 2}
    refused(api.post("/api/agents/execute", body, content_type="application/json"), 400, "INVALID_MESSAGE")


def test_a_message_has_as_many_files_as_may_be(api: Client, ann: Any, configure: Configure) -> None:
    configure(max_attachments=2)
    service = cast("ChatConfig", apps.get_app_config("chat")).thread_service
    assert service is not None
    files = [sent(api) for _ in range(3)]
    assert code_of(lambda: post(service, ann, *files)) == "TOO_MANY_ATTACHMENTS"
    assert not Message.objects.exists()
    post(service, ann, *files[:2])


def test_a_message_gets_only_own_files_that_no_message_has(
    api: Client, threads: ThreadService, ann: Any, bob: Any
) -> None:
    own, theirs = sent(api), sent(client_of(bob))
    for other in (theirs, uuid.uuid4()):
        assert code_of(functools.partial(post, threads, ann, own, other)) == "ATTACHMENT_NOT_FOUND"
    assert not Message.objects.exists()
    post(threads, ann, own)
    assert code_of(lambda: post(threads, ann, own)) == "ATTACHMENT_SENT"
    assert code_of(lambda: attachments.remove_unsent(ann.pk, own)) == "ATTACHMENT_SENT"
    assert Message.objects.count() == Run.objects.count() == 1


def test_of_messages_at_once_one_gets_the_file(api: Client, threads: ThreadService, ann: Any, at_once: AtOnce) -> None:
    file = sent(api)
    told = at_once([lambda: code_of(lambda: post(threads, ann, file).message_id)] * 4)
    assert sorted(told, key=len)[:3] == ["ATTACHMENT_SENT"] * 3
    assert Attachment.objects.get().message == Message.objects.get()


def test_a_file_that_is_taken_back_while_it_is_sent_is_sent_or_gone(
    api: Client, threads: ThreadService, ann: Any, at_once: AtOnce, folder: Path
) -> None:
    for _ in range(5):
        file = sent(api)
        posting = functools.partial(post, threads, ann, file)
        removing = functools.partial(attachments.remove_unsent, ann.pk, file)
        posted, removed = at_once([functools.partial(code_of, posting), functools.partial(code_of, removing)])
        assert (posted == "ATTACHMENT_NOT_FOUND") == (removed is None)
        assert (removed == "ATTACHMENT_SENT") == Attachment.objects.filter(id=file).exists()
        Message.objects.all().delete()
        assert files_in(folder) == []


def test_the_sweep_leaves_what_is_being_sent(api: Client, ann: Any, at_once: AtOnce) -> None:
    file = sent(api)
    Attachment.objects.update(created_at=now() - datetime.timedelta(days=2))
    with transaction.atomic():
        list(Attachment.objects.select_for_update().filter(id=file))
        [removed] = at_once([lambda: attachments.remove_old_unsent(older_than=datetime.timedelta(days=1), limit=10)])
    assert removed == 0
    assert attachments.remove_old_unsent(older_than=datetime.timedelta(days=1), limit=10) == 1


# Branches


def test_an_edit_keeps_the_files_of_the_question_or_not(
    api: Client, threads: ThreadService, ann: Any, folder: Path
) -> None:
    kept, left, new = sent(api, b"kept"), sent(api, b"left"), sent(api, b"new")
    accepted = post(threads, ann, kept, left)
    thread_id, question = uuid.UUID(accepted.thread_id), uuid.UUID(accepted.message_id)
    message_id = uuid.uuid4()
    edit = {"thread_id": thread_id, "edits": question, "message_id": message_id}
    edited = post(threads, ann, new, kept, **edit)
    assert post(threads, ann, new, kept, **edit) == edited

    shown = api.get(f"/api/messages/{edited.message_id}").json()["attachments"]
    assert [api.get(file["href"]).getvalue() for file in shown] == [b"new", b"kept"]
    assert shown[1]["id"] != str(kept)
    # An edit of the edit, by the ids that it has.
    again = post(threads, ann, uuid.UUID(shown[1]["id"]), thread_id=thread_id, edits=uuid.UUID(edited.message_id))
    assert Message.objects.get(message_id=again.message_id).attachments.get().bytes == 4
    assert len(files_in(folder)) == 3
    # A file that two messages share goes with the last of them.
    Message.objects.get(message_id=question).delete()
    assert len(files_in(folder)) == 2
    removed(threads, ann, accepted.thread_id)
    assert files_in(folder) == []


def test_only_an_edit_may_name_files_again_and_only_those_of_its_question(
    api: Client, threads: ThreadService, ann: Any
) -> None:
    file = sent(api)
    accepted = post(threads, ann, file)
    thread_id, question = uuid.UUID(accepted.thread_id), uuid.UUID(accepted.message_id)
    following = {"thread_id": thread_id, "parent_id": question}
    assert code_of(lambda: post(threads, ann, file, **following)) == "ATTACHMENT_SENT"
    other = post(threads, ann)
    edit = {"thread_id": uuid.UUID(other.thread_id), "edits": uuid.UUID(other.message_id)}
    assert code_of(lambda: post(threads, ann, file, **edit)) == "ATTACHMENT_SENT"


def test_a_file_that_is_kept_takes_no_space_again(api: Client, ann: Any, configure: Configure) -> None:
    configure(max_person_attachment_bytes=8192)
    service = cast("ChatConfig", apps.get_app_config("chat")).thread_service
    assert service is not None
    file = sent(api)
    accepted = post(service, ann, file)
    edit = {"thread_id": uuid.UUID(accepted.thread_id), "edits": uuid.UUID(accepted.message_id)}
    post(service, ann, file, **edit)
    sent(api)
    refused(upload(api, b"text"), 409, "ATTACHMENT_SPACE_FULL")


# Models without images


def blind(threads: ThreadService) -> ThreadService:
    return ThreadService(
        event_log=threads.event_log, agents=["assistant", "data"], max_open_runs=10, blind_agents=["data"]
    )


def test_an_agent_that_reads_no_images_is_not_asked_about_one(api: Client, threads: ThreadService, ann: Any) -> None:
    service, picture = blind(threads), sent(api, image())
    with pytest.raises(ChatError) as refusal:
        post(service, ann, picture, agent="data")
    assert (refusal.value.code, refusal.value.details) == ("IMAGES_NOT_SUPPORTED", {"agents": ["assistant"]})
    assert not Message.objects.exists()
    assert Attachment.objects.get().message is None
    post(service, ann, sent(api), agent="data")
    accepted = post(service, ann, picture)
    Run.objects.all().delete()
    again = Regenerate(type="regenerate", message_id=uuid.UUID(accepted.message_id), agent="data")
    assert code_of(lambda: service.regenerate(ann.pk, again)) == "IMAGES_NOT_SUPPORTED"


# Going away


def removed(threads: ThreadService, user: Any, thread_id: str) -> None:
    """A thread is deleted, and so long ago that nobody can restore it."""
    threads.delete_thread(user.pk, uuid.UUID(thread_id))
    assert thread_removal.purge_deleted(older_than=datetime.timedelta(0), limit=5) == 1


def test_a_file_that_is_taken_back_is_gone(api: Client, folder: Path) -> None:
    identity = sent(api)
    assert api.delete(f"/api/attachments/{identity}").status_code == 204
    assert files_in(folder) == []
    refused(api.delete(f"/api/attachments/{identity}"), 404, "ATTACHMENT_NOT_FOUND")


def test_files_of_a_deleted_thread_are_out_of_reach_come_back_with_it_and_go_when_it_is_removed(
    api: Client, threads: ThreadService, ann: Any, folder: Path
) -> None:
    deleted, other = sent(api), sent(api)
    thread_id = uuid.UUID(post(threads, ann, deleted).thread_id)
    post(threads, ann, other)
    threads.delete_thread(ann.pk, thread_id)
    refused(api.get(f"/api/attachments/{deleted}"), 404, "ATTACHMENT_NOT_FOUND")
    assert api.get(f"/api/attachments/{other}").status_code == 200
    threads.restore_thread(ann.pk, thread_id)
    assert api.get(f"/api/attachments/{deleted}").status_code == 200

    threads.delete_thread(ann.pk, thread_id)
    with transaction.atomic():
        thread_removal.purge_deleted(older_than=datetime.timedelta(0), limit=5)
        assert len(files_in(folder)) == 2
    assert len(files_in(folder)) == 1


def test_a_removal_that_is_rolled_back_removes_no_file(
    api: Client, threads: ThreadService, ann: Any, folder: Path
) -> None:
    accepted = post(threads, ann, sent(api))
    threads.delete_thread(ann.pk, uuid.UUID(accepted.thread_id))
    with transaction.atomic():
        assert thread_removal.purge_deleted(older_than=datetime.timedelta(0), limit=5) == 1
        transaction.set_rollback(True)
    assert len(files_in(folder)) == Attachment.objects.count() == 1


def test_who_is_deleted_takes_the_files_along(api: Client, threads: ThreadService, ann: Any, folder: Path) -> None:
    post(threads, ann, sent(api))
    sent(api)
    get_user_model().objects.get(pk=ann.pk).delete()
    assert files_in(folder) == []


def test_a_pruned_thread_takes_along_what_is_left(api: Client, threads: ThreadService, ann: Any, folder: Path) -> None:
    post(threads, ann, sent(api))
    Thread.objects.update(deleted_at=now() - datetime.timedelta(hours=2))
    retention.tidy_up()
    assert files_in(folder) == []


def test_the_sweep_removes_what_nobody_sent_for_a_day(
    api: Client, threads: ThreadService, ann: Any, folder: Path
) -> None:
    old, kept, young = sent(api), sent(api), sent(api)
    post(threads, ann, kept)
    Attachment.objects.exclude(id=young).update(created_at=now() - datetime.timedelta(days=1, minutes=1))
    retention.tidy_up()
    assert not Attachment.objects.filter(id=old).exists()
    assert len(files_in(folder)) == Attachment.objects.count() == 2


# Between file and row


def all_strays() -> int:
    return sum(attachments.remove_strays(shard, older_than=attachments.STRAY_AFTER) for shard in range(SHARDS))


def aged(path: Path) -> None:
    then = path.stat().st_mtime - attachments.STRAY_AFTER.total_seconds() - 60
    os.utime(path, (then, then))


class Killed(BaseException):
    """The process ends here."""


def test_who_is_killed_between_file_and_row_leaves_a_file_that_is_found(
    api: Client, ann: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = sent(api)
    aged(files_in(folder)[0])

    def kill(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Attachment.objects, "create", kill)
        with pytest.raises(Killed):
            attachments.store(ann.pk, ContentFile(b"stray"), "x", LIMITS)
    assert len(files_in(folder)) == 2
    assert all_strays() == 0, "it may be about to get its row"
    [stray] = [path for path in files_in(folder) if path.read_bytes() == b"stray"]
    aged(stray)
    assert all_strays() == 1
    assert api.get(f"/api/attachments/{kept}").status_code == 200


def test_a_commit_of_which_nobody_knows_leaves_the_file(
    ann: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Attachment.objects.create

    def lost(**fields: Any) -> None:
        create(**fields)
        raise OperationalError("the connection was lost")

    monkeypatch.setattr(Attachment.objects, "create", lost)
    with pytest.raises(OperationalError):
        attachments.store(ann.pk, ContentFile(b"text"), "x", LIMITS)
    assert len(files_in(folder)) == 1


def test_who_is_killed_before_a_file_is_removed_leaves_a_file_that_is_found(
    api: Client, threads: ThreadService, ann: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = post(threads, ann, sent(api))
    with monkeypatch.context() as patched:
        patched.setattr(attachments, "_remove_file", lambda _: None)
        removed(threads, ann, accepted.thread_id)
    [left] = files_in(folder)
    aged(left)
    assert all_strays() == 1
    assert files_in(folder) == []


def test_files_of_others_in_the_storage_are_left_alone(folder: Path) -> None:
    for name in ("ab/README", "ab/" + "g" * 62, "other/" + "a" * 62, "a" * 62):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("not ours")
        aged(folder / name)
    assert all_strays() == 0
    assert len(files_in(folder)) == 4


def test_the_sweep_looks_at_one_folder_after_the_other(
    folder: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(sweep_seconds=5.0)
    (folder / "07").mkdir(parents=True)
    stray = folder / "07" / ("a" * 62)
    stray.write_text("stray")
    aged(stray)
    clock = 1_000_000 * SHARDS * 5.0
    for shard in range(8):
        assert stray.exists()
        monkeypatch.setattr("chat.retention.time.time", lambda at=clock + shard * 5.0: at)
        retention.tidy_up()
    assert not stray.exists()
