"""Where a process listens, as `host:port`."""

from __future__ import annotations

from urllib.parse import urlsplit


def parse(text: str) -> tuple[str, int]:
    """`127.0.0.1:9100`, `[::1]:9100`; `:9100` is every address. Raises ValueError."""
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port
    except ValueError:
        port = None
    if not port or parts.netloc != text or parts.username is not None:
        raise ValueError("must be an address and a port, as 127.0.0.1:9100, [::1]:9100 or :9100")
    return parts.hostname or "::", port
