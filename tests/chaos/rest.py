"""What REST has of a person's threads, asked until a server answers."""

from __future__ import annotations

import asyncio
import http.client
import time
from typing import Any

from tests.chaos.page_record import StoredThread
from tests.clients import Account, request

PATIENCE_SECONDS = 180.0


class Rest:
    def __init__(self, url: str, account: Account) -> None:
        self._url = url
        self._account = account

    async def threads(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self._get("/api/threads?limit=100"))["threads"]
        return found

    async def thread(self, thread_id: str) -> StoredThread:
        """The branch that is shown, all pages of it."""
        messages: list[Any] = []
        runs: dict[str, Any] = {}
        before = ""
        while True:
            page = await self._get(f"/api/threads/{thread_id}/messages?limit=100{before}")
            messages = [*page["messages"], *messages]
            runs = {run["id"]: run for run in page["runs"]} | runs
            if page["previous"] is None:
                return StoredThread(thread_id, tuple(messages), tuple(runs.values()))
            before = f"&before={page['previous']}"

    async def whole_thread(self, thread_id: str) -> StoredThread:
        """All branches."""
        exported = await self._get(f"/api/threads/{thread_id}/export.json")
        return StoredThread(thread_id, tuple(exported["messages"]), tuple(exported["runs"]))

    async def _get(self, path: str) -> Any:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                answer = await asyncio.to_thread(request, self._url, "GET", path, token=self._account.token())
                if answer.status == 200:
                    return answer.body
                problem: object = answer
            except (OSError, ValueError, http.client.HTTPException) as error:
                problem = error
            assert time.monotonic() < deadline, f"GET {path}: {problem}"
            await asyncio.sleep(0.3)
