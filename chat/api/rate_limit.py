"""Requests are counted before the database is asked, and answers tell what is left: `RateLimit` and `RateLimit-Policy`
(draft-ietf-httpapi-ratelimit-headers-10), structured fields (RFC 9651).
"""

from __future__ import annotations

import math
from typing import Any

from django.http import HttpRequest, HttpResponse
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from chat.addresses import client_address
from chat.api.serving import chat_config
from chat.async_middleware import AsyncMiddleware
from chat.limits import too_many_requests
from chat.rates import Count

POLICY = "requests"
# Of Django's request: what was counted of it.
_COUNTED = "netra_counted"


class Anybody(BaseAuthentication):
    """Of a view that looks at no token: the request counts for its address."""

    def authenticate(self, request: Request) -> None:
        """Raises ChatError with RATE_LIMITED."""
        count_request(request, None)


def count_request(request: Request, user_id: Any | None) -> None:
    """Count a request for the user of its token, or for its address. Once. Raises ChatError with RATE_LIMITED."""
    asked = request._request
    if hasattr(asked, _COUNTED):
        return
    count = chat_config().rate_limits.request(user_id, client_address(request))
    setattr(asked, _COUNTED, count)
    if count is not None and not count.had_room:
        raise too_many_requests(count)


def rate_headers(count: Count | None) -> dict[str, str]:
    """What an answer tells of the count of its request."""
    if count is None:
        return {}
    return {
        "RateLimit-Policy": f'"{POLICY}";q={count.rate.amount};w={math.ceil(count.rate.seconds)}',
        "RateLimit": f'"{POLICY}";r={count.remaining};t={math.ceil(count.more_in)}',
    }


class RateLimitHeaders(AsyncMiddleware):
    """Writes the headers of what was counted, also of a refusal."""

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        response = await self.get_response(request)
        for name, value in rate_headers(getattr(request, _COUNTED, None)).items():
            response[name] = value
        return response
