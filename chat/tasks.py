"""The engine's tasks: `execute_run`, and `make_title` after it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, cast

import structlog
from django.apps import apps
from django.conf import settings
from procrastinate import BaseRetryStrategy, RetryDecision
from procrastinate.contrib.django import app
from procrastinate.exceptions import JobAborted
from procrastinate.job_context import AbortReason, JobContext
from procrastinate.jobs import Job
from psycopg.rows import DictRow

from agents.events import AgentCompleted, AgentError, AgentPaused, AgentStarted, event_data
from agents.request import AttachedFile, Resumption, RunRequest, RunUser, Turn
from chat import jobs, metrics, passwords, titles
from chat.claiming import HeldRun
from chat.errors import ErrorCode
from chat.event_log import Ending, EventLog, RunFenced
from chat.models import RunStatus
from chat.pool import on_any_thread
from chat.run_event import bounded_event
from chat.run_services import RunServicesOfUser
from chat.run_writer import RunWriter

if TYPE_CHECKING:
    from agents.apps import AgentsConfig
    from chat.apps import ChatConfig

logger = structlog.get_logger(__name__)

FINISH_SECONDS_AFTER_CANCEL = 2.0
HAND_BACK_SECONDS = 5.0


class HandBack(BaseRetryStrategy):
    """A task that is cancelled by a shutdown goes back to the queue at once; nothing else is repeated."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:  # noqa: ARG002
        return RetryDecision(retry_in={"seconds": 0}) if isinstance(exception, asyncio.CancelledError) else None


@app.task(name=jobs.RUN_TASK, queue=jobs.RUN_QUEUE, pass_context=True, retry=HandBack())
async def execute_run(context: JobContext, run_id: str) -> None:
    """Claim a run, let its agent work, write what it does. Ends early when the run is taken from this worker."""
    log = cast("ChatConfig", apps.get_app_config("chat")).event_log
    claimed = await log.pool.until_reached(lambda: log.claim(run_id))
    if claimed is None:
        logger.info("run_not_claimed", run_id=run_id)
        return
    run, conversation = claimed
    with (
        structlog.contextvars.bound_contextvars(
            run_id=run_id, thread_id=str(run.thread_id), user_id=str(run.user_id), agent=run.agent
        ),
        metrics.RUNS_HELD.track_inprogress(),
    ):
        logger.info("run_started", attempt=run.attempt)
        began = time.monotonic()
        outcome = "lost"
        try:
            outcome = await _execute(log, run, conversation)
        except RunFenced:
            outcome = "taken"
        except asyncio.CancelledError:
            outcome = "cancelled"
            if context.abort_reason() is AbortReason.USER_REQUEST:
                raise JobAborted from None
            status = await _hand_back(log, run)
            if status in (RunStatus.QUEUED, RunStatus.RUNNING):
                outcome = "handed_back" if status is RunStatus.QUEUED else "lost"
                raise
            # Nobody is to take up this job again.
            outcome = "taken" if status is None else status.value
        finally:
            logger.info(
                "run_ended",
                outcome=outcome,
                seconds=round(time.monotonic() - began, 3),
                last_seq=run.last_seq,
            )


@app.task(name=jobs.TITLE_TASK, queue=jobs.RUN_QUEUE, pass_context=True, retry=HandBack())
async def make_title(context: JobContext, run_id: str, *, repeated: bool) -> None:  # noqa: ARG001 - for the sweep
    """Name a run's thread after what was said in the run, unless that is not wanted any more."""
    try:
        await titles.name_thread(run_id)
    except asyncio.CancelledError:
        if context.abort_reason() is AbortReason.USER_REQUEST:
            raise JobAborted from None
        raise


@app.task(name=jobs.RESET_TASK, queue=jobs.RUN_QUEUE, pass_context=True, retry=HandBack())
async def send_reset_mail(context: JobContext, request_id: int) -> None:  # noqa: ARG001 - a task's signature
    """Send the mail that somebody who forgot a password asked for. While it cannot be sent, the sweep asks again."""
    await on_any_thread(lambda: passwords.send_reset_mail(request_id))


