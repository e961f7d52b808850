"""`/api/me`: who is signed in, what that person has here, and the end of it."""

from __future__ import annotations

from typing import Any

import structlog
from django.db import transaction
from django.http import StreamingHttpResponse
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat import audit, passwords, preferences, removal, sessions
from chat.addresses import client_address
from chat.api import bodies, schemas
from chat.api.authentication import credential_of
from chat.api.documented import documented
from chat.api.exports import OneForm
from chat.api.own_data import archive_of
from chat.api.serving import chat_config, thread_service
from chat.api.sessions import forget_cookie, refusals_recorded, signed_in
from chat.attempt_limit import Guarded
from chat.errors import ErrorCode
from chat.models import AuditAction
from chat.protocol import body_of

logger = structlog.get_logger(__name__)


class Me(APIView):
    """`GET /api/me`: the person. `PATCH` {default_agent}. `DELETE` {password}: the account and all that is in it."""

    @documented("get_me", "Who is signed in.", answer=schemas.Person, tag="accounts")
    def get(self, request: Request) -> Response:
        return _person(request.user)

    @documented(
        "change_me",
        "Choose the agent that is asked when none is named.",
        description="It holds on every device of the person. When the server has it no more, its own default is asked.",
        body=bodies.MeBody,
        answer=schemas.Person,
        errors=[ErrorCode.AGENT_NOT_FOUND],
        tag="accounts",
    )
    def patch(self, request: Request) -> Response:
        given = body_of(bodies.MeBody, request.data)
        preferences.choose_default_agent(request.user.pk, given.default_agent, agents=thread_service().agents)
        return _person(request.user)

    @documented(
        "delete_account",
        "Delete the account, and everything in it.",
        description="At once nothing of it can be reached, and all sessions end; it is removed soon after. Nothing "
        "stays.",
        body=bodies.PasswordBody,
        code=204,
        errors=[ErrorCode.WRONG_PASSWORD],
        tag="accounts",
    )
    def delete(self, request: Request) -> Response:
        given = body_of(bodies.PasswordBody, request.data)
        _confirming(AuditAction.ACCOUNT_DELETED, request, lambda: passwords.confirm(request.user, given.password))
        with transaction.atomic():
            if removal.delete_account(request.user.pk, chat_config().event_log.publisher):
                _record(AuditAction.ACCOUNT_DELETED, request)
        return forget_cookie(Response(status=status.HTTP_204_NO_CONTENT))


def _person(user: Any) -> Response:
    return Response(
        {
            "id": str(user.pk),
            "username": user.get_username(),
            "email": user.email,
            "is_staff": bool(user.is_staff),
            "default_agent": preferences.default_agent_of(user.pk),
        }
    )


class Password(APIView):
    """`POST /api/me/password` {old_password, new_password, session?} → {access, expires_in, refresh?}."""

    @documented(
        "change_password",
        "Change the password.",
        description="All sessions end; the answer is a new one, for who has changed it.",
        body=bodies.PasswordChangeBody,
        answer=schemas.Tokens,
        errors=[ErrorCode.WRONG_PASSWORD, ErrorCode.PASSWORD_TOO_WEAK],
        headers=["Set-Cookie"],
        tag="accounts",
    )
    def post(self, request: Request) -> Response:
        given = body_of(bodies.PasswordChangeBody, request.data)
        publisher = chat_config().event_log.publisher

        def change() -> None:
            passwords.change(request.user, given.old_password, given.new_password, publisher)

        _confirming(AuditAction.PASSWORD, request, change)
        logger.info("password_changed", user_id=str(request.user.pk))
        _record(AuditAction.PASSWORD, request)
        return signed_in(request, request.user, session=given.session)


def _record(action: AuditAction, request: Request) -> None:
    user_id = request.user.pk
    audit.record(action, actor=user_id, subject=user_id, address=client_address(request))


def _confirming(action: AuditAction, request: Request, work: Any) -> None:
    """Whoever holds a token of the person may guess the password only so often."""
    name, address, limit = str(request.user.pk), client_address(request), chat_config().attempt_limit
    with refusals_recorded(action, address, user_id=request.user.pk):
        limit.spend(Guarded.PASSWORD, name, address)
        work()
    limit.succeeded(Guarded.PASSWORD, name, address)


class Export(APIView):
    """`GET /api/me/export`: everything as one zip archive."""

    content_negotiation_class = OneForm

    @documented(
        "export_me",
        "Everything that is kept about the person, as a zip archive.",
        description="It is made while it is sent. When it cannot be finished, because the session ends or the database "
        "is lost, it breaks off, and no program takes it for an archive.",
        answer="application/zip",
        given="`profile.json`, `sessions.json`, `threads.json` (each thread with all branches, runs, events, "
        "approvals), `attachments.json` and the files themselves by their ids below `attachments/`, `notes.json`, "
        "`model_requests.json`.",
        headers=["Content-Disposition"],
        negotiated=False,
        tag="accounts",
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        user_id = request.user.pk
        chat_config().attempt_limit.spend(Guarded.EXPORT, str(user_id), client_address(request))
        _record(AuditAction.EXPORT, request)
        credential = credential_of(request)
        return archive_of(user_id, as_long_as=lambda: sessions.counts(user_id, credential))
