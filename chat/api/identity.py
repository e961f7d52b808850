"""`/api/auth/exchange`: signing in with what an identity provider says."""

from __future__ import annotations

import structlog
from rest_framework.request import Request
from rest_framework.response import Response

from chat import audit, linking
from chat.addresses import client_address
from chat.api import bodies, schemas
from chat.api.documented import documented
from chat.api.serving import chat_config
from chat.api.sessions import SessionView, refusals_recorded, signed_in
from chat.errors import ChatError, ErrorCode, service_unavailable
from chat.identity import Presented
from chat.models import AuditAction
from chat.protocol import body_of

logger = structlog.get_logger(__name__)


class Exchange(SessionView):
    """`POST /api/auth/exchange` {token?, session?} → {access, expires_in, refresh?}."""

    @documented(
        "exchange_identity",
        "Sign in with what an identity provider says.",
        description="With a token of the provider in the body; where a proxy signs people in, its header says it, and "
        "the body has no token. Somebody who is not known yet is refused, or becomes a new user, as the server is set.",
        body=bodies.ExchangeBody,
        answer=schemas.Tokens,
        errors=[
            ErrorCode.EXCHANGE_NOT_OFFERED,
            ErrorCode.INVALID_TOKEN,
            ErrorCode.TOKEN_EXPIRED,
            ErrorCode.IDENTITY_UNKNOWN,
            ErrorCode.USER_INACTIVE,
            ErrorCode.NAME_TAKEN,
            ErrorCode.SERVICE_UNAVAILABLE,
            ErrorCode.ORIGIN_NOT_ALLOWED,
        ],
        headers=["Set-Cookie"],
        public=True,
        tag="sessions",
    )
    def post(self, request: Request) -> Response:
        given = body_of(bodies.ExchangeBody, request.data)
        chat = chat_config()
        if chat.identity_problem is not None:
            raise service_unavailable("identity_provider")
        if chat.identity_provider is None:
            raise ChatError(ErrorCode.EXCHANGE_NOT_OFFERED, "This server knows of no identity provider")
        headers = {name.lower(): value for name, value in request.headers.items()}
        address = client_address(request)
        with refusals_recorded(AuditAction.SIGN_IN, address):
            identity = linking.identify(chat.identity_provider, Presented(token=given.token, headers=headers))
            user = linking.user_of(identity)
        logger.info("signed_in", user_id=str(user.pk), by="exchange")
        about = {"provider": identity.provider}
        audit.record(AuditAction.SIGN_IN, actor=user.pk, subject=user.pk, address=address, **about)
        return signed_in(request, user, session=given.session)
