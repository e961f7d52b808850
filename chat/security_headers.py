"""What every answer tells browsers, whoever made it: Django, a stream, a static file or a refusal.

An answer that says something of its own says it; what it leaves out is added here, as strict as can be: an answer that
is no page can load nothing, is shown in no frame, and is no resource of another site's page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

REFERRER_POLICY = "same-origin"
OPENER_POLICY = "same-origin"
FRAME_OPTIONS = "DENY"
# What is no page of ours. A file in an address of its own, an image as SVG among them, runs nothing.
NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
# A page that needs what is here, and nothing from elsewhere.
OURS_ONLY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# What a page here has no use for. Copying is for this page only.
PERMISSIONS = ", ".join(
    [
        *(
            f"{feature}=()"
            for feature in (
                "accelerometer",
                "camera",
                "display-capture",
                "geolocation",
                "gyroscope",
                "magnetometer",
                "microphone",
                "midi",
                "payment",
                "publickey-credentials-get",
                "screen-wake-lock",
                "serial",
                "usb",
                "xr-spatial-tracking",
            )
        ),
        "clipboard-write=(self)",
        "fullscreen=(self)",
    ]
)
ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", REFERRER_POLICY.encode()),
    (b"x-frame-options", FRAME_OPTIONS.encode()),
    (b"cross-origin-opener-policy", OPENER_POLICY.encode()),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", PERMISSIONS.encode()),
]
# A person's own, the state of the server, and what is refused are in no cache.
NOT_KEPT = ("/api/", "/health", "/admin", "/metrics")

Headers = Iterable[tuple[bytes, bytes]]
Asgi = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


def completed(path: str, status: int, headers: Headers, *, debug: bool = False) -> list[tuple[bytes, bytes]]:
    """The headers of an answer, with those that it lacks. In `debug` Django's pages of errors have scripts in them."""
    given = [(bytes(name).lower(), bytes(value)) for name, value in headers]
    named = {name for name, _ in given}
    added = list(ALWAYS)
    if not (debug and status >= 400):
        added.append((b"content-security-policy", (OURS_ONLY if path.startswith("/admin/") else NOTHING).encode()))
    if status >= 400 or f"{path}/".startswith(NOT_KEPT):
        added.append((b"cache-control", b"no-store"))
    return [*given, *(header for header in added if header[0] not in named)]


class SecurityHeaders:
    """An HTTP application whose every answer has them."""

    def __init__(self, application: Asgi, *, debug: bool) -> None:
        self._application = application
        self._debug = debug

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        async def send_completed(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                given = message.get("headers", ())
                headers = completed(scope["path"], message["status"], given, debug=self._debug)
                message = {**message, "headers": headers}
            await send(message)

        await self._application(scope, receive, send_completed)
