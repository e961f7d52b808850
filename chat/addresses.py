"""Where a request comes from."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request


def client_address(request: HttpRequest | Request) -> str:
    """The address of the client, as the proxy says it where there is one that is trusted, and as a text of any kind.

    The last address is the proxy's own word, whatever stands before it.
    """
    if settings.NETRA.trusted_proxy and (said := request.META.get("HTTP_X_FORWARDED_FOR")):
        return str(said).rpartition(",")[2].strip()
    return str(request.META.get("REMOTE_ADDR") or "")
