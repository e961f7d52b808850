"""One connection's shell of I/O around `chat.delivery`: an outbox, a reader of the log, and the clock of its window.

Tasks exist only while there is something to do: an idle connection costs no task. What waits in the outbox is bounded,
because delivery admits no more than the window.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from chat import metrics
from chat.backoff import delays
from chat.credential import Credential
from chat.delivery import Delivery, Frame, LogRead, PositionCheck, RunPosition
from chat.errors import CloseCode, ConnectionRefused, ErrorCode, service_unavailable
from chat.event_log import EventLog
from chat.pool import UNREACHABLE
from chat.protocol import Ack, ErrorMessage, ServerDraining, ServerFrame, SnapshotRequired, error_frame
from chat.sessions import SESSIONS_ENDED, session_ended

logger = structlog.get_logger(__name__)

# A page of the log: what the window admits of it is kept, the rest read again, so it is bounded in both.
READ_LIMIT = 500
READ_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class _Close:
    """The last thing in an outbox."""

    code: CloseCode
    reason: str | None


# Takes one frame, unless it would have to wait: then it returns False, and nothing is taken.
Write = Callable[[str], bool]


def nothing_at_once(_: str) -> bool:
    """Of a server that knows only how to be awaited."""
    return False


class Connection:
    """What one open socket has yet to be sent. `send` and `close` write to the socket, `write` where it need not wait.

    `answered` returns when the commands that were taken from the socket have their replies.
    """

    def __init__(
        self,
        *,
        user_id: Any,
        credential: Credential,
        delivery: Delivery,
        event_log: EventLog,
        threads_version: int,
        window_timeout: float,
        check_positions: Callable[[], None],
        answered: Callable[[], Awaitable[None]],
        send: Callable[[str], Awaitable[None]],
        close: Callable[[CloseCode, str | None], Awaitable[None]],
        write: Write = nothing_at_once,
        kind: metrics.Kind = "socket",
    ) -> None:
        self.kind = kind
        self.user_id = user_id
        self.credential = credential
        self.delivery = delivery
        self.threads_version = threads_version
        self._event_log = event_log
        self._window_timeout = window_timeout
        self._check_positions = check_positions
        self._answered = answered
        self._send = send
        self._close = close
        self._write = write
        self._outbox: deque[tuple[str, metrics.Sending] | _Close] = deque()
        # What was made before is not late: the client has asked for it anew.
        self._live_since = time.time()
        self.draining = False
        self._closing = False
        self._drainer: asyncio.Task[None] | None = None
        self._sender: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._stalled: asyncio.TimerHandle | None = None

    # What happens

    def hear(self, message: Mapping[str, Any]) -> None:
        """What `chat.publisher` told the user's group, as `chat.wake_ups` has it heard."""
        if message["type"] == SESSIONS_ENDED:
            self._check_positions()
            return
        if message["type"] == "thread.notice":
            self.notice(message["frame"], threads_version=message["threads_version"])
            return
        self.wake(message["run_id"], message["run_number"], message["frames"], last_seq=message["last_seq"])

    def wake(self, run_id: str, run_number: int, frames: Sequence[Frame], *, last_seq: int) -> None:
        """A wake-up came over the channel layer."""
        self._push(self.delivery.wake(run_id, run_number, frames, last_seq=last_seq), metrics.WITH_WAKE_UPS)
        self._continue()

    def positions(self, check: PositionCheck, found: Iterable[RunPosition], threads_version: int) -> None:
        """What the position check found of what this connection asked for."""
        self.threads_version = max(self.threads_version, threads_version)
        self.delivery.positions(check, found)
        self._continue()

    def end_session(self) -> None:
        """The credential of the connection does not count any more."""
        self._close_for(session_ended())

    def reply(self, frame: ServerFrame) -> None:
        """Answer a command. A client that reads nothing and still asks is cut off."""
        text = frame.encode()
        if self._closing:
            return
        if self.delivery.admit_reply(len(text.encode())):
            self._push([text])
            self._continue()
        else:
            self._close_for(_window_full())

    def notice(self, text: str, *, threads_version: int) -> None:
        """A thread notice; with a full window it is left out: the client sees it by the version in `pong`."""
        self.threads_version = max(self.threads_version, threads_version)
        if not self._closing and self.delivery.admit_notice(len(text.encode())):
            self._push([text])
            self._continue()

    def ack(self, command: Ack) -> None:
        self.delivery.ack({str(run): seq for run, seq in command.cursors.items()}, command.received)
        self._continue()

    def resumed(self) -> None:
        """After `delivery.resume`: read what the client asked for."""
        self._live_since = time.time()
        self._continue()

    def drain(self, last_frame: ServerDraining, *, patience: float) -> None:
        """The server goes away: answer the commands that were taken, say so, and close."""
        if not self.draining:
            self.draining = True
            self._drainer = self._start(self._drain(last_frame, patience), "drain")

    async def _drain(self, last_frame: ServerDraining, patience: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._answered()
        self.close(CloseCode.DRAINING, last_frame)

    def close(self, code: CloseCode, last_frame: ErrorMessage | ServerDraining | None = None) -> None:
        """Send what is in the outbox, and the reason if there is one, then close the socket."""
        if not self._closing:
            self._closing = True
            if last_frame is not None:
                self._outbox.append((last_frame.encode(), metrics.ANSWERS))
            reason = last_frame.error_code if isinstance(last_frame, ErrorMessage) else None
            self._outbox.append(_Close(code, reason))
            self._start_sender()

    def _close_for(self, error: ConnectionRefused) -> None:
        if not self._closing:
            logger.info("refused", code=error.code, stage=self.kind, user_id=str(self.user_id))
        self.close(error.close_code, last_frame=error_frame(error))

    async def sent_all(self) -> None:
        """Wait until the outbox is empty."""
        if self._sender is not None:
            await asyncio.wait([self._sender])

    def abandon(self) -> None:
        """The socket is gone, and nothing of this keeps its owner."""
        self._closing = True
        self._send = self._close = self._answered = _nowhere
        self._write = nothing_at_once
        self._outbox.clear()
        for task in (self._sender, self._reader, self._drainer):
            if task is not None:
                task.cancel()
        self._go_on()

    # What follows from it

    def _push(self, texts: Sequence[str], sending: metrics.Sending = metrics.ANSWERS) -> None:
        if self._closing or not texts:
            return
        self._outbox.extend([(text, sending) for text in texts])
        if self._sender is None:
            try:
                self._write_outbox()
            finally:  # what fails here fails again in the sender's task, and closes the connection
                if self._outbox:
                    self._start_sender()

    def _write_outbox(self) -> None:
        """As much of it as the server takes at once."""
        while self._outbox and not isinstance(item := self._outbox[0], _Close) and self._write(item[0]):
            self._outbox.popleft()
            text, sending = item
            sending.sent(text, self._live_since)

    def _start_sender(self) -> None:
        if self._sender is None:
            self._sender = self._start(self._send_outbox(), "send")

    def _continue(self) -> None:
        """Read on where the log has more and the window has room, and watch how long it is full."""
        if self._closing:
            return
        if self.delivery.check_due:
            self._check_positions()
        if self._reader is None and self.delivery.next_read() is not None:
            self._reader = self._start(self._read_log(), "read log")
        if not self.delivery.window_full:
            self._go_on()
        elif self._stalled is None:
            loop = asyncio.get_running_loop()
            self._stalled = loop.call_later(self._window_timeout, self._close_for, _window_full())
            metrics.WINDOW_STALLS.inc()
            metrics.WINDOWS_STALLED.inc()

    def _go_on(self) -> None:
        """The window has room, or nobody is there any more to make some."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
            metrics.WINDOWS_STALLED.dec()

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=f"{name} of connection")
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task is self._sender:
            self._sender = None
        if task is self._reader:
            self._reader = None
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("connection_task_failed", task=task.get_name(), exc_info=error)
            if not self._closing:
                self._outbox.clear()  # what failed is missing, so nothing may follow it
            self._close_for(service_unavailable("connection"))
        elif not task.cancelled():
            if self._outbox:
                self._start_sender()
            self._continue()

    async def _send_outbox(self) -> None:
        while self._outbox:
            self._write_outbox()
            if not self._outbox:
                return
            item = self._outbox.popleft()
            if isinstance(item, _Close):
                await self._close(item.code, item.reason)
            else:
                text, sending = item
                await self._send(text)
                sending.sent(text, self._live_since)

    async def _read_log(self) -> None:
        while (read := self.delivery.next_read()) is not None and not self._closing:
            page = await self._read_page(read)
            if read.repairs:
                metrics.GAP_REPAIRS.inc()
            following = self.delivery.log_page(read, page)
            self._push(following.frames, metrics.FROM_LOG)
            if following.snapshot_required:
                self.reply(SnapshotRequired(run_ids=following.snapshot_required))
            # The outbox holds at most a window; the next page waits until this one is on its way.
            await self.sent_all()

    async def _read_page(self, read: LogRead) -> list[Frame]:
        for delay in delays(first=0.1, longest=2.0):
            try:
                return await self._event_log.read_after(
                    read.run_id, read.after_seq, limit=READ_LIMIT, max_bytes=READ_BYTES
                )
            except UNREACHABLE:
                await asyncio.sleep(delay)
        raise AssertionError("delays() never ends")


async def _nowhere(*_: object, **__: object) -> None:
    """Whoever was written to has gone."""


def _window_full() -> ConnectionRefused:
    return ConnectionRefused(ErrorCode.WINDOW_FULL, "What was sent has not been acknowledged for too long")
