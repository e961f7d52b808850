"""The thread service: everything that reads or writes threads and messages, with ownership checked in one place.

All of it is synchronous and uses the ORM; consumers call it through `database_sync_to_async`.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Q, QuerySet

from chat import runs
from chat.errors import ChatError, ErrorCode
from chat.event_log import EventLog
from chat.models import (
    OPEN_STATUSES,
    Approval,
    ApprovedBy,
    CancelledBy,
    Message,
    Role,
    Run,
    RunEvent,
    Thread,
    TitleOrigin,
    UserCounters,
)
from chat.protocol import (
    ApprovalAccepted,
    MessageAccepted,
    OpenRun,
    ResolveApproval,
    RunStopped,
    ThreadNotice,
    UserMessage,
    timestamp,
)
from chat.run_event import now

TITLE_LENGTH = 60
RESULT_TYPES = ("tool_completed", "subagent_completed")


@dataclass(frozen=True, slots=True)
class UserSnapshot:
    """What a connection announces of its user: counters and open runs, read in one transaction."""

    last_run_number: int
    threads_version: int
    open_runs: list[OpenRun]


_SNAPSHOT = """
    SELECT COALESCE(c.last_run_number, 0), COALESCE(c.threads_version, 0),
           r.id::text, r.run_number, r.thread_id::text, r.status, r.last_seq
    FROM (SELECT %(user)s AS user_id) u
    LEFT JOIN chat_usercounters c ON c.user_id = u.user_id
    LEFT JOIN (chat_run r JOIN chat_thread t ON t.id = r.thread_id AND t.deleted_at IS NULL)
           ON r.user_id = u.user_id AND r.status = ANY(%(open)s)
    ORDER BY r.run_number
