"""Counts each HTTP request by its route: what pattern of the URLs it met, never its path."""

from __future__ import annotations

import time

from django.http import HttpRequest, HttpResponse

from chat import metrics
from chat.async_middleware import AsyncMiddleware


class RequestMetricsMiddleware(AsyncMiddleware):
    """Around all that may answer but static files."""

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        response = await self.get_response(request)
        found = request.resolver_match
        route = f"/{found.route}" if found is not None else metrics.OTHER
        metrics.http_request(route, request.method or "", response.status_code, time.perf_counter() - began)
        return response
