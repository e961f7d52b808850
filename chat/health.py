"""Which of the parts that Netra needs are there. Each answer exercises the part."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, cast

from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, JsonResponse

from chat.errors import service_unavailable
from chat.redis_layer import RedisLayer
from chat.threads import ThreadService

if TYPE_CHECKING:
    from agents.apps import AgentsConfig
    from chat.apps import ChatConfig

LAYER_TIMEOUT = 1.0
DATABASE_TIMEOUT = 4.0
STARTED_AT = time.monotonic()


def missing_services(chat: ChatConfig) -> list[str]:
    """The services that `ready` should have built and did not."""
    supervisor = cast("AgentsConfig", apps.get_app_config("agents")).supervisor
    return [
        name
        for name, service in (("agent_supervisor", supervisor), ("thread_service", chat.thread_service))
        if service is None
    ]


def require_services(chat: ChatConfig) -> ThreadService:
    """The thread service. Raises ConnectionRefused with SERVICE_UNAVAILABLE, naming what is missing."""
    missing = missing_services(chat)
    if missing or chat.thread_service is None:
        raise service_unavailable(*missing)
    return chat.thread_service


def worker_alive() -> bool:
    """Whether any worker's heartbeat is recent. Raises django.db.DatabaseError."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT EXISTS (SELECT 1 FROM procrastinate_workers
                              WHERE last_heartbeat > now() - make_interval(secs => %s))""",
            [settings.NETRA.worker_stalled_seconds],
        )
        return bool(cursor.fetchone()[0])


async def channel_layer_alive() -> bool:
    layer = get_channel_layer()
    if layer is None:
        return False
    try:
        async with asyncio.timeout(LAYER_TIMEOUT):
            if isinstance(layer, RedisLayer):
                await layer.probe()
            else:
                await layer.group_send("health", {"type": "health.probe"})
    except Exception:  # noqa: BLE001 - each layer raises errors of its own libraries
        return False
    return True


async def health(_request: HttpRequest) -> JsonResponse:
    """`/health`: the process answers. Asks nothing of others."""
    return JsonResponse(
        {
            "status": "healthy",
            "service": "netra",
            "environment": settings.NETRA.environment,
            "uptime_seconds": round(time.monotonic() - STARTED_AT, 1),
        }
    )


async def ready(_request: HttpRequest) -> JsonResponse:
    """`/health/ready`: 503 without database, supervisor or thread service, and for a server that goes away; `degraded`
    without layer or worker.
    """
    chat = cast("ChatConfig", apps.get_app_config("chat"))
    if chat.connections.draining:
        return JsonResponse({"status": "draining"}, status=503)
    missing = missing_services(chat)
    services: dict[str, Any] = {
        name: "missing" if name in missing else "ready" for name in ("agent_supervisor", "thread_service")
    }
    try:
        async with asyncio.timeout(DATABASE_TIMEOUT):
            services["worker"] = "ready" if await sync_to_async(worker_alive)() else "degraded"
        services["database"] = "ready"
    except (DatabaseError, InterfaceError, TimeoutError):
        services["worker"] = "degraded"
        services["database"] = "missing"
        missing.append("database")
    services["channel_layer"] = "ready" if await channel_layer_alive() else "degraded"
    status = "unavailable" if missing else "degraded" if "degraded" in services.values() else "ready"
    body = {"status": status, "services": services, **({"missing": missing} if missing else {})}
    return JsonResponse(body, status=503 if missing else 200)
