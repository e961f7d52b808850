"""The threads of a person: listed, named, put away, deleted. Ownership is checked here, and versions are counted."""

from __future__ import annotations

import datetime
import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import BooleanField, QuerySet, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import StrIndex, Upper
from django.db.models.lookups import GreaterThan

from chat import runs
from chat.errors import ChatError, ErrorCode
from chat.event_log import EventLog
from chat.models import OPEN_STATUSES, CancelledBy, Run, Thread, TitleOrigin, UserCounters
from chat.protocol import ThreadCreated, ThreadDeleted, ThreadNotice, ThreadUpdated, timestamp
from chat.run_event import now

TITLE_LENGTH = 60
RESTORABLE_FOR = datetime.timedelta(hours=1)


IDLE_THREADS = """
    SELECT t.id, t.user_id FROM chat_thread t
    JOIN chat_usercounters c ON c.user_id = t.user_id AND c.deleted_at IS NULL
    WHERE t.deleted_at IS NULL AND t.updated_at < %(before)s
      AND NOT EXISTS (SELECT 1 FROM chat_run r WHERE r.thread_id = t.id AND r.status = ANY(%(open)s))
    ORDER BY t.updated_at LIMIT %(limit)s
"""
# One thread after the other is looked at, the newest first, until the page is full: OFFSET keeps PostgreSQL from
# reading all that the person ever said, or was told, before it looks at the first one.
_SAYS = """
    EXISTS (SELECT 1 FROM chat_message m
            WHERE m.thread_id = chat_thread.id AND strpos(upper(m.content), upper(%s)) > 0 OFFSET 0)
"""


# How a message says it: the part around the first place. Upper case can be longer, so the place is about right.
MATCH_BEFORE, MATCH_LENGTH = 40, 160
_HOW_IT_SAYS = """
    SELECT t.id, m.message_id, m.role, m.part
    FROM unnest(%(threads)s::uuid[]) t(id) CROSS JOIN LATERAL (
        SELECT message_id, role,
               substr(content, greatest(1, strpos(upper(content), upper(%(search)s)) - %(before)s), %(length)s) AS part
        FROM chat_message WHERE thread_id = t.id AND strpos(upper(content), upper(%(search)s)) > 0
        ORDER BY run_number DESC, id DESC LIMIT 1) m
"""


@dataclass(frozen=True, slots=True)
class Match:
    """The newest message of a thread that says what is looked for: `text` is the part of it around that place."""

    thread_id: str
    message_id: str
    role: str
    text: str


