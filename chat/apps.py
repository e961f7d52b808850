from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from agents.apps import AgentsConfig
    from chat.account import Account
    from chat.arrivals import Arrivals
    from chat.attempt_limit import AttemptLimit
    from chat.connections import Connections
    from chat.event_log import EventLog
    from chat.identity import IdentityProvider
    from chat.limits import RateLimits
    from chat.mcp_status import McpStatus
    from chat.monitor import Monitor
    from chat.places import Places
    from chat.threads import ThreadService


class ChatConfig(AppConfig):
    """Builds what the chat consists of. `ready` constructs only: no I/O, no tasks, no threads."""

    name = "chat"
    thread_service: ThreadService | None = None
    arrivals: Arrivals
    event_log: EventLog
    account: Account
    mcp_status: McpStatus
    connections: Connections
    monitor: Monitor
    rate_limits: RateLimits
    places: Places
    attempt_limit: AttemptLimit
    identity_provider: IdentityProvider | None
    identity_problem: Exception | None

    def import_models(self) -> None:
        """Raises ImproperlyConfigured, before any application is ready, when people are in a table of another name."""
        if settings.AUTH_USER_MODEL != "auth.User":
            raise ImproperlyConfigured(
                f"AUTH_USER_MODEL is {settings.AUTH_USER_MODEL}: Netra works with Django's own auth.User only. Keep "
                "what else is known of people in a model with a key to the user, or give Netra its own database."
            )
        super().import_models()

    def ready(self) -> None:
        from django.contrib.auth import get_user_model
        from django.db.models.signals import post_save, pre_delete

        # With it the files of rows that are deleted go, too.
        from chat import attachments, linking  # noqa: F401
        from chat.account import Account
        from chat.arrivals import Arrivals
        from chat.connections import Connections
        from chat.deactivation import user_deleted, user_saved
        from chat.event_log import EventLog
        from chat.mcp_status import McpStatus
        from chat.monitor import Monitor
        from chat.pool import DatabasePool
        from chat.publisher import Publisher
        from chat.registration import claim_name

        config = settings.NETRA
        pool = DatabasePool()
        self.event_log = EventLog(pool, Publisher())
        self.arrivals = Arrivals(pool)
        self.account = Account(pool)
        self.mcp_status = McpStatus(pool)
        cast("AgentsConfig", apps.get_app_config("agents")).mcp.observe(self.mcp_status.seen)
        self.connections = Connections(
            self.event_log,
            check_seconds=config.ws_position_check_seconds,
        )
        self.monitor = Monitor(pool, connections=lambda: len(self.connections), runs=_active_runs)
        users = get_user_model()
        post_save.connect(claim_name, sender=users, dispatch_uid="claim name")
        post_save.connect(user_saved, sender=users, dispatch_uid="user saved")
        pre_delete.connect(user_deleted, sender=users, dispatch_uid="user deleted")
        self.identity_provider, self.identity_problem = None, None
        try:
            self.identity_provider = linking.provider()
        except Exception as error:  # noqa: BLE001 - a class of somebody else's; the system check tells it
            self.identity_problem = error
        self.count_anew()
        self.thread_service = self.build_thread_service()
        checks.register(check_thread_service, "netra")
        checks.register(check_attachment_storage, "netra")
        checks.register(check_identity_provider, "netra")

    def count_anew(self) -> None:
        """What this process has counted of anybody is forgotten."""
        from chat.attempt_limit import AttemptLimit
        from chat.leases import Leases
        from chat.limits import RateLimits
        from chat.places import Places
        from chat.rates import Rates
        from chat.shared_redis import SharedRedis

        shared = SharedRedis(settings.REDIS_HOSTS)
        self.attempt_limit = AttemptLimit(shared)
        self.rate_limits = RateLimits(Rates(shared))
        self.places = Places(Leases(shared))

    async def close(self) -> None:
        """End what the process has opened: sessions with MCP servers, its watch, connections to the database."""
        await cast("AgentsConfig", apps.get_app_config("agents")).mcp.close()
        await self.places.settled()
        await self.mcp_status.settled()
        await self.account.close()
        await self.monitor.stop()
        await self.event_log.pool.close()

    def build_thread_service(self) -> ThreadService | None:
        """The thread service for the agents that there are; None without a supervisor."""
        from chat.attachments import AttachmentLimits
        from chat.threads import ThreadService

        config = settings.NETRA
        supervisor = cast("AgentsConfig", apps.get_app_config("agents")).supervisor
        if supervisor is None:
            return None
        return ThreadService(
            event_log=self.event_log,
            agents=supervisor.agent_names,
            max_open_runs=config.max_open_runs,
            blind_agents=supervisor.blind_agents,
            attachment_limits=AttachmentLimits(
                file_bytes=config.max_attachment_bytes,
                per_message=config.max_attachments,
                person_bytes=config.max_person_attachment_bytes,
            ),
        )


def _active_runs() -> int:
    supervisor = cast("AgentsConfig", apps.get_app_config("agents")).supervisor
    return supervisor.active_runs if supervisor is not None else 0


def check_thread_service(app_configs: Any, **_kwargs: Any) -> list[checks.CheckMessage]:  # noqa: ARG001
    """System check: the thread service was built."""
    if cast("ChatConfig", apps.get_app_config("chat")).thread_service is None:
        return [
            checks.Error(
                "The thread service is missing.",
                hint="ChatConfig.ready builds it on the agent supervisor: see the error of the application 'agents'.",
                id="chat.E001",
            )
        ]
    return []


def check_attachment_storage(app_configs: Any, **_kwargs: Any) -> list[checks.CheckMessage]:  # noqa: ARG001
    """System check: the storage of attached files can be built. Nothing is asked of it."""
    from chat.attachments import storage

    try:
        storage()
    except Exception as error:  # noqa: BLE001 - storages fail in classes of their own
        return [
            checks.Error(
                f"NETRA_ATTACHMENT_STORAGE: the storage cannot be built ({type(error).__name__}).",
                hint="It names a class of a package that is installed, and the OPTIONS that the class takes.",
                id="chat.E002",
            )
        ]
    return []


def check_identity_provider(app_configs: Any, **_kwargs: Any) -> list[checks.CheckMessage]:  # noqa: ARG001
    """System check: the identity provider could be made. Nothing is asked of it."""
    problem = cast("ChatConfig", apps.get_app_config("chat")).identity_problem
    if problem is None:
        return []
    # What a class of somebody else's says may have its options in it, and with them a secret.
    told = f"{type(problem).__name__}: {problem}" if isinstance(problem, ImportError | TypeError | ValueError) else ""
    return [
        checks.Error(
            f"NETRA_IDENTITY_PROVIDER: the provider cannot be made ({told or type(problem).__name__}).",
            hint="It names a class like those of chat.identity, and the OPTIONS that the class takes.",
            id="chat.E003",
        )
    ]
