"""Titles of threads from their first exchange: what was said, who words it, and where it goes.

A job does it after the run has ended. Whether a title is still wanted is asked before the model is, and again by the
write itself: a person's own title is never overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import structlog
from channels.db import database_sync_to_async
from django.apps import apps
from django.db import transaction

from agents.pydantic_agent import PydanticAgent
from agents.request import RunUser
from agents.titles import make_title
from chat import jobs
from chat.apps import ChatConfig
from chat.claiming import HeldRun
from chat.models import Run, TitleOrigin
from chat.run_services import RunServicesOfUser

if TYPE_CHECKING:
    from agents.apps import AgentsConfig

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What was asked and answered in a run, which has ended."""

    run: HeldRun
    question: str
    answer: str


async def name_thread(run_id: str) -> None:
    """Name the run's thread after what was said in the run, unless it has a title of its own or is gone."""
    chat = cast("ChatConfig", apps.get_app_config("chat"))
    supervisor = cast("AgentsConfig", apps.get_app_config("agents")).supervisor
    service = chat.thread_service
    if supervisor is None or service is None:
        return
    pool = chat.event_log.pool
    exchange = await pool.until_reached(lambda: database_sync_to_async(_exchange)(run_id))
    if exchange is None:
        logger.info("title_not_wanted", run_id=run_id)
        return
    run = exchange.run
    agent = supervisor.registry.get(run.agent) if run.agent in supervisor.registry else None
    title = await make_title(
        exchange.question,
        exchange.answer,
        chosen=agent.chosen if isinstance(agent, PydanticAgent) else None,
        user=RunUser(id=str(run.user_id), username=""),
        services=RunServicesOfUser(service, chat.account, run),
    )
    write = database_sync_to_async(service.name_thread)
    named = await pool.until_reached(lambda: write(run.user_id, run.thread_id, title))
    logger.info("thread_named" if named else "title_not_wanted", run_id=run_id, thread_id=str(run.thread_id))


def _exchange(run_id: str) -> Exchange | None:
    """What was said, or None when no title is wanted."""
    wanted = Run.objects.filter(thread__title_origin=TitleOrigin.QUESTION, thread__deleted_at=None)
    found = wanted.select_related("input_message", "output_message").filter(id=run_id).first()
    if found is None or found.output_message is None:
        return None
    held = HeldRun(
        id=found.id,
        run_number=found.run_number,
        user_id=found.user_id,
        thread_id=found.thread_id,
        agent=found.agent,
        claim=found.claim,
        attempt=found.attempt,
        last_seq=found.last_seq,
        started_at=found.started_at or found.created_at,
        message_id=found.output_message.message_id,
    )
    return Exchange(held, found.input_message.content, found.output_message.content)


def take_up_lost(*, stalled: float) -> None:
    """End the jobs that lost workers have still; each is tried once more. `stalled`: seconds of a worker's silence."""
    for job_id, arguments in jobs.lost(jobs.TITLE_TASK, stalled=stalled):
        run_id, repeated = arguments["run_id"], arguments["repeated"]
        with transaction.atomic():
            if jobs.bury_lost(job_id, stalled=stalled) != "lost":
                continue
            if not repeated:
                jobs.defer_title(run_id, repeated=True)
            logger.warning("title_job_lost", run_id=run_id, job_id=job_id, tried_again=not repeated)
