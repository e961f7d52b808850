"""What a socket brings and is told when it opens: origin, credential, greeting. docs/protocol.md, section 1. No I/O."""

from __future__ import annotations

import base64
import binascii
import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import validate_host

from chat.allowances import PersonalLimits
from chat.arrivals import UserSnapshot
from chat.credential import Credential
from chat.errors import ConnectionRefused, ErrorCode
from chat.protocol import SUBPROTOCOLS, ConnectionEstablished, timestamp
from chat.run_event import now

CREDENTIAL_PREFIX = "jwt."


@dataclass(frozen=True, slots=True)
class Authentication:
    """An authenticated user, and how long the token is valid. It was issued on `credential`.

    `limits` are as they were then.
    """

    user_id: Any
    username: str
    expires_at: datetime.datetime
    credential: Credential
    limits: PersonalLimits


def header(scope: Mapping[str, Any], name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name), None)


def chosen_subprotocol(offered: Iterable[str]) -> str | None:
    """What to echo: the protocol's name, never the token."""
    names = set(offered)
    return next((name for name in SUBPROTOCOLS if name in names), None)


def check_origin(scope: Mapping[str, Any]) -> None:
    """Refuse pages of other sites. No Origin header: not a browser, which may pass with a valid token.

    A page of this server is one whose origin is the Host that it asks for, if that is a host of ours: otherwise a
    foreign name that resolves to this server would do. Raises ConnectionRefused with ORIGIN_NOT_ALLOWED.
    """
    origin = header(scope, b"origin")
    if origin is None or origin in settings.NETRA.allowed_origins:
        return
    host = header(scope, b"host") or ""
    try:
        parts = urlsplit(origin)
        ours = validate_host(urlsplit(f"//{host}").hostname or "", settings.ALLOWED_HOSTS)
    except ValueError:  # neither is an address
        ours = False
    if ours and parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower():
        return
    raise ConnectionRefused(ErrorCode.ORIGIN_NOT_ALLOWED, "Pages of this origin may not connect")


def find_token(scope: Mapping[str, Any]) -> str:
    """The credential, first found wins. Raises ConnectionRefused with NO_TOKEN or INVALID_TOKEN."""
    authorization = header(scope, b"authorization")
    if authorization is not None:
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
    offered: Iterable[str] = scope.get("subprotocols") or ()
    for item in offered:
        if item.startswith(CREDENTIAL_PREFIX):
            return _decode_subprotocol(item.removeprefix(CREDENTIAL_PREFIX))
    raise ConnectionRefused(
        ErrorCode.NO_TOKEN,
        "No JWT token found in WebSocket headers or subprotocols",
        details={
            "environment": settings.NETRA.environment,
            "ssot_authentication": True,
            "auth_headers": {
                "authorization_present": authorization is not None,
                "authorization_preview": "[MISSING]" if authorization is None else "[REDACTED]",
                "websocket_protocol": "[REDACTED]" if offered else "[MISSING]",
            },
        },
    )


def _decode_subprotocol(encoded: str) -> str:
    if encoded.count(".") == 2:
        return encoded  # a bare token: base64url has no dots
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise ConnectionRefused(ErrorCode.INVALID_TOKEN, "The token is not valid") from None


def connection_established(
    *,
    connection_id: str,
    authentication: Authentication,
    snapshot: UserSnapshot,
    agents: Sequence[str],
    layer_ready: bool,
    worker_ready: bool,
) -> ConnectionEstablished:
    """The first frame of every connection that is not refused."""
    config, personal = settings.NETRA, authentication.limits
    at = now()
    return ConnectionEstablished(
        connection_id=connection_id,
        user={"id": str(authentication.user_id), "username": authentication.username},
        environment=config.environment,
        server_time=timestamp(at),
        services={
            "agent_supervisor": "ready",
            "thread_service": "ready",
            "database": "ready",
            "channel_layer": "ready" if layer_ready else "degraded",
            "worker": "ready" if worker_ready else "degraded",
        },
        agents=list(agents),
        last_run_number=snapshot.last_run_number,
        threads_version=snapshot.threads_version,
        open_runs=snapshot.open_runs,
        token={
            "expires_at": timestamp(authentication.expires_at),
            "expires_in": max(0, round((authentication.expires_at - at).total_seconds())),
        },
        heartbeat={"interval_seconds": config.ws_heartbeat_seconds},
        limits={
            "max_message_bytes": config.max_message_bytes,
            "user_messages_per_minute": personal.messages_per_minute,
            "max_open_runs": personal.open_runs,
            "max_connections": personal.connections,
            "window_bytes": config.ws_window_bytes,
            "max_attachments": config.max_attachments,
            "max_attachment_bytes": config.max_attachment_bytes,
            "runs_per_day": personal.runs_per_day,
            "tokens_per_day": personal.tokens_per_day,
            "cost_usd_per_day": personal.cost_usd_per_day,
        },
    )
