"""Everything that Netra keeps about a person: files of JSON, and the files that the person has sent.

What is read at once is bounded in rows and in bytes, and no query is open between two parts: a file takes as long as
its reader does, and what is written meanwhile may be in it or not.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import pydantic_core
import structlog
from django.contrib.auth import get_user_model
from django.db.models import BooleanField, ExpressionWrapper, F, Func, IntegerField, Q, QuerySet
from django.http import StreamingHttpResponse
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from chat import allowances, attachments, branches, preferences
from chat.api.runs import approval_json
from chat.api.shapes import message_json, note_json, run_json
from chat.archive import zipped
from chat.attachments import attachment_json
from chat.errors import ChatError
from chat.models import Approval, Attachment, IdentityLink, Message, ModelRequest, Note, Run, RunEvent, Session, Thread
from chat.own_threads import RESTORABLE_FOR, thread_json
from chat.pool import database_is_away, on_any_thread
from chat.protocol import timestamp
from chat.run_event import now

PAGE = 100
LARGE_PAGE = 20
PAGE_BYTES = 512 * 1024

Parts = Iterator[bytes]

logger = structlog.get_logger(__name__)


def archive_of(user_id: Any, *, as_long_as: Callable[[], bool]) -> StreamingHttpResponse:
    """All of it as one zip archive, made while it is sent. It breaks off when `as_long_as` is no more so."""
    headers = {"Content-Disposition": 'attachment; filename="netra.zip"', "Cache-Control": "no-store"}
    pieces = _pieces(user_id, as_long_as)
    return StreamingHttpResponse(pieces, content_type="application/zip", headers=headers)


async def _pieces(user_id: Any, as_long_as: Callable[[], bool]) -> AsyncIterator[bytes]:
    """A thread is held only while a piece is made."""
    archive = zipped(files_of(user_id), at=now())

    def following() -> bytes | None:
        return next(archive, None) if as_long_as() else None

    try:
        while (piece := await on_any_thread(following)) is not None:
            if piece:
                yield piece
    except Exception as error:
        # The head is sent: what remains is to break off.
        if database_is_away(error):
            logger.warning("export_broke_off", user_id=str(user_id))
        else:
            logger.exception("export_broke_off", user_id=str(user_id))


def files_of(user_id: Any) -> Iterator[tuple[str, Parts]]:
    """Name and content of each file; a content is read before the next one is asked for."""
    for name, parts in FILES:
        yield name, parts(user_id)
    for attachment in _attachments(user_id):
        # By its id: the name that a person gave is in attachments.json, and may be any file's.
        yield f"attachments/{attachment.id}", _content(attachment)


def _profile(user_id: Any) -> Parts:
    user = get_user_model().objects.get(pk=user_id)
    yield _json(
        {
            "id": str(user.pk),
            "username": user.get_username(),
            "email": user.email,
            "first_name": user.first_name,
            "last_name": user.last_name,
            "is_staff": user.is_staff,
            "is_superuser": user.is_superuser,
            "default_agent": preferences.default_agent_of(user.pk),
            "allowance": allowances.own_numbers(user.pk),
            "created_at": timestamp(user.date_joined),
            "last_sign_in": timestamp(user.last_login) if user.last_login else None,
            "identities": list(IdentityLink.objects.filter(user=user).order_by("pk").values("provider", "subject")),
        }
    )


def _sessions(user_id: Any) -> Parts:
    """Without the tokens, with which one could sign in. Those of releases before sessions come last."""
    before = OutstandingToken.objects.filter(user_id=user_id).select_related("blacklistedtoken")
    return _array(
        itertools.chain(
            map(_session, _by_key(Session.objects.filter(user_id=user_id), "pk")),
            (
                {
                    "began_at": timestamp(row.created_at) if row.created_at else None,
                    "ends_at": timestamp(row.expires_at),
                    "ended": hasattr(row, "blacklistedtoken"),
                }
                for row in _by_key(before, "pk")
            ),
        )
    )


def _session(session: Session) -> dict[str, Any]:
    return {
        "began_at": timestamp(session.created_at),
        "last_used_at": timestamp(session.last_used_at),
        "ends_at": timestamp(session.ended_at or session.expires_at),
        "ended": session.ended_at is not None,
        "kind": session.kind,
        "agent": session.agent,
        "network": session.network,
    }


def _threads(user_id: Any) -> Parts:
    """Those that can be restored among them."""
    there = Q(deleted_at=None) | Q(deleted_at__gte=now() - RESTORABLE_FOR)
    threads = _by_key(Thread.objects.filter(there, user_id=user_id), "id")
    return _list(_thread(thread) for thread in threads)


def _thread(thread: Thread) -> Parts:
    about = thread_json(thread, open_runs=0)
    del about["open_runs"]
    about["deleted_at"] = timestamp(thread.deleted_at) if thread.deleted_at else None
    yield b'{"thread":' + _json(about) + b',"messages":'
    yield from _array(_messages(thread))
    yield b',"runs":'
    yield from _list(_run(run) for run in _runs(thread))
    yield b',"approvals":'
    approvals = _by_key(Approval.objects.filter(run__thread=thread), "pk", page=LARGE_PAGE)
    yield from _array(approval_json(approval) | {"run_id": str(approval.run_id)} for approval in approvals)
    yield b"}"


def _messages(thread: Thread) -> Iterator[dict[str, Any]]:
    place = (-1, -1)
    size = Func(F("content"), function="octet_length", output_field=IntegerField())
    while True:
        later = Q(run_number=place[0], id__gt=place[1]) | Q(run_number__gt=place[0])
        rows = Message.objects.filter(later, thread=thread).order_by("run_number", "id")
        # How large a text is, is known without reading it.
        page = _within(list(rows.values_list("run_number", "id", size)[:PAGE]))
        if not page:
            return
        runs = dict(
            Run.objects.filter(thread=thread, run_number__in={number for number, *_ in page}).values_list(
                "run_number", "id"
            )
        )
        found = branches.with_attachments(rows.filter(id__in=[pk for _, pk, _ in page]))
        for message in found.select_related("parent", "feedback").defer("parent__content"):
            shown = message_json(message, siblings=[], run_id=runs.get(message.run_number))
            del shown["siblings"]  # its `parent_id` says where it stands
            # They refer back to the message, which would keep its text until the next collection.
            vars(message)["files"].clear()
            yield shown
        place = page[-1][:2]


def _within(rows: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """The first ones, the last of which is the one that reaches PAGE_BYTES."""
    total = 0
    for number, (_, _, size) in enumerate(rows, 1):
        total += size
        if total >= PAGE_BYTES:
            return rows[:number]
    return rows


def _runs(thread: Thread) -> Iterator[Run]:
    return _by_key(branches.without_content(Run.objects.filter(thread=thread)), "run_number")


def _run(run: Run) -> Parts:
    yield _json(run_json(run))[:-1] + b',"events":'
    yield from _array(_events(run))
    yield b"}"


def _events(run: Run) -> Iterator[dict[str, Any]]:
    is_whole = ExpressionWrapper(Q(whole_result__isnull=True), output_field=BooleanField())
    rows = RunEvent.objects.filter(run=run).defer("whole_result").annotate(is_whole=is_whole)
    for event in _by_key(rows, "seq", page=LARGE_PAGE):
        shown = {
            "seq": event.seq,
            "type": event.type,
            "agent": event.agent,
            "timestamp": timestamp(event.created_at),
            "data": event.data,
        }
        if not event.is_whole:
            own = RunEvent.objects.filter(run=run, seq=event.seq)
            shown["whole_result"] = own.values_list("whole_result", flat=True).first()
        yield shown


def _attachments(user_id: Any) -> Iterator[Attachment]:
    return _by_key(Attachment.objects.filter(user_id=user_id, sent_as=None), "id")


def _attachment_list(user_id: Any) -> Parts:
    return _array(attachment_json(attachment) for attachment in _attachments(user_id))


def _content(attachment: Attachment) -> Parts:
    """Empty when the file is there no more: it was removed meanwhile."""
    with contextlib.suppress(ChatError), contextlib.closing(attachments.opened(attachment)) as file:
        while part := file.read(PAGE_BYTES):
            yield part


def _notes(user_id: Any) -> Parts:
    return _array(note_json(note) for note in _by_key(Note.objects.filter(user_id=user_id), "pk"))


def _model_requests(user_id: Any) -> Parts:
    return _array(_request_json(request) for request in _requests(user_id))


def _requests(user_id: Any) -> Iterator[ModelRequest]:
    rows = ModelRequest.objects.filter(user_id=user_id).order_by("started_at", "id")
    page = list(rows[:PAGE])
    while page:
        yield from page
        last = page[-1]
        later = Q(started_at=last.started_at, id__gt=last.id) | Q(started_at__gt=last.started_at)
        page = list(rows.filter(later, started_at__gte=last.started_at)[:PAGE])


_SHOWN = (
    *("agent", "model", "provider", "outcome", "error", "input_tokens", "output_tokens", "cache_read_tokens"),
    *("cache_write_tokens", "estimated", "first_token_ms", "duration_ms"),
)


def _request_json(request: ModelRequest) -> dict[str, Any]:
    return {
        "id": str(request.id),
        "thread_id": str(request.thread_id) if request.thread_id else None,
        "run_id": str(request.run_id) if request.run_id else None,
        "started_at": timestamp(request.started_at),
        **{name: getattr(request, name) for name in _SHOWN},
        "cost_usd": f"{request.cost_usd:f}" if request.cost_usd is not None else None,
    }


# Who keeps more about a person adds it here.
FILES: tuple[tuple[str, Callable[[Any], Parts]], ...] = (
    ("profile.json", _profile),
    ("sessions.json", _sessions),
    ("threads.json", _threads),
    ("attachments.json", _attachment_list),
    ("notes.json", _notes),
    ("model_requests.json", _model_requests),
)


def _by_key(rows: QuerySet[Any], key: str, *, page: int = PAGE) -> Iterator[Any]:
    """All rows in the order of a key that each has for itself, a page in a query."""
    found = list(rows.order_by(key)[:page])
    while found:
        yield from found
        found = list(rows.filter(**{f"{key}__gt": getattr(found[-1], key)}).order_by(key)[:page])


def _array(values: Iterable[Any]) -> Parts:
    return _list([_json(value)] for value in values)


def _list(values: Iterable[Iterable[bytes]]) -> Parts:
    """A JSON array of values, each of which comes in parts."""
    separator = b"["
    for parts in values:
        yield separator
        yield from parts
        separator = b",\n"
    yield b"]" if separator != b"[" else b"[]"


def _json(value: Any) -> bytes:
    return pydantic_core.to_json(value)
