"""`REDIS_URL`: one address or several, each a server of its own or a master that Sentinels know.

redis://[user:password@]host:6379/0            rediss:// with TLS, unix:///path for a socket
redis+sentinel://[user:password@]host:26379,host:26379/master[/0]     rediss+sentinel:// with TLS
"""

from __future__ import annotations

import re
import socket
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

SENTINEL_PORT = 26379
SCHEMES = {"redis", "rediss", "unix"}
SENTINEL_SCHEMES = {"redis+sentinel", "rediss+sentinel"}
SENTINEL_OPTIONS = {"sentinel_username": "username", "sentinel_password": "password"}
PLAIN_FORM = "must look like redis://host:6379/0 (several separated by commas)"
SENTINEL_FORM = "must look like redis+sentinel://host1:26379,host2:26379/name-of-the-master/0"

# Nothing of these waits for ever, and nothing is repeated below the one loop that connects again.
_BOUNDS: dict[str, Any] = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0}
_SENTINEL_BOUNDS: dict[str, Any] = {"socket_timeout": 0.4, "socket_connect_timeout": 0.4}
_HEALTH_CHECK_SECONDS = 5.0
_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 5000}


def split(value: str) -> tuple[str, ...]:
    """The addresses of a list. A comma that no scheme follows belongs to the Sentinels before it."""
    parts = (part.strip(" ,") for part in re.split(r",\s*(?=[A-Za-z][A-Za-z0-9+.-]*://)", value))
    return tuple(part for part in parts if part)


def channels_host(url: str) -> dict[str, Any]:
    """The address as `channels_redis` takes it. Raises ValueError, which shows nothing of the address."""
    try:
        parts = urlsplit(url)
        if parts.scheme in SENTINEL_SCHEMES:
            return _sentinel_host(parts)
        if parts.scheme in SCHEMES and _is_plain(parts):
            return {"address": url, **_connection_options(tcp=parts.scheme != "unix")}
    except ValueError:
        raise ValueError(SENTINEL_FORM if "sentinel" in url.partition(":")[0] else PLAIN_FORM) from None
    raise ValueError(PLAIN_FORM)


def _is_plain(parts: SplitResult) -> bool:
    if parts.scheme == "unix":
        return bool(parts.path)
    return (parts.port is None or parts.port > 0) and re.fullmatch(r"(/\d*)?", parts.path) is not None


def _connection_options(*, tcp: bool) -> dict[str, Any]:
    options = {**_BOUNDS, "health_check_interval": _HEALTH_CHECK_SECONDS, "retry": _no_retry()}
    return {**options, **_keepalive()} if tcp else options


def _no_retry() -> Retry:
    return Retry(NoBackoff(), 0, supported_errors=())


def _keepalive() -> dict[str, Any]:
    """As far as the system knows these options."""
    known = {getattr(socket, name): value for name, value in _KEEPALIVE.items() if hasattr(socket, name)}
    return {"socket_keepalive": True, "socket_keepalive_options": known}


def _sentinel_host(parts: SplitResult) -> dict[str, Any]:
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    master, _, database = parts.path.removeprefix("/").partition("/")
    sentinels = [_address(host.strip()) for host in hosts.split(",")]
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    if not master or not re.fullmatch(r"\d*", database) or not options.keys() <= SENTINEL_OPTIONS.keys():
        raise ValueError(SENTINEL_FORM)
    tls = {"ssl": True} if parts.scheme.startswith("rediss") else {}
    given = {"username": unquote(user), "password": unquote(password)}
    return {
        "sentinels": sentinels,
        "master_name": unquote(master),
        "sentinel_kwargs": {
            **_SENTINEL_BOUNDS,
            **_keepalive(),
            **tls,
            "retry": _no_retry(),
            **{SENTINEL_OPTIONS[name]: value for name, value in options.items()},
        },
        "db": int(database or 0),
        **{name: value for name, value in given.items() if value},
        **tls,
        **_connection_options(tcp=True),
    }


def _address(host: str) -> tuple[str, int]:
    parts = urlsplit(f"//{host}")
    if not parts.hostname or parts.path or parts.username is not None:
        raise ValueError(SENTINEL_FORM)
    return parts.hostname, SENTINEL_PORT if parts.port is None else parts.port
