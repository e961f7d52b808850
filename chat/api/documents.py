"""What describes the API to machines and to people. It is the same for everybody, so nobody has to sign in."""

from __future__ import annotations

import functools
from typing import Any

from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.types import OpenApiTypes
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat.api.documented import documented
from chat.api.exports import OneForm
from chat.api.rate_limit import Anybody
from chat.asyncapi import document
from chat.pages import api_page


class PublicView(APIView):
    permission_classes = [AllowAny]
    authentication_classes = [Anybody]


class OpenApi(PublicView):
    """`GET /api/openapi.json`: this API, as an OpenAPI 3.1 document."""

    @documented(
        "get_openapi",
        "This API, as an OpenAPI document.",
        answer=OpenApiTypes.OBJECT,
        given="The document.",
        public=True,
        tag="documents",
    )
    def get(self, _request: Request) -> Response:
        return Response(openapi())


class AsyncApi(PublicView):
    """`GET /api/asyncapi.json`: the socket's and the streams' frames, as an AsyncAPI 3.0 document."""

    @documented(
        "get_asyncapi",
        "The frames of the socket and of the streams, as an AsyncAPI document.",
        answer=OpenApiTypes.OBJECT,
        given="The document.",
        public=True,
        tag="documents",
    )
    def get(self, _request: Request) -> Response:
        return Response(document())


class Page(PublicView):
    """`GET /api/docs`: the operations, for people."""

    content_negotiation_class = OneForm
    schema = None

    def get(self, request: Request) -> HttpResponse:
        return api_page(request._request)


@functools.cache
def openapi() -> dict[str, Any]:
    """The paths and their decorators do not change while a process lives."""
    generated: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return generated
