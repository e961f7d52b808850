"""What an agent yields, coalesced and written: text deltas wait a short window and become one event."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

from agents.events import AgentEvent, AgentPaused, AgentResponseChunk, AgentThinking, event_data
from agents.plain import plain_text
from chat.claiming import HeldRun
from chat.event_log import Ending, EventLog
from chat.run_event import Event, bounded_event, text_pieces

MAX_BUFFERED_EVENTS = 256
MAX_BUFFERED_CHARACTERS = 64 * 1024


class RunWriter:
    """Writes one held run. `write` returns at once; appends happen behind it, in order, one at a time.

    Text waits at most `window` seconds, and for all writers of the log until the same moment; any other event takes
    what waits along and is written at once. When more is buffered than the bounds allow, `write` waits. Errors of an
    append, RunFenced above all, surface at the next call.
    """

    def __init__(self, log: EventLog, run: HeldRun, *, window: float) -> None:
        self._log = log
        self._run = run
        self._window = window
        self._buffer: list[Event] = []
        self._text: AgentResponseChunk | AgentThinking | None = None
        self._pieces: list[str] = []
        self._characters = 0
        self._urgent = asyncio.Event()
        self._room = asyncio.Event()
        self._flusher: asyncio.Task[None] | None = None
        self._closing = False

    async def write(self, event: AgentEvent) -> None:
        """Take the next event. Raises RunFenced when the run was taken."""
        self._check()
        if isinstance(event, AgentResponseChunk) or (isinstance(event, AgentThinking) and event.text):
            if self._text is None or not _goes_on(self._text, event):
                self._close_text()
                self._text = event
            self._pieces.append(event.text)
            self._characters += len(event.text)
        else:
            self._add(bounded_event(event.type, event.agent, event_data(event)))
        await self._flush()

    async def replay(self, events: Sequence[Event]) -> None:
        """Write events again that were written before, after what was written so far. Raises RunFenced."""
        for event in events:
            self._check()
            self._add(event)
            await self._flush()

    def _add(self, event: Event) -> None:
        self._close_text()
        self._buffer.append(event)
        self._characters += len(event.whole_result or "")
        self._urgent.set()

    async def _flush(self) -> None:
        full = len(self._buffer) >= MAX_BUFFERED_EVENTS or self._characters >= MAX_BUFFERED_CHARACTERS
        if full or self._window == 0:
            self._urgent.set()
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush_soon(), name=f"flush run {self._run.id}")
        if full:
            self._room.clear()
            await self._room.wait()
            self._check()

    async def finish(self, ending: Ending) -> None:
        """End the run with everything that still waits. Raises RunFenced."""
        await self._close()
        await self._log.finish(self._run, ending, pending=self._take())

    async def pause(self, paused: AgentPaused, *, expires_in: float) -> None:
        """Let the run wait for a person, with everything that still waits to be written. Raises RunFenced."""
        await self._close()
        await self._log.pause(self._run, paused, pending=self._take(), expires_in=expires_in)

    async def _close(self) -> None:
        self._closing = True
        self._urgent.set()
        if self._flusher is not None:
            await asyncio.wait([self._flusher])
        self._check()

    async def abandon(self) -> None:
        """Write nothing more: what waits was seen by nobody. An append under way may or may not be committed."""
        self._take()
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.wait([self._flusher])

    def _check(self) -> None:
        flusher = self._flusher
        if flusher is not None and flusher.done():
            self._flusher = None
            flusher.result()

    def _waits(self) -> bool:
        """Whether something waits that a flush should write: what is left at the end goes with the ending."""
        return not self._closing and (bool(self._buffer) or self._text is not None)

    def _close_text(self) -> None:
        if self._text is not None:
            for piece in text_pieces(plain_text("".join(self._pieces))):
                part = dataclasses.replace(self._text, text=piece)
                self._buffer.append(bounded_event(part.type, part.agent, event_data(part)))
            self._text = None
            self._pieces.clear()

    def _take(self) -> list[Event]:
        self._close_text()
        taken, self._buffer = self._buffer, []
        self._characters = 0
        self._urgent.clear()
        return taken

    async def _flush_soon(self) -> None:
        try:
            while self._waits():
                await self._log.window.wait(self._urgent, self._window)
                if not self._waits():
                    return
                events = self._take()
                self._room.set()
                await self._log.append(self._run, events)
        finally:
            self._room.set()


def _goes_on(text: AgentResponseChunk | AgentThinking, event: AgentResponseChunk | AgentThinking) -> bool:
    """Whether the event is a further piece of the same text. It is asked for each token."""
    if isinstance(text, AgentThinking):
        return isinstance(event, AgentThinking) and (text.agent, text.step, text.within) == (
            event.agent,
            event.step,
            event.within,
        )
    return isinstance(event, AgentResponseChunk) and text.message_id == event.message_id and text.agent == event.agent
