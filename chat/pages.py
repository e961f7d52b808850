"""The pages for people, with the policies under which they run."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from chat.security_headers import OURS_ONLY

CONTENT_SECURITY_POLICY = f"{OURS_ONLY}; require-trusted-types-for 'script'; trusted-types chat dompurify"
# The page that shows the API is another's (Swagger UI), and writes HTML without Trusted Types.
API_CONTENT_SECURITY_POLICY = OURS_ONLY


def chat_page(request: HttpRequest, **_place: str) -> HttpResponse:
    """The same page for every place in the chat: it finds what to show in its address."""
    return _page(request, "chat/index.html", CONTENT_SECURITY_POLICY)


def reset_page(request: HttpRequest, **_link: str) -> HttpResponse:
    """The same page once more. Its address is a secret: not even our own files are asked for with it as referrer."""
    response = _page(request, "chat/index.html", CONTENT_SECURITY_POLICY)
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "no-store"
    return response


def api_page(request: HttpRequest) -> HttpResponse:
    """The API's operations, to read and to try."""
    return _page(request, "chat/api.html", API_CONTENT_SECURITY_POLICY)


def _page(request: HttpRequest, template: str, policy: str) -> HttpResponse:
    response = render(request, template)
    response["Content-Security-Policy"] = policy
    response["Cache-Control"] = "no-cache"
    return response
