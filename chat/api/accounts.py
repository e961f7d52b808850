"""`/api/auth/…` for who has no token yet: what is offered here, registering, and a new password by mail."""

from __future__ import annotations

import structlog
from django.conf import settings
from django.contrib.auth.password_validation import password_validators_help_texts
from rest_framework import status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat import audit, passwords, registration
from chat.addresses import client_address
from chat.api import bodies, schemas
from chat.api.documented import documented
from chat.api.rate_limit import Anybody
from chat.api.serving import chat_config
from chat.api.sessions import SessionView, refusals_recorded, require_passwords, signed_in
from chat.attempt_limit import Guarded
from chat.errors import ChatError, ErrorCode
from chat.models import AuditAction
from chat.names import same_name
from chat.protocol import body_of

logger = structlog.get_logger(__name__)


class Options(APIView):
    """`GET /api/auth/options` → {registration, password_reset, password_rules, password_sign_in, exchange, …}."""

    permission_classes = [AllowAny]
    authentication_classes = [Anybody]

    @documented(
        "get_account_options",
        "What people can do here by themselves.",
        answer=schemas.AccountOptions,
        public=True,
        tag="accounts",
    )
    def get(self, request: Request) -> Response:  # noqa: ARG002 - a view's signature
        config, provider = settings.NETRA, chat_config().identity_provider
        passwords = config.password_sign_in
        return Response(
            {
                "registration": passwords and config.registration == "open",
                "password_reset": passwords and config.email_url is not None,
                "password_rules": [str(text) for text in password_validators_help_texts()],
                "password_sign_in": passwords,
                "exchange": provider.speaks if provider is not None else None,
                "sign_in_url": config.sign_in_url,
            }
        )


class Register(SessionView):
    """`POST /api/auth/register` {username, email, password, session?} → {access, expires_in, refresh?}."""

    @documented(
        "register",
        "Make an account, and sign in.",
        description="Names that differ in case only, or look the same, are the same name. Whether somebody has the "
        "e-mail address changes nothing.",
        body=bodies.RegisterBody,
        answer=schemas.Tokens,
        code=201,
        errors=[
            ErrorCode.REGISTRATION_CLOSED,
            ErrorCode.PASSWORD_SIGN_IN_CLOSED,
            ErrorCode.NAME_TAKEN,
            ErrorCode.PASSWORD_TOO_WEAK,
            ErrorCode.RATE_LIMITED,
            ErrorCode.ORIGIN_NOT_ALLOWED,
        ],
        headers=["Set-Cookie"],
        public=True,
        tag="accounts",
    )
    def post(self, request: Request) -> Response:
        require_passwords()
        if settings.NETRA.registration != "open":
            raise ChatError(ErrorCode.REGISTRATION_CLOSED, "People cannot register by themselves here")
        given = body_of(bodies.RegisterBody, request.data)
        chat_config().attempt_limit.spend(Guarded.REGISTER, same_name(given.username), client_address(request))
        user = registration.register(username=given.username, email=given.email, password=given.password)
        logger.info("registered", user_id=str(user.pk))
        audit.record(AuditAction.REGISTER, actor=user.pk, subject=user.pk, address=client_address(request))
        return signed_in(request, user, session=given.session, code=status.HTTP_201_CREATED)


class Reset(SessionView):
    """`POST /api/auth/password/reset` {email} → 202, whether there is somebody of this address or not."""

    @documented(
        "ask_for_reset",
        "Ask for a mail by which to choose a new password.",
        description="The answer is the same whether there is somebody of this address or not.",
        body=bodies.ResetBody,
        code=202,
        errors=[
            ErrorCode.RESET_NOT_OFFERED,
            ErrorCode.PASSWORD_SIGN_IN_CLOSED,
            ErrorCode.RATE_LIMITED,
            ErrorCode.ORIGIN_NOT_ALLOWED,
        ],
        public=True,
        tag="accounts",
    )
    def post(self, request: Request) -> Response:
        require_passwords()
        if settings.NETRA.email_url is None:
            raise ChatError(ErrorCode.RESET_NOT_OFFERED, "This server sends no mails: ask who runs it")
        given = body_of(bodies.ResetBody, request.data)
        chat_config().attempt_limit.spend(Guarded.RESET, given.email.casefold(), client_address(request))
        passwords.ask_for_reset(given.email)
        return Response(status=status.HTTP_202_ACCEPTED)


class ResetConfirmation(SessionView):
    """`POST /api/auth/password/reset/confirm` {uid, token, password} → 204; all sessions have ended."""

    @documented(
        "reset_password",
        "Choose a new password, with what the link of the mail has.",
        description="The link is `/reset/<uid>/<token>`. All sessions of the person end.",
        body=bodies.ResetConfirmationBody,
        code=204,
        errors=[
            ErrorCode.INVALID_RESET_LINK,
            ErrorCode.PASSWORD_SIGN_IN_CLOSED,
            ErrorCode.PASSWORD_TOO_WEAK,
            ErrorCode.RATE_LIMITED,
            ErrorCode.ORIGIN_NOT_ALLOWED,
        ],
        public=True,
        tag="accounts",
    )
    def post(self, request: Request) -> Response:
        require_passwords()
        given = body_of(bodies.ResetConfirmationBody, request.data)
        address, limit = client_address(request), chat_config().attempt_limit
        with refusals_recorded(AuditAction.PASSWORD, address):
            limit.spend(Guarded.CONFIRM, given.uid, address)
            user = passwords.reset(given.uid, given.token, given.password, chat_config().event_log.publisher)
        # Who reads the mails of the account is not kept out by others who guess at its password.
        limit.succeeded(Guarded.SIGN_IN, same_name(user.get_username()), address)
        logger.info("password_reset", user_id=str(user.pk))
        audit.record(AuditAction.PASSWORD, actor=user.pk, subject=user.pk, address=address, by="reset")
        return Response(status=status.HTTP_204_NO_CONTENT)
