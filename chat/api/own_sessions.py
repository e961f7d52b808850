"""`/api/me/sessions`: where a person is signed in, and signing out there."""

from __future__ import annotations

import uuid
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Q
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat import audit, sessions
from chat.addresses import client_address
from chat.api import schemas
from chat.api.authentication import credential_of
from chat.api.documented import documented
from chat.api.paging import PageSerializer, cut, decode_cursor, encode_cursor, moment, query_of
from chat.api.serving import chat_config
from chat.api.sessions import forget_cookie
from chat.errors import ChatError, ErrorCode
from chat.models import AuditAction, EndedBy, Session
from chat.protocol import timestamp

logger = structlog.get_logger(__name__)


class Sessions(APIView):
    """`GET ?limit=&cursor=` → {sessions, next}, the newest first."""

    @documented(
        "list_sessions",
        "Where the person is signed in, the newest sign-in first.",
        answer=schemas.SessionPage,
        parameters=[PageSerializer],
        tag="sessions",
    )
    def get(self, request: Request) -> Response:
        asked = query_of(PageSerializer, request)
        limit, rows = asked["limit"], sessions.living_sessions(request.user)
        if cursor := asked.get("cursor"):
            at, pk = decode_cursor(cursor, moment, uuid.UUID)
            rows = rows.filter(Q(created_at__lt=at) | Q(created_at=at, id__lt=pk))
        page, more = cut(rows[: limit + 1], limit)
        following = encode_cursor(page[-1].created_at.isoformat(), page[-1].pk) if more else None
        here = credential_of(request).session
        return Response({"sessions": [_json(session, here) for session in page], "next": following})


class SessionDetail(APIView):
    """`DELETE`: signed out there. Raises SESSION_NOT_FOUND."""

    @documented(
        "end_session",
        "Sign out there: the session has ended.",
        description="None of its tokens counts any more, and its sockets and streams are closed. One that has ended "
        "already is as if there were none.",
        code=204,
        errors=[ErrorCode.SESSION_NOT_FOUND],
        tag="sessions",
    )
    def delete(self, request: Request, session_id: uuid.UUID) -> Response:
        user_id = request.user.pk
        with transaction.atomic():
            if not sessions.end_one(session_id, EndedBy.PERSON, chat_config().event_log.publisher, user=user_id):
                raise ChatError(ErrorCode.SESSION_NOT_FOUND, "There is no such session")
            about = {"session": str(session_id)}
            audit.record(AuditAction.SIGN_OUT, actor=user_id, subject=user_id, address=client_address(request), **about)
        response = Response(status=status.HTTP_204_NO_CONTENT)
        return forget_cookie(response) if session_id == credential_of(request).session else response


class SessionsEnd(APIView):
    """`POST /api/me/sessions/end`: signed out everywhere, here, too."""

    @documented(
        "sign_out_everywhere",
        "Sign out everywhere.",
        description="All sessions of the person end, this one, too: no token counts any more, and open sockets and "
        "streams are closed. Runs go on. Who wants to stay signed in here changes the password.",
        code=204,
        tag="sessions",
    )
    def post(self, request: Request) -> Response:
        with transaction.atomic():
            sessions.end_all(request.user.pk, chat_config().event_log.publisher)
            user_id = request.user.pk
            audit.record(AuditAction.SESSIONS_ENDED, actor=user_id, subject=user_id, address=client_address(request))
        logger.info("signed_out_everywhere", user_id=str(request.user.pk))
        return forget_cookie(Response(status=status.HTTP_204_NO_CONTENT))


def _json(session: Session, here: uuid.UUID | None) -> dict[str, Any]:
    return {
        "id": str(session.pk),
        "kind": session.kind,
        "agent": session.agent,
        "network": session.network,
        "created_at": timestamp(session.created_at),
        "last_used_at": timestamp(session.last_used_at),
        "expires_at": timestamp(session.expires_at),
        "current": session.pk == here,
    }
