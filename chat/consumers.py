"""The WebSocket consumer: decode, one use case, reply. Per-connection state lives here and in `Connection`."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, assert_never

from channels.db import database_sync_to_async
from channels.exceptions import StopConsumer
from django.conf import settings

from chat import handshake, health, metrics, posting, protocol
from chat.allowances import PersonalLimits
from chat.answering_consumer import UNAVAILABLE, AnsweringConsumer
from chat.auth import Bearer, authenticate
from chat.connection import Connection
from chat.delivery import MAX_RUNS_AFTER, Delivery
from chat.errors import ChatError, ConnectionRefused, ErrorCode, service_unavailable
from chat.handshake import Authentication
from chat.leases import Lease
from chat.limits import CommandLimit
from chat.listening import Listener
from chat.pool import on_any_thread
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
from chat.sessions import SESSIONS_ENDED
from chat.token_clock import TokenClock, seconds_until
from chat.wake_ups import WAKE_UP

if TYPE_CHECKING:
    from chat.apps import ChatConfig

COMMAND_TIMEOUT = 10.0
MAX_WAITING_COMMANDS = 64
HEARD = frozenset({WAKE_UP, "thread.notice", SESSIONS_ENDED})


class ChatConsumer(AnsweringConsumer):
    """One socket. `services` is the application's configuration, which holds what `ready` built."""

    def __init__(self, *, services: ChatConfig) -> None:
        super().__init__()
        self.services = services
        self.authentication: Authentication | None = None
        self.lease: Lease | None = None
        # What was told between the look at where the user stands and the greeting.
        self.told_early: list[dict[str, Any]] = []
        self.config = settings.NETRA
        self.limit = CommandLimit(self.config.commands_per_minute)
        self.waiting: list[AnyCommand] = []
        self.working: asyncio.Task[None] | None = None
        self.listener = Listener(self.hear, log=self.log)
        self.token_clock = TokenClock(warn=self.token_expiring, expire=self.token_expired)

    async def handle(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "websocket.receive":
                self.websocket_receive(message)
            case "websocket.connect":
                await self.websocket_connect()
            case "websocket.disconnect":
                self.log.info("disconnected", code=message.get("code"))
                raise StopConsumer

    def hear(self, message: dict[str, Any]) -> None:
        """What comes over the channel layer; what is not ours is left alone."""
        if message["type"] not in HEARD:
            return
        if self.connection is not None:
            self.connection.hear(message)
        else:
            self.told_early.append(message)

    # Connecting

    async def websocket_connect(self) -> None:
        self.began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self.config.ws_connect_timeout):
                connection, established = await self.establish()
        except UNAVAILABLE as error:
            self.log.warning("database_unavailable", cause=first_line(error))
            await self.refuse(service_unavailable("database"), stage="connect")
            return
        await self.accept()
        self.connection = connection
        connection.reply(established)
        while self.told_early:
            connection.hear(self.told_early.pop(0))
        self.services.connections.add(connection)
        assert self.authentication is not None  # noqa: S101 - establish() has set it
        self.token_clock.start(self.authentication.expires_at)
        seconds = self.handshake_ended(metrics.OK)
        self.log.info("connected", seconds=round(seconds, 4), **self.labels())

    async def establish(self) -> tuple[Connection, protocol.ConnectionEstablished]:
        """Whose token it is; join the group; read whether it counts and where its user stands: in this order, so that
        nothing falls between. Nothing is told to who has joined and is refused.
        """
        bearer: Bearer = await self.scope["bearer"]()
        self.log = self.log.bind(user_id=str(bearer.user_id))
        if self.services.connections.draining:
            raise service_unavailable("server_draining")
        threads = health.require_services(self.services)
        layer_ready = await self.listener.join(bearer.user_id)
        arrival = await self.services.arrivals.find(bearer.user_id, bearer.credential)
        authentication = bearer.authentication(arrival)
        assert arrival is not None  # noqa: S101 - nobody is authenticated otherwise
        snapshot = arrival.snapshot
        self.lease = await self.services.places.take(authentication.user_id, authentication.limits.connections)
        self.authentication = authentication
        connection = Connection(
            user_id=authentication.user_id,
            credential=authentication.credential,
            delivery=Delivery(baseline=snapshot.last_run_number, window_bytes=self.config.ws_window_bytes),
            event_log=self.services.event_log,
            threads_version=snapshot.threads_version,
            window_timeout=self.config.ws_window_timeout,
            check_positions=self.services.connections.check_soon,
            answered=self.answered,
            send=self.send_text,
            close=self.close,
            write=self.write,
        )
        return connection, handshake.connection_established(
            connection_id=self.connection_id,
            authentication=authentication,
            snapshot=snapshot,
            agents=threads.agents,
            layer_ready=layer_ready,
            worker_ready=arrival.has_worker,
        )

    # Commands

    def websocket_receive(self, message: dict[str, Any]) -> None:
        if self.connection is None or self.connection.draining:
            return  # refused, or sent away: what still comes is not read
        self.limit.spend()
        text = message.get("text")
        if text is None:
            raise ChatError(ErrorCode.BINARY_NOT_SUPPORTED, "Frames must be text")
        command = protocol.parse_command(text, max_bytes=self.config.max_message_bytes)
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
        if len(self.waiting) >= MAX_WAITING_COMMANDS:
            metrics.limited("waiting_commands")
            raise ChatError(
                ErrorCode.RATE_LIMITED,
                "Too many commands wait for their answer",
                retry_after=1.0,
                ref=command.ref,
            )
        self.waiting.append(command)
        if self.working is None or self.working.done():
            self.working = self.start(self.work(), "commands")

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work, name=f"{name} of {self.connection_id}")

    async def work(self) -> None:
        while self.waiting:
            command = self.waiting.pop(0)
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
        cursors = {str(run_id): seq for run_id, seq in command.cursors.items()}
        found = await self.services.event_log.positions(
            self.user_id, run_ids=list(cursors), above=command.after_run, limit=MAX_RUNS_AFTER + 1
        )
        named = [position for position in found if position.run_id in cursors]
        above = [] if command.after_run is None else [at for at in found if at.run_number > command.after_run]
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

    async def refuse(self, error: ConnectionRefused, *, stage: str) -> None:
        """Who is not let in hears nothing more, however long the client takes to go."""
        await super().refuse(error, stage=stage)
        if self.connection is None:
            await self.listener.leave()
            self.told_early.clear()

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
