"""How a view tells the OpenAPI document what it takes and answers. `chat.api.openapi` makes the document whole."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from drf_spectacular.contrib.pydantic import PydanticExtension
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from pydantic import BaseModel
from rest_framework import status

from agents.account import DIMENSIONS
from chat.api.bodies import Body
from chat.asyncapi.schemas import REFERENCE, Untitled
from chat.errors import ErrorCode

View = TypeVar("View", bound=Callable[..., Any])
EVENT_STREAM = "text/event-stream"
ARCHIVE = "application/zip"
FORM = "multipart/form-data"
ERROR_CODES = "x-error-codes"
BEGINS = """It is answered at once; the run goes on by itself, whoever is connected.

With a `message_id` of the client's the request may be repeated: the answer is the first one again, and nothing begins
twice. What is said while the thread has a run waits for it, unless `when_busy` says otherwise."""
BEGUN_STREAM = "the run's events, from the first one to its end, or to where it waits for a person."

WITH_A_TOKEN = (ErrorCode.NO_TOKEN, ErrorCode.INVALID_TOKEN, ErrorCode.TOKEN_EXPIRED, ErrorCode.USER_INACTIVE)
# A request for a host that the server does not know is an invalid message, too.
EVERYWHERE = (
    ErrorCode.INVALID_MESSAGE,
    ErrorCode.RATE_LIMITED,
    ErrorCode.SERVICE_UNAVAILABLE,
    ErrorCode.INTERNAL_ERROR,
)
OF_BODIES = (ErrorCode.INVALID_JSON, ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.UNSUPPORTED_MEDIA_TYPE)
OF_BEGINNING = (
    ErrorCode.AGENT_NOT_FOUND,
    ErrorCode.RUN_ACTIVE,
    ErrorCode.TOO_MANY_RUNS,
    ErrorCode.ALLOWANCE_USED,
    ErrorCode.IMAGES_NOT_SUPPORTED,
)
OF_ASKING = (
    *OF_BEGINNING,
    ErrorCode.THREAD_NOT_FOUND,
    ErrorCode.MESSAGE_NOT_FOUND,
    ErrorCode.MESSAGE_ID_CONFLICT,
    ErrorCode.TOO_MANY_ATTACHMENTS,
    ErrorCode.ATTACHMENT_NOT_FOUND,
    ErrorCode.ATTACHMENT_SENT,
)


def documented(
    operation: str,
    summary: str,
    *,
    description: str = "",
    answer: Any = None,
    given: str = "",
    code: int = status.HTTP_200_OK,
    body: type[Body] | None = None,
    form: bool = False,
    errors: Iterable[ErrorCode] = (),
    parameters: Iterable[Any] = (),
    public: bool = False,
    negotiated: bool = True,
    streamed: str = "",
    empty: Mapping[int, str] | None = None,
    headers: Iterable[str] = (),
    tag: str,
) -> Callable[[View], View]:
    """The operation's part of the OpenAPI document.

    `answer` is a shape, a media type or several of files, or None for an empty answer, and `given` says what it is,
    where the shape does not; `empty` has other answers without a body. `form`: the
    body is one, and no JSON.
    `negotiated`: who accepts no JSON is refused. `streamed` says what comes with `Accept: text/event-stream`. `headers`
    are those of `chat.api.openapi.HEADERS` that the answer has.
    """
    raised = {*errors, *EVERYWHERE, *(() if public else WITH_A_TOKEN), *(OF_BODIES if body is not None else ())}
    if form:
        raised.remove(ErrorCode.INVALID_JSON)
    if negotiated:
        raised.add(ErrorCode.NOT_ACCEPTABLE)
    responses: dict[Any, Any] = {}
    if answer is None:
        responses[code] = OpenApiResponse(description="Done.")
    elif isinstance(answer, str):
        kind = OpenApiTypes.BINARY if answer == ARCHIVE else OpenApiTypes.STR
        responses[code, answer] = OpenApiResponse(kind, description=given)
    elif isinstance(answer, tuple):
        responses |= {(code, kind): OpenApiResponse(OpenApiTypes.BINARY, description=given) for kind in answer}
    else:
        responses[code] = OpenApiResponse(answer, description=given or inspect.getdoc(answer) or "")
    if streamed:
        stream = OpenApiResponse(OpenApiTypes.STR, description=given or "The events, or a page of them.")
        responses[status.HTTP_200_OK, EVENT_STREAM] = stream
        raised.add(ErrorCode.TOO_MANY_CONNECTIONS)
        description = f"{description}\n\nWith `Accept: {EVENT_STREAM}` the answer is a stream: {streamed}".strip()
    return extend_schema(
        operation_id=operation,
        summary=summary,
        description=description,
        request={FORM if form else "application/json": body} if body is not None else None,
        responses=responses | {number: OpenApiResponse(description=text) for number, text in (empty or {}).items()},
        parameters=[*parameters, *(OpenApiParameter(name, location="header", response=[code]) for name in headers)],
        tags=[tag],
        extensions={ERROR_CODES: sorted(raised)},
        auth=[] if public else None,
    )


IF_MATCH = OpenApiParameter(
    "If-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The `ETag` under which the thread was seen. When it has changed since: 412 `PRECONDITION_FAILED`.",
)
MOMENT = {"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}]}
USAGE = [
    OpenApiParameter("since", MOMENT, description="A day, or a time with a zone. Otherwise 30 days before `until`."),
    OpenApiParameter("until", MOMENT, description="A day, or a time with a zone. Otherwise now."),
    OpenApiParameter(
        "by",
        {"type": "array", "items": {"type": "string", "enum": list(DIMENSIONS)}, "minItems": 1, "uniqueItems": True},
        explode=False,
        style="form",
        description="What each row is about, commas between. `user` only together with `everyone`.",
    ),
    OpenApiParameter("everyone", OpenApiTypes.BOOL, description="All people's requests: for staff."),
    OpenApiParameter(
        "thread_id",
        OpenApiTypes.UUID,
        description="Only those of this thread: of all its branches, and since its beginning unless `since` is given. "
        "Not together with `everyone`.",
    ),
]
LAST_EVENT_ID = OpenApiParameter(
    "Last-Event-ID", OpenApiTypes.STR, OpenApiParameter.HEADER, description="Of a stream: the `id` of the last event."
)


class Schema(AutoSchema):
    """A view's part of the document. What a DELETE takes is described, too."""

    def _get_request_body(self, direction: str = "request") -> Any:
        method = self.method
        if method == "DELETE" and isinstance(self.get_request_serializer(), dict):
            self.method = "POST"
        try:
            return super()._get_request_body(direction)  # type: ignore[no-untyped-call]
        finally:
            self.method = method


class Shapes(PydanticExtension):  # type: ignore[no-untyped-call]  # the library's metaclass
    """Bodies as they are read, answers as they are written."""

    priority = 1

    def map_serializer(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:  # noqa: ARG002
        kind: type[BaseModel] = self.target
        mode: Any = "validation" if issubclass(kind, Body) else "serialization"
        schema = kind.model_json_schema(ref_template=REFERENCE, schema_generator=Untitled, mode=mode)
        for name, inner in schema.pop("$defs", {}).items():
            component = ResolvedComponent(  # type: ignore[no-untyped-call]
                name=name, type=ResolvedComponent.SCHEMA, object=name, schema=inner
            )
            auto_schema.registry.register_on_missing(component)
        return schema


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # the library's metaclass
    target_class = "chat.api.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:  # noqa: ARG002
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "An access token of `POST /api/auth/token`.",
        }
