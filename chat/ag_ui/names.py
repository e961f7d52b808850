"""What calls of runs are called where ids are to be unique in a whole conversation, and not only in their run."""

from __future__ import annotations

import uuid


def call_name(run_id: str, tool_call_id: str, *, begun: int) -> str:
    """`begun`: how often the run has begun; each time its calls are others."""
    return f"{run_id}:{tool_call_id}" if begun == 1 else f"{run_id}.{begun}:{tool_call_id}"


def interrupt_name(run_id: str, tool_call_id: str) -> str:
    return f"{run_id}:{tool_call_id}"


def interrupted_call(name: str) -> tuple[uuid.UUID, str] | None:
    """The run and the call behind the name of an interrupt; None for what is none."""
    run_id, _, tool_call_id = name.partition(":")
    try:
        found = uuid.UUID(run_id)
    except ValueError:
        return None
    return (found, tool_call_id) if 0 < len(tool_call_id) <= 200 else None
