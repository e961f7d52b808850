"""The thread service: everything that people do with threads, messages and runs, ownership checked.

All of it is synchronous and uses the ORM; consumers call it through `database_sync_to_async`.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Collection, Sequence
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from chat import allowances, runs
from chat.attachments import DEFAULT_LIMITS, AttachmentLimits, attachment_json, give_to, in_order, same_files
from chat.beginning import begin
from chat.branches import end_of, with_attachments
from chat.errors import ChatError, ErrorCode
from chat.event_log import EventLog
from chat.file_kinds import IMAGE_TYPES
from chat.models import (
    OPEN_STATUSES,
    CancelledBy,
    Message,
    Role,
    Run,
    RunStatus,
    Thread,
    TitleOrigin,
    UserCounters,
)
from chat.own_runs import OwnRuns
from chat.own_threads import OwnThreads, lock_counters, title_from
from chat.preferences import default_agent_of
from chat.protocol import MessageAccepted, Regenerate, ThreadCreated, ThreadUpdated, UserMessage
from chat.run_event import now


@dataclasses.dataclass(frozen=True, slots=True)
class _Asked:
    """A question in its thread, and whom it is for."""

    message: Message
    agent: str
    may_have_files: bool = True


class ThreadService(OwnThreads, OwnRuns):
    """Threads, messages and runs of each user. Holds no state of any user. The first of `agents` is asked when
    neither a message names one nor its person has chosen one.

    `blind_agents` are those whose models are known to read no images, and do not say so themselves.
    """

    def __init__(
        self,
        *,
        event_log: EventLog,
        agents: Sequence[str],
        max_open_runs: int,
        blind_agents: Collection[str] = (),
        attachment_limits: AttachmentLimits = DEFAULT_LIMITS,
    ) -> None:
        self.event_log = event_log
        self.agents = tuple(agents)
        self.max_open_runs = max_open_runs
        self.attachment_limits = attachment_limits
        self._blind_agents = frozenset(blind_agents)

    # Reading

    def messages_of(self, thread: Thread) -> QuerySet[Message]:
        """The messages of a thread, of all branches, in the order in which they were asked."""
        return Message.objects.filter(thread=thread).order_by("run_number", "id")

    def get_message(self, user_id: Any, message_id: uuid.UUID) -> Message:
        """Unknown, deleted and other people's messages are alike MESSAGE_NOT_FOUND."""
        visible = with_attachments(Message.objects.filter(user_id=user_id, thread__deleted_at=None))
        message = visible.select_related("thread", "parent", "feedback").filter(message_id=message_id).first()
        if message is None:
            raise _message_not_found()
        return message

    def search_messages(self, user_id: Any, query: str, *, limit: int) -> list[Message]:
        """The newest messages of a user's visible threads that contain `query`, whatever its case."""
        found = Message.objects.filter(user_id=user_id, thread__deleted_at=None, content__icontains=query)
        return list(found.select_related("thread").order_by("-id")[:limit])

    # Asking

    def post_message(
        self, user_id: Any, command: UserMessage, *, new_thread_id: uuid.UUID | None = None
    ) -> MessageAccepted:
        """Commit message, run, first event and job together.

        A resend (same `message_id`) returns the first answer. Without a `thread_id` in the command a thread is begun;
        with `new_thread_id` under that name, unless the user has it already. Raises ChatError with AGENT_NOT_FOUND,
        THREAD_NOT_FOUND, MESSAGE_NOT_FOUND, RUN_ACTIVE, TOO_MANY_RUNS, ALLOWANCE_USED or MESSAGE_ID_CONFLICT; for its
        attachments with TOO_MANY_ATTACHMENTS, ATTACHMENT_NOT_FOUND, ATTACHMENT_SENT or IMAGES_NOT_SUPPORTED.
        """
        with transaction.atomic():
            counters = lock_counters(user_id)
            if (earlier := self.find_acceptance(user_id, command)) is not None:
                return earlier
            agent = self._agent(command.agent or self._default_agent(user_id))
            thread = self._thread_for(user_id, command, new_thread_id)
            is_new = thread._state.adding
            if not is_new and command.when_busy != "enqueue":
                self._clear_way(thread, command)
            standing = allowances.check(user_id, max_open_runs=self.max_open_runs)
            edited, parent = (None, None) if is_new else self._place_of(thread, command)
            message = _message(thread, command, parent, run_number=counters.last_run_number + 1)
            if command.attachments:
                message.save(force_insert=True)  # the files are to name it
                give_to(message, command.attachments, edited=edited, limits=self.attachment_limits)
            return self._begin(counters, _Asked(message, agent, bool(command.attachments)), standing)

    def find_acceptance(self, user_id: Any, command: UserMessage) -> MessageAccepted | None:
        """The earlier answer to a resend, which costs no rate limit. Raises ChatError with MESSAGE_ID_CONFLICT."""
        if command.message_id is None:
            return None
        own = Message.objects.filter(user_id=user_id, message_id=command.message_id)
        message = own.select_related("thread").first()
        if message is None:
            return None
        run = message.runs.order_by("run_number").first() if message.role == Role.USER else None
        # A deleted thread keeps for a while what was said in it, and no files.
        alike = message.content == command.content and (
            message.thread.deleted_at is not None or same_files(message, command.attachments)
        )
        if run is None or not alike:
            raise ChatError(
                ErrorCode.MESSAGE_ID_CONFLICT, "This message_id was used before, with other content", ref=command.ref
            )
        return _acceptance(message, run.id, run.run_number)

    def regenerate(self, user_id: Any, command: Regenerate) -> MessageAccepted:
        """Answer a question again, beside the answers that it has. By default the agent of the last one is asked.

        Raises ChatError with MESSAGE_NOT_FOUND, AGENT_NOT_FOUND, IMAGES_NOT_SUPPORTED, TOO_MANY_RUNS or
        ALLOWANCE_USED, and with RUN_ACTIVE while the question has an open run: so a resend does nothing twice.
        """
        with transaction.atomic():
            counters = lock_counters(user_id)
            message = self.get_message(user_id, command.message_id)
            question = message if message.role == Role.USER else message.parent
            if question is None:
                raise _message_not_found()
            earlier = list(question.runs.order_by("run_number"))
            agent = self._agent(command.agent or (earlier[-1].agent if earlier else None))
            return self._ask_again(counters, _Asked(question, agent), earlier)

    def retry_run(self, user_id: Any, run_id: uuid.UUID) -> MessageAccepted:
        """Ask again what a failed or cancelled run was asked.

        Raises ChatError with RUN_NOT_FOUND, IMAGES_NOT_SUPPORTED, TOO_MANY_RUNS or ALLOWANCE_USED, with RUN_COMPLETED
        when it, or a retry of it, has its answer, and with RUN_ACTIVE while it, or a retry of it, is open: so a resend
        does nothing twice.
        """
        with transaction.atomic():
            counters = lock_counters(user_id)
            run = self.get_run(user_id, run_id)
            question = run.input_message
            of_question = list(question.runs.order_by("run_number"))
            answered = [each for each in of_question if each.status == RunStatus.COMPLETED]
            if answered and answered[-1].run_number >= run.run_number:
                details = {"run_ids": [str(answered[-1].id)]}
                raise ChatError(
                    ErrorCode.RUN_COMPLETED, "It has its answer: regenerate it to have another", details=details
                )
            return self._ask_again(counters, _Asked(question, self._agent(run.agent)), of_question)

    def _ask_again(self, counters: UserCounters, asked: _Asked, earlier: Sequence[Run]) -> MessageAccepted:
        if open_runs := [run for run in earlier if run.status in OPEN_STATUSES]:
            raise _run_active("The question has an open run", open_runs)
        thread = asked.message.thread = self._lock_thread(counters.user_id, asked.message.thread_id)
        _touch(thread)
        standing = allowances.check(counters.user_id, max_open_runs=self.max_open_runs)
        return self._begin(counters, asked, standing)

    def _begin(self, counters: UserCounters, asked: _Asked, standing: allowances.Standing) -> MessageAccepted:
        """The run for a question, and the notice of its thread, which is new or locked."""
        thread, files = asked.message.thread, in_order(asked.message) if asked.may_have_files else []
        if asked.agent in self._blind_agents and any(file.media_type in IMAGE_TYPES for file in files):
            raise ChatError(
                ErrorCode.IMAGES_NOT_SUPPORTED,
                f"The model of the agent {asked.agent} cannot read images",
                details={"agents": [name for name in self.agents if name not in self._blind_agents]},
            )
        counters.last_run_number += 1
        counters.threads_version += 1
        allowances.count_run(counters, standing.at)
        run_id = begin(
            asked.message,
            counters=counters,
            agent=asked.agent,
            files=[attachment_json(file) for file in files],
            thread_busy=thread.id in standing.open_in,
            publisher=self.event_log.publisher,
        )
        kind = ThreadCreated if thread._state.adding else ThreadUpdated
        self._tell(kind, thread, counters, open_runs=standing.open_in.count(thread.id) + 1)
        return _acceptance(asked.message, run_id, counters.last_run_number, standing)

    # Steps

    def _agent(self, name: str | None) -> str:
        if name is None:
            return self.agents[0]
        if name not in self.agents:
            raise ChatError(ErrorCode.AGENT_NOT_FOUND, "There is no such agent", details={"agents": list(self.agents)})
        return name

    def _default_agent(self, user_id: Any) -> str | None:
        """The person's, as long as there is that agent."""
        chosen = default_agent_of(user_id)
        return chosen if chosen in self.agents else None

    def _thread_for(self, user_id: Any, command: UserMessage, new_thread_id: uuid.UUID | None) -> Thread:
        """The thread, locked, with this message's time; one that is not stored yet for a new conversation."""
        thread_id = command.thread_id
        if thread_id is None and new_thread_id is not None and Thread.objects.filter(id=new_thread_id).exists():
            thread_id = new_thread_id
        if thread_id is None:
            if command.edits or command.parent_id:
                raise ChatError(ErrorCode.INVALID_MESSAGE, "thread_id: must be given with edits or parent_id")
            at = now()
            return Thread(
                id=new_thread_id or uuid.uuid4(),
                user_id=user_id,
                title=title_from(command.content),
                title_origin=TitleOrigin.QUESTION,
                created_at=at,
                updated_at=at,
            )
        thread = self._lock_thread(user_id, thread_id)
        if not thread.title:
            thread.title, thread.title_origin = title_from(command.content), TitleOrigin.QUESTION
        _touch(thread)
        return thread

    def _clear_way(self, thread: Thread, command: UserMessage) -> None:
        open_runs = self._lock_open_runs(thread)
        if not open_runs:
            return
        if command.when_busy == "reject":
            raise _run_active("The thread has an open run", open_runs)
        for run in open_runs:
            runs.cancel(run, by=CancelledBy.INTERRUPT, publisher=self.event_log.publisher)

    def _place_of(self, thread: Thread, command: UserMessage) -> tuple[Message | None, Message | None]:
        """What the message edits, if anything, and what it follows: what that one followed, the named one, the end."""
        if (named := command.edits or command.parent_id) is None:
            return None, end_of(thread)
        message = self.messages_of(thread).filter(message_id=named).select_related("parent").first()
        if message is None or (command.edits and message.role != Role.USER):
            raise _message_not_found()
        return (message, message.parent) if command.edits else (None, message)


