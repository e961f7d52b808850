"""A thread of 300 turns is answered within the model's context, and says how."""

from __future__ import annotations

from typing import Any

from channels.db import database_sync_to_async

from chat.models import Message, ModelRequest, Thread
from chat.run_event import now
from netra.testing import Netra, receive, send

TURNS = 300
SENTENCE = "The river rises in the hills and reaches the sea after many bends. " * 3


@database_sync_to_async
def written(user: Any, *, turns: int) -> str:
    """A thread with so many questions and answers, each following the one before."""
    thread = Thread.objects.create(user=user, title="Long", created_at=now(), updated_at=now())
    parent = None
    for number in range(2 * turns):
        parent = Message.objects.create(
            user=user,
            thread=thread,
            parent=parent,
            role="assistant" if number % 2 else "user",
            content=f"{number}: {SENTENCE}",
            run_number=0,
            created_at=now(),
        )
    return str(thread.id)


async def test_a_thread_of_300_turns_is_answered_within_the_models_context_and_says_how(netra: Netra) -> None:
    ann = await netra.user("ann")
    thread_id = await written(ann, turns=TURNS)
    socket = await netra.connect(ann)
    await send(socket, type="user_message", content="What is 6 * 7?", thread_id=thread_id)
    told = (await receive(socket, "context_reduced"))["data"]
    assert told["kept_messages"] + told["dropped_messages"] == 2 * TURNS + 1
    assert told["dropped_messages"] > TURNS
    assert told["kept_messages"] > 20, "recent turns stay whole"
    assert 0 < told["estimated_tokens"] <= told["limit_tokens"]
    ended = await receive(socket, "agent_completed")
    assert "42" in ended["data"]["message"]["content"]
    asked = await database_sync_to_async(lambda: list(ModelRequest.objects.values_list("input_tokens", flat=True)))()
    assert len(asked) == ended["data"]["usage"]["requests"] == 2
    assert sum(asked) == ended["data"]["usage"]["input_tokens"]
    assert all(tokens <= told["limit_tokens"] for tokens in asked)


async def test_a_short_thread_says_nothing(netra: Netra) -> None:
    ann = await netra.user("ann")
    thread_id = await written(ann, turns=3)
    socket = await netra.connect(ann)
    await send(socket, type="user_message", content="What is 6 * 7?", thread_id=thread_id)
    ended = await receive(socket, "agent_completed", "context_reduced")
    assert ended["type"] == "agent_completed"
