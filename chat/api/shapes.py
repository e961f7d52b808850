"""Messages and runs as REST shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist

from chat.attachments import attachment_json, in_order
from chat.models import Message, MessageFeedback, Note, Role, Run
from chat.protocol import MessageAccepted, timestamp


def message_json(message: Message, *, siblings: Sequence[UUID], run_id: UUID | None) -> dict[str, Any]:
    """`siblings`: what stands in its place in any branch. `run_id`: of its first run, or of the one that made it."""
    feedback = feedback_of(message)
    return {
        "id": str(message.message_id),
        "role": Role(message.role).value,
        "content": message.content,
        "parent_id": str(message.parent.message_id) if message.parent else None,
        "partial": message.partial,
        "run_id": str(run_id) if run_id else None,
        "created_at": timestamp(message.created_at),
        "attachments": [attachment_json(each) for each in in_order(message)],
        "siblings": [str(sibling) for sibling in siblings],
        "feedback": feedback_json(feedback) if feedback else None,
    }


def feedback_of(message: Message) -> MessageFeedback | None:
    try:
        return message.feedback
    except ObjectDoesNotExist:
        return None


def feedback_json(feedback: MessageFeedback) -> dict[str, Any]:
    return {"rating": feedback.rating, "text": feedback.text}


def note_json(note: Note) -> dict[str, Any]:
    return {
        "id": note.pk,
        "content": note.content,
        "agent": note.agent or None,
        "created_at": timestamp(note.created_at),
    }


def run_json(run: Run) -> dict[str, Any]:
    """A run: its place, state and outcome."""
    duration = run.finished_at - run.started_at if run.finished_at and run.started_at else None
    return {
        "id": str(run.id),
        "run_number": run.run_number,
        "thread_id": str(run.thread_id),
        "status": run.status,
        "agent": run.agent,
        "attempt": run.attempt,
        "last_seq": run.last_seq,
        "input_message_id": str(run.input_message.message_id),
        "output_message_id": str(run.output_message.message_id) if run.output_message else None,
        "error_code": run.error_code or None,
        "error_message": run.error_message or None,
        "cancelled_by": run.cancelled_by or None,
        "usage": run.usage,
        "duration_ms": round(duration.total_seconds() * 1000) if duration else None,
        "created_at": timestamp(run.created_at),
        "started_at": timestamp(run.started_at) if run.started_at else None,
        "finished_at": timestamp(run.finished_at) if run.finished_at else None,
    }


def acceptance_json(accepted: MessageAccepted) -> dict[str, Any]:
    named = accepted.model_dump(include={"thread_id", "message_id", "run_id", "run_number"})
    return {**named, "allowance": [use.model_dump() for use in accepted.allowance or ()]}
