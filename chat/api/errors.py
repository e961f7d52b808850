"""One shape for every error of the API: `{"error_code", "error_message", "details", "correlation_id"}`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import structlog
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView, set_rollback

from chat import refusals
from chat.addresses import client_address
from chat.errors import ChatError, ErrorCode

logger = structlog.get_logger(__name__)

UNAVAILABLE = (InterfaceError, OperationalError)

STATUS_OF_CODE = {
    ErrorCode.NOT_FOUND: status.HTTP_404_NOT_FOUND,
    ErrorCode.FORBIDDEN: status.HTTP_403_FORBIDDEN,
    ErrorCode.THREAD_NOT_FOUND: status.HTTP_404_NOT_FOUND,
    ErrorCode.MESSAGE_NOT_FOUND: status.HTTP_404_NOT_FOUND,
    ErrorCode.RUN_NOT_FOUND: status.HTTP_404_NOT_FOUND,
    ErrorCode.AGENT_NOT_FOUND: status.HTTP_404_NOT_FOUND,
    ErrorCode.APPROVAL_NOT_FOUND: status.HTTP_404_NOT_FOUND,
    ErrorCode.TOO_MANY_ATTACHMENTS: status.HTTP_400_BAD_REQUEST,
    ErrorCode.IMAGES_NOT_SUPPORTED: status.HTTP_400_BAD_REQUEST,
    ErrorCode.ATTACHMENT_NOT_FOUND: status.HTTP_404_NOT_FOUND,
    ErrorCode.ORIGIN_NOT_ALLOWED: status.HTTP_403_FORBIDDEN,
    ErrorCode.RUN_ACTIVE: status.HTTP_409_CONFLICT,
    ErrorCode.RUN_COMPLETED: status.HTTP_409_CONFLICT,
    ErrorCode.MESSAGE_ID_CONFLICT: status.HTTP_409_CONFLICT,
    ErrorCode.ATTACHMENT_SENT: status.HTTP_409_CONFLICT,
    ErrorCode.ATTACHMENT_SPACE_FULL: status.HTTP_409_CONFLICT,
    ErrorCode.PRECONDITION_FAILED: status.HTTP_412_PRECONDITION_FAILED,
    ErrorCode.EVENTS_PRUNED: status.HTTP_410_GONE,
    ErrorCode.NOT_ACCEPTABLE: status.HTTP_406_NOT_ACCEPTABLE,
    ErrorCode.MESSAGE_TOO_LARGE: status.HTTP_413_REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.ATTACHMENT_TOO_LARGE: status.HTTP_413_REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.ATTACHMENT_TYPE_NOT_SUPPORTED: status.HTTP_415_UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.TOO_MANY_CONNECTIONS: status.HTTP_429_TOO_MANY_REQUESTS,
    ErrorCode.RATE_LIMITED: status.HTTP_429_TOO_MANY_REQUESTS,
    ErrorCode.TOO_MANY_RUNS: status.HTTP_429_TOO_MANY_REQUESTS,
    ErrorCode.ALLOWANCE_USED: status.HTTP_429_TOO_MANY_REQUESTS,
    ErrorCode.SERVICE_UNAVAILABLE: status.HTTP_503_SERVICE_UNAVAILABLE,
    ErrorCode.WRONG_PASSWORD: status.HTTP_403_FORBIDDEN,
    ErrorCode.PASSWORD_TOO_WEAK: status.HTTP_400_BAD_REQUEST,
    ErrorCode.NAME_TAKEN: status.HTTP_409_CONFLICT,
    ErrorCode.REGISTRATION_CLOSED: status.HTTP_403_FORBIDDEN,
    ErrorCode.PASSWORD_SIGN_IN_CLOSED: status.HTTP_403_FORBIDDEN,
    ErrorCode.EXCHANGE_NOT_OFFERED: status.HTTP_403_FORBIDDEN,
    ErrorCode.IDENTITY_UNKNOWN: status.HTTP_403_FORBIDDEN,
    ErrorCode.RESET_NOT_OFFERED: status.HTTP_403_FORBIDDEN,
    ErrorCode.INVALID_RESET_LINK: status.HTTP_400_BAD_REQUEST,
    ErrorCode.NOTE_NOT_FOUND: status.HTTP_404_NOT_FOUND,
    ErrorCode.SESSION_NOT_FOUND: status.HTTP_404_NOT_FOUND,
    ErrorCode.INVALID_CREDENTIALS: status.HTTP_401_UNAUTHORIZED,
    ErrorCode.INVALID_TOKEN: status.HTTP_401_UNAUTHORIZED,
    ErrorCode.NO_TOKEN: status.HTTP_401_UNAUTHORIZED,
    ErrorCode.TOKEN_EXPIRED: status.HTTP_401_UNAUTHORIZED,
    ErrorCode.TOKEN_REUSED: status.HTTP_401_UNAUTHORIZED,
    ErrorCode.USER_INACTIVE: status.HTTP_401_UNAUTHORIZED,
    ErrorCode.INTERNAL_ERROR: status.HTTP_500_INTERNAL_SERVER_ERROR,
    ErrorCode.METHOD_NOT_ALLOWED: status.HTTP_405_METHOD_NOT_ALLOWED,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: status.HTTP_415_UNSUPPORTED_MEDIA_TYPE,
}


def exception_response(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler: one answer and one log line. The traceback of what nobody expected is only logged."""
    set_rollback()
    request, view = context["request"], context["view"]
    if isinstance(error, exceptions.NotAcceptable) and request.method not in view.allowed_methods:
        # What form an answer should have matters less than that there is none.
        error = exceptions.MethodNotAllowed(request.method)
    correlation_id = structlog.contextvars.get_contextvars().get("correlation_id")
    place = {"stage": "request", "view": type(view).__name__}
    code: int
    if isinstance(error, UNAVAILABLE):
        chat_error = ChatError(
            ErrorCode.SERVICE_UNAVAILABLE,
            "The database is not available at the moment",
            details={"missing": ["database"]},
            retry_after=2.0,
        )
        code = status.HTTP_503_SERVICE_UNAVAILABLE
        logger.warning("refused", code=chat_error.code, cause=str(error).strip().partition("\n")[0], **place)
    elif isinstance(error, ChatError | RequestDataTooBig | Http404 | exceptions.APIException):
        chat_error, code = _named(error)
        logger.info("refused", code=chat_error.code, cause=chat_error.message, **place)
        refusals.record(chat_error, where="request", address=client_address(request))
    else:
        logger.error("request_failed", exc_info=error, **place)
        chat_error, code = ChatError(ErrorCode.INTERNAL_ERROR, "Something went wrong here"), 500
    return Response(error_json(chat_error, correlation_id), status=code, headers=error_headers(chat_error, code))


