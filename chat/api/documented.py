"""How a view tells the API's OpenAPI document what it takes and answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status

from chat.api.bodies import Body
from chat.api.errors import STATUS_OF_CODE
from chat.api.schemas import Error
from chat.errors import ErrorCode

View = TypeVar("View", bound=Callable[..., Any])
EVENT_STREAM = "text/event-stream"

ALWAYS = (ErrorCode.NO_TOKEN, ErrorCode.INVALID_TOKEN, ErrorCode.TOKEN_EXPIRED, ErrorCode.USER_INACTIVE)
EVERYWHERE = (ErrorCode.NOT_ACCEPTABLE, ErrorCode.SERVICE_UNAVAILABLE)
OF_BODIES = (
    ErrorCode.INVALID_JSON,
    ErrorCode.INVALID_MESSAGE,
    ErrorCode.MESSAGE_TOO_LARGE,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE,
)
OF_ASKING = (
    ErrorCode.AGENT_NOT_FOUND,
    ErrorCode.THREAD_NOT_FOUND,
    ErrorCode.MESSAGE_NOT_FOUND,
    ErrorCode.RUN_ACTIVE,
    ErrorCode.MESSAGE_ID_CONFLICT,
    ErrorCode.RATE_LIMITED,
    ErrorCode.TOO_MANY_RUNS,
)
STREAMED = "With `Accept: text/event-stream` the answer is the run as a stream of events (docs/api.md)."


def documented(
    operation: str,
    summary: str,
    *,
    answer: Any = None,
    code: int = status.HTTP_200_OK,
    body: type[Body] | None = None,
    errors: Iterable[ErrorCode] = (),
    parameters: Iterable[Any] = (),
    public: bool = False,
    streamed: bool = False,
    headers: Iterable[str] = (),
    tag: str | None = None,
) -> Callable[[View], View]:
    """The operation's part of the OpenAPI document. `answer` is a shape, a media type, or None for an empty answer."""
    raised = [*errors, *EVERYWHERE, *(() if public else ALWAYS), *(OF_BODIES if body is not None else ())]
    if parameters:
        raised.append(ErrorCode.INVALID_MESSAGE)
    responses: dict[Any, Any] = {}
    if isinstance(answer, str):
        responses[code, answer] = OpenApiTypes.STR
    else:
        responses[code] = OpenApiResponse(answer) if answer is not None else OpenApiResponse(description="Done.")
    if streamed:
        responses[status.HTTP_200_OK, EVENT_STREAM] = OpenApiTypes.STR
        raised.append(ErrorCode.TOO_MANY_CONNECTIONS)
    responses |= _error_responses(raised)
    schema: dict[str, Any] = {"auth": []} if public else {}
    return extend_schema(
        operation_id=operation,
        summary=summary,
        description=STREAMED if streamed else "",
        request={"application/json": body} if body is not None else None,
        responses=responses,
        parameters=[*parameters, *(_answer_header(name, code) for name in headers)],
        tags=[tag] if tag else None,
        **schema,
    )


def _error_responses(codes: Iterable[ErrorCode]) -> dict[Any, OpenApiResponse]:
    by_status: dict[int, list[str]] = {}
    for code in sorted(set(codes)):
        by_status.setdefault(STATUS_OF_CODE.get(code, status.HTTP_400_BAD_REQUEST), []).append(f"`{code}`")
    return {
        (number, "application/json"): OpenApiResponse(Error, description=", ".join(named))
        for number, named in sorted(by_status.items())
    }


def _answer_header(name: str, code: int) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.STR, OpenApiParameter.HEADER, response=[code])


IF_MATCH = OpenApiParameter(
    "If-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The `ETag` under which the thread was seen. When it has changed since: 412 `PRECONDITION_FAILED`.",
)
USAGE = [
    OpenApiParameter("since", OpenApiTypes.STR, description="A day, or a time with a zone. 30 days before `until`."),
    OpenApiParameter("until", OpenApiTypes.STR, description="A day, or a time with a zone. Now."),
    OpenApiParameter("by", OpenApiTypes.STR, description="Some of day, agent, model, thread, user; commas between."),
    OpenApiParameter("everyone", OpenApiTypes.BOOL, description="All people's requests: for staff."),
]
LAST_EVENT_ID = OpenApiParameter(
    "Last-Event-ID", OpenApiTypes.STR, OpenApiParameter.HEADER, description="Of a stream: the `id` of the last event."
)


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
