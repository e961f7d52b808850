"""Signing in, staying and out. Programs keep both tokens; the page keeps the refresh token in a cookie it cannot read.

The cookie reaches only what is below `COOKIE_PATH`. A page of another site cannot make use of it: browsers send it
with requests of our own site only, each request must be JSON, which a form cannot send and a script of another origin
only after a preflight that is never granted, and an Origin header must be one of ours.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth import authenticate, get_user_model
from django.contrib.auth.models import update_last_login
from rest_framework import exceptions, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat import audit, rotation
from chat.addresses import client_address
from chat.api import bodies, schemas
from chat.api.documented import documented
from chat.api.rate_limit import Anybody
from chat.api.serving import chat_config
from chat.attempt_limit import Guarded
from chat.errors import ChatError, ErrorCode
from chat.handshake import check_origin
from chat.models import AuditAction, SessionKind
from chat.names import same_name
from chat.protocol import body_of
from chat.registration import username_of
from chat.rotation import Origin, Tokens

logger = structlog.get_logger(__name__)

COOKIE = "netra_refresh"
COOKIE_PATH = "/api/auth"


class SessionView(APIView):
    """A request that needs no access token, and that no page of another site can make."""

    permission_classes = [AllowAny]
    authentication_classes = [Anybody]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method != "POST":
            return
        # A request without a body is not parsed, so that its parser cannot refuse what its type is.
        if request.content_type.partition(";")[0].strip().lower() != "application/json":
            raise exceptions.UnsupportedMediaType(request.content_type)
        origin = request.headers.get("Origin")
        if origin is not None:
            check_origin({"headers": [(b"origin", origin.encode()), (b"host", request.get_host().encode())]})


@contextlib.contextmanager
def refusals_recorded(action: AuditAction, address: str, *, user_id: Any = None) -> Iterator[None]:
    """What is refused in here is in the audit log, with its code."""
    try:
        yield
    except ChatError as error:
        audit.record_refusal(action, error.code, actor=user_id, subject=user_id, address=address)
        raise


def require_passwords() -> None:
    """Raises ChatError with PASSWORD_SIGN_IN_CLOSED."""
    if not settings.NETRA.password_sign_in:
        raise ChatError(ErrorCode.PASSWORD_SIGN_IN_CLOSED, "Passwords are not taken here: sign in where you always do")


class SignIn(SessionView):
    """`POST /api/auth/token` {username, password, session?} → {access, expires_in, refresh?}."""

    @documented(
        "sign_in",
        "Sign in with a name and a password.",
        body=bodies.SignInBody,
        answer=schemas.Tokens,
        errors=[
            ErrorCode.INVALID_CREDENTIALS,
            ErrorCode.PASSWORD_SIGN_IN_CLOSED,
            ErrorCode.RATE_LIMITED,
            ErrorCode.ORIGIN_NOT_ALLOWED,
        ],
        headers=["Set-Cookie"],
        public=True,
        tag="sessions",
    )
    def post(self, request: Request) -> Response:
        require_passwords()
        given = body_of(bodies.SignInBody, request.data)
        name, address, limit = same_name(given.username), client_address(request), chat_config().attempt_limit
        with refusals_recorded(AuditAction.SIGN_IN, address):
            limit.spend(Guarded.SIGN_IN, name, address)
        # Django's hasher works as long for a name that nobody has as for a wrong password.
        username = username_of(get_user_model().normalize_username(given.username))
        user = authenticate(request._request, username=username, password=given.password)
        if user is None:
            # One query and one row, whoever there is.
            subject = get_user_model().objects.filter(username=username).values_list("pk", flat=True).first()
            audit.record_refusal(AuditAction.SIGN_IN, ErrorCode.INVALID_CREDENTIALS, subject=subject, address=address)
            raise ChatError(ErrorCode.INVALID_CREDENTIALS, "The user name or the password is wrong")
        limit.succeeded(Guarded.SIGN_IN, name, address)
        logger.info("signed_in", user_id=str(user.pk))
        audit.record(AuditAction.SIGN_IN, actor=user.pk, subject=user.pk, address=address)
        return signed_in(request, user, session=given.session)


class Refresh(SessionView):
    """`POST /api/auth/token/refresh` {refresh?} → {access, expires_in, refresh?}; `refresh` or the cookie is taken."""

    @documented(
        "refresh_access",
        "New tokens for a refresh token.",
        description="The body has the refresh token, or the cookie of a sign-in with `session: cookie` has it; the new "
        "one comes the same way. The one before gives the same answer for a few seconds more, for an answer that was "
        "lost. Afterwards its use ends the session, `TOKEN_REUSED`: somebody may have a copy.",
        body=bodies.RefreshBody,
        answer=schemas.Tokens,
        errors=[ErrorCode.INVALID_TOKEN, ErrorCode.TOKEN_REUSED, ErrorCode.NO_TOKEN, ErrorCode.ORIGIN_NOT_ALLOWED],
        headers=["Set-Cookie"],
        public=True,
        tag="sessions",
    )
    def post(self, request: Request) -> Response:
        token, kind = _refresh_token(request, body_of(bodies.RefreshBody, request.data))
        return answered(rotation.rotate(token, kind, origin_of(request), chat_config().event_log.publisher), kind)


class SignOut(SessionView):
    """`POST /api/auth/logout` {refresh?}: the session has ended."""

    @documented(
        "sign_out",
        "Sign out: the session has ended.",
        description="None of its tokens counts any more, and its sockets and streams are closed; runs go on. Who was "
        "not signed in is signed out, too. The cookie is taken back.",
        body=bodies.RefreshBody,
        code=204,
        errors=[ErrorCode.ORIGIN_NOT_ALLOWED],
        public=True,
        tag="sessions",
    )
    def post(self, request: Request) -> Response:
        given = body_of(bodies.RefreshBody, request.data)
        with contextlib.suppress(ChatError):  # an invalid token is signed out already
            token, _ = _refresh_token(request, given)
            user_id = rotation.sign_out(token, chat_config().event_log.publisher)
            audit.record(AuditAction.SIGN_OUT, actor=user_id, subject=user_id, address=client_address(request))
        return forget_cookie(Response(status=status.HTTP_204_NO_CONTENT))


def signed_in(request: Request, user: Any, *, session: str | None, code: int = status.HTTP_200_OK) -> Response:
    """The tokens of a new session, the refresh token as a cookie where `session` says so."""
    update_last_login(None, user)  # type: ignore[arg-type]  # a signal's handler, called as simplejwt calls it
    kind = SessionKind.PROGRAM if session is None else SessionKind.COOKIE
    return answered(rotation.begin(user, kind, origin_of(request)), kind, code=code)


def answered(tokens: Tokens, kind: SessionKind, *, code: int = status.HTTP_200_OK) -> Response:
    """The refresh token goes where it is kept."""
    body = {"access": tokens.access, "expires_in": tokens.expires_in}
    if kind == SessionKind.PROGRAM:
        return Response({**body, "refresh": tokens.refresh}, status=code)
    response = Response(body, status=code)
    response.set_cookie(
        COOKIE,
        tokens.refresh,
        max_age=tokens.lasts,
        path=COOKIE_PATH,
        secure=not settings.DEVELOPMENT,
        httponly=True,
        samesite="Strict",
    )
    return response


def forget_cookie(response: Response) -> Response:
    response.delete_cookie(COOKIE, path=COOKIE_PATH, samesite="Strict")
    return response


def origin_of(request: Request) -> Origin:
    return Origin(agent=request.headers.get("User-Agent", ""), address=client_address(request))


def _refresh_token(request: Request, given: bodies.RefreshBody) -> tuple[str, SessionKind]:
    """The token, and where it is kept. Raises ChatError with NO_TOKEN."""
    if given.refresh:
        return given.refresh, SessionKind.PROGRAM
    if token := request.COOKIES.get(COOKIE):
        return token, SessionKind.COOKIE
    raise ChatError(ErrorCode.NO_TOKEN, "There is no refresh token")