def error_json(error: ChatError, correlation_id: str | None) -> dict[str, Any]:
    return {
        "error_code": error.code,
        "error_message": error.message,
        "details": error.details or {},
        "correlation_id": correlation_id,
    }


def error_headers(error: ChatError, code: int) -> dict[str, str]:
    headers = {"Retry-After": str(max(1, math.ceil(error.retry_after)))} if error.retry_after else {}
    if code == status.HTTP_401_UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="api"'
    return headers


def status_of(error: ChatError) -> int:
    return STATUS_OF_CODE.get(error.code, status.HTTP_400_BAD_REQUEST)


def _named(error: Exception) -> tuple[ChatError, int]:
    """The error with its code, and the status of its answer."""
    if isinstance(error, ChatError):
        return error, status_of(error)
    if isinstance(error, RequestDataTooBig):
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        text = f"The body may have at most {limit} bytes"
        too_large = ChatError(ErrorCode.MESSAGE_TOO_LARGE, text, details={"max_bytes": limit})
        return too_large, status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    if isinstance(error, Http404):
        return ChatError(ErrorCode.NOT_FOUND, "There is nothing here"), status.HTTP_404_NOT_FOUND
    if isinstance(error, exceptions.ValidationError):
        problems = list(_problems(error.detail))
        text = ": ".join(filter(None, problems[0].values()))
        return ChatError(ErrorCode.INVALID_MESSAGE, text, details={"problems": problems}), error.status_code
    assert isinstance(error, exceptions.APIException)  # noqa: S101 - the caller has tested it
    code = {
        exceptions.NotAuthenticated: ErrorCode.NO_TOKEN,
        exceptions.ParseError: ErrorCode.INVALID_JSON,
        exceptions.PermissionDenied: ErrorCode.FORBIDDEN,
        exceptions.MethodNotAllowed: ErrorCode.METHOD_NOT_ALLOWED,
        exceptions.NotFound: ErrorCode.NOT_FOUND,
        exceptions.NotAcceptable: ErrorCode.NOT_ACCEPTABLE,
        exceptions.UnsupportedMediaType: ErrorCode.UNSUPPORTED_MEDIA_TYPE,
        exceptions.Throttled: ErrorCode.RATE_LIMITED,
    }.get(type(error))
    if code is None:
        authentication = isinstance(error, exceptions.AuthenticationFailed)
        code = ErrorCode.INVALID_TOKEN if authentication else ErrorCode.INVALID_MESSAGE
    retry_after = getattr(error, "wait", None)
    detail = error.detail.get("detail", "") if isinstance(error.detail, dict) else error.detail
    return ChatError(code, str(detail), retry_after=retry_after), error.status_code


def below_api(answer: Callable[..., HttpResponse], error: ChatError) -> Callable[..., HttpResponse]:
    """A handler for what goes wrong outside of all views: below `/api/` this error, elsewhere Django's own page."""

    def handler(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not f"{request.path}/".startswith("/api/"):
            return answer(request, *args, **kwargs)
        code, correlation_id = status_of(error), structlog.contextvars.get_contextvars().get("correlation_id")
        return JsonResponse(error_json(error, correlation_id), status=code, headers=error_headers(error, code))

    return handler


# The handlers of `netra.urls`. What Django itself refuses is a host that it does not serve.
bad_request = below_api(
    defaults.bad_request, ChatError(ErrorCode.INVALID_MESSAGE, "This server is not known by that host name")
)
not_found = below_api(defaults.page_not_found, ChatError(ErrorCode.NOT_FOUND, "There is nothing here"))
server_error = below_api(defaults.server_error, ChatError(ErrorCode.INTERNAL_ERROR, "Something went wrong here"))


class NothingHere(APIView):
    """Every path below `/api/` that is nobody's, whatever the method and whoever asks."""

    permission_classes = [AllowAny]
    authentication_classes: list[Any] = []

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002 - DRF's signature
        raise Http404


def _problems(detail: Any, field: str = "") -> Iterator[dict[str, str]]:
    """As `chat.protocol` tells what is wrong with a body: the field, and what is wrong with it."""
    if isinstance(detail, dict):
        for name, problem in detail.items():
            yield from _problems(problem, name if name != "non_field_errors" else field)
    elif isinstance(detail, list):
        for problem in detail:
            yield from _problems(problem, field)
    else:
        text = str(detail)
        yield {"field": field, "problem": f"{text[:1].lower()}{text[1:]}"}
