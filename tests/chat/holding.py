"""What the holder of a run does, a step at a time."""

from __future__ import annotations

from typing import Any

from channels.db import database_sync_to_async
from procrastinate.contrib.django.models import ProcrastinateJob

from agents.events import Usage
from chat.claiming import HeldRun
from chat.event_log import Ending, EventLog
from chat.jobs import RUN_TASK
from chat.models import Run, RunEvent, RunStatus
from chat.protocol import MessageAccepted, UserMessage
from chat.run_event import Event, now
from chat.threads import ThreadService


def post(service: ThreadService, user: Any, content: str = "Hello", **fields: Any) -> MessageAccepted:
    return service.post_message(user.pk, UserMessage(type="user_message", content=content, **fields))


async def posted(service: ThreadService, user: Any, content: str = "Hello", **fields: Any) -> MessageAccepted:
    return await database_sync_to_async(post)(service, user, content, **fields)


async def claimed(log: EventLog, run_id: str) -> HeldRun:
    taken = await log.claim(run_id)
    assert taken is not None, "the run could not be claimed"
    return taken[0]


def event(type_: str, **data: Any) -> Event:
    return Event(type_, "assistant", data, now())


def chunk(text: str) -> Event:
    return event("agent_response_chunk", message_id="m", text=text)


def completed() -> Ending:
    usage = Usage(model="offline", input_tokens=1, output_tokens=2, requests=1)
    return Ending(RunStatus.COMPLETED, "agent_completed", {"duration_ms": 5}, usage=usage)


def failed() -> Ending:
    data = {"error_code": "MODEL_ERROR", "error_message": "Broken", "retryable": True}
    return Ending(RunStatus.FAILED, "agent_error", data, error_code="MODEL_ERROR", error_message="Broken")


async def answered(log: EventLog, run_id: str, text: str) -> None:
    """The run is claimed, and ends with this answer."""
    run = await claimed(log, run_id)
    await log.finish(run, completed(), pending=[chunk(text)])


@database_sync_to_async
def fresh(run_id: Any) -> Run:
    return Run.objects.select_related("input_message__parent", "output_message", "thread").get(id=run_id)


@database_sync_to_async
def events(run_id: Any) -> list[tuple[int, str]]:
    """Sequence numbers and types of a run's events, as they are in the log."""
    return list(RunEvent.objects.filter(run_id=run_id).order_by("seq").values_list("seq", "type"))


def jobs() -> list[tuple[str, str]]:
    """State and run of every job that executes one, in the order of their making."""
    made = ProcrastinateJob.objects.filter(task_name=RUN_TASK).order_by("id")
    return [(job.status, job.args["run_id"]) for job in made]