"""


class ThreadService:
    """Threads, messages and runs of each user. Holds no state of any user. The first of `agents` is the default."""

    def __init__(self, *, event_log: EventLog, agents: Sequence[str], max_open_runs: int) -> None:
        self.event_log = event_log
        self.agents = tuple(agents)
        self.max_open_runs = max_open_runs

    # Reading

    def snapshot(self, user_id: Any) -> UserSnapshot:
        """In one statement: the numbers and the runs belong together, and every connect waits for it."""
        with connection.cursor() as cursor:
            cursor.execute(_SNAPSHOT, {"user": user_id, "open": list(OPEN_STATUSES)})
            rows = cursor.fetchall()
        last_run_number, threads_version, *_ = rows[0]
        return UserSnapshot(
            last_run_number=last_run_number,
            threads_version=threads_version,
            open_runs=[
                OpenRun(run_id=run_id, run_number=number, thread_id=thread_id, status=status, last_seq=last_seq)
                for _, _, run_id, number, thread_id, status, last_seq in rows
                if run_id is not None
            ],
        )

    def threads_version(self, user_id: Any) -> int:
        return UserCounters.objects.filter(user_id=user_id).values_list("threads_version", flat=True).first() or 0

    def threads_of(self, user_id: Any) -> QuerySet[Thread]:
        """The visible threads of a user, each with `open_runs`, those last written in first."""
        open_runs = Count("runs", filter=Q(runs__status__in=OPEN_STATUSES))
        threads = Thread.objects.filter(user_id=user_id, deleted_at=None)
        return threads.annotate(open_runs=open_runs).order_by("-updated_at", "-id")

    def get_thread(self, user_id: Any, thread_id: uuid.UUID) -> Thread:
        """The only way to a thread. Unknown, deleted and other people's threads are alike THREAD_NOT_FOUND."""
        thread = self.threads_of(user_id).filter(id=thread_id).first()
        if thread is None:
            raise ChatError(ErrorCode.THREAD_NOT_FOUND, "There is no such thread")
        return thread

    def messages_of(self, thread: Thread) -> QuerySet[Message]:
        """The messages of a thread in reading order."""
        return Message.objects.filter(thread=thread).order_by("run_number", "id")

    def search_messages(self, user_id: Any, query: str, *, limit: int) -> list[Message]:
        """The newest messages of a user's visible threads that contain `query`, whatever its case."""
        found = Message.objects.filter(user_id=user_id, thread__deleted_at=None, content__icontains=query)
        return list(found.select_related("thread").order_by("-id")[:limit])

    def tool_result(self, user_id: Any, run_id: uuid.UUID, seq: int) -> Any:
        """What a tool of the user's run gave, or an agent that it asked; as much of it as is kept.

        Raises ChatError with RUN_NOT_FOUND, also when the run's events were pruned.
        """
        visible = RunEvent.objects.filter(run__user_id=user_id, run__thread__deleted_at=None)
        found = (
            visible.filter(run_id=run_id, seq=seq, type__in=RESULT_TYPES).values_list("data", "whole_result").first()
        )
        if found is None or "result" not in found[0]:
            raise ChatError(ErrorCode.RUN_NOT_FOUND, "There is no such result")
        data, whole_result = found
        return data["result"] if whole_result is None else whole_result

    # Writing

    def post_message(self, user_id: Any, command: UserMessage) -> MessageAccepted:
        """Commit message, run, first event and job together.

        A resend (same `message_id`) returns the first answer. Raises ChatError with AGENT_NOT_FOUND,
        THREAD_NOT_FOUND, RUN_ACTIVE, TOO_MANY_RUNS or MESSAGE_ID_CONFLICT.
        """
        with transaction.atomic():
            counters = _lock_counters(user_id)
            if (earlier := self.find_acceptance(user_id, command)) is not None:
                return earlier
            agent = command.agent or self.agents[0]
            if agent not in self.agents:
                raise ChatError(
                    ErrorCode.AGENT_NOT_FOUND, "There is no such agent", details={"agents": list(self.agents)}
                )
            thread = self._thread_for(user_id, command)
            if command.when_busy != "enqueue":
                self._clear_way(thread, command)
            open_in = self._threads_with_open_runs(user_id)
            counters.last_run_number += 1
            message = self._add_message(thread, command, run_number=counters.last_run_number)
            run = runs.begin(message, agent=agent, thread_busy=thread.id in open_in, publisher=self.event_log.publisher)
            kind = "thread_created" if command.thread_id is None else "thread_updated"
            self._notice(kind, thread, counters, open_runs=open_in.count(thread.id) + 1)
        return _acceptance(message, run)

    def find_acceptance(self, user_id: Any, command: UserMessage) -> MessageAccepted | None:
        """The earlier answer to a resend, which costs no rate limit. Raises ChatError with MESSAGE_ID_CONFLICT."""
        if command.message_id is None:
            return None
        message = Message.objects.filter(user_id=user_id, message_id=command.message_id).first()
        if message is None:
            return None
        run = message.runs.order_by("run_number").first() if message.role == Role.USER else None
        if run is None or message.content != command.content:
            raise ChatError(
                ErrorCode.MESSAGE_ID_CONFLICT, "This message_id was used before, with other content", ref=command.ref
            )
        return _acceptance(message, run)

    def stop_run(self, user_id: Any, run_id: uuid.UUID, *, by: CancelledBy = CancelledBy.USER) -> RunStopped:
        """End a run of the user at once; on an ended run, tell its status. Raises ChatError with RUN_NOT_FOUND."""
        with transaction.atomic():
            locked = runs.lock(run_id)
            if locked is None or locked[1].user_id != user_id or locked[0].deleted_at is not None:
                raise ChatError(ErrorCode.RUN_NOT_FOUND, "There is no such run")
            thread, run = locked
            if run.status in OPEN_STATUSES:
                runs.cancel(run, by=by, publisher=self.event_log.publisher)
                runs.defer_next(thread)
        return RunStopped(run_id=str(run.id), status=run.status)

    def approvals_of(self, user_id: Any, run_id: uuid.UUID) -> list[Approval]:
        """What a run of the user asked for, in its order. Raises ChatError with RUN_NOT_FOUND."""
        run = Run.objects.filter(id=run_id, user_id=user_id, thread__deleted_at=None).first()
        if run is None:
            raise ChatError(ErrorCode.RUN_NOT_FOUND, "There is no such run")
        return list(run.approvals.order_by("id"))

    @transaction.atomic
    def resolve_approval(self, user_id: Any, command: ResolveApproval) -> ApprovalAccepted:
        """Answer what a run of the user waits for. The first answer counts.

        Raises ChatError with APPROVAL_NOT_FOUND; when it was resolved already, `details` tell how.
        """
        locked = runs.lock(command.run_id)
        approval = None
        if locked is not None and locked[1].user_id == user_id and locked[0].deleted_at is None:
            approval = Approval.objects.filter(run=locked[1], tool_call_id=command.tool_call_id).first()
        if locked is None or approval is None:
            raise ChatError(ErrorCode.APPROVAL_NOT_FOUND, "There is no such request for approval")
        if approval.approved is not None:
            details = {"approved": approval.approved, "by": approval.by}
            raise ChatError(ErrorCode.APPROVAL_NOT_FOUND, "It was resolved already", details=details)
        if approval.expires_at <= now():
            details = {"approved": False, "by": ApprovedBy.EXPIRED.value}
            raise ChatError(ErrorCode.APPROVAL_NOT_FOUND, "The time to answer is over", details=details)
        publisher = self.event_log.publisher
        runs.resolve(locked[1], approval, approved=command.approved, reason=command.reason.strip(), publisher=publisher)
        return ApprovalAccepted(run_id=str(command.run_id), tool_call_id=command.tool_call_id)

    def create_thread(self, user_id: Any, title: str) -> Thread:
        with transaction.atomic():
            counters = _lock_counters(user_id)
            thread = Thread.objects.create(
                user_id=user_id, title=title, title_origin=_by_hand(title), created_at=(at := now()), updated_at=at
            )
            self._notice("thread_created", thread, counters, open_runs=0)
        return self.get_thread(user_id, thread.id)

    def rename_thread(self, user_id: Any, thread_id: uuid.UUID, title: str) -> Thread:
        """Raises ChatError with THREAD_NOT_FOUND."""
        with transaction.atomic():
            counters = _lock_counters(user_id)
            thread = self.get_thread(user_id, thread_id)
            Thread.objects.filter(id=thread.id).update(title=title, title_origin=_by_hand(title))
            thread.title = title
            self._notice("thread_updated", thread, counters, open_runs=self._open_runs(thread))
        return thread

    def name_thread(self, user_id: Any, thread_id: uuid.UUID, title: str) -> bool:
        """Name a thread after its first exchange. False when it was named, or deleted, meanwhile."""
        with transaction.atomic():
            counters = _lock_counters(user_id)
            unnamed = Thread.objects.filter(
                id=thread_id, user_id=user_id, deleted_at=None, title_origin=TitleOrigin.QUESTION
            )
            thread = unnamed.first()
            if thread is None or not unnamed.update(title=title, title_origin=TitleOrigin.EXCHANGE):
                return False
            if thread.title != title:
                thread.title = title
                self._notice("thread_updated", thread, counters, open_runs=self._open_runs(thread))
        return True

    def delete_thread(self, user_id: Any, thread_id: uuid.UUID) -> None:
        """Hide the thread, cancel its runs; the sweep removes it later. Raises ChatError with THREAD_NOT_FOUND."""
        with transaction.atomic():
            counters = _lock_counters(user_id)
            thread = self._lock_thread(user_id, thread_id)
            for run in self._lock_open_runs(thread):
                runs.cancel(run, by=CancelledBy.DELETED, publisher=self.event_log.publisher)
            Thread.objects.filter(id=thread.id).update(deleted_at=now())
            self._notice("thread_deleted", thread, counters, open_runs=0)

    # Steps

    def _thread_for(self, user_id: Any, command: UserMessage) -> Thread:
        at = now()
        if command.thread_id is None:
            return Thread.objects.create(
                user_id=user_id,
                title=title_from(command.content),
                title_origin=TitleOrigin.QUESTION,
                created_at=at,
                updated_at=at,
            )
        thread = self._lock_thread(user_id, command.thread_id)
        thread.updated_at = at
        if not thread.title:
            thread.title, thread.title_origin = title_from(command.content), TitleOrigin.QUESTION
        thread.save(update_fields=["updated_at", "title", "title_origin"])
        return thread

    def _lock_thread(self, user_id: Any, thread_id: uuid.UUID) -> Thread:
        own = Thread.objects.select_for_update(no_key=True).filter(id=thread_id, user_id=user_id, deleted_at=None)
        thread = own.first()
        if thread is None:
            raise ChatError(ErrorCode.THREAD_NOT_FOUND, "There is no such thread")
        return thread

    def _lock_open_runs(self, thread: Thread) -> list[Run]:
        open_runs = Run.objects.select_for_update(no_key=True).filter(thread=thread, status__in=OPEN_STATUSES)
        return list(open_runs.order_by("run_number"))

    def _clear_way(self, thread: Thread, command: UserMessage) -> None:
        open_runs = self._lock_open_runs(thread)
        if not open_runs:
            return
        if command.when_busy == "reject":
            raise ChatError(
                ErrorCode.RUN_ACTIVE,
                "The thread has an open run",
                details={"run_ids": [str(run.id) for run in open_runs]},
            )
        for run in open_runs:
            runs.cancel(run, by=CancelledBy.INTERRUPT, publisher=self.event_log.publisher)

    def _threads_with_open_runs(self, user_id: Any) -> list[uuid.UUID]:
        """The thread of each open run of the user. Raises ChatError with TOO_MANY_RUNS when one more is too many."""
        open_in = list(
            Run.objects.filter(user_id=user_id, status__in=OPEN_STATUSES).values_list("thread_id", flat=True)
        )
        if len(open_in) >= self.max_open_runs:
            raise ChatError(
                ErrorCode.TOO_MANY_RUNS,
                f"At most {self.max_open_runs} runs may be open at the same time",
                details={"max_open_runs": self.max_open_runs},
                retry_after=5.0,
            )
        return open_in

    def _add_message(self, thread: Thread, command: UserMessage, *, run_number: int) -> Message:
        return Message.objects.create(
            message_id=command.message_id or uuid.uuid4(),
            user_id=thread.user_id,
            thread=thread,
            parent=self.messages_of(thread).last() if command.thread_id else None,
            role=Role.USER,
            content=command.content,
            run_number=run_number,
            created_at=thread.updated_at,
        )

    def _open_runs(self, thread: Thread) -> int:
        return Run.objects.filter(thread=thread, status__in=OPEN_STATUSES).count()

    def _notice(self, kind: Any, thread: Thread, counters: UserCounters, *, open_runs: int) -> None:
        """Count the version of the user's thread list up, and tell the user's connections after the commit."""
        counters.threads_version += 1
        counters.save(update_fields=["last_run_number", "threads_version"])
        frame = ThreadNotice(
            type=kind,
            thread=thread_json(thread, open_runs=open_runs),
            threads_version=counters.threads_version,
        )
        message = {
            "type": "thread.notice",
            "threads_version": counters.threads_version,
            "frame": frame.encode(),
        }
        self.event_log.publisher.send_on_commit(thread.user_id, message)


def _lock_counters(user_id: Any) -> UserCounters:
    """The row under whose lock a user's numbers are given out. It is made, locked and read in one statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO chat_usercounters (user_id, last_run_number, threads_version) VALUES (%s, 0, 0)
               ON CONFLICT (user_id) DO UPDATE SET user_id = EXCLUDED.user_id
               RETURNING last_run_number, threads_version""",
            [user_id],
        )
        last_run_number, threads_version = cursor.fetchone()
    counters = UserCounters(user_id=user_id, last_run_number=last_run_number, threads_version=threads_version)
    counters._state.adding = False
    return counters


def _acceptance(message: Message, run: Run) -> MessageAccepted:
    return MessageAccepted(
        thread_id=str(message.thread_id),
        message_id=str(message.message_id),
        run_id=str(run.id),
        run_number=run.run_number,
    )


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
        "open_runs": open_runs,
    }


def purge_deleted(*, older_than: datetime.timedelta, limit: int) -> int:
    """Remove threads that were deleted long enough ago, with all that is in them. Returns how many."""
    due = Thread.objects.filter(deleted_at__lt=now() - older_than).order_by("deleted_at")[:limit]
    for thread in due:
        Run.objects.filter(thread=thread).delete()
        thread.delete()
    return len(due)