def _message(thread: Thread, command: UserMessage, parent: Message | None, *, run_number: int) -> Message:
    """What a person says, not stored yet."""
    return Message(
        message_id=command.message_id or uuid.uuid4(),
        user_id=thread.user_id,
        thread=thread,
        parent=parent,
        role=Role.USER,
        content=command.content,
        run_number=run_number,
        created_at=thread.updated_at,
    )


def _touch(thread: Thread) -> None:
    """Somebody writes in the thread: it comes to the front, and back if it was put away. The run's begin stores it."""
    thread.updated_at, thread.archived_at = now(), None


def _acceptance(
    message: Message, run_id: uuid.UUID, run_number: int, standing: allowances.Standing | None = None
) -> MessageAccepted:
    """With a standing from before the run: what is nearly used up, if anything."""
    near = [use.json() for use in standing.per_day(begun=1) if use.is_near] if standing is not None else []
    return MessageAccepted(
        allowance=near or None,
        thread_id=str(message.thread_id),
        message_id=str(message.message_id),
        run_id=str(run_id),
        run_number=run_number,
    )


def _message_not_found() -> ChatError:
    return ChatError(ErrorCode.MESSAGE_NOT_FOUND, "There is no such message")


def _run_active(message: str, open_runs: Sequence[Run]) -> ChatError:
    return ChatError(ErrorCode.RUN_ACTIVE, message, details={"run_ids": [str(run.id) for run in open_runs]})