class OwnThreads:
    """Threads of each user. Holds no state of any user."""

    event_log: EventLog

    # Reading

    def threads_version(self, user_id: Any) -> int:
        return UserCounters.objects.filter(user_id=user_id).values_list("threads_version", flat=True).first() or 0

    def threads_of(self, user_id: Any) -> QuerySet[Thread]:
        """The visible threads of a user, those last written in first."""
        return Thread.objects.filter(user_id=user_id, deleted_at=None).order_by("-updated_at", "-id")

    def find_threads(self, user_id: Any, *, archived: bool, search: str) -> QuerySet[Thread]:
        """Those that are put away or those that are not; with `search`, where title or text contain it."""
        found = self.threads_of(user_id).filter(archived_at__isnull=not archived)
        if search:
            named_so = GreaterThan(StrIndex(Upper("title"), Upper(Value(search))), 0)
            says_so = RawSQL(_SAYS, [search], BooleanField())  # noqa: S611 - a constant with bound parameters
            found = found.filter(named_so | says_so)
        return found

    def matches(self, threads: Sequence[Thread], search: str) -> list[Match]:
        """How these threads, which the caller may see, say it. None of one that has it in its title alone."""
        with connection.cursor() as cursor:
            ids = [thread.id for thread in threads]
            asked: dict[str, Any] = {"threads": ids, "search": search, "before": MATCH_BEFORE, "length": MATCH_LENGTH}
            cursor.execute(_HOW_IT_SAYS, asked)
            return [Match(str(thread_id), str(message_id), *rest) for thread_id, message_id, *rest in cursor.fetchall()]

    def get_thread(self, user_id: Any, thread_id: uuid.UUID) -> Thread:
        """The only way to a thread. Unknown, deleted and other people's threads are alike THREAD_NOT_FOUND."""
        thread = self.threads_of(user_id).filter(id=thread_id).first()
        if thread is None:
            raise _thread_not_found()
        return thread

    def has_or_had_thread(self, user_id: Any, thread_id: uuid.UUID) -> bool:
        """Whether this is one of the person's own threads, deleted ones included as long as they are kept."""
        return Thread.objects.filter(user_id=user_id, id=thread_id).exists()

    def open_runs_by_thread(self, user_id: Any) -> Counter[uuid.UUID]:
        """How many open runs each thread of a user has. They are few, whatever the number of threads."""
        of_user = Run.objects.filter(user_id=user_id, status__in=OPEN_STATUSES)
        return Counter(of_user.values_list("thread_id", flat=True))

    def open_runs(self, thread: Thread) -> int:
        return self.open_runs_by_thread(thread.user_id)[thread.id]

    # Writing

    @transaction.atomic
    def create_thread(self, user_id: Any, title: str) -> Thread:
        counters = lock_counters(user_id)
        thread = Thread.objects.create(
            user_id=user_id, title=title, title_origin=_by_hand(title), created_at=(at := now()), updated_at=at
        )
        self._notice(ThreadCreated, thread, counters, open_runs=0)
        return thread

    @transaction.atomic
    def change_thread(
        self,
        user_id: Any,
        thread_id: uuid.UUID,
        *,
        title: str | None = None,
        archived: bool | None = None,
        if_match: str | None = None,
    ) -> Thread:
        """Name a thread, put it away or bring it back.

        `if_match`: the entity tags (RFC 9110, section 13.1.1) under one of which the caller has seen it. Raises
        ChatError with THREAD_NOT_FOUND, or PRECONDITION_FAILED when it has changed since.
        """
        counters = lock_counters(user_id)
        thread = self.get_thread(user_id, thread_id)
        _check_unchanged(thread, if_match)
        if title is not None:
            thread.title, thread.title_origin = title, _by_hand(title)
        if archived is not None and archived != (thread.archived_at is not None):
            thread.archived_at = now() if archived else None
        thread.save(update_fields=["title", "title_origin", "archived_at"])
        self._notice(ThreadUpdated, thread, counters, open_runs=self.open_runs(thread))
        return thread

    def name_thread(self, user_id: Any, thread_id: uuid.UUID, title: str) -> bool:
        """Name a thread after its first exchange. False when it was named, or deleted, meanwhile."""
        with transaction.atomic():
            try:
                counters = lock_counters(user_id)
            except ChatError:  # the account is deleted
                return False
            unnamed = Thread.objects.filter(
                id=thread_id, user_id=user_id, deleted_at=None, title_origin=TitleOrigin.QUESTION
            )
            thread = unnamed.first()
            if thread is None or not unnamed.update(title=title, title_origin=TitleOrigin.EXCHANGE):
                return False
            if thread.title != title:
                thread.title = title
                self._notice(ThreadUpdated, thread, counters, open_runs=self.open_runs(thread))
        return True

    @transaction.atomic
    def delete_thread(self, user_id: Any, thread_id: uuid.UUID, *, if_match: str | None = None) -> None:
        """Hide the thread, cancel its runs; for RESTORABLE_FOR it can be restored.

        `if_match` and errors: see `change_thread`.
        """
        counters = lock_counters(user_id)
        thread = self._lock_thread(user_id, thread_id)
        _check_unchanged(thread, if_match)
        for run in self._lock_open_runs(thread):
            runs.cancel(run, by=CancelledBy.DELETED, publisher=self.event_log.publisher)
        self._hide(thread, counters)

    def delete_idle(self, *, before: datetime.datetime, limit: int) -> int:
        """Delete threads, of anybody, that their people have not written in since, unless a run of theirs is open.

        Those of a person whose row another process holds are left for another time. Returns how many it deleted.
        """
        with connection.cursor() as cursor:
            cursor.execute(IDLE_THREADS, {"before": before, "open": list(OPEN_STATUSES), "limit": limit})
            idle = cursor.fetchall()
        return sum(self._delete_if_idle(user_id, thread_id, before=before) for thread_id, user_id in idle)

    @transaction.atomic
    def _delete_if_idle(self, user_id: Any, thread_id: uuid.UUID, *, before: datetime.datetime) -> bool:
        """Looked at again under the lock under which the person writes."""
        mine = UserCounters.objects.select_for_update(no_key=True, skip_locked=True).filter(user_id=user_id)
        if not mine.filter(deleted_at=None).exists():
            return False
        counters = lock_counters(user_id)
        idle = Thread.objects.select_for_update(no_key=True).filter(id=thread_id, deleted_at=None)
        thread = idle.filter(updated_at__lt=before).first()
        if thread is None or self._lock_open_runs(thread):
            return False
        self._hide(thread, counters)
        return True

    def _hide(self, thread: Thread, counters: UserCounters) -> None:
        Thread.objects.filter(id=thread.id).update(deleted_at=now())
        self._notice(ThreadDeleted, thread, counters, open_runs=0)

    @transaction.atomic
    def restore_thread(self, user_id: Any, thread_id: uuid.UUID) -> Thread:
        """Bring a deleted thread back as it was; what its deletion has cancelled stays cancelled.

        One that is not deleted stays as it is. Raises ChatError with THREAD_NOT_FOUND, also after RESTORABLE_FOR: it
        may be removed in part by then.
        """
        counters = lock_counters(user_id)
        thread = Thread.objects.select_for_update(no_key=True).filter(id=thread_id, user_id=user_id).first()
        if thread is None or (thread.deleted_at is not None and thread.deleted_at < now() - RESTORABLE_FOR):
            raise _thread_not_found()
        if thread.deleted_at is not None:
            thread.deleted_at = None
            thread.save(update_fields=["deleted_at"])
            self._notice(ThreadCreated, thread, counters, open_runs=0)
        return thread

    # Steps

    def _lock_thread(self, user_id: Any, thread_id: uuid.UUID) -> Thread:
        own = Thread.objects.select_for_update(no_key=True).filter(id=thread_id, user_id=user_id, deleted_at=None)
        thread = own.first()
        if thread is None:
            raise _thread_not_found()
        return thread

    def _lock_open_runs(self, thread: Thread) -> list[Run]:
        open_runs = Run.objects.select_for_update(no_key=True).filter(thread=thread, status__in=OPEN_STATUSES)
        return list(open_runs.order_by("run_number"))

    def _notice(self, kind: type[ThreadNotice], thread: Thread, counters: UserCounters, *, open_runs: int) -> None:
        """Count the version of the user's thread list up, and tell the user's connections after the commit."""
        counters.threads_version += 1
        counters.save(update_fields=_LOCKED)
        self._tell(kind, thread, counters, open_runs=open_runs)

    def _tell(self, kind: type[ThreadNotice], thread: Thread, counters: UserCounters, *, open_runs: int) -> None:
        """The same for a version that is counted, and written, already."""
        frame = kind(
            thread=thread_json(thread, open_runs=open_runs),
            threads_version=counters.threads_version,
        )
        message = {
            "type": "thread.notice",
            "threads_version": counters.threads_version,
            "frame": frame.encode(),
        }
        self.event_log.publisher.send_on_commit(thread.user_id, message)


