"""Where a request comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request


def client_address(request: HttpRequest | Request) -> str:
    """The address of the client, as the proxy says it where there is one that is trusted, and as a text of any kind."""
    return _said_by(str(request.META.get("HTTP_X_FORWARDED_FOR") or "")) or str(request.META.get("REMOTE_ADDR") or "")


def address_of_scope(scope: Mapping[str, Any]) -> str:
    """The same for a socket or a stream."""
    said = [value for name, value in scope["headers"] if name.lower() == b"x-forwarded-for"]
    peer, *_ = scope.get("client") or [""]
    return _said_by(said[-1].decode("latin-1") if said else "") or str(peer or "")


def _said_by(forwarded_for: str) -> str:
    """The last address is the proxy's own word, whatever stands before it."""
    return forwarded_for.rpartition(",")[2].strip() if settings.NETRA.trusted_proxy else ""
