"""The WebSocket consumer: decode, one use case, reply. Per-connection state lives here and in `Connection`."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, assert_never

import structlog
from autobahn.exception import Disconnected
from channels.consumer import AsyncConsumer
from channels.db import database_sync_to_async
from channels.exceptions import StopConsumer
from django.conf import settings
from django.db import InterfaceError, OperationalError

from chat import handshake, health, metrics, posting, protocol, refusals
from chat.addresses import address_of_scope
from chat.allowances import PersonalLimits
from chat.auth import authenticate
from chat.connection import Connection
from chat.delivery import MAX_RUNS_AFTER, Delivery
from chat.errors import ChatError, CloseCode, ConnectionRefused, ErrorCode, service_unavailable
from chat.handshake import Authentication
from chat.leases import Lease
from chat.limits import CommandLimit
from chat.listening import Listener
from chat.pool import UNREACHABLE, on_any_thread
from chat.protocol import (
    Ack,
    AnyCommand,
    Ping,
    RefreshToken,
    Regenerate,
    ResolveApproval,
    Resume,
    StopRun,
    UserMessage,
)
from chat.reachability import first_line
from chat.run_event import now
from chat.token_clock import TokenClock, seconds_until

if TYPE_CHECKING:
    from chat.apps import ChatConfig

logger = structlog.get_logger(__name__)

UNAVAILABLE = (OperationalError, InterfaceError, TimeoutError, *UNREACHABLE)
COMMAND_TIMEOUT = 10.0
MAX_WAITING_COMMANDS = 64


class ChatConsumer(AsyncConsumer):
    """One socket. `services` is the application's configuration, which holds what `ready` built."""

    def __init__(self, *, services: ChatConfig) -> None:
        self.services = services
        self.scope: dict[str, Any]  # type: ignore[assignment]  # channels' type knows no keys of middleware
        self.connection_id = uuid.uuid4().hex
        self.log = logger.bind(connection_id=self.connection_id)
        self.began = 0.0
        self.connection: Connection | None = None
        self.authentication: Authentication | None = None
        self.lease: Lease | None = None
        self.limit = CommandLimit(settings.NETRA.commands_per_minute)
        self.waiting: asyncio.Queue[AnyCommand] = asyncio.Queue(MAX_WAITING_COMMANDS)
        self.working: asyncio.Task[None] | None = None
        self.listener = Listener(self.dispatch, log=self.log)
        self.token_clock = TokenClock(warn=self.token_expiring, expire=self.token_expired)

    # Shell

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Channels' own loop subscribes to the layer before all else, and closes with 1011 when the layer is away."""
        self.scope, self.base_send = scope, send
        try:
            while True:
                await self.dispatch(await receive())
        except StopConsumer:
            pass
        finally:
            await self.leave()

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Channels' own dispatch hops through the database thread at each message; these handlers do so themselves."""
        try:
            command = metrics.UNREAD if message["type"] == "websocket.receive" else None
            await self.answering(lambda: self.handle(message), command=command)
        except (StopConsumer, asyncio.CancelledError):
            raise
        except Exception:
            # Even the answer failed. An exception that left here would close the socket with 1011.
            self.log.exception("connection_failed")
            await self.close(CloseCode.SERVICE_UNAVAILABLE)

    async def handle(self, message: dict[str, Any]) -> None:
        """By type; what comes over the channel layer and is not ours is left alone."""
        match message["type"]:
            case "run.events" | "thread.notice" | "sessions.ended":
                if self.connection is not None:
                    self.connection.hear(message)
            case "websocket.receive":
                self.websocket_receive(message)
            case "websocket.connect":
                await self.websocket_connect()
            case "websocket.disconnect":
                self.log.info("disconnected", code=message.get("code"))
                raise StopConsumer

    async def answering(
        self, handle: Callable[[], Awaitable[None]], *, ref: str | None = None, command: str | None = None
    ) -> None:
        """Whatever fails while a message is handled is answered with a code, and the socket lives.

        `command` is the type of the command that is answered, if it is one.
        """
        try:
            await handle()
        except (StopConsumer, asyncio.CancelledError):
            raise
        except ConnectionRefused as error:
            metrics.answered(command, error.code)
            await self.refuse(error, stage="message" if self.connection else "connect")
        except ChatError as error:
            self.log.info("refused", code=error.code, cause=error.message, stage="message")
            await self.tell(error, ref=ref, command=command)
        except UNAVAILABLE as error:
            self.log.warning("refused", code=ErrorCode.SERVICE_UNAVAILABLE, stage="message", cause=first_line(error))
            await self.tell(unavailable_now(), ref=ref, command=command)
        except Exception:
            correlation_id = uuid.uuid4().hex[:16]
            self.log.exception("handler_failed", correlation_id=correlation_id)
            told = ChatError(
                ErrorCode.INTERNAL_ERROR, "Something went wrong here", details={"correlation_id": correlation_id}
            )
            await self.tell(told, ref=ref, command=command)

    async def tell(self, error: ChatError, *, ref: str | None, command: str | None) -> None:
        metrics.answered(command, error.code)
        if self.connection is not None:
            self.connection.reply(protocol.error_frame(error, ref=ref))
        else:
            await self.refuse(service_unavailable("connection"), stage="connect")

    # Connecting

    async def websocket_connect(self) -> None:
        self.began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(settings.NETRA.ws_connect_timeout):
                established = await self.establish()
        except UNAVAILABLE as error:
            self.log.warning("database_unavailable", cause=first_line(error))
            await self.refuse(service_unavailable("database"), stage="connect")
            return
        await self.accept()
        assert self.connection is not None  # noqa: S101 - establish() has made it
        self.connection.reply(established)
        self.services.connections.add(self.connection)
        assert self.authentication is not None  # noqa: S101 - and this, too
        self.token_clock.start(self.authentication.expires_at)
        seconds = self.handshake_ended(metrics.OK)
        self.log.info("connected", seconds=round(seconds, 4), **self.labels())

    def handshake_ended(self, code: str) -> float:
        """Returns how many seconds it took."""
        seconds = asyncio.get_running_loop().time() - self.began
        metrics.HANDSHAKES.labels(code).observe(seconds)
        return seconds

    async def establish(self) -> protocol.ConnectionEstablished:
        """Authenticate, join the group, read where the user stands: in this order, so that nothing falls between."""
        authentication: Authentication = await self.scope["authentication"]()
        self.log = self.log.bind(user_id=str(authentication.user_id))
        if self.services.connections.draining:
            raise service_unavailable("server_draining")
        threads = health.require_services(self.services)
        self.lease = await self.services.places.take(authentication.user_id, authentication.limits.connections)
        self.authentication = authentication
        layer_ready = await self.listener.join(authentication.user_id)
        snapshot, worker_ready = await on_any_thread(lambda: (threads.snapshot(self.user_id), health.worker_alive()))
        self.connection = Connection(
            user_id=authentication.user_id,
            credential=authentication.credential,
            delivery=Delivery(baseline=snapshot.last_run_number, window_bytes=settings.NETRA.ws_window_bytes),
            event_log=self.services.event_log,
            threads_version=snapshot.threads_version,
            window_timeout=settings.NETRA.ws_window_timeout,
            check_positions=self.services.connections.check_soon,
            answered=self.answered,
            send=self.send_text,
            close=self.close,
        )
        return handshake.connection_established(
            connection_id=self.connection_id,
            authentication=authentication,
            snapshot=snapshot,
            agents=threads.agents,
            layer_ready=layer_ready,
            worker_ready=worker_ready,
        )

    async def accept(self) -> None:
        subprotocol = handshake.chosen_subprotocol(self.scope.get("subprotocols") or ())
        await self.send({"type": "websocket.accept", "subprotocol": subprotocol})

    async def refuse(self, error: ConnectionRefused, *, stage: str) -> None:
        """Say why, then close. Browsers cannot read the status of a refused handshake, so the default accepts first."""
        self.log.info("refused", code=error.code, cause=error.message, stage=stage, **self.labels())
        frame = protocol.error_frame(error)
        if self.connection is not None:
            self.connection.close(error.close_code, last_frame=frame)
            return
        self.handshake_ended(error.code)
        if settings.NETRA.ws_reject == "handshake":
            await self.send({"type": "websocket.close", "code": error.close_code})
        else:
            await self.accept()
            await self.send_text(frame.encode())
            await self.close(error.close_code, reason=error.code)
        await refusals.record_beside(error, where="socket", address=address_of_scope(self.scope))

    def labels(self) -> dict[str, str]:
        """Test headers label log lines. They grant nothing."""
        value = handshake.header(self.scope, b"x-e2e-test")
        return {"test_label": value[:64]} if value else {}

    # Commands

    def websocket_receive(self, message: dict[str, Any]) -> None:
        if self.connection is None or self.connection.draining:
            return  # refused, or sent away: what still comes is not read
        self.limit.spend()
        text = message.get("text")
        if text is None:
            raise ChatError(ErrorCode.BINARY_NOT_SUPPORTED, "Frames must be text")
        command = protocol.parse_command(text, max_bytes=settings.NETRA.max_message_bytes)
        if isinstance(command, Ping):
            self.connection.reply(
                protocol.Pong(
                    ref=command.ref,
                    server_time=protocol.timestamp(now()),
                    threads_version=self.connection.threads_version,
                )
            )
            metrics.answered(command.type)
        elif isinstance(command, Ack):
            self.connection.ack(command)
            metrics.answered(command.type)
        else:
            self.enqueue(command)

    def enqueue(self, command: AnyCommand) -> None:
        """Commands that query wait for each other, in their order, and for nothing else on this socket."""
        try:
            self.waiting.put_nowait(command)
        except asyncio.QueueFull:
            metrics.limited("waiting_commands")
            raise ChatError(
                ErrorCode.RATE_LIMITED,
                "Too many commands wait for their answer",
                retry_after=1.0,
                ref=command.ref,
            ) from None
        if self.working is None or self.working.done():
            self.working = self.start(self.work(), "commands")

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work, name=f"{name} of {self.connection_id}")

    async def work(self) -> None:
        while not self.waiting.empty():
            command = self.waiting.get_nowait()
            await self.answering(
                lambda c=command: self.execute(c),  # type: ignore[misc]
                ref=command.ref,
                command=command.type,
            )

    async def answered(self) -> None:
        while self.working is not None and not self.working.done():
            await asyncio.wait([self.working])

    async def execute(self, command: AnyCommand) -> None:
        assert self.connection is not None  # noqa: S101 - commands come after the connection
        async with asyncio.timeout(COMMAND_TIMEOUT):
            match command:
                case UserMessage():
                    reply: protocol.Reply = await self.post_message(command)
                case Regenerate():
                    reply = await self.regenerate(command)
                case StopRun():
                    reply = await self.stop_run(command)
                case ResolveApproval():
                    reply = await self.resolve_approval(command)
                case Resume():
                    reply = await self.resume(command)
                case RefreshToken():
                    reply = await self.refresh_token(command)
                case Ping() | Ack():
                    raise AssertionError("answered before they wait")
                case _ as unreachable:
                    assert_never(unreachable)
        self.connection.reply(reply)
        metrics.answered(command.type)
        if isinstance(command, Resume):
            self.connection.resumed()

    async def post_message(self, command: UserMessage) -> protocol.MessageAccepted:
        accepted = await database_sync_to_async(posting.post_message)(
            self.services, self.user_id, command, limits=self.limits, log=self.log
        )
        return accepted.model_copy(update={"ref": command.ref})

    async def regenerate(self, command: Regenerate) -> protocol.MessageAccepted:
        accepted = await database_sync_to_async(posting.regenerate)(
            self.services, self.user_id, command, limits=self.limits, log=self.log
        )
        return accepted.model_copy(update={"ref": command.ref})

    async def stop_run(self, command: StopRun) -> protocol.RunStopped:
        threads = health.require_services(self.services)
        stopped = await database_sync_to_async(threads.stop_run)(self.user_id, command.run_id)
        self.log.info("run_stopped", run_id=stopped.run_id, status=stopped.status)
        return stopped.model_copy(update={"ref": command.ref})

    async def resolve_approval(self, command: ResolveApproval) -> protocol.ApprovalAccepted:
        threads = health.require_services(self.services)
        accepted = await database_sync_to_async(threads.resolve_approval)(self.user_id, command)
        self.log.info("approval_resolved", run_id=accepted.run_id, approved=command.approved)
        return accepted.model_copy(update={"ref": command.ref})

    async def resume(self, command: Resume) -> protocol.Resumed:
        assert self.connection is not None  # noqa: S101 - commands come after the connection
        log, user_id = self.services.event_log, self.user_id
        cursors = {str(run_id): seq for run_id, seq in command.cursors.items()}
        named = await log.positions(user_id, run_ids=list(cursors)) if cursors else []
        above = []
        if command.after_run is not None:
            above = await log.positions_above(user_id, run_number=command.after_run, limit=MAX_RUNS_AFTER + 1)
        resumed = self.connection.delivery.resume(cursors, named=named, above=above)
        return protocol.Resumed(
            ref=command.ref,
            runs={run_id: protocol.ResumedRun(**dataclasses.asdict(run)) for run_id, run in resumed.runs.items()},
            snapshot_required=resumed.snapshot_required,
            gone=resumed.gone,
            reload=True if resumed.reload else None,
        )

    async def refresh_token(self, command: RefreshToken) -> protocol.TokenRefreshed:
        try:
            authentication = await on_any_thread(lambda: authenticate(command.token))
        except ConnectionRefused as error:
            # The connection goes on with the token that it has.
            raise ChatError(error.code, error.message) from None
        if authentication.user_id != self.user_id:
            raise ChatError(ErrorCode.INVALID_TOKEN, "The token is another user's")
        self.authentication = authentication
        if self.connection is not None:
            self.connection.credential = authentication.credential
        self.token_clock.start(authentication.expires_at)
        self.log.info("token_refreshed")
        return protocol.TokenRefreshed(
            ref=command.ref,
            expires_at=protocol.timestamp(authentication.expires_at),
            expires_in=round(seconds_until(authentication.expires_at)),
        )

    def token_expiring(self, warning: protocol.TokenExpiring) -> None:
        if self.connection is not None:
            self.connection.reply(warning)

    def token_expired(self) -> None:
        error = ConnectionRefused(ErrorCode.TOKEN_EXPIRED, "The token has expired")
        self.log.info("refused", code=error.code, cause=error.message, stage="message")
        if self.connection is not None:
            self.connection.close(error.close_code, last_frame=protocol.error_frame(error))

    @property
    def user_id(self) -> Any:
        assert self.authentication is not None  # noqa: S101 - commands come after authentication
        return self.authentication.user_id

    @property
    def limits(self) -> PersonalLimits:
        """As they were when the token was looked at."""
        assert self.authentication is not None  # noqa: S101 - commands come after authentication
        return self.authentication.limits

    # Leaving

    async def leave(self) -> None:
        """A disconnect ends nothing but the connection: runs go on."""
        self.token_clock.stop()
        if self.working is not None:
            self.working.cancel()
        if self.connection is not None:
            self.connection.abandon()
            self.services.connections.remove(self.connection)
        if self.lease is not None:
            self.services.places.leave(self.lease)
        await self.listener.leave()

    async def send(self, message: Any) -> None:
        """Servers raise for a client that has just gone, and its disconnect is on the way here.

        ASGI's rule is OSError; daphne passes on what autobahn raises.
        """
        try:
            await super().send(message)
        except (OSError, Disconnected) as error:
            self.log.debug("client_gone", cause=repr(error))

    async def send_text(self, text: str) -> None:
        await self.send({"type": "websocket.send", "text": text})

    async def close(self, code: CloseCode, reason: str | None = None) -> None:
        metrics.CLOSES.labels(int(code)).inc()
        await self.send({"type": "websocket.close", "code": int(code), **({"reason": reason} if reason else {})})


def unavailable_now() -> ChatError:
    return ChatError(
        ErrorCode.SERVICE_UNAVAILABLE,
        "The database is not available at the moment",
        details={"missing": ["database"]},
        retry_after=2.0,
    )
