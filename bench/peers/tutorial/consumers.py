"""The tutorial's consumer with an answer that streams: each token goes to the person's group, and so to each socket."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

from bench.tokens import say


class ChatConsumer(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        self.group = f"chat_{self.scope['url_route']['kwargs']['person']}"
        self.answers: set[asyncio.Task[None]] = set()
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()
        await self.send(text_data=json.dumps({"type": "welcome"}))

    async def disconnect(self, code: int) -> None:  # noqa: ARG002
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:  # noqa: ARG002
        asked = json.loads(text_data or "")
        if asked["type"] == "ping":
            await self.send(text_data=json.dumps({"type": "pong"}))
            return
        # Awaited here, it would hold up the group's messages to this socket.
        answer = asyncio.create_task(self.answer(asked["message"]))
        self.answers.add(answer)
        answer.add_done_callback(self.answers.discard)

    async def answer(self, question: str) -> None:
        await self.channel_layer.group_send(self.group, {"type": "chat.started"})
        async for token in say(question):
            await self.channel_layer.group_send(self.group, {"type": "chat.token", "token": token})
        await self.channel_layer.group_send(self.group, {"type": "chat.ended"})

    async def chat_started(self, event: dict[str, Any]) -> None:  # noqa: ARG002
        await self.send(text_data=json.dumps({"type": "started"}))

    async def chat_token(self, event: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps({"type": "token", "token": event["token"]}))

    async def chat_ended(self, event: dict[str, Any]) -> None:  # noqa: ARG002
        await self.send(text_data=json.dumps({"type": "ended"}))