async def _hand_back(log: EventLog, run: HeldRun) -> RunStatus | None:
    """The run's status afterwards, None when it was taken already. While the database is away it stays `running`, and a
    sweep takes it up: whoever is told to end does not wait for ever.
    """
    try:
        async with asyncio.timeout(HAND_BACK_SECONDS):
            return await log.pool.until_reached(lambda: log.hand_back(run, reason="handed_back"))
    except TimeoutError:
        return RunStatus.RUNNING


async def _execute(log: EventLog, run: HeldRun, conversation: list[DictRow]) -> str:
    """Returns the run's final status. Raises RunFenced and CancelledError, after which nothing more is written."""
    writer = RunWriter(log, run, window=settings.NETRA.event_window_ms / 1000)
    try:
        ending = await _follow_agent(writer, run, conversation)
        finishing = asyncio.create_task(_finish(writer, ending), name=f"finish run {run.id}")
        try:
            await asyncio.shield(finishing)
        except asyncio.CancelledError:
            # The answer is whole: a moment more and it is stored.
            await asyncio.wait([finishing], timeout=FINISH_SECONDS_AFTER_CANCEL)
            if not finishing.done():
                finishing.cancel()
                raise
            finishing.result()
    except BaseException:
        await writer.abandon()
        raise
    return RunStatus.AWAITING_APPROVAL.value if isinstance(ending, AgentPaused) else ending.status.value


async def _finish(writer: RunWriter, ending: Ending | AgentPaused) -> None:
    if isinstance(ending, AgentPaused):
        await writer.pause(ending, expires_in=settings.NETRA.approval_seconds)
    else:
        await writer.finish(ending)


async def _follow_agent(writer: RunWriter, run: HeldRun, conversation: list[DictRow]) -> Ending | AgentPaused:
    chat = cast("ChatConfig", apps.get_app_config("chat"))
    supervisor = cast("AgentsConfig", apps.get_app_config("agents")).supervisor
    if supervisor is None or chat.thread_service is None:
        return _failed("The agents are not available on this server.")
    *earlier, question = conversation
    request = RunRequest(
        run_id=str(run.id),
        attempt=run.attempt,
        agent=run.agent,
        message_id=str(run.message_id),
        prompt=question["content"],
        history=tuple(Turn(role=row["role"], content=row["content"], attachments=_files(row)) for row in earlier),
        attachments=_files(question),
        user=RunUser(id=str(run.user_id), username=run.username),
        services=RunServicesOfUser(chat.thread_service, chat.account, run),
        resumption=Resumption(state=run.paused.state, decisions=run.paused.decisions) if run.paused else None,
    )
    async with contextlib.aclosing(supervisor.execute(request)) as events:
        async for event in events:
            if isinstance(event, AgentCompleted):
                data = bounded_event(event.type, event.agent, event_data(event)).data
                return Ending(RunStatus.COMPLETED, event.type, data, usage=event.usage)
            if isinstance(event, AgentError):
                data = bounded_event(event.type, event.agent, event_data(event)).data
                return Ending(
                    RunStatus.FAILED,
                    event.type,
                    data,
                    error_code=data["error_code"],
                    error_message=data["error_message"],
                )
            if isinstance(event, AgentPaused):
                return event
            await writer.write(event)
            if isinstance(event, AgentStarted) and run.paused is not None:
                await writer.replay(run.paused.replay)
    return _failed("The agent ended without an answer.")


def _files(message: DictRow) -> tuple[AttachedFile, ...]:
    return tuple(AttachedFile(**file) for file in message["attachments"] or ())


def _failed(message: str) -> Ending:
    data = {"error_code": ErrorCode.INTERNAL_ERROR.value, "error_message": message, "retryable": True}
    return Ending(
        RunStatus.FAILED,
        "agent_error",
        data,
        error_code=ErrorCode.INTERNAL_ERROR.value,
        error_message=message,
    )