_LOCKED = ("last_run_number", "threads_version", "runs_counted_on", "runs_counted")


def lock_counters(user_id: Any) -> UserCounters:
    """The row under whose lock a user's numbers are given out. It is made, locked and read in one statement.

    Raises ChatError with USER_INACTIVE for an account that is deleted: nothing is written in it any more.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO chat_usercounters (user_id, last_run_number, threads_version)
               SELECT id, 0, 0 FROM auth_user WHERE id = %s
               ON CONFLICT (user_id) DO UPDATE SET user_id = EXCLUDED.user_id
               RETURNING last_run_number, threads_version, runs_counted_on, runs_counted, deleted_at""",
            [user_id],
        )
        row = cursor.fetchone()
    if row is None or row[-1] is not None:
        raise ChatError(ErrorCode.USER_INACTIVE, "The account is deleted")
    counters = UserCounters(user_id=user_id, **dict(zip(_LOCKED, row, strict=False)))
    counters._state.adding = False
    return counters


def _thread_not_found() -> ChatError:
    return ChatError(ErrorCode.THREAD_NOT_FOUND, "There is no such thread")


def _by_hand(title: str) -> TitleOrigin:
    """A person who takes a title away asks for another."""
    return TitleOrigin.USER if title else TitleOrigin.NONE


def title_from(content: str) -> str:
    """A thread's title from its first message: its first line, cut at a word."""
    line = next((line.strip() for line in content.splitlines() if line.strip()), "")
    line = " ".join(line.split())
    if len(line) <= TITLE_LENGTH:
        return line
    cut = line[: TITLE_LENGTH - 1]
    return (cut.rpartition(" ")[0] if " " in cut[TITLE_LENGTH // 2 :] else cut).rstrip(" ,;:.-") + "…"


def thread_json(thread: Thread, *, open_runs: int) -> dict[str, Any]:
    return {
        "id": str(thread.id),
        "title": thread.title,
        "created_at": timestamp(thread.created_at),
        "updated_at": timestamp(thread.updated_at),
        "archived": thread.archived_at is not None,
        "open_runs": open_runs,
    }


def thread_etag(thread: Thread) -> str:
    """The entity tag of what a person can change of a thread: what is written in it does not touch it."""
    changeable = json.dumps([str(thread.id), thread.title, thread.archived_at is not None])
    return f'"{hashlib.sha256(changeable.encode()).hexdigest()[:20]}"'


def _check_unchanged(thread: Thread, if_match: str | None) -> None:
    """Raises ChatError with PRECONDITION_FAILED when the thread is not as one of these tags says."""
    if if_match is None or if_match.strip() == "*":
        return
    if thread_etag(thread) not in [tag.strip() for tag in if_match.split(",")]:
        raise ChatError(ErrorCode.PRECONDITION_FAILED, "The thread was changed meanwhile: read it again")
